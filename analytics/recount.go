package analytics

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Difference is a cell of index_day that a recount finds otherwise.
type Difference struct {
	// Day is "YYYY-MM-DD" in China Standard Time.
	Day, Region, Department, Matter string
	// Stored is what index_day says, Recounted what the landing table says.
	Stored, Recounted Figures
}

// recountSQL counts the landing table by formulas of its own: none of the views takes part. Rates depend on numbers in the
// payload, so members are read one by one, each as what it is.
const recountSQL = `
SELECT toDate32(toTimeZone(event_time, 'Asia/Shanghai')) AS day,
    JSONExtractString(payload, 'region') AS region, JSONExtractString(payload, 'department') AS department,
    JSONExtractString(payload, 'matter') AS matter,
    toInt64(count()) AS accepted, toInt64(0) AS completed, toInt64(0) AS decided, toInt64(0) AS on_time,
    sum(JSONExtractInt(payload, 'materials_required')) AS materials_required,
    sum(JSONExtractInt(payload, 'materials_submitted')) AS materials_submitted
FROM records
WHERE kind = 'case_event' AND operation = 'upsert' AND JSONExtractString(payload, 'event') = 'accepted'
GROUP BY day, region, department, matter
UNION ALL
SELECT toDate32(toTimeZone(event_time, 'Asia/Shanghai')) AS day,
    JSONExtractString(payload, 'region') AS region, JSONExtractString(payload, 'department') AS department,
    JSONExtractString(payload, 'matter') AS matter,
    toInt64(0), toInt64(0), toInt64(count()),
    toInt64(countIf(JSONHas(payload, 'used_days') AND JSONHas(payload, 'promised_days')
        AND JSONExtractFloat(payload, 'used_days') <= JSONExtractFloat(payload, 'promised_days'))),
    toInt64(0), toInt64(0)
FROM records
WHERE kind = 'case_event' AND operation = 'upsert' AND JSONExtractString(payload, 'event') = 'decided'
GROUP BY day, region, department, matter
UNION ALL
SELECT assumeNotNull(toDate32OrNull(JSONExtractString(payload, 'accepted_date'))) AS day,
    JSONExtractString(payload, 'region') AS region, JSONExtractString(payload, 'department') AS department,
    JSONExtractString(payload, 'matter') AS matter,
    toInt64(0), toInt64(count()), toInt64(0), toInt64(0), toInt64(0), toInt64(0)
FROM records
WHERE kind = 'case_event' AND operation = 'upsert' AND JSONExtractString(payload, 'event') = 'decided'
    AND toDate32OrNull(JSONExtractString(payload, 'accepted_date')) IS NOT NULL
GROUP BY day, region, department, matter`

// Recount counts the cases in the landing table anew and returns where index_day says otherwise, ordered by day, region, department and
// matter: nothing, if all is well. It holds up the sink of this process meanwhile; with a sink in another
// process, a batch that is just being stored may show.
func (s *Store) Recount(ctx context.Context) (out []Difference, err error) {
	endTurn, err := s.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer endTurn()
	var stored, recounted, unequal []string
	for _, name := range figureNames() {
		stored = append(stored, "sumIf("+name+", side = 1) AS stored_"+name)
		recounted = append(recounted, "sumIf("+name+", side = 2) AS recounted_"+name)
		unequal = append(unequal, "stored_"+name+" != recounted_"+name)
	}
	names := strings.Join(figureNames(), ", ")
	rows, err := s.conn.Query(ctx, "SELECT toString(day), toString(region), toString(department), toString(matter), "+
		strings.Join(stored, ", ")+", "+strings.Join(recounted, ", ")+
		" FROM (SELECT 1 AS side, day, toString(region) AS region, toString(department) AS department, toString(matter) AS matter, "+names+" FROM index_day"+
		" UNION ALL SELECT 2 AS side, day, region, department, matter, "+names+" FROM ("+recountSQL+"))"+
		" GROUP BY day, region, department, matter HAVING "+strings.Join(unequal, " OR ")+" ORDER BY day, region, department, matter")
	if err != nil {
		return nil, fmt.Errorf("analytics: recount: %w", err)
	}
	defer func() {
		if closeErr := rows.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("analytics: recount: %w", closeErr))
		}
	}()
	for rows.Next() {
		var d Difference
		targets := append([]any{&d.Day, &d.Region, &d.Department, &d.Matter}, d.Stored.targets()...)
		if err := rows.Scan(append(targets, d.Recounted.targets()...)...); err != nil {
			return nil, fmt.Errorf("analytics: recount: %w", err)
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("analytics: recount: %w", err)
	}
	return out, nil
}

// Check counts the landing table and its distinct record ids, by id alone, and wraps ErrInconsistent when they differ. It groups rather
// than using uniqExact, because grouping goes to disk when memory is short.
func (s *Store) Check(ctx context.Context) (rows, distinct int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var n, u uint64
	if err := s.conn.QueryRow(ctx, "SELECT sum(n), count() FROM (SELECT count() AS n FROM records GROUP BY record_id)").Scan(&n, &u); err != nil {
		return 0, 0, fmt.Errorf("analytics: check: %w", err)
	}
	if n != u {
		err = fmt.Errorf("%w: %d rows with %d distinct ids", ErrInconsistent, n, u)
	}
	return int64(n), int64(u), err
}
