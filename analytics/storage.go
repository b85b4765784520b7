package analytics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/exchange"
)

// Report says what is stored.
type Report struct {
	// Rows of the landing table, and how many distinct record ids they have: equal, or something is wrong.
	Rows, Distinct int64
	// Duplicates is how many records came again and were dropped by id.
	Duplicates int64
	// Rejected counts rejected records by distinct id.
	Rejected int64
	// Lag is how many messages of records.* are not stored yet. It is known in the process that runs the sink, or
	// with Config.Feed; without either it is 0.
	Lag       int64
	Resources []ResourceReport
}

// ResourceReport says what is stored of one resource.
type ResourceReport struct {
	Resource       string
	Rows, Distinct int64
	// Late records were entered later than agreed.
	Late int64
	Lag  int64
}

// Storage reports what is stored, by resource in ascending order.
func (s *Store) Storage(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var report Report
	resources, err := s.resourceRows(ctx)
	if err != nil {
		return report, err
	}
	tallies, err := s.ledger.tallies(ctx)
	if err != nil {
		return report, err
	}
	for _, t := range tallies {
		report.Duplicates += t.duplicates
	}
	lags, err := s.lags(ctx, tallies)
	if err != nil {
		return report, err
	}
	for topic, lag := range lags {
		report.Lag += lag
		if topic == exchange.RejectedTopic {
			continue
		}
		resource := strings.TrimPrefix(topic, exchange.RecordsTopicPrefix)
		r := resources[resource]
		r.Lag = lag
		resources[resource] = r
	}
	for resource, r := range resources {
		r.Resource = resource
		report.Rows += r.Rows
		report.Distinct += r.Distinct
		report.Resources = append(report.Resources, r)
	}
	slices.SortFunc(report.Resources, func(a, b ResourceReport) int { return strings.Compare(a.Resource, b.Resource) })
	var rejected uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM (SELECT 1 FROM rejected_records GROUP BY resource, record_id)").Scan(&rejected); err != nil {
		return report, fmt.Errorf("analytics: storage: %w", err)
	}
	report.Rejected = int64(rejected)
	return report, nil
}

// resourceRows counts the landing table. Distinct ids are counted by their first eight bytes, a quarter of the memory: where
// that gives as many as there are rows, as it should, the ids are distinct; where not, the ids themselves decide.
func (s *Store) resourceRows(ctx context.Context) (map[string]ResourceReport, error) {
	out, err := s.countRows(ctx, "uniqExact(reinterpretAsUInt64(substring(record_id, 1, 8)))")
	if err != nil {
		return nil, err
	}
	for _, r := range out {
		if r.Distinct != r.Rows {
			return s.countRows(ctx, "uniqExact(record_id)")
		}
	}
	return out, nil
}

func (s *Store) countRows(ctx context.Context, distinct string) (out map[string]ResourceReport, err error) {
	rows, err := s.conn.Query(ctx, "SELECT toString(resource), count(), "+distinct+", sum(late) FROM records GROUP BY resource")
	if err != nil {
		return nil, fmt.Errorf("analytics: storage: %w", err)
	}
	defer func() {
		if closeErr := rows.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("analytics: storage: %w", closeErr))
		}
	}()
	out = map[string]ResourceReport{}
	for rows.Next() {
		var name string
		var n, distinct, late uint64
		if err := rows.Scan(&name, &n, &distinct, &late); err != nil {
			return nil, fmt.Errorf("analytics: storage: %w", err)
		}
		out[name] = ResourceReport{Rows: int64(n), Distinct: int64(distinct), Late: int64(late)}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("analytics: storage: %w", err)
	}
	return out, nil
}

// Lag returns how many messages of records.* are not stored yet, and a mark that
// changes whenever some are stored: a lag whose mark stays the same is stuck.
func (s *Store) Lag(ctx context.Context) (lag int64, mark string, err error) {
	tallies, err := s.ledger.tallies(ctx)
	if err != nil {
		return 0, "", err
	}
	lags, err := s.lags(ctx, tallies)
	if err != nil {
		return 0, "", err
	}
	for _, n := range lags {
		lag += n
	}
	var stored int64
	for _, t := range tallies {
		stored += t.next
	}
	return lag, strconv.FormatInt(stored, 10), nil
}

// lags counts by topic of records what the log holds and the state database does not know as stored.
func (s *Store) lags(ctx context.Context, tallies []tally) (map[string]int64, error) {
	feed := s.progress.running()
	if feed == nil {
		feed = s.cfg.Feed
	}
	if feed == nil {
		return nil, nil
	}
	next := map[partitionID]int64{}
	for _, t := range tallies {
		next[partitionID{t.topic, t.partition}] = t.next
	}
	topics, err := feed.Topics(ctx, exchange.RecordsTopicPrefix)
	if err != nil {
		return nil, fmt.Errorf("analytics: lag: %w", err)
	}
	out := map[string]int64{}
	for _, topic := range topics {
		n, err := feed.Partitions(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("analytics: lag: %w", err)
		}
		for partition := range n {
			first, end, err := feed.Bounds(ctx, topic, partition)
			if err != nil {
				return nil, fmt.Errorf("analytics: lag: %w", err)
			}
			out[topic] += max(0, end-max(first, next[partitionID{topic, partition}]))
		}
	}
	return out, nil
}
