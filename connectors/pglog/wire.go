package pglog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	bufferBytes = 256 << 10
	// statusEvery is how often the server hears that we live and how far we are; it gives up on us after its
	// wal_sender_timeout, a minute.
	statusEvery = 2 * time.Second
	// silence is how long the server may say nothing although it was asked. It is long because servers before
	// version 15 say nothing while they look through a large transaction that does not concern us.
	silence      = 2 * time.Minute
	writeTimeout = 5 * time.Second
)

// errQuiet means that no message came in time.
var errQuiet = errors.New("nothing came")

// wire is a replication connection. The library's part ends when the stream
// begins: from then on messages are read here, so that one of any length costs
// bounded memory and no copy is made of those that fit the buffer.
type wire struct {
	conn    net.Conn
	silence time.Duration // how long the rest of a message may pause
	in      *bufio.Reader
	skip    int    // length of the message at hand, if it is still in the buffer
	long    []byte // the message at hand, if it is longer than the buffer
	cut     bool   // values of the message at hand were cut

	seen    atomic.Uint64 // everything that was committed before has come
	flushed atomic.Uint64 // everything that was committed before is saved
	writing sync.Mutex
	stop    chan struct{}
	stopped sync.WaitGroup
}

// framed reads no byte beyond the end of the message that is asked for.
type framed struct {
	in   *bufio.Reader
	left int
}

func (f *framed) Read(p []byte) (int, error) {
	if f.left == 0 {
		head, err := f.in.Peek(5)
		if err != nil {
			return 0, err
		}
		f.left = 1 + int(binary.BigEndian.Uint32(head[1:]))
	}
	n, err := f.in.Read(p[:max(1, min(len(p), f.left))])
	f.left = max(0, f.left-n)
	return n, err
}

// start connects and begins the stream of a slot at a position, within connectTimeout.
func start(ctx context.Context, cfg *pgconn.Config, slot, publication string, from pglogrepl.LSN) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	cfg = cfg.Copy()
	cfg.RuntimeParams["replication"] = "database"
	w := &wire{stop: make(chan struct{}), silence: silence}
	cfg.BuildFrontend = func(r io.Reader, out io.Writer) *pgproto3.Frontend {
		w.in = bufio.NewReaderSize(r, bufferBytes)
		return pgproto3.NewFrontend(&framed{in: w.in}, out)
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	names := strings.ReplaceAll(quote(publication), "'", "''")
	err = pglogrepl.StartReplication(ctx, conn, quote(slot), from, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + names + "'"},
	})
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // the error that counts is the one above
		return nil, err
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	w.conn = hijacked.Conn
	w.stopped.Go(w.report)
	return w, nil
}

// report tells the server, until close, that we live and how far we are, also
// while nobody reads because the exchange is slow.
func (w *wire) report() {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			if w.status(false) != nil {
				return // the reader will find the connection broken
			}
		}
	}
}

// status tells the server how far we are; ask makes it answer at once.
func (w *wire) status(ask bool) error {
	b := append(make([]byte, 0, 64), pgCopyData, 0, 0, 0, 4+34, pglogrepl.StandbyStatusUpdateByteID)
	flushed := w.flushed.Load()
	b = binary.BigEndian.AppendUint64(b, max(w.seen.Load(), flushed))
	b = binary.BigEndian.AppendUint64(b, flushed)
	b = binary.BigEndian.AppendUint64(b, flushed)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMicro()-epoch2000)) //nolint:gosec // signed on the wire
	if ask {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return w.write(b)
}

func (w *wire) write(b []byte) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(b)
	return err
}

// close says how far we are and ends the connection.
func (w *wire) close() {
	close(w.stop)
	w.stopped.Wait()
	if w.status(false) == nil {
		_ = w.write([]byte{'c', 0, 0, 0, 4, 'X', 0, 0, 0, 4}) // copying is done; end. It is gone either way
	}
	_ = w.conn.Close()
}

const pgCopyData = 'd'

// next returns the next message of the stream, valid until it is called
// again, or errQuiet if none has begun by the time until.
func (w *wire) next(ctx context.Context, until time.Time) ([]byte, error) {
	for {
		if _, err := w.in.Discard(w.skip); err != nil {
			return nil, err
		}
		w.skip, w.cut = 0, false
		head, err := w.peek(ctx, 5, until)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, errQuiet
			}
			return nil, err
		}
		kind, n := head[0], int(binary.BigEndian.Uint32(head[1:]))-4
		if n < 0 || kind != pgCopyData && n > maxWhole {
			return nil, fmt.Errorf("%w: %q of %d bytes", errMessage, kind, n)
		}
		body, err := w.body(ctx, n)
		if err != nil {
			return nil, err
		}
		switch kind {
		case pgCopyData:
			return body, nil
		case 'E':
			var e pgproto3.ErrorResponse
			if err := e.Decode(body); err != nil {
				return nil, fmt.Errorf("%w: error", errMessage)
			}
			return nil, pgconn.ErrorResponseToPgError(&e)
		case 'c', 'C', 'Z':
			return nil, fmt.Errorf("the server ended the stream: %w", io.ErrUnexpectedEOF)
		case 'N', 'S': // a notice, a parameter
		default:
			return nil, fmt.Errorf("%w: %q", errMessage, kind)
		}
	}
}

// body returns the rest of a message. It may take its time over a slow line as long as pieces of it come.
func (w *wire) body(ctx context.Context, n int) ([]byte, error) {
	if 5+n <= bufferBytes {
		for w.in.Buffered() < 5+n {
			if _, err := w.peek(ctx, w.in.Buffered()+1, time.Now().Add(w.silence)); err != nil {
				return nil, err
			}
		}
		whole, err := w.in.Peek(5 + n)
		if err != nil {
			return nil, err
		}
		w.skip = 5 + n
		return whole[5:], nil
	}
	if _, err := w.in.Discard(5); err != nil {
		return nil, err
	}
	in := pieces(func(p []byte) (int, error) {
		if w.in.Buffered() == 0 {
			if err := w.wait(ctx, time.Now().Add(w.silence)); err != nil {
				return 0, err
			}
		}
		return w.in.Read(p)
	})
	var err error
	if n > maxWhole {
		w.cut = true
		w.long, err = shrink(w.long[:0], in, n)
		return w.long, err
	}
	if cap(w.long) < n {
		w.long = make([]byte, n)
	}
	w.long = w.long[:n]
	_, err = io.ReadFull(in, w.long)
	return w.long, err
}

// pieces reads a piece.
type pieces func([]byte) (int, error)

func (read pieces) Read(p []byte) (int, error) { return read(p) }

func (w *wire) peek(ctx context.Context, n int, until time.Time) ([]byte, error) {
	if w.in.Buffered() < n {
		if err := w.wait(ctx, until); err != nil {
			return nil, err
		}
	}
	return w.in.Peek(n)
}

// wait bounds the reading to come. Who cancels ctx sets a deadline that is
// over, see [source.Read]; here it is only seen to that this is not undone.
func (w *wire) wait(ctx context.Context, until time.Time) error {
	if err := w.conn.SetReadDeadline(until); err != nil {
		return err
	}
	return ctx.Err()
}
