package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

const cursorHint = `if a cursor such as "0", or the page's own, means the end, write it as last_cursor`

// totals are the names under which interfaces give the number of all rows of a list.
func totals() []string {
	return []string{"total", "totalCount", "total_count", "totalElements", "totalRecords", "total_records", "recordsTotal", "totalRows", "total_rows", "totalNum", "totalSize"}
}

// pageZero returns the page before the first one, if the definition does not say where pages begin and nothing was
// read yet. An interface that has no such page may answer as it likes.
func (s *source) pageZero(ctx context.Context) (names map[string]bool, err error) {
	if !s.fresh || s.cfg.FirstPage != nil || s.cfg.PageParam == "" || s.at.Page != 1 || s.cfg.Paging != connectors.PagingNumber && !s.bySince() {
		return nil, nil
	}
	here, empty := s.at, s.empty
	defer func() { s.at, s.empty = here, empty }()
	s.at.Page = 0
	p, err := s.load(ctx)
	if err != nil {
		return nil, ctx.Err()
	}
	names = make(map[string]bool, len(p.rows))
	for _, raw := range p.rows {
		names[s.name(raw, s.parser.Row(raw, p.decoder, ""))] = true
	}
	return names, nil
}

// checkFirst refuses a first page that lacks what the one before it has.
func (s *source) checkFirst(before map[string]bool, p *page) error {
	if len(before) > 0 && (len(p.rows) == 0 || !before[s.name(p.rows[0], s.parser.Row(p.rows[0], p.decoder, ""))]) {
		return s.refuse(connectors.FaultAnswer, "page 0 has %d rows that page 1 does not begin with, so pages seem to count from 0; write first_page: 0, or first_page: 1 if page 0 is no part of the list", len(before))
	}
	s.fresh = false
	return nil
}

// name stands for a row: for its key or, if it has none, for its bytes.
func (s *source) name(raw []byte, row connectors.Row) string {
	if row.Rejection != nil || len(s.keys) == 0 {
		return digest([][]byte{raw})
	}
	key := make([][]byte, len(s.keys))
	for i, column := range s.keys {
		key[i] = []byte(row.Values[column].Text)
	}
	return digest(key)
}

// ended reports whether a page is the last, by what the definition says about that.
func (s *source) ended(p *page) (bool, error) {
	end := s.cfg.End
	if p.doc == nil {
		return true, nil
	}
	switch {
	case end.More != "":
		more, err := s.flag(p, end.More)
		return !more, cmp.Or(err, s.nextNamed(p, more))
	case end.Last != "":
		last, err := s.flag(p, end.Last)
		return last, cmp.Or(err, s.nextNamed(p, !last))
	case end.Pages != "":
		pages, err := s.count(p, end.Pages)
		return s.at.Page >= pages, cmp.Or(err, s.nextNamed(p, s.at.Page < pages))
	case end.Total != "" && end.Total != connectors.TotalNone:
		total, err := s.count(p, end.Total)
		all := s.at.Before+len(p.rows) >= total || s.numbered() && len(p.rows) == 0
		return all, cmp.Or(err, s.nextNamed(p, !all))
	case s.numbered() && end.UntilEmpty:
		return len(p.rows) == 0, nil
	case s.numbered():
		return len(p.rows) < s.cfg.Size, nil
	case end.Cursor == connectors.CursorSame && p.next == s.at.At, end.Cursor != "" && p.next == end.Cursor:
		return true, nil
	}
	return p.next == "" || p.next == s.at.At && len(p.rows) == 0, nil
}

// nextNamed refuses an answer that promises more rows and does not say where.
func (s *source) nextNamed(p *page, more bool) error {
	if more && !s.numbered() && p.next == "" {
		return s.refuse(connectors.FaultAnswer, "it says that more rows follow, but names no next %s", s.cfg.Paging)
	}
	return nil
}

// flag reads a member that is true or false.
func (s *source) flag(p *page, path string) (bool, error) {
	text, err := p.doc.Scalar(path)
	if err != nil {
		return false, s.refuse(connectors.FaultAnswer, "%s", err)
	}
	switch strings.ToLower(text) {
	case "true", "1", "y", "yes":
		return true, nil
	case "false", "0", "n", "no":
		return false, nil
	}
	return false, s.refuse(connectors.FaultAnswer, "the member %q of the answer is missing, or neither true nor false", path)
}

// count reads a member that is a number of rows or pages.
func (s *source) count(p *page, path string) (int, error) {
	text, err := p.doc.Scalar(path)
	if err != nil {
		return 0, s.refuse(connectors.FaultAnswer, "%s", err)
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, s.refuse(connectors.FaultAnswer, "the member %q of the answer is missing, or not a number of rows or pages", path)
	}
	return int(n), nil
}

// total is how many rows the answer says there are, and in which member; the name is empty if it does not say.
func (s *source) total(p *page) (n int, path string) {
	explicit := s.cfg.End.Total
	switch {
	case p.doc == nil, explicit == connectors.TotalNone:
		return 0, ""
	case explicit != "":
		n, err := s.count(p, explicit)
		if err != nil {
			return 0, ""
		}
		return n, explicit
	}
	for _, prefix := range levels(s.cfg.Records) {
		for _, name := range totals() {
			if n, err := s.count(p, prefix+name); err == nil {
				return n, prefix + name
			}
		}
	}
	return 0, ""
}

// levels are the objects of an answer on the way to a member, from the inner to the outer, as prefixes of paths.
func levels(path string) []string {
	if path == "." { // the answer is no object
		return nil
	}
	var prefixes []string
	for path != "" {
		end := strings.LastIndexByte(path, '.')
		prefixes = append(prefixes, path[:end+1])
		path = path[:max(end, 0)]
	}
	return prefixes
}

// finishList deals with the end of the list: what the interface says about the whole has to agree with what was read.
func (s *source) finishList(ctx context.Context, p *page, ended bool) (moved bool, err error) {
	if ended {
		if restarted, err := s.checkTotal(ctx, p); err != nil || restarted {
			return restarted, err
		}
		if err := s.proveEnd(ctx, p); err != nil {
			return false, err
		}
	}
	s.endReading()
	return false, nil
}

// checkTotal compares the number of rows that the last page says there are with those that were read.
func (s *source) checkTotal(ctx context.Context, p *page) (restarted bool, err error) {
	total, path := s.total(p)
	read := s.at.Before + len(p.rows)
	switch {
	case path == "" || s.at.Before == 0 && s.at.Page > 1: // positions of older versions did not count
		return false, nil
	case total > read:
		return false, s.refuse(connectors.FaultAnswer, "its member %q says that there are %d rows, but the list ended after %d; is the first page (first_page, first_row) right, "+
			"does it know the parameter %s, are rows passed over? If the member counts something else, write total: none", path, total, read, cmp.Or(s.cfg.SizeParam, s.moving()))
	case total < read && s.cfg.End.Total != "" && s.at.Newest == nil:
		return s.displaced(ctx, fmt.Sprintf("its member %q says that there are %d rows, but %d were read", path, total, read))
	}
	return false, nil
}

// proveEnd asks, once after Open, for the page behind the one that was taken for the last: if there are rows, the
// interface gives fewer rows than it is asked for, or the end is shown by the wrong member, and everything behind it
// would be passed over.
func (s *source) proveEnd(ctx context.Context, p *page) error {
	said := s.cfg.End.Says()
	if s.proved || s.moving() == "" || len(p.rows) == 0 || !s.numbered() && !s.bySince() || !said && len(p.rows) >= s.cfg.Size {
		return nil
	}
	here, empty := s.at, s.empty
	defer func() { s.at, s.empty = here, empty }()
	s.at.Page++
	s.at.Before += len(p.rows)
	s.at.Taken = 0
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
	more, read := len(next.rows), len(p.rows)
	s.at = here
	again, err := s.load(ctx)
	if err != nil || again.digest != p.digest { // rows were added meanwhile
		return err
	}
	if said {
		return s.refuse(connectors.FaultAnswer, "it says that no page follows, but the next one has %d rows; does the member that says so (total, pages, more or last) mean something else?", more)
	}
	return s.refuse(connectors.FaultAnswer, "it gives only %d of the %d rows asked for, although more follow on the next page; make size as large as the interface allows, %d or less, "+
		"or write how the last page is known (total, pages, more, last, or end: empty)", read, s.cfg.Size, read)
}

// moved says what shows that rows are on another page than they were; empty if nothing does. Those that came, went or
// changed on the first page moved nothing.
func (s *source) moved(p *page) string {
	switch {
	case s.bySince() || s.at.Newest != nil || s.at.Page == 1:
	case s.at.Taken > 0 && s.at.First != "" && s.at.First != s.name(p.rows[0], s.parser.Row(p.rows[0], p.decoder, "")):
		return "it begins with another row than before"
	case s.at.Taken == 0 && s.at.LastTail != "":
		for i := range p.rows {
			if tail(p.rows[:i+1]) == s.at.LastTail {
				return "it has the last row of the page before again"
			}
		}
	}
	return ""
}

// displaced deals with rows that moved to another page: the first time that is a fault, so that it is known; the second
// time the list is read from its first page, with the news that there was a gap. If the same is seen again after that,
// it is so, and reading goes on.
func (s *source) displaced(ctx context.Context, what string) (restarted bool, err error) {
	switch here := fmt.Sprint(s.at); here {
	case s.restarted:
		return false, nil
	case s.told:
		s.log.WarnContext(ctx, "rows moved to other pages; the list is read again from its first page", slog.Int("page", s.at.Page))
		s.told, s.restarted, s.gap = "", here, true
		s.at = position{By: s.at.By, Page: 1}
		return true, nil
	default:
		s.told = here
		return false, s.refuse(connectors.FaultRemoved, "%s: rows were put in front or removed, so that others may be missed; the list is read again from its first page. "+
			"If the interface gives new rows first, write order: newest_first, or have it give them last", what)
	}
}
