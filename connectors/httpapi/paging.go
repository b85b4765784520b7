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
	"strings"
	"unicode/utf8"

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
	// Head is the digest of the rows taken of this page, Last that of the rows of the page before; empty on the first.
	Head string `json:"head,omitempty"`
	Last string `json:"last,omitempty"`
	// Mark is the digest of an earlier page, cursor or link, that of the last page whose number was a power of two:
	// a loop of any length comes past it (Brent).
	Mark  string `json:"mark,omitempty"`
	Since *since `json:"since,omitempty"`
}

func parsePosition(after json.RawMessage, cfg *connectors.HTTP) (position, error) {
	var at position
	decoder := json.NewDecoder(bytes.NewReader(after))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&at)
	if at.By == "" {
		at.By = connectors.PagingNumber
	}
	switch {
	case err != nil, at.By != cfg.Paging, at.Page < 1, at.Taken < 0, (at.Since != nil) != (cfg.Paging == connectors.PagingSince):
		return position{}, fmt.Errorf("%w: what was saved is no position of an interface that pages by %s", connectors.ErrPosition, cfg.Paging)
	case cfg.Paging == connectors.PagingNumber && at.Taken > cfg.Size:
		return position{}, fmt.Errorf("%w: what was saved is no position in pages of %d rows", connectors.ErrPosition, cfg.Size)
	}
	return at, nil
}

// sized says whether the interface was told how many rows a page has.
func (s *source) sized() bool {
	return s.cfg.SizeParam != "" && (s.cfg.Paging == connectors.PagingNumber || s.bySince())
}

// moving is the parameter that makes one page differ from another.
func (s *source) moving() string {
	switch s.cfg.Paging {
	case connectors.PagingCursor:
		return s.cfg.CursorParam
	case connectors.PagingLink:
		return "of its own link"
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
		set(s.cfg.PageParam, strconv.Itoa(s.at.Page))
	case connectors.PagingCursor:
		set(s.cfg.CursorParam, s.at.At)
	case connectors.PagingSince:
		set(s.cfg.PageParam, strconv.Itoa(s.at.Page))
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
	p := &page{answer: got}
	if p.rows, err = doc.Array(s.cfg.Records); err != nil {
		return nil, s.refuse(connectors.FaultAnswer, "%s%s", err, excuse(doc))
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
		link, err := nextLink(got.links)
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

// excuse quotes what interfaces say in place of rows, such as {"code": 401, "msg": "token expired", "data": null}.
func excuse(doc *jsonrow.Document) string {
	var said []string
	for _, name := range []string{"code", "status", "msg", "message", "error", "errcode", "errmsg"} {
		if text, err := doc.Scalar(name); err == nil && text != "" && len(text) <= 200 {
			said = append(said, fmt.Sprintf("%s %q", name, withoutValues(text)))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "; it says " + strings.Join(said, ", ")
}

// withoutValues blanks what may be a person's number or a secret in a message: words with six or more digits in a
// row, and those that are longer than words are.
func withoutValues(text string) string {
	const longNumber, longWord = 6, 24
	isWord := func(r rune) bool { return r < utf8.RuneSelf && r > ' ' && !strings.ContainsRune(`,;:()[]{}"'<>`, r) }
	var b strings.Builder
	for text != "" {
		end := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
		if end < 0 {
			end = len(text)
		}
		if end == 0 {
			_, end = utf8.DecodeRuneInString(text)
			b.WriteString(text[:end])
			text = text[end:]
			continue
		}
		digits, most := 0, 0
		for _, c := range []byte(text[:end]) {
			if digits++; c < '0' || c > '9' {
				digits = 0
			}
			most = max(most, digits)
		}
		word := text[:end]
		if len(word) > longWord || most >= longNumber {
			word = "…"
		}
		b.WriteString(word)
		text = text[end:]
	}
	return b.String()
}

// turn goes on behind a page whose rows are all taken. It does not move if nothing comes behind it now.
func (s *source) turn(ctx context.Context) (moved bool, err error) {
	p := s.page
	s.page = nil
	if err := s.proveSize(ctx, p); err != nil {
		return false, err
	}
	next := position{By: s.at.By, Page: s.at.Page + 1, Last: p.digest, Mark: s.at.Mark}
	power := s.at.Page&(s.at.Page-1) == 0
	switch s.cfg.Paging {
	case connectors.PagingNumber:
		if len(p.rows) < s.cfg.Size {
			return false, nil
		}
		if power {
			next.Mark = p.digest
		}
	case connectors.PagingSince:
		return s.turnSince(p, next)
	default:
		if p.next == "" || p.next == s.at.At && len(p.rows) == 0 {
			return false, nil
		}
		name := digest([][]byte{[]byte(p.next)})
		if p.next == s.at.At || name == s.at.Mark {
			return false, s.refuse(connectors.FaultEndless, "the next %s that it names was there before; the pages go round in a circle", s.cfg.Paging)
		}
		next.At = p.next
		if power {
			next.Mark = name
		}
	}
	s.at = next
	return true, nil
}

// proveSize asks, once after Open, for the page behind the first one with fewer rows than were asked for: if there are
// rows, the interface has a limit of its own, and everything behind its first page would be passed over.
func (s *source) proveSize(ctx context.Context, p *page) error {
	if s.proved || s.cfg.PageParam == "" || len(p.rows) == 0 || len(p.rows) >= s.cfg.Size || s.cfg.Paging != connectors.PagingNumber && !s.bySince() {
		return nil
	}
	here, empty := s.at, s.empty
	defer func() { s.at, s.empty = here, empty }()
	s.at.Page++
	next, err := s.load(ctx)
	switch {
	case errors.Is(err, connectors.ErrRefused): // some answer with an error behind their last page
		s.proved = true
		return nil
	case err != nil:
		return err
	case len(next.rows) == 0 || next.digest == p.digest: // others repeat their last page
		s.proved = true
		return nil
	}
	s.at.Page--
	again, err := s.load(ctx)
	if err != nil || again.digest != p.digest { // rows were added meanwhile
		return err
	}
	return s.refuse(connectors.FaultAnswer, "it gives only %d of the %d rows asked for, although more follow on the next page; make size as large as the interface allows, %d or less",
		len(p.rows), s.cfg.Size, len(p.rows))
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
