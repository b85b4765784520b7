package httpapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// maxEdge bounds the fingerprints in a position, maxRecent half of those in memory.
	maxEdge   = 128
	maxRecent = 50_000
	maxMarks  = 8
	// maxValue bounds the values that are compared.
	maxValue = 200
)

// since is the part of a position that only [connectors.PagingSince] has.
type since struct {
	// Greatest is the greatest value so far, Top that of the answers to the question at hand.
	Greatest string `json:"greatest,omitempty"`
	Top      string `json:"top,omitempty"`
	// Edge are the rows that have the greatest value, or none: an interface may give them again.
	Edge []fingerprint `json:"edge,omitempty"`
	// Marks say what was the greatest value at some times; Deep is when it was last asked for late rows, and
	// Again whether that is still under way. Times are in milliseconds since 1970.
	Marks []mark `json:"marks,omitempty"`
	Deep  int64  `json:"deep,omitempty"`
	Again bool   `json:"again,omitempty"`
}

type mark struct {
	At    int64  `json:"at"`
	Value string `json:"value"`
}

// ask chooses the next question when the last one brought nothing new: once per Overlap one for late rows, from the
// value that was the greatest Overlap before the last such question; otherwise one from the greatest value.
func (s *source) ask() {
	m, now := s.at.Since, s.now().UnixMilli()
	if m.Deep == 0 {
		m.Deep = now
	}
	if !s.atEnd {
		return
	}
	s.atEnd = false
	from := m.Greatest
	if overlap := s.cfg.Overlap.Milliseconds(); overlap > 0 && len(m.Marks) > 0 {
		if age := now - m.Marks[len(m.Marks)-1].At; age >= overlap || age < 0 {
			from = ""
			for _, mark := range m.Marks {
				if mark.At <= m.Deep-overlap {
					from = mark.Value
				}
			}
			m.Deep, m.Again = now, true
		}
	}
	if from != s.at.At || m.Again {
		s.from(from)
	}
}

// from starts a question from its first page.
func (s *source) from(value string) {
	s.at.Since.Top = ""
	s.previous, s.unordered = "", false
	s.at = position{By: s.at.By, Page: 1, At: value, Since: s.at.Since}
}

// settle notes the greatest value at the end of the first reading and of each search for late rows.
func (s *source) settle() (save bool) {
	m := s.at.Since
	if s.cfg.Overlap == 0 || m.Greatest == "" || len(m.Marks) > 0 && !m.Again {
		return false
	}
	m.Again = false
	m.Marks = append(m.Marks, mark{At: s.now().UnixMilli(), Value: m.Greatest})
	// The next search starts from the newest mark before this one, less Overlap; those before it have done their work.
	useful := 0
	for i, mark := range m.Marks {
		if mark.At <= m.Deep-s.cfg.Overlap.Milliseconds() {
			useful = i
		}
	}
	m.Marks = slices.Clone(m.Marks[max(useful, len(m.Marks)-maxMarks):])
	return true
}

// turnSince goes on behind a page: to the next, or, if the answers brought a greater value, to a question from that
// one, since an interface may give only so many rows at a time.
func (s *source) turnSince(p *page, next position) (moved bool, err error) {
	m := s.at.Since
	full := s.cfg.SizeParam != "" && len(p.rows) == s.cfg.Size
	switch {
	case full && s.cfg.PageParam != "":
		next.At, next.Since, next.Mark = s.at.At, m, ""
		s.at = next
		return true, nil
	case s.unordered && s.cfg.PageParam == "": // whether it was cut nobody can tell: interfaces have limits of their own
		return false, s.refuse(connectors.FaultAnswer, "it does not give the rows with the lowest %q first, so that, if it leaves rows out, the next question would pass over them; "+
			"have it ordered by that column, or name a page_param", s.cfg.SinceColumn)
	case compareValues(m.Top, s.at.At) > 0:
		s.from(m.Top)
		return true, nil
	case full:
		return false, s.refuse(connectors.FaultEndless, "it has as many rows as were asked for (%d), all without a greater %q, so that others may be hidden behind them; "+
			"make size larger, or name a page_param", s.cfg.Size, s.cfg.SinceColumn)
	case m.Greatest == "" && s.lacking && !s.valued:
		return false, s.refuse(connectors.FaultColumn, "no row has the member %q, which since_column names", s.cfg.SinceColumn)
	}
	return false, nil
}

// note takes the since value of a row, and reports whether the row was not seen lately.
func (s *source) note(ctx context.Context, raw []byte, row connectors.Row) (fresh bool) {
	m := s.at.Since
	sum := sha256.Sum256(raw)
	print := fingerprint(sum[:len(fingerprint{})])
	fresh = s.seen.add(print)
	value := ""
	if row.Rejection == nil {
		value = strings.TrimSpace(row.Values[s.since].Text)
		s.lacking = s.lacking || value == ""
		s.valued = s.valued || value != ""
	}
	if len(value) > maxValue || s.ahead(value) {
		if !s.warned {
			s.warned = true
			s.log.WarnContext(ctx, "a row lies in the future, or has no stamp; it does not count as the greatest", slog.String("column", s.cfg.SinceColumn), slog.String("origin", row.Origin))
		}
		value = ""
	}
	if value != "" {
		s.unordered = s.unordered || compareValues(value, s.previous) < 0
		s.previous = value
	}
	if compareValues(value, m.Top) > 0 {
		m.Top = value
	}
	if compareValues(value, m.Greatest) > 0 {
		m.Greatest, m.Edge = value, nil
	}
	if (value == "" || value == m.Greatest) && len(m.Edge) < maxEdge && !slices.Contains(m.Edge, print) {
		m.Edge = append(m.Edge, print)
	}
	return fresh
}

// ahead reports whether a stamp lies more than two days in the future. If it counted, everything until then would be missed.
func (s *source) ahead(value string) bool {
	date := value[:min(len(value), 8)]
	if len(value) >= 10 && strings.IndexByte("-/.", value[4]) >= 0 && value[7] == value[4] {
		date = value[:4] + value[5:7] + value[8:10]
	} else if len(value) != 8 && len(value) != 14 {
		return false // no date, as far as one can see
	}
	if len(date) != 8 || strings.Trim(date, "0123456789") != "" || date < "19000101" || date[4:6] > "12" || date[6:] > "31" {
		return false
	}
	return date > s.now().Add(48*time.Hour).Format("20060102")
}

// compareValues compares two numbers as numbers and everything else as text.
func compareValues(a, b string) int {
	wholeA, fractionA, ok := decimal(a)
	if wholeB, fractionB, both := decimal(b); ok && both {
		return cmp.Or(cmp.Compare(len(wholeA), len(wholeB)), cmp.Compare(wholeA, wholeB), cmp.Compare(fractionA, fractionB))
	}
	return cmp.Compare(a, b)
}

// decimal takes a number without a sign apart, without zeros that do not count.
func decimal(text string) (whole, fraction string, ok bool) {
	whole, fraction, _ = strings.Cut(text, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", "", false
	}
	return strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0"), true
}

// fingerprint stands for the bytes of a row.
type fingerprint [16]byte

var (
	_ encoding.TextMarshaler   = fingerprint{}
	_ encoding.TextUnmarshaler = (*fingerprint)(nil)
)

// MarshalText writes hexadecimal digits.
func (f fingerprint) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, f[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (f *fingerprint) UnmarshalText(text []byte) error {
	if len(text) != 2*len(f) {
		return fmt.Errorf("a fingerprint has %d digits", 2*len(f))
	}
	_, err := hex.Decode(f[:], text)
	return err
}

// recent remembers the rows seen last, between maxRecent and twice as many.
type recent struct{ young, old map[fingerprint]struct{} }

// has reports whether f is there.
func (r *recent) has(f fingerprint) bool {
	_, young := r.young[f]
	_, old := r.old[f]
	return young || old
}

// add reports whether f was not there.
func (r *recent) add(f fingerprint) bool {
	_, young := r.young[f]
	_, old := r.old[f]
	if !young {
		if len(r.young) >= maxRecent || r.young == nil {
			r.young, r.old = make(map[fingerprint]struct{}), r.young
		}
		r.young[f] = struct{}{}
	}
	return !young && !old
}
