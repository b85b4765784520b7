package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/jsonrow"
)

const (
	// maxPages bounds the pages that are read without ever coming to an end, maxEmpty those of them without rows
	// that follow each other.
	maxPages = 10_000_000
	maxEmpty = 1000
)

// source implements [connectors.Source] and [connectors.Scanner] on an HTTP interface.
type source struct {
	def    connectors.Definition
	cfg    *connectors.HTTP
	log    *slog.Logger
	now    func() time.Time
	parser *jsonrow.Parser
	mapped int   // how many of the parser's columns the mapping has
	since  int   // index of the since column
	keys   []int // indexes of the columns of the key

	base   *url.URL
	client *client // nil when closed
	at     position
	page   *page // nil when the page has to be asked for
	pages  int   // since the last end, at most most
	most   int
	empty  int // pages without rows, one after the other
	seen   recent
	proved bool  // since Open, that nothing lies behind the page that was taken for the last
	fresh  bool  // opened without a position, so that the first page has yet to be found
	atEnd  bool  // nothing new when it was last asked
	gap    bool  // said with the next batch
	later  error // found behind rows that are handed on first
	// lacking and valued say that there were rows without and with a since value.
	lacking, valued bool
	warned          bool
	// previous is the since value of the row before in the answers to the question at hand, which are unordered if one
	// was lower.
	previous  string
	unordered bool
	// told is where the loss of rows was last reported; the second time it is got over. restarted is where rows were
	// found at another place for the second time.
	told, restarted string
	reading         reading
}

// page is a page in memory.
type page struct {
	*answer
	doc    *jsonrow.Document // nil if there is none, because nothing lies there
	rows   [][]byte
	digest string
	next   string // cursor or link of the next page
}

// New is the [connectors.Constructor] of HTTP interfaces.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	if def.HTTP == nil {
		return nil, fmt.Errorf("%w: %s has no http section", connectors.ErrDefinition, def.Name)
	}
	base, err := url.Parse(def.HTTP.URL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("%w: %s: url cannot be used", connectors.ErrDefinition, def.Name)
	}
	if base.User != nil {
		return nil, fmt.Errorf("%w: %s: url holds a user or a password; name a token_file, oauth2 or hmac", connectors.ErrDefinition, def.Name)
	}
	if o := def.HTTP.OAuth2; o != nil {
		if u, err := url.Parse(o.TokenURL); err != nil || u.User != nil {
			return nil, fmt.Errorf("%w: %s: token_url cannot be used, or holds a user or a password; these belong into client_id and secret_file", connectors.ErrDefinition, def.Name)
		}
	}
	switch def.HTTP.Paging {
	case connectors.PagingNumber, connectors.PagingOffset, connectors.PagingCursor, connectors.PagingLink, connectors.PagingSince:
	default:
		return nil, fmt.Errorf("%w: %s: paging %q is not known", connectors.ErrDefinition, def.Name, def.HTTP.Paging)
	}
	columns := def.Map.Columns()
	s := &source{def: def, cfg: def.HTTP, log: logger, now: time.Now, base: base, mapped: len(columns), most: maxPages}
	index := func(name string) int {
		if i := slices.Index(columns, name); i >= 0 {
			return i
		}
		columns = append(columns, name)
		return len(columns) - 1
	}
	for _, name := range def.Map.KeyColumns() {
		s.keys = append(s.keys, index(name))
	}
	if s.bySince() {
		s.since = index(s.cfg.SinceColumn)
	}
	s.parser = jsonrow.NewParser(columns)
	return s, nil
}

func (s *source) bySince() bool { return s.cfg.Paging == connectors.PagingSince }

// Open reads the secrets; the interface is first asked by Read.
func (s *source) Open(_ context.Context, after json.RawMessage) error {
	at := position{By: s.cfg.Paging, Page: 1}
	if s.bySince() {
		at.Since = &since{}
	}
	if s.cfg.NewestFirst {
		at.Newest = &newest{}
	}
	if after != nil {
		var err error
		if at, err = parsePosition(after, s.cfg); err != nil {
			return err
		}
	}
	c, err := newClient(s.def, s.now)
	if err != nil {
		return err
	}
	s.client, s.at, s.page = c, at, nil
	s.pages, s.empty, s.atEnd, s.gap, s.later = 0, 0, false, false, nil
	s.seen, s.previous, s.unordered, s.proved = recent{}, "", false, false
	s.fresh, s.reading = after == nil, reading{}
	if at.Since != nil {
		for _, h := range at.Since.Edge {
			s.seen.add(h)
		}
	}
	if at.Newest != nil {
		for _, h := range at.Newest.Stop {
			s.seen.add(h)
		}
	}
	return nil
}

// Close ends the connection.
func (s *source) Close(context.Context) error {
	if s.client != nil {
		s.client.close()
	}
	s.client, s.page = nil, nil
	return nil
}

// Read returns rows of the page at hand, or of the next one.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.client == nil {
		return connectors.Batch{}, fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	if err := ctx.Err(); err != nil {
		return connectors.Batch{}, err
	}
	if s.later != nil {
		return connectors.Batch{}, s.later
	}
	moved := true
	if s.page == nil {
		var err error
		if moved, err = s.fetch(ctx); err != nil {
			return connectors.Batch{}, err
		}
	}
	var rows []connectors.Row
	if s.page != nil {
		rows = s.take(ctx)
		moved = true
		if s.at.Taken == len(s.page.rows) {
			turned, err := s.turn(ctx)
			if err != nil && len(rows) == 0 {
				return connectors.Batch{}, err
			}
			s.later = err
			moved = turned || len(rows) > 0
		}
	}
	if !moved && !s.gap && !s.end() {
		return connectors.Batch{}, connectors.ErrCaughtUp
	}
	encoded, err := json.Marshal(s.at)
	if err != nil {
		return connectors.Batch{}, fmt.Errorf("connectors: encode position: %w", err)
	}
	batch := connectors.Batch{Rows: rows, Position: encoded, Gap: s.gap}
	s.gap = false
	return batch, nil
}

// take makes rows of what is left of the page, as many as go into a batch.
func (s *source) take(ctx context.Context) []connectors.Row {
	var rows []connectors.Row
	size := 0
	for s.at.Taken < len(s.page.rows) && len(rows) < s.def.Batch && size < connectors.MaxBatchBytes {
		raw := s.page.rows[s.at.Taken]
		if s.at.Newest != nil && !s.noteNewest(raw) {
			s.at.Taken++
			continue
		}
		row := s.parser.Row(raw, s.page.decoder, s.origin())
		if s.at.Taken == 0 {
			s.at.First = s.name(raw, row)
		}
		s.at.Taken++
		if s.bySince() && !s.note(ctx, raw, row) {
			continue
		}
		s.finish(&row)
		rows = append(rows, row)
		size += len(row.Raw)
	}
	s.at.Head = digest(s.page.rows[:s.at.Taken])
	return rows
}

// origin is where the row behind the position lies: page and place, from 1 and 0; with since, in which answer.
func (s *source) origin() string {
	place := strconv.Itoa(s.at.Page) + ":" + strconv.Itoa(s.at.Taken)
	if s.bySince() && s.at.At != "" {
		return s.at.At + "/" + place
	}
	return place
}

// finish sets the key and makes the row the caller's: the page is overwritten by the next answer.
func (s *source) finish(row *connectors.Row) {
	row.Raw = bytes.Clone(row.Raw)
	if row.Rejection != nil {
		return
	}
	for _, i := range s.keys {
		row.Key = append(row.Key, row.Values[i].Text)
	}
	row.Values = row.Values[:s.mapped]
}

// fetch asks for the page at the position and compares it with what was read of it. There is a page afterwards if
// it has something behind the position; otherwise moved reports whether there may be something elsewhere.
func (s *source) fetch(ctx context.Context) (moved bool, err error) {
	if s.bySince() {
		s.ask()
	}
	before, err := s.pageZero(ctx)
	if err != nil {
		return false, err
	}
	p, err := s.load(ctx)
	if err != nil {
		return false, err
	}
	if err := s.checkFirst(before, p); err != nil {
		return false, err
	}
	if len(p.rows) == 0 && s.at.Taken == 0 && s.at.Page > 1 && s.numbered() && s.at.Newest == nil {
		ended, err := s.ended(p)
		if err != nil {
			return false, err
		}
		if ended {
			restarted, wrong := s.checkTotal(ctx, p)
			if restarted {
				return true, nil
			}
			if p, moved, err = s.goBack(ctx); p == nil || err != nil {
				return moved, cmp.Or(err, wrong)
			}
		}
	}
	if len(p.rows) > 0 && (p.digest == s.at.Last || s.numbered() && p.digest == s.at.Mark) {
		return false, s.refuse(connectors.FaultEndless, "it is the same as %s; does the interface know the parameter %s, and does it give nothing behind its last page? %s",
			s.before(p.digest), s.moving(), cursorHint)
	}
	if len(p.rows) < s.at.Taken {
		return s.shrunk(ctx, p)
	}
	if what := s.moved(p); what != "" {
		if restarted, err := s.displaced(ctx, what); err != nil || restarted {
			return restarted, err
		}
	}
	if s.at.Head != "" && digest(p.rows[:s.at.Taken]) != s.at.Head {
		// Rows changed: what is new may lie among what was read. Ids make the rest harmless.
		s.at.Taken, s.at.Head = 0, ""
	}
	s.page = p
	s.reading.known = 0
	if len(p.rows) > s.at.Taken {
		return true, nil
	}
	return s.turn(ctx)
}

// goBack looks at the page before an empty one: if that has lost rows, new ones go there. It returns the page to go on
// with; none if nothing changed, or if the position has moved to a page that has to be asked for.
func (s *source) goBack(ctx context.Context) (p *page, moved bool, err error) {
	here := s.at
	rows := cmp.Or(here.LastRows, s.cfg.Size)
	s.at = position{By: here.By, Page: here.Page - 1, Before: max(0, here.Before-rows), Taken: rows, Head: here.Last, First: here.LastFirst}
	if here.Last == "" { // on the way back from a page that is gone
		s.at.Taken = 0
		return nil, true, nil
	}
	if p, err = s.load(ctx); err != nil {
		return nil, false, err
	}
	if p.digest == here.Last {
		s.at = here
		return nil, false, nil
	}
	return p, false, nil
}

// load asks for the page at the position and finds its rows.
func (s *source) load(ctx context.Context) (*page, error) {
	if s.pages++; s.pages > s.most {
		return nil, s.refuse(connectors.FaultEndless, "more than %d pages without an end", s.most)
	}
	address, err := s.address()
	if err != nil {
		return nil, err
	}
	ends := []int{http.StatusNoContent}
	if s.numbered() && s.at.Page > 1 && s.at.Taken == 0 { // what many say when they are asked for a page behind the last
		ends = append(ends, http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable)
	}
	got, err := s.client.get(ctx, address, s.where(), ends...)
	if err != nil {
		return nil, err
	}
	p := &page{answer: got, digest: digest(nil)}
	if got.status == http.StatusOK {
		if p, err = s.parse(got, address); err != nil {
			return nil, err
		}
	}
	if s.empty++; len(p.rows) > 0 {
		s.empty = 0
	}
	switch {
	case s.empty > maxEmpty:
		return nil, s.refuse(connectors.FaultEndless, "%d pages without rows follow each other", maxEmpty)
	case s.sized() && len(p.rows) > s.cfg.Size:
		return nil, s.refuse(connectors.FaultAnswer, "it has %d rows although %d were asked for with %s; is that parameter right?", len(p.rows), s.cfg.Size, s.cfg.SizeParam)
	}
	return p, nil
}

// shrunk deals with a page that has lost rows: the first time it is a fault, so that it is known; the second time
// the page is read again, with the news that there was a gap.
func (s *source) shrunk(ctx context.Context, p *page) (moved bool, err error) {
	if s.bySince() { // a row that changed has moved on to another place
		s.at.Page, s.at.Before, s.at.Taken, s.at.Head, s.at.Last = 1, 0, 0, "", ""
		return true, nil
	}
	if s.at.Newest != nil { // the next reading begins in front
		s.at.Taken, s.at.Head, s.page = 0, "", p
		return true, nil
	}
	if here := fmt.Sprint(s.at); s.told != here {
		s.told = here
		return false, s.refuse(connectors.FaultRemoved, "it has %d rows, but %d were read from it before; rows were removed or put into another order, so that others may be missed; "+
			"the page is read again, and the whole has to be compared", len(p.rows), s.at.Taken)
	}
	s.log.WarnContext(ctx, "rows were removed; the page is read again", slog.Int("page", s.at.Page))
	s.gap = true
	s.at.Taken, s.at.Head = 0, ""
	if len(p.rows) == 0 && s.numbered() && s.at.Page > 1 {
		s.at = position{By: s.at.By, Page: s.at.Page - 1, Before: max(0, s.at.Before-cmp.Or(s.at.LastRows, s.cfg.Size))}
		return true, nil
	}
	s.page = p
	return true, nil
}

// end notes that there is nothing new, and reports whether the position has to be saved for that.
func (s *source) end() (save bool) {
	s.pages, s.empty = 0, 0
	s.atEnd = true
	save = s.reading.unsaved || s.bySince() && s.settle()
	s.reading.unsaved = false
	return save
}

// Scan asks for all rows from the beginning, on a connection of its own. That a row does not come does not say that
// it was deleted: the interface may show a part only.
func (s *source) Scan(ctx context.Context, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	def, cfg := s.def, *s.cfg
	cfg.Overlap = 0
	def.HTTP = &cfg
	own, err := New(def, s.log)
	if err != nil {
		return err
	}
	if err := own.Open(ctx, nil); err != nil {
		return err
	}
	defer func() { _ = own.Close(ctx) }()
	for {
		batch, err := own.Read(ctx)
		switch {
		case errors.Is(err, connectors.ErrCaughtUp):
			return nil
		case err != nil:
			return err
		}
		rows := slices.DeleteFunc(batch.Rows, func(row connectors.Row) bool { return !r.Contains(row.Key) })
		if len(rows) == 0 {
			continue
		}
		if err := yield(rows); err != nil {
			return err
		}
	}
}

// refuse is a fault of the page at hand.
func (s *source) refuse(code connectors.FaultCode, format string, args ...any) error {
	return connectors.Refused(code, nil, "%s: %s", s.where(), fmt.Sprintf(format, args...))
}

// where names the page at hand: the URL without its query, which may hold an access key.
func (s *source) where() string {
	address, _, _ := strings.Cut(s.cfg.URL, "?")
	return fmt.Sprintf("page %d of %s", s.number(), address)
}
