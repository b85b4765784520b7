package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

const (
	requestTimeout = 60 * time.Second
	maxBody        = 32 << 20
	maxPages       = 10_000_000
	maxTokenBytes  = 16 << 10
)

// source implements [connectors.Source] on an HTTP interface.
type source struct {
	def     connectors.Definition
	cfg     *connectors.HTTP
	columns []string
	client  *http.Client // nil when closed
	token   string

	position position
	page     *page // nil when the page has to be asked for
}

// position says what was read: every page before Page, and of Page the first Taken rows.
type position struct {
	Page  int `json:"page"`
	Taken int `json:"taken"`
	// Last is the digest of the rows of the page before; empty on the first.
	Last string `json:"last,omitempty"`
}

// page is a page in memory.
type page struct {
	rows   []json.RawMessage
	digest string
}

// New is the [connectors.Constructor] of HTTP interfaces.
func New(def connectors.Definition, _ *slog.Logger) (connectors.Source, error) {
	if def.HTTP == nil {
		return nil, fmt.Errorf("%w: %s has no http section", connectors.ErrDefinition, def.Name)
	}
	return &source{def: def, cfg: def.HTTP, columns: def.Map.Columns()}, nil
}

// Open reads the token; the interface is first asked by Read.
func (s *source) Open(_ context.Context, after json.RawMessage) error {
	at := position{Page: 1}
	if after != nil {
		decoder := json.NewDecoder(bytes.NewReader(after))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&at); err != nil || at.Page < 1 || at.Taken < 0 || at.Taken > s.cfg.Size {
			return fmt.Errorf("%w: %q is no position in pages of %d rows", connectors.ErrPosition, after, s.cfg.Size)
		}
	}
	s.token = ""
	if s.cfg.TokenFile != "" {
		content, err := os.ReadFile(s.cfg.TokenFile)
		if err != nil {
			return fmt.Errorf("%w: token_file: %w", connectors.ErrRefused, err)
		}
		s.token = strings.TrimSpace(string(content))
		if s.token == "" || len(s.token) > maxTokenBytes || strings.ContainsAny(s.token, " \r\n\x00") {
			return fmt.Errorf("%w: token_file %q must hold one token", connectors.ErrRefused, filepath.Base(s.cfg.TokenFile))
		}
	}
	s.position, s.page = at, nil
	s.client = &http.Client{
		Timeout: requestTimeout,
		// The token must not travel to where an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second},
	}
	return nil
}

// Close ends the connection.
func (s *source) Close(context.Context) error {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	s.client, s.page = nil, nil
	return nil
}

// Read returns rows of the page at hand, or of the next one.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.client == nil {
		return connectors.Batch{}, fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	if s.page == nil {
		if err := s.next(ctx); err != nil {
			return connectors.Batch{}, err
		}
	}
	var rows []connectors.Row
	size := 0
	for s.position.Taken < len(s.page.rows) && len(rows) < s.def.Batch && size < connectors.MaxBatchBytes {
		origin := strconv.Itoa(s.position.Page) + ":" + strconv.Itoa(s.position.Taken)
		row := parseRow(s.page.rows[s.position.Taken], s.columns, origin)
		rows = append(rows, row)
		size += len(row.Raw)
		s.position.Taken++
	}
	if s.position.Taken == len(s.page.rows) {
		if len(s.page.rows) == s.cfg.Size {
			s.position = position{Page: s.position.Page + 1, Last: s.page.digest}
		}
		s.page = nil
	}
	encoded, err := json.Marshal(s.position)
	if err != nil {
		return connectors.Batch{}, fmt.Errorf("connectors: encode position: %w", err)
	}
	return connectors.Batch{Rows: rows, Position: encoded}, nil
}

// next asks for the page at the position. It answers ErrCaughtUp if that page
// has nothing behind the position.
func (s *source) next(ctx context.Context) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: page %d of %s: %s", connectors.ErrRefused, s.position.Page, s.address(), fmt.Sprintf(format, args...))
	}
	if s.position.Page > maxPages {
		return refuse("more than %d pages", maxPages)
	}
	body, err := s.get(ctx)
	if err != nil {
		return err
	}
	rows, err := parsePage(body, s.cfg.Records)
	if err != nil {
		return refuse("%s", err)
	}
	h := sha256.New()
	for _, row := range rows {
		h.Write(row)
		h.Write([]byte{0})
	}
	got := &page{rows: rows, digest: hex.EncodeToString(h.Sum(nil)[:16])}
	switch {
	case len(rows) > s.cfg.Size:
		return refuse("it has %d rows although %d were asked for with %s; is that parameter right?", len(rows), s.cfg.Size, s.cfg.SizeParam)
	case len(rows) < s.position.Taken:
		return refuse("it has %d rows, but %d were read from it before; rows were removed or put into another order, so that others may be missed; "+
			"give the source a new name to read it from the beginning", len(rows), s.position.Taken)
	case len(rows) > 0 && got.digest == s.position.Last:
		return refuse("it is the same as the page before; does the interface know the parameter %s?", s.cfg.PageParam)
	case len(rows) == s.position.Taken && len(rows) < s.cfg.Size:
		return connectors.ErrCaughtUp
	}
	s.page = got
	return nil
}

// address is the URL without its query, which may hold an access key.
func (s *source) address() string {
	address, _, _ := strings.Cut(s.cfg.URL, "?")
	return address
}

// get fetches the page at the position.
func (s *source) get(ctx context.Context) ([]byte, error) {
	away := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var full *url.Error // repeats the URL with its query
		if errors.As(err, &full) {
			err = full.Err
		}
		return fmt.Errorf("%w: page %d of %s: %w", connectors.ErrNotConnected, s.position.Page, s.address(), err)
	}
	u, err := url.Parse(s.cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: url cannot be used", connectors.ErrRefused)
	}
	query := u.Query()
	query.Set(s.cfg.PageParam, strconv.Itoa(s.position.Page))
	query.Set(s.cfg.SizeParam, strconv.Itoa(s.cfg.Size))
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: url cannot be used", connectors.ErrRefused)
	}
	req.Header.Set("Accept", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, away(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, s.status(res)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, away(err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("%w: page %d of %s is larger than %d MiB; ask for fewer rows with size",
			connectors.ErrRefused, s.position.Page, s.address(), maxBody>>20)
	}
	return body, nil
}

// status says what an answer other than 200 means for the department.
func (s *source) status(res *http.Response) error {
	kind, hint := connectors.ErrRefused, ""
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		hint = "; is the token in token_file still valid?"
	case res.StatusCode >= 300 && res.StatusCode < 400:
		hint = "; redirects are not followed, write the final address into url"
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500:
		kind = connectors.ErrNotConnected
	}
	err := fmt.Errorf("%w: page %d of %s: HTTP status %s%s", kind, s.position.Page, s.address(), res.Status, hint)
	if _, derr := io.CopyN(io.Discard, res.Body, 64<<10); derr != nil && !errors.Is(derr, io.EOF) {
		return errors.Join(err, derr)
	}
	return err
}
