package httpapi

import (
	"crypto/sha256"
	"slices"

	"github.com/onewindow/onewindow/connectors"
)

// newest is the part of a position that only lists with the newest rows in front have: the first rows of the list,
// Stop at the end of the last reading, Top in the one under way.
type newest struct {
	Stop []fingerprint `json:"stop,omitempty"`
	Top  []fingerprint `json:"top,omitempty"`
}

// reading is one way through a list with the newest rows in front: from the first page to one on which every row was
// read in an earlier reading. Rows that come in front meanwhile move the others to later pages, where they are met
// again; none is passed over.
type reading struct {
	rows    []fingerprint // the first ones, at most maxRecent
	has     map[fingerprint]struct{}
	known   int // rows of the page at hand that an earlier reading has
	unsaved bool
}

// noteNewest notes a row, and reports whether it was not read lately.
func (s *source) noteNewest(raw []byte) (fresh bool) {
	sum := sha256.Sum256(raw)
	print := fingerprint(sum[:len(fingerprint{})])
	if s.at.Page == 1 {
		if s.at.Taken == 0 {
			s.at.Newest.Top = nil
		}
		if len(s.at.Newest.Top) < maxEdge {
			s.at.Newest.Top = append(s.at.Newest.Top, print)
		}
	}
	if s.seen.has(print) {
		s.reading.known++
		return false
	}
	if _, again := s.reading.has[print]; again {
		return false
	}
	if len(s.reading.rows) < maxRecent {
		if s.reading.has == nil {
			s.reading.has = map[fingerprint]struct{}{}
		}
		s.reading.rows = append(s.reading.rows, print)
		s.reading.has[print] = struct{}{}
	}
	return true
}

// reached reports whether every row of a page was read in an earlier reading.
func (s *source) reached(p *page) bool {
	return s.at.Newest != nil && len(p.rows) > 0 && s.reading.known == len(p.rows)
}

// endReading goes back to the first page, where the next reading begins.
func (s *source) endReading() {
	if s.at.Newest == nil {
		return
	}
	for _, print := range slices.Backward(s.reading.rows) {
		s.seen.add(print)
	}
	next := &newest{Stop: s.at.Newest.Top}
	if len(next.Stop) == 0 { // the first page was read before a restart
		next.Stop = s.at.Newest.Stop
	}
	s.reading = reading{unsaved: s.at.Page > 1 || !slices.Equal(next.Stop, s.at.Newest.Stop)}
	s.at = position{By: s.cfg.Paging, Page: 1, Newest: next}
}

var _ connectors.Source = (*source)(nil)
