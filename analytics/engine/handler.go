package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"github.com/google/uuid"
)

// handshake is the first query of clickhouse-go over HTTP.
const handshake = "SELECT displayName(), version(), revision(), timezone()"

// buffered is how much of an answer is held before it is sent. Up to here an
// error still gets its own HTTP status, and a caller that reads slowly, or asks
// something else between two rows, holds no session.
const buffered = 4 << 20

// ServeHTTP implements http.Handler: GET and POST / run a statement, /ping
// says that the engine is up. Errors are ClickHouse's own text with
// X-ClickHouse-Exception-Code; a failure after the answer has begun is the
// server's tagged __exception__ block at its end.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.enter() {
		http.Error(w, ErrClosed.Error(), http.StatusServiceUnavailable)
		return
	}
	defer e.running.Done()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
	case r.URL.Path == "/ping" || r.URL.Path == "/" && r.URL.RawQuery == "" && r.Method != http.MethodPost:
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		_, _ = io.WriteString(w, "Ok.\n")
	case r.URL.Path != "/" && r.URL.Path != "":
		http.Error(w, "There is no handle "+r.URL.Path, http.StatusNotFound)
	default:
		e.serve(w, r)
	}
}

// serve runs the statement of one request.
func (e *Engine) serve(w http.ResponseWriter, r *http.Request) {
	out := &answer{w: w}
	req, err := parseRequest(r)
	if err == nil {
		if req.queryID == "" {
			req.queryID = uuid.NewString()
		}
		out.begin(req, e.timezone)
		switch {
		case req.revision > 0 && strings.TrimSpace(req.sql) == handshake:
			err = e.greet(out, req)
		case req.insert:
			err = e.insert(r.Context(), out, req)
		default:
			err = e.query(r.Context(), out, req)
		}
	}
	out.end(err)
}

// greet answers clickhouse-go's handshake. The revision it reports is 0, upon
// which both sides leave the block information out, as libchdb does; this one
// block is still in the revision the client named.
func (e *Engine) greet(out *answer, req *request) error {
	block := proto.NewBlock()
	for _, c := range [][2]string{
		{"displayName()", "String"}, {"version()", "String"}, {"revision()", "UInt32"}, {"timezone()", "String"},
	} {
		if err := block.AddColumn(c[0], column.Type(c[1])); err != nil {
			return newException(49, "LOGICAL_ERROR", "handshake: %v", err)
		}
	}
	if err := block.Append("onewindow", e.version, uint32(0), e.timezone); err != nil {
		return newException(49, "LOGICAL_ERROR", "handshake: %v", err)
	}
	var buffer chproto.Buffer
	if err := block.Encode(&buffer, req.revision); err != nil {
		return newException(49, "LOGICAL_ERROR", "handshake: %v", err)
	}
	return out.write(buffer.Buf)
}

// insert runs an INSERT with data.
func (e *Engine) insert(ctx context.Context, out *answer, req *request) error {
	rows := req.rows()
	if strings.EqualFold(req.inputFormat(), "Native") {
		var some bool
		var err error
		if rows, some, err = peek(rows); err != nil {
			return err
		}
		if !some {
			return errNoRows()
		}
	}
	s, err := e.take(ctx, e.inserts)
	if err != nil {
		return interrupted(err)
	}
	defer e.give(ctx, e.inserts, s)
	if err := s.prepare(req.database, req.settings); err != nil {
		return err
	}
	if _, readonly := req.settings["readonly"]; readonly {
		s.spoiled = true
	}
	// A request that ends before its rows do inserts nothing. Once libchdb has
	// them all the insert is carried through, and the caller may ask how it went
	// by repeating it under the same token.
	body := readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, interrupted(err)
		}
		return rows.Read(p)
	})
	written, err := s.insert(req.sql, req.inputFormat(), req.params, body)
	if err != nil {
		s.spoiled = true
		return err
	}
	out.progress = written
	return nil
}

// readerFunc is an io.Reader made of one function.
type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// query runs anything but an INSERT with data.
func (e *Engine) query(ctx context.Context, out *answer, req *request) error {
	s, err := e.take(ctx, e.queries)
	if err != nil {
		return interrupted(err)
	}
	released := false
	release := func() {
		if !released {
			released = true
			e.give(context.WithoutCancel(ctx), e.queries, s)
		}
	}
	defer release()
	if err := s.prepare(req.database, req.settings); err != nil {
		return err
	}
	if _, readonly := req.settings["readonly"]; readonly || req.session {
		s.spoiled = true
	}
	// The watch ends before the session is released, so that a late
	// cancellation never kills the next request's statement.
	stop := e.watch(ctx, s)
	unwatch := func() { stop(); stop = func() {} }
	defer func() { unwatch() }()

	out.drained = func() { unwatch(); release() }
	if req.read && !req.several && streamable(req.outputFormat()) {
		done, err := e.stream(s, out, req)
		if done || err != nil {
			return cancelled(ctx, err)
		}
	}
	whole, err := s.run(req.sql, formatOr(req.defaultFormat), req.params)
	if err != nil {
		return cancelled(ctx, err)
	}
	defer whole.free()
	out.progress = whole.progress
	unwatch()
	release()
	return out.write(whole.bytes())
}

// stream answers a SELECT block by block. It reports false, with nothing run,
// when libchdb does not stream this statement.
func (e *Engine) stream(s *session, out *answer, req *request) (bool, error) {
	st, err := s.stream(req.sql, formatOr(req.defaultFormat), req.params)
	if err != nil {
		if strings.Contains(err.Error(), "Streaming query is not supported") {
			return false, nil
		}
		return true, err
	}
	open := true
	defer func() {
		if open {
			s.spoiled = true
			st.close()
		}
	}()
	for {
		piece, err := st.next()
		if errors.Is(err, io.EOF) {
			open = false
			st.close()
			out.drained()
			return true, nil
		}
		if err != nil {
			return true, err
		}
		out.progress.rows += piece.rows
		err = out.write(piece.bytes())
		piece.free()
		if err != nil {
			return true, err
		}
	}
}

// cancelled says why a statement ended when it was the caller that ended it.
func cancelled(ctx context.Context, err error) error {
	var failure *exception
	if ctx.Err() != nil && errors.As(err, &failure) {
		return interrupted(ctx.Err())
	}
	return err
}

// interrupted is the exception for a request whose context ended.
func interrupted(err error) error {
	return newException(394, "QUERY_WAS_CANCELLED", "the request ended before its answer: %v", err)
}

// streamable reports whether pieces of an answer in this format, one after the
// other, are an answer in this format. libchdb writes each piece with the
// format's own beginning and end, so formats that have these are not.
func streamable(format string) bool {
	switch strings.ToLower(format) {
	case "native", "rowbinary", "tabseparated", "tsv", "tabseparatedraw", "tsvraw", "csv",
		"jsoneachrow", "jsonlines", "ndjson", "jsoncompacteachrow":
		return true
	}
	return false
}

func formatOr(format string) string {
	if format == "" {
		return "TabSeparated"
	}
	return format
}

// tag is the random mark that tells an exception block from result data.
func tag() string {
	raw := make([]byte, 8)
	_, _ = rand.Read(raw) // never fails, says crypto/rand
	return hex.EncodeToString(raw)
}

// errorPage is the body of an answer that failed before it began.
func errorPage(failure *exception) []byte {
	return bytes.TrimRight(append([]byte(failure.text), '\n'), "\x00")
}
