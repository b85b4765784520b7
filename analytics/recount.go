package analytics

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Difference is a cell of index_day that a recount finds otherwise.
type Difference struct {
	// Day is "YYYY-MM-DD" in China Standard Time.
	Day, Region, Department, Matter string
	// Stored is what index_day says, Recounted what the landing table says.
	Stored, Recounted Figures
}

// recountSQL makes one row of figures of every case event in the landing table that counts, and of a decision a second one on the
// day of its acceptance, by formulas of its own: none of the views takes part. Rates depend on numbers in the payload, so
// members are read one by one, each as what it is.
const recountSQL = `
SELECT toDate32(toTimeZone(event_time, 'Asia/Shanghai')) AS day,
    JSONExtractString(payload, 'region') AS region, JSONExtractString(payload, 'department') AS department,
    JSONExtractString(payload, 'matter') AS matter,
    toInt64(JSONExtractString(payload, 'event') = 'accepted') AS accepted, toInt64(0) AS completed,
    toInt64(JSONExtractString(payload, 'event') = 'decided') AS decided,
    toInt64(decided AND JSONHas(payload, 'used_days') AND JSONHas(payload, 'promised_days')
        AND JSONExtractFloat(payload, 'used_days') <= JSONExtractFloat(payload, 'promised_days')) AS on_time,
    accepted * JSONExtractInt(payload, 'materials_required') AS materials_required,
    accepted * JSONExtractInt(payload, 'materials_submitted') AS materials_submitted
FROM records
WHERE kind = 'case_event' AND operation = 'upsert' AND JSONExtractString(payload, 'event') IN ('accepted', 'decided')
UNION ALL
SELECT assumeNotNull(toDate32OrNull(JSONExtractString(payload, 'accepted_date'))) AS day,
    JSONExtractString(payload, 'region') AS region, JSONExtractString(payload, 'department') AS department,
    JSONExtractString(payload, 'matter') AS matter,
    toInt64(0), toInt64(1), toInt64(0), toInt64(0), toInt64(0), toInt64(0)
FROM records
WHERE kind = 'case_event' AND operation = 'upsert' AND JSONExtractString(payload, 'event') = 'decided'
    AND toDate32OrNull(JSONExtractString(payload, 'accepted_date')) IS NOT NULL`

// recountSettings keep the memory of a recount small, at the price of time: one thread, and groups beyond 16 MiB go to disk.
func recountSettings() clickhouse.Settings {
	return clickhouse.Settings{"max_threads": 1, "max_block_size": 8192, "max_bytes_before_external_group_by": 16 << 20}
}

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
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(recountSettings()))
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
