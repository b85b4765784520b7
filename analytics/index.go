package analytics

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Grouping says what the rows of an index are.
type Grouping string

// The groupings.
const (
	ByDepartment Grouping = "department"
	ByRegion     Grouping = "region"
	ByMatter     Grouping = "matter"
	ByMonth      Grouping = "month"
)

// Query selects a part of the index.
type Query struct {
	// From and Until are the first and the last day, "YYYY-MM-DD" in China Standard Time; empty means no limit.
	From, Until string
	// Group is ByDepartment if empty.
	Group Grouping
	// Department keeps only one department, if set.
	Department string
}

// Figures are sums over the days of a query.
type Figures struct {
	Accepted int64
	// Completed counts the cases accepted on these days that are decided by now.
	Completed int64
	Decided   int64
	// OnTime counts the decided cases that took no longer than promised.
	OnTime             int64
	MaterialsRequired  int64
	MaterialsSubmitted int64
}

// OnTimeRate is indicator E2, on time of decided; ok is false without decided cases.
func (f Figures) OnTimeRate() (rate float64, ok bool) { return ratio(f.OnTime, f.Decided) }

// CompletionRate is indicator E5, completed of accepted; ok is false without accepted cases.
func (f Figures) CompletionRate() (rate float64, ok bool) { return ratio(f.Completed, f.Accepted) }

// NotAskedRate is indicator V1, the share of required materials that applicants did not have to bring; ok is
// false without required materials.
func (f Figures) NotAskedRate() (rate float64, ok bool) {
	return ratio(f.MaterialsRequired-f.MaterialsSubmitted, f.MaterialsRequired)
}

func ratio(part, whole int64) (float64, bool) {
	if whole == 0 {
		return 0, false
	}
	return float64(part) / float64(whole), true
}

// IndexRow is the index of one group.
type IndexRow struct {
	// Group is a department, region or matter code, or "YYYY-MM".
	Group string
	Figures
}

// figureNames are the columns of index_day that hold sums, in the order of Figures' scan.
func figureNames() []string {
	return []string{"accepted", "completed", "decided", "on_time", "materials_required", "materials_submitted"}
}

func (f *Figures) targets() []any {
	return []any{&f.Accepted, &f.Completed, &f.Decided, &f.OnTime, &f.MaterialsRequired, &f.MaterialsSubmitted}
}

func (f *Figures) add(other Figures) {
	f.Accepted += other.Accepted
	f.Completed += other.Completed
	f.Decided += other.Decided
	f.OnTime += other.OnTime
	f.MaterialsRequired += other.MaterialsRequired
	f.MaterialsSubmitted += other.MaterialsSubmitted
}

// Index answers from the states in index_day, never from raw rows: rows by group, ascending, and their total.
// It wraps ErrInvalid for a day that is none, days in the wrong order, and an unknown grouping.
func (s *Store) Index(ctx context.Context, q Query) (rows []IndexRow, total Figures, err error) {
	group, conditions, err := q.sql()
	if err != nil {
		return nil, total, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := s.conn.Query(ctx, "SELECT "+group+" AS name, sum("+strings.Join(figureNames(), "), sum(")+") FROM index_day WHERE "+
		conditions+" GROUP BY name ORDER BY name")
	if err != nil {
		return nil, total, fmt.Errorf("analytics: index: %w", err)
	}
	defer func() {
		if closeErr := answer.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("analytics: index: %w", closeErr))
		}
	}()
	for answer.Next() {
		var row IndexRow
		if err := answer.Scan(append([]any{&row.Group}, row.targets()...)...); err != nil {
			return nil, total, fmt.Errorf("analytics: index: %w", err)
		}
		// Days on which sums cancelled out, or cohort days without any count, say nothing.
		if row.Figures == (Figures{}) {
			continue
		}
		rows = append(rows, row)
		total.add(row.Figures)
	}
	if err := answer.Err(); err != nil {
		return nil, total, fmt.Errorf("analytics: index: %w", err)
	}
	return rows, total, nil
}

// sql checks the query and returns the expression to group by and the condition on days and department.
func (q Query) sql() (group, conditions string, err error) {
	switch q.Group {
	case "", ByDepartment:
		group = "toString(department)"
	case ByRegion:
		group = "toString(region)"
	case ByMatter:
		group = "toString(matter)"
	case ByMonth:
		group = "substring(toString(day), 1, 7)"
	default:
		return "", "", fmt.Errorf("%w: no index by %q", ErrInvalid, q.Group)
	}
	parts := []string{"1 = 1"}
	for _, limit := range []struct{ name, day, operator string }{{"from", q.From, ">="}, {"until", q.Until, "<="}} {
		if limit.day == "" {
			continue
		}
		if day, err := time.Parse(time.DateOnly, limit.day); err != nil || day.Year() < firstYear || day.Year() > lastYear {
			return "", "", fmt.Errorf("%w: %s: %.20q is not a day; write it as in 2026-11-22", ErrInvalid, limit.name, limit.day)
		}
		parts = append(parts, "day "+limit.operator+" toDate32("+quote(limit.day)+")")
	}
	if q.From != "" && q.Until != "" && q.From > q.Until {
		return "", "", fmt.Errorf("%w: from %s is after until %s", ErrInvalid, q.From, q.Until)
	}
	if q.Department != "" {
		parts = append(parts, "department = "+quote(q.Department))
	}
	return group, strings.Join(parts, " AND "), nil
}
