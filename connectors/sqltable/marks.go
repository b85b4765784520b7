package sqltable

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// maxMarks bounds the marks of a position.
	maxMarks = 20
	// generation is the number of rows after which the older half of the memory is dropped.
	generation = 250_000
)

// beginMarks makes the marks of a position usable by the clock of this process.
// A source that begins has no mark, which is one at the beginning of the table.
func (s *source) beginMarks(now time.Time) {
	p := &s.position
	if s.cfg.Overlap <= 0 || s.cfg.Mode == connectors.Bulk {
		p.Marks, p.Pass, p.LastPass = nil, nil, time.Time{}
		return
	}
	if p.LastPass.IsZero() {
		p.LastPass = now
	}
	// A clock that was put back must not keep the passes waiting.
	latest := p.LastPass
	if n := len(p.Marks); n > 0 && p.Marks[n-1].Time.After(latest) {
		latest = p.Marks[n-1].Time
	}
	if ahead := latest.Sub(now); ahead > 0 {
		p.LastPass = p.LastPass.Add(-ahead)
		moved := make([]mark, len(p.Marks))
		for i, m := range p.Marks {
			moved[i] = mark{Time: m.Time.Add(-ahead), Head: m.Head}
		}
		p.Marks = moved
	}
}

// observe notes where the head of the table is, if that is needed now. With a
// delay, rows are read up to a head that was seen at least so long ago: until;
// wait says that there is none yet. It does not compare clocks with cursors, so
// it is right for any cursor and for whatever clock the department has.
func (s *source) observe(ctx context.Context) (until []string, wait bool, err error) {
	delay, overlap := s.cfg.Delay, s.cfg.Overlap
	if s.cfg.Mode == connectors.Bulk || delay <= 0 && overlap <= 0 {
		return nil, false, nil
	}
	now := s.now()
	p := &s.position
	forDelay := delay > 0 && (len(s.heads) == 0 || now.Sub(s.heads[len(s.heads)-1].Time) >= delay/4)
	forMarks := overlap > 0 && (len(p.Marks) == 0 || now.Sub(p.Marks[len(p.Marks)-1].Time) >= overlap/8)
	if forDelay || forMarks {
		rows, last, err := s.table.read(ctx, span{order: s.order[:1], descending: true, current: true}, 1)
		if err != nil {
			return nil, false, err
		}
		if len(rows) > 0 {
			// After the query, so that the mark is not older than anything it saw.
			m := mark{Time: s.now(), Head: last}
			if forDelay {
				s.heads = append(s.heads, m)
			}
			if forMarks {
				p.addMark(m, overlap)
			}
		}
	}
	if delay <= 0 {
		return nil, false, nil
	}
	for len(s.heads) > 1 && now.Sub(s.heads[1].Time) >= delay {
		s.heads = s.heads[1:]
	}
	if len(s.heads) == 0 || now.Sub(s.heads[0].Time) < delay {
		return nil, true, nil
	}
	return s.heads[0].Head, false, nil
}

// duePass begins to read the overlap again, once per Overlap.
//
// A row that became visible after the last pass began had its cursor set at
// most Overlap before that moment. So its cursor is not below the head of the
// table as it was then, and it is found from the newest mark of that age on,
// wherever among the rows that were read it has appeared. Without such a mark
// the pass goes from the beginning: that is the first pass, and it ends where
// the reading had come in the first Overlap.
func (s *source) duePass(now time.Time) {
	p := &s.position
	if s.cfg.Mode == connectors.Bulk || s.cfg.Overlap <= 0 || p.Pass != nil || p.At == nil || now.Sub(p.LastPass) < s.cfg.Overlap {
		return
	}
	p.Pass = &pass{Until: p.At}
	if i := p.useful(s.cfg.Overlap); i >= 0 {
		p.Pass.From = p.Marks[i].Head
	}
	p.LastPass = now
}

// useful is the index of the mark from which the next pass goes; those before it will not be needed again.
func (p *position) useful(overlap time.Duration) int {
	last := -1
	for i, m := range p.Marks {
		if p.LastPass.Sub(m.Time) >= overlap {
			last = i
		}
	}
	return last
}

// addMark adds a mark if there is room for it; without it a pass only begins earlier.
func (p *position) addMark(m mark, overlap time.Duration) {
	p.Marks = slices.Clone(p.Marks[max(p.useful(overlap), 0):])
	if len(p.Marks) < maxMarks {
		p.Marks = append(p.Marks, m)
	}
}

// overlap reads the next rows of the pass under way and returns those that
// were not handed on as they are now. There is no pass any more when it is through.
func (s *source) overlap(ctx context.Context) ([]connectors.Row, error) {
	at := *s.position.Pass
	rows, last, err := s.table.read(ctx, span{order: s.order, from: at.From, after: at.After, to: at.Until, current: true}, s.def.Batch)
	if err != nil {
		return nil, err
	}
	if at.After = last; len(rows) == 0 {
		s.position.Pass = nil
	} else {
		s.position.Pass = &at
	}
	return s.seen.news(rows), nil
}

// memory knows which rows were handed on last, by their keys. What it forgets
// is handed on once more, which is harmless.
type memory struct {
	seed     maphash.Seed
	now, old map[uint64]uint64
}

func (m *memory) add(rows []connectors.Row) { m.filter(rows, false) }

// news returns the rows that are not as they were handed on last, and remembers them.
func (m *memory) news(rows []connectors.Row) []connectors.Row { return m.filter(rows, true) }

func (m *memory) filter(rows []connectors.Row, drop bool) []connectors.Row {
	if m.now == nil {
		m.seed, m.now = maphash.MakeSeed(), map[uint64]uint64{}
	}
	kept := rows[:0:0]
	for _, row := range rows {
		key := maphash.String(m.seed, row.Origin)
		if row.Key != nil {
			key = maphash.String(m.seed, strings.Join(row.Key, "\x00"))
		}
		content := maphash.Bytes(m.seed, row.Raw)
		before, known := m.now[key]
		if !known {
			before, known = m.old[key]
		}
		if drop && known && before == content {
			continue
		}
		if drop {
			kept = append(kept, row)
		}
		m.now[key] = content
	}
	if len(m.now) >= generation {
		m.old, m.now = m.now, map[uint64]uint64{}
	}
	return kept
}
