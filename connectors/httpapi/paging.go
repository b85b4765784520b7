package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/jsonrow"
)

const maxCursorBytes = 4096

// position says what was read: everything before the page at hand, and of that page the first Taken rows.
type position struct {
	// By is the way of paging; positions of older versions, by page number, lack it.
	By string `json:"by,omitempty"`
	// Page is the number of the page; with cursors and links pages are counted.
	Page int `json:"page"`
	// At is the cursor, the link or the since value with which the page is asked for; empty for none.
	At    string `json:"at,omitempty"`
	Taken int    `json:"taken"`
	// Before is the number of rows of all pages before.
	Before int `json:"before,omitempty"`
	// Head is the digest of the rows taken of this page, Last that of the rows of the page before; empty on the first.
	Head string `json:"head,omitempty"`
	Last string `json:"last,omitempty"`
	// First names the first row taken of this page, LastFirst that of the page before; LastRows is how many rows that
	// had, and LastTail the digest of its last one: by them rows that moved to another page are seen.
	First     string `json:"first,omitempty"`
	LastFirst string `json:"last_first,omitempty"`
	LastRows  int    `json:"last_rows,omitempty"`
	LastTail  string `json:"last_tail,omitempty"`
	// Mark is the digest of an earlier page, cursor or link, that of the last page whose number was a power of two:
	// a loop of any length comes past it (Brent).
	Mark  string `json:"mark,omitempty"`
	Since *since `json:"since,omitempty"`
	// Newest is there with lists that have their newest rows in front.
	Newest *newest `json:"newest,omitempty"`
}

func parsePosition(after json.RawMessage, cfg *connectors.HTTP) (position, error) {
	var at position
	decoder := json.NewDecoder(bytes.NewReader(after))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&at)
	if at.By == "" {
		at.By = connectors.PagingNumber
	}
	if at.Before == 0 && at.Page > 1 && cfg.Paging == connectors.PagingNumber { // older versions did not count
		at.Before = (at.Page - 1) * cfg.Size
	}
	switch {
	case err != nil, at.By != cfg.Paging, at.Page < 1, at.Taken < 0, at.Before < 0, at.LastRows < 0, (at.Newest != nil) != cfg.NewestFirst, (at.Since != nil) != (cfg.Paging == connectors.PagingSince):
		return position{}, fmt.Errorf("%w: what was saved is no position of an interface that pages by %s", connectors.ErrPosition, cfg.Paging)
	case cfg.Paging == connectors.PagingNumber && at.Taken > cfg.Size:
		return position{}, fmt.Errorf("%w: what was saved is no position in pages of %d rows", connectors.ErrPosition, cfg.Size)
	}
	return at, nil
}

// sized reports whether the interface was told how many rows a page has.
func (s *source) sized() bool {
	return s.cfg.SizeParam != "" && (s.numbered() || s.bySince()) || s.cfg.EndParam != ""
}

// numbered reports whether pages are asked for by the number of the page or of its first row.
func (s *source) numbered() bool {
	return s.cfg.Paging == connectors.PagingNumber || s.cfg.Paging == connectors.PagingOffset
}

// number is that of the page at hand, as the interface counts.
func (s *source) number() int {
	if s.cfg.FirstPage != nil {
		return s.at.Page - 1 + *s.cfg.FirstPage
	}
	return s.at.Page
}

// moving is the parameter that makes one page differ from another.
func (s *source) moving() string {
	switch s.cfg.Paging {
	case connectors.PagingCursor:
		return s.cfg.CursorParam
	case connectors.PagingLink:
		return "of its own link"
	case connectors.PagingOffset:
		return s.cfg.OffsetParam
	}
	return s.cfg.PageParam
}

// before says of which page a page is a repetition.
func (s *source) before(digest string) string {
	if digest == s.at.Last {
		return "the page before"
	}
	return "an earlier page"
}

// address is that of the page at hand.
func (s *source) address() (*url.URL, error) {
	if s.cfg.Paging == connectors.PagingLink && s.at.At != "" {
		return longLink(s.at.At, s.base)
	}
	u := *s.base
	query := u.Query()
	set := func(name, value string) {
		if name != "" && value != "" {
			query.Set(name, value)
		}
	}
	set(s.cfg.SizeParam, strconv.Itoa(s.cfg.Size))
	switch s.cfg.Paging {
	case connectors.PagingNumber:
		set(s.cfg.PageParam, strconv.Itoa(s.number()))
	case connectors.PagingOffset:
		set(s.cfg.OffsetParam, strconv.Itoa(s.at.Before+s.cfg.FirstRow))
		set(s.cfg.EndParam, strconv.Itoa(s.at.Before+s.cfg.Size))
	case connectors.PagingCursor:
		set(s.cfg.CursorParam, s.at.At)
	case connectors.PagingSince:
		set(s.cfg.PageParam, strconv.Itoa(s.number()))
		set(s.cfg.SinceParam, s.at.At)
	}
	u.RawQuery = query.Encode()
	return &u, nil
}

// parse finds the rows of an answer, and what it says about the next page.
func (s *source) parse(got *answer, from *url.URL) (*page, error) {
	doc, err := jsonrow.NewDocument(got.body, got.decoder)
	if errors.Is(err, jsonrow.ErrNotJSON) {
		return nil, s.refuse(connectors.FaultNotJSON, "the answer is %s", err)
	}
	if err != nil {
		return nil, s.refuse(connectors.FaultAnswer, "%s", err)
	}
	p := &page{answer: got, doc: doc}
	if err := s.success(doc); err != nil {
		return nil, err
	}
	if p.rows, err = doc.Array(s.cfg.Records); err != nil {
		return nil, s.refuse(connectors.FaultAnswer, "%s%s", err, excuse(doc, ""))
	}
	if len(p.rows) == 0 && s.cfg.OK == nil {
		if said := failure(doc, s.cfg.Records); said != "" {
			return nil, s.refuse(connectors.FaultAnswer, "it has no rows but reports an error%s; if that is how it says that there are none, describe success with ok", said)
		}
	}
	p.digest = digest(p.rows)
	switch s.cfg.Paging {
	case connectors.PagingCursor:
		if p.next, err = doc.Scalar(s.cfg.Next); err != nil {
			return nil, s.refuse(connectors.FaultAnswer, "%s", err)
		}
		if p.next == "false" { // some say so instead of null
			p.next = ""
		}
		if len(p.next) > maxCursorBytes {
			return nil, s.refuse(connectors.FaultAnswer, "the next cursor is longer than %d bytes", maxCursorBytes)
		}
	case connectors.PagingLink:
		link, err := s.link(p)
		if err != nil {
			return nil, s.refuse(connectors.FaultAnswer, "%s", err)
		}
		if link == "" {
			return p, nil
		}
		if p.next, err = shortLink(link, from, s.base); err != nil {
			return nil, s.refuse(connectors.FaultAnswer, "%s", err)
		}
	}
	return p, nil
}

// link is the address of the next page, from the member that names it or else from the Link header.
func (s *source) link(p *page) (string, error) {
	if s.cfg.Next == "" {
		return nextLink(p.links)
	}
	link, err := p.doc.Scalar(s.cfg.Next)
	if err == nil && len(link) > maxLinkBytes {
		return "", fmt.Errorf("the next address is longer than %d bytes", maxLinkBytes)
	}
	if link == "false" {
		link = ""
	}
	return link, err
}

// turn goes on behind a page whose rows are all taken. It does not move if nothing comes behind it now.
func (s *source) turn(ctx context.Context) (moved bool, err error) {
	p := s.page
	s.page = nil
	next := position{
		By: s.at.By, Page: s.at.Page + 1, Before: s.at.Before + len(p.rows), Last: p.digest, Mark: s.at.Mark,
		LastFirst: s.at.First, LastRows: len(p.rows), LastTail: tail(p.rows), Newest: s.at.Newest,
	}
	if s.bySince() {
		if err := s.proveEnd(ctx, p); err != nil {
			return false, err
		}
		return s.turnSince(p, next)
	}
	ended, err := s.ended(p)
	if err != nil {
		return false, err
	}
	if ended || s.reached(p) {
		return s.finishList(ctx, p, ended)
	}
	name := p.digest
	if !s.numbered() {
		name = digest([][]byte{[]byte(p.next)})
		if p.next == s.at.At || name == s.at.Mark {
			return false, s.refuse(connectors.FaultEndless, "the next %s that it names was there before; the pages go round in a circle; %s", s.cfg.Paging, cursorHint)
		}
		next.At = p.next
	}
	if s.at.Page&(s.at.Page-1) == 0 {
		next.Mark = name
	}
	s.at = next
	return true, nil
}

// digest is that of rows, their bounds included.
func digest(rows [][]byte) string {
	h := sha256.New()
	for _, row := range rows {
		h.Write(row)
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// tail is the digest of the last row, empty if there is none.
func tail(rows [][]byte) string {
	if len(rows) == 0 {
		return ""
	}
	return digest(rows[len(rows)-1:])
}
