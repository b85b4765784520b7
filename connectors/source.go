package connectors

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/onewindow/onewindow/exchange"
)

const (
	// MaxRowBytes bounds one row; a longer one is a rejected row.
	MaxRowBytes = 1 << 20
	// MaxBatchBytes is the size of raw rows at which a source ends a batch, so
	// that a batch is never larger than MaxBatchBytes + MaxRowBytes.
	MaxBatchBytes = 8 << 20
)

// Source reads one table, folder or endpoint from a position on. It is used
// by one goroutine. Retrying is not its business: it returns the error, and
// the [Runner] closes it, waits and opens it again.
type Source interface {
	// Open connects and goes to the position after which rows are wanted: the
	// Position of the last acknowledged batch, or nil for the beginning. It
	// checks that the source is as the definition says. It may be called again
	// after Close. Errors: [ErrNotConnected], [ErrRefused], [ErrPosition].
	Open(ctx context.Context, after json.RawMessage) error

	// Read returns the next rows in the order of the source, at most
	// Definition.Batch of them and about [MaxBatchBytes], or [ErrCaughtUp] if
	// there is nothing new now. It returns as soon as it has some rows and does
	// not wait for more to be written; the caller waits before it asks again.
	//
	// A batch is acknowledged by saving its Position: a later Open with it goes
	// on behind the batch. If it is not acknowledged, Open with an earlier
	// Position gives the same rows again, with the same bytes and origins. The
	// rows belong to the caller. After any error but ErrCaughtUp the source
	// must be closed; no row is lost by it, since none was acknowledged.
	// Errors: ErrCaughtUp, ErrNotConnected (also without Open), ErrRefused, and
	// the error of ctx.
	Read(ctx context.Context) (Batch, error)

	// Close frees what Open took. It may be called more than once, and after a failed Open.
	Close(ctx context.Context) error
}

// Constructor makes the source of a definition without touching the network or the disk.
type Constructor func(def Definition, logger *slog.Logger) (Source, error)

// Batch is a sequence of rows that is acknowledged as a whole.
type Batch struct {
	// Rows may be empty if only the position moved, e.g. past an empty file.
	Rows []Row
	// Position is the place after the rows: a JSON value that only the source understands.
	Position json.RawMessage
}

// Row is one row of a source.
type Row struct {
	// Values are the texts of the columns, in the order of [Mapping.Columns]. Nil if Rejection is set.
	Values []Value
	// Raw is the row as the source gave it, kept if the row is rejected. Never nil.
	Raw []byte
	// Origin says where the row lies, e.g. "residents-20251103.csv:17".
	Origin string
	// Rejection is set if the row could not be read.
	Rejection *exchange.Rejection
}

// Value is the text of one column: numbers with all their digits, times as
// the source writes them. The text of a null is empty.
type Value struct {
	Text string
	Null bool
}
