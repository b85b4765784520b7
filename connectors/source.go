package connectors

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

const (
	// MaxRowBytes bounds one row; a longer one is a rejected row.
	MaxRowBytes = 1 << 20
	// MaxBatchBytes is the size of raw rows at which a source ends a batch, so
	// that a batch is never larger than MaxBatchBytes + MaxRowBytes.
	MaxBatchBytes = 8 << 20
	// RowHead is how much of a row that is too long is kept.
	RowHead = 64 << 10
)

// Source reads one table, folder, endpoint or topic from a position on. It is
// used by one goroutine, also for the abilities below. Retrying is not its
// business: it returns the error, and the [Runner] closes it, waits and opens
// it again. Errors that a person can do something about are [Fault]s.
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
	// (A source that is told of changes may wait up to Definition.Interval for the first.)
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

// Acknowledger is a [Source] that has something to do once rows are safe: a
// replication slot moves on, a file goes to the archive.
type Acknowledger interface {
	// Acknowledge says that everything up to position, which a batch had, is
	// saved. It comes between two Reads, for some batches only, always the
	// newest; and after Open, with the position that was opened, since a crash
	// may have come before it. Errors are those of Read.
	Acknowledge(ctx context.Context, position json.RawMessage) error
}

// Rereader is a [Source] that can read a range of its rows again beside what is new.
type Rereader interface {
	// Reread asks that rows whose key is in r are read again by the next
	// Reads, in between what is new. From the next batch on, its Position
	// carries the request until it is done; until then it may be asked again
	// under the same id. Rows come as they are when they are read, and never
	// take the place of a newer state. Errors: ErrRefused.
	Reread(ctx context.Context, id string, r KeyRange) error
}

// Scanner is a [Source] whose rows can be read as they are now: for proofs,
// for samples, and to find what was deleted.
type Scanner interface {
	// Scan calls yield with all rows whose key is in r, in batches, in the
	// order of the key if there is one. It needs no Open, has connections of
	// its own and changes nothing at the source (no slot, no archive). It ends
	// with the error of yield. When the source is not as the definition says,
	// it returns every fault at once (errors.Join).
	Scan(ctx context.Context, r KeyRange, yield func([]Row) error) error
}

// Describer is a [Source] that can tell its columns without being read.
type Describer interface {
	// Columns returns the columns of the table as they are now. It needs no
	// Open, also when a column of the mapping is gone, and changes nothing.
	Columns(ctx context.Context) ([]Column, error)
}

// KeyRange is a range of the source's key, both ends included. An end has the
// texts of the key columns, in order, or is nil for no bound.
type KeyRange struct {
	From []string `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
}

// Contains says whether a key lies in the range, comparing column by column as text: what sources use whose rows
// do not come in the order of the key. A range without bounds contains also what has no key.
func (r KeyRange) Contains(key []string) bool {
	if key == nil {
		return r.From == nil && r.To == nil
	}
	return (r.From == nil || slices.Compare(key, r.From) >= 0) && (r.To == nil || slices.Compare(key, r.To) <= 0)
}

// Constructor makes the source of a definition without touching the network or the disk.
type Constructor func(def Definition, logger *slog.Logger) (Source, error)

// Batch is a sequence of rows that is acknowledged as a whole.
type Batch struct {
	// Rows may be empty if only the position moved, e.g. past an empty file.
	Rows []Row
	// Position is the place after the rows: a JSON value that only the source understands.
	Position json.RawMessage
	// Columns are those of the table when these rows were read, in its order;
	// nil for sources whose columns are not declared anywhere. The runner
	// publishes no row before it has compared them with the agreed ones, so a
	// batch never has rows from before and after a change of columns.
	Columns []Column
	// Gap says that changes before these rows may have been missed, deletes
	// among them (a lost slot): the runner reconciles the source once it is caught up.
	Gap bool
}

// Column is a column as the source declares it.
type Column struct {
	Name string `json:"name"`
	// Type as the source writes it, e.g. "numeric(18,2)".
	Type     string `json:"type"`
	Nullable bool   `json:"nullable,omitempty"`
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
	// Operation is empty for an upsert. Of a deleted row the columns of the key
	// have values, the others are null.
	Operation exchange.Operation
	// ChangedAt is when the source changed the row, made to grow strictly from
	// change to change; zero where only the row itself can say. It is the event
	// time of mappings that name none.
	ChangedAt time.Time
	// Key has the texts of the source's key columns, where it has any, as [KeyRange] takes them.
	Key []string
	// Findings are what the source put right in the row, as in [exchange.Draft].
	Findings []string
}

// Value is the text of one column: numbers with all their digits, times as
// the source writes them. The text of a null is empty.
type Value struct {
	Text string
	Null bool
}
