package county

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxPage is the largest page that the interface of the civil affairs gives.
const maxPage = 5000

// loadCivil writes the civil affairs' rows, one JSON object per line, unless
// they are there.
func (c *County) loadCivil(ctx context.Context, dir string) (loaded bool, err error) {
	if c.marked(dir) {
		return false, nil
	}
	return true, c.rebuild(dir, func() error {
		for _, s := range c.sourcesOf(civil) {
			if err := s.writeObjects(ctx, filepath.Join(dir, s.endpoint()+".jsonl")); err != nil {
				return fmt.Errorf("county: %s: %w", s.name, err)
			}
		}
		return nil
	})
}

// endpoint is the name of a source's rows in the interface, in the plural.
func (s *source) endpoint() string {
	_, name, _ := strings.Cut(s.name, "/")
	return name + "s"
}

func (s *source) writeObjects(ctx context.Context, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // closed with its error below; this is for the early returns
	out := bufio.NewWriterSize(file, 64<<10)
	columns := s.allColumns()
	written := 0
	var line []byte
	for r := range s.rows() {
		if written++; written%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line = append(line[:0], '{')
		for i, column := range columns {
			if i > 0 {
				line = append(line, ',')
			}
			line = append(strconv.AppendQuote(line, column.name), ':')
			if line, err = appendJSON(line, r.values[i]); err != nil {
				return err
			}
		}
		if _, err := out.Write(append(line, '}', '\n')); err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), file.Close())
}

func appendJSON(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case instant:
		value = v.time().Format(time.RFC3339)
	case date:
		value = v.String()
	}
	text, err := json.Marshal(value)
	return append(dst, text...), err
}

// endpoint is one list of rows in a file, with the places where they begin.
type endpoint struct {
	file   *os.File
	starts []int64 // of each row, and the end of the last
}

func openEndpoint(path string) (*endpoint, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("county: %w", err)
	}
	e := &endpoint{file: file, starts: []int64{0}}
	in := bufio.NewReaderSize(file, 64<<10)
	at := int64(0)
	for {
		line, err := in.ReadSlice('\n')
		at += int64(len(line))
		switch {
		case errors.Is(err, io.EOF):
			return e, nil
		case err != nil:
			return nil, errors.Join(fmt.Errorf("county: %s: %w", path, err), file.Close())
		}
		e.starts = append(e.starts, at)
	}
}

// ServeHTTP answers one page of rows: GET ?page=N&size=M with pages from 1.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, perr := strconv.Atoi(r.URL.Query().Get("page"))
	size, serr := strconv.Atoi(r.URL.Query().Get("size"))
	if perr != nil || serr != nil || page < 1 || page > 1<<18 || size < 1 || size > maxPage {
		http.Error(w, fmt.Sprintf(`{"error":"page must be at least 1 and size 1 to %d"}`, maxPage), http.StatusBadRequest)
		return
	}
	total := len(e.starts) - 1
	first := min((page-1)*size, total)
	last := min(first+size, total)
	rows := make([]byte, e.starts[last]-e.starts[first])
	if _, err := e.file.ReadAt(rows, e.starts[first]); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, `{"error":"the rows cannot be read"}`, http.StatusInternalServerError)
		return
	}
	for i, b := range rows {
		if b == '\n' {
			rows[i] = ','
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	// A client that has gone away has no use for an error.
	_, _ = fmt.Fprintf(w, `{"page":%d,"size":%d,"total":%d,"data":[`, page, size, total)
	_, _ = w.Write(rows[:max(0, len(rows)-1)])
	_, _ = io.WriteString(w, "]}\n")
}

// interfaceServer is the HTTP interface of the civil affairs.
type interfaceServer struct {
	server    *http.Server
	endpoints []*endpoint
	port      int
	failed    chan error
}

// startInterface opens the rows in dir and serves them to whoever has the token.
func (c *County) startInterface(dir, token, instance string, port int, logger *slog.Logger) (*interfaceServer, error) {
	mux := http.NewServeMux()
	s := &interfaceServer{failed: make(chan error, 1)}
	for _, src := range c.sourcesOf(civil) {
		e, err := openEndpoint(filepath.Join(dir, src.endpoint()+".jsonl"))
		if err != nil {
			return nil, errors.Join(err, s.closeFiles())
		}
		s.endpoints = append(s.endpoints, e)
		mux.Handle("GET /"+src.endpoint(), authorized(token, e))
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, instance) })
	listener, port, err := listen(port)
	if err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	s.port = port
	s.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("county: interface of civil affairs: %w", err)
		}
	}()
	return s, nil
}

func (s *interfaceServer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	return errors.Join(err, s.closeFiles())
}

func (s *interfaceServer) closeFiles() error {
	var errs []error
	for _, e := range s.endpoints {
		errs = append(errs, e.file.Close())
	}
	return errors.Join(errs...)
}

// authorized lets only requests with the bearer token pass.
func authorized(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, `{"error":"a valid bearer token is needed"}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
