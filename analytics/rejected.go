package analytics

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/onewindow/onewindow/exchange"
)

const (
	// defaultRejected is the length of a page of rejected records.
	defaultRejected = 100
	// rejectedPage is the size of texts and raw bytes at which such a page ends, below what a gRPC answer may have.
	rejectedPage = 2 << 20
)

const rejectedColumns = "record_id, resource, source, origin, rule, field, detail, raw, rejected_time"

// RejectedRecords returns a page of rejected records, the newest first, and the token of the next page, which is empty at the end. A
// row that was rejected again is one record, at its last time: it moves to the front, and paging neither repeats nor skips any other.
// Both kinds of fault in the query, of which a caller's token is one, wrap [exchange.ErrInvalid].
func (s *Store) RejectedRecords(ctx context.Context, q exchange.RejectedQuery) (page []exchange.Rejected, next string, err error) {
	if q.Limit < 0 || q.Limit > exchange.MaxRejected {
		return nil, "", fmt.Errorf("%w: a page has at most %d rejected records, not %d", exchange.ErrInvalid, exchange.MaxRejected, q.Limit)
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultRejected
	}
	conditions := []string{"1 = 1"}
	for column, value := range map[string]string{"resource": q.Resource, "source": q.Source, "rule": q.Rule} {
		if value != "" {
			conditions = append(conditions, column+" = "+quote(value))
		}
	}
	if q.After != "" {
		at, id, err := parseRejectedToken(q.After)
		if err != nil {
			return nil, "", err
		}
		conditions = append(conditions, "(rejected_time, record_id) < ("+instant(at)+", toFixedString(unhex('"+id+"'), 32))")
	}
	// Which records make the page is found without reading their raw bytes. One more is asked for than fits, to know if there is one.
	order := " ORDER BY rejected_time DESC, record_id DESC LIMIT " + strconv.Itoa(limit+1)
	found, more, err := s.readRejected(ctx, "SELECT "+rejectedColumns+" FROM rejected_records FINAL PREWHERE (resource, record_id) IN ("+
		"SELECT resource, record_id FROM rejected_records FINAL WHERE "+strings.Join(conditions, " AND ")+order+")"+order, limit)
	if err != nil || !more {
		return found, "", err
	}
	return found, rejectedToken(found[len(found)-1]), nil
}

// RejectedRecord returns the rejected record with an id of 64 hexadecimal digits. It wraps [exchange.ErrUnknownRejected].
func (s *Store) RejectedRecord(ctx context.Context, id string) (exchange.Rejected, error) {
	var found []exchange.Rejected
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == len(identity{}) {
		if found, _, err = s.readRejected(ctx, "SELECT "+rejectedColumns+" FROM rejected_records FINAL PREWHERE record_id = toFixedString(unhex('"+id+"'), 32)", 1); err != nil {
			return exchange.Rejected{}, err
		}
	}
	if len(found) == 0 {
		return exchange.Rejected{}, fmt.Errorf("%w: %.64q: what was rejected a moment ago may not be stored yet", exchange.ErrUnknownRejected, id)
	}
	return found[0], nil
}

// readRejected reads rows of rejectedColumns until there are limit of them or a page is full, and says if there are more.
func (s *Store) readRejected(ctx context.Context, statement string, limit int) (found []exchange.Rejected, more bool, err error) {
	failed := func(err error) error { return fmt.Errorf("analytics: rejected records: %w", err) }
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Raw bytes are long: a block has few rows.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1, "preferred_block_size_bytes": 256 << 10}))
	rows, err := s.conn.Query(ctx, statement)
	if err != nil {
		return nil, false, failed(err)
	}
	defer func() {
		if closeErr := rows.Close(); closeErr != nil {
			err = errors.Join(err, failed(closeErr))
		}
	}()
	size := 0
	for rows.Next() {
		var r exchange.Rejected
		var id, raw string
		if err := rows.Scan(&id, &r.Resource, &r.Source, &r.Origin, &r.Rule, &r.Field, &r.Detail, &raw, &r.Time); err != nil {
			return nil, false, failed(err)
		}
		size += len(r.Origin) + len(r.Detail) + len(raw) + 512
		if len(found) == limit || len(found) > 0 && size > rejectedPage {
			return found, true, nil
		}
		r.ID, r.Raw = hex.EncodeToString([]byte(id)), []byte(raw)
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, false, failed(err)
	}
	return found, false, nil
}

// rejectedToken is the place of a record in the order of pages.
func rejectedToken(r exchange.Rejected) string {
	return strconv.FormatInt(r.Time.UnixMicro(), 10) + "-" + r.ID
}

// parseRejectedToken reads what rejectedToken wrote; id is hexadecimal.
func parseRejectedToken(token string) (at time.Time, id string, err error) {
	split := max(0, len(token)-2*len(identity{})-1)
	micros, id := token[:split], strings.TrimPrefix(token[split:], "-")
	n, err := strconv.ParseInt(micros, 10, 64)
	raw, hexErr := hex.DecodeString(id)
	if at = time.UnixMicro(n).UTC(); err != nil || hexErr != nil || len(raw) != len(identity{}) || at.Year() < firstYear || at.Year() > lastYear {
		return time.Time{}, "", fmt.Errorf("%w: the page token is not one that a page of rejected records came with", exchange.ErrInvalid)
	}
	return at, id, nil
}
