package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// What an insert that was cut short leaves behind. Each table took the block whole or not at all, in an order that is
// ClickHouse's own affair; and since a part and the note of its token are two files, a table may have the part without the note
// (the same token would store it twice) or the note without the part (the same token would store nothing). So after a crash
// or a failed insert nothing is taken on trust: the rows of the batch are counted in every table by their place in the log,
// which every table of rows has, and put right where the count is wrong. index_day has no rows to count: its states are sums,
// so what a recount finds missing is added.

// rowViews are the views that make rows from rows, each into the table of its name without "_view".
func rowViews() []string {
	return []string{"records_current_view", "case_events_view", "ratings_view", "tickets_view"}
}

// settle finishes an intent that was left open. It wraps ErrLogChanged when the rows are not in ClickHouse and
// no longer in the log either.
func (k *sink) settle(ctx context.Context, p position, i intent) (position, error) {
	endTurn, err := k.takeTurn(ctx)
	if err != nil {
		return p, err
	}
	defer endTurn()
	k.log.WarnContext(ctx, "settling a batch that was cut short", slog.String("topic", p.topic), slog.Int("partition", p.partition),
		slog.Int64("first", i.first), slog.Int64("last", i.last), slog.Int64("epoch", i.epoch))
	stored, err := k.countRange(ctx, "records", p, i)
	if err != nil {
		return p, err
	}
	if stored == 0 || !isRecords(p.topic) {
		if err := k.repeatInsert(ctx, p, i); err != nil {
			return p, err
		}
	} else if stored != i.stored-i.notEvents {
		return p, fmt.Errorf("%w: %s/%d %d-%d of epoch %d: %d rows of %d", ErrInconsistent, p.topic, p.partition, i.first, i.last, i.epoch, stored, i.stored-i.notEvents)
	}
	if isRecords(p.topic) {
		if err := k.reconcile(ctx, p, i); err != nil {
			return p, err
		}
	}
	return k.ledger.done(ctx, p, i)
}

// repeatInsert reads an intent's range again and inserts it as it was.
func (k *sink) repeatInsert(ctx context.Context, p position, i intent) error {
	b, err := readRange(ctx, k.feed, p, i)
	if err != nil {
		return err
	}
	items := b.without(i.dropped)
	k.guard.learn(items) // it was loaded before
	if err := k.insertItems(ctx, p, i, i.token(p), items); err != nil {
		return err
	}
	want := i.stored - i.notEvents
	if !isRecords(p.topic) || want == 0 {
		return nil
	}
	got, err := k.countRange(ctx, "records", p, i)
	if err == nil && got == 0 {
		// The token was noted before the crash, the rows were not kept.
		if err = k.insertItems(ctx, p, i, i.token(p)+":again", items); err == nil {
			got, err = k.countRange(ctx, "records", p, i)
		}
	}
	if err == nil && got != want {
		err = fmt.Errorf("%w: %s/%d %d-%d: %d rows of %d after a repeated insert", ErrInconsistent, p.topic, p.partition, i.first, i.last, got, want)
	}
	return err
}

// readRange reads exactly the messages of an intent.
func readRange(ctx context.Context, feed Feed, p position, i intent) (batch, error) {
	var b batch
	r, err := feed.Read(ctx, p.topic, p.partition, i.first)
	for err == nil && r.Offset() <= i.last {
		var messages []bus.Message
		if messages, err = r.Next(ctx, int(i.last-r.Offset()+1)); err == nil && len(messages) == 0 {
			err = fmt.Errorf("%w: the log ends at %d", bus.ErrOffsetOutOfRange, r.Offset())
		}
		for _, m := range messages {
			b.items = append(b.items, decode(m))
		}
	}
	if errors.Is(err, bus.ErrOffsetOutOfRange) || errors.Is(err, bus.ErrGap) {
		return b, fmt.Errorf("%w: %s/%d %d-%d cannot be read again: %w", ErrLogChanged, p.topic, p.partition, i.first, i.last, err)
	}
	if err != nil {
		return b, fmt.Errorf("analytics: read %s/%d %d-%d again: %w", p.topic, p.partition, i.first, i.last, err)
	}
	if b.digest() != i.digest {
		return b, fmt.Errorf("%w: %s/%d %d-%d holds other messages than before", ErrLogChanged, p.topic, p.partition, i.first, i.last)
	}
	return b, nil
}

// reconcile makes the views' tables agree with the landing table in the range of an intent, and index_day with case_events.
func (s *Store) reconcile(ctx context.Context, p position, i intent) error {
	for _, view := range rowViews() {
		table := strings.TrimSuffix(view, "_view")
		source, err := s.viewSelect(ctx, view)
		if err != nil {
			return err
		}
		want, err := s.countRange(ctx, "("+source+")", p, i)
		if err != nil {
			return err
		}
		have, err := s.countRange(ctx, table, p, i)
		if err != nil {
			return err
		}
		if have == want {
			continue
		}
		s.log.WarnContext(ctx, "putting a view's table right", slog.String("table", table), slog.String("topic", p.topic),
			slog.Int("partition", p.partition), slog.Int64("rows", have), slog.Int64("wanted", want))
		// records_current has fewer rows than wanted also where newer versions replaced them; inserting them again is harmless there.
		if have > want || have > 0 && table != "records_current" {
			if err := s.exec(ctx, "DELETE FROM "+table+" WHERE "+inRange(p, i)); err != nil {
				return err
			}
		}
		if want > 0 {
			// In the order of the log: of two versions at one event time the later stays in records_current.
			if err := s.exec(ctx, "INSERT INTO "+table+" SELECT * FROM ("+source+") WHERE "+inRange(p, i)+
				" ORDER BY `offset` SETTINGS insert_deduplicate = 0"); err != nil {
				return err
			}
		}
	}
	return s.completeIndex(ctx)
}

// completeIndex adds to index_day what a recount of case_events finds missing.
func (s *Store) completeIndex(ctx context.Context) error {
	source, err := s.viewSelect(ctx, "index_day_view")
	if err != nil {
		return err
	}
	var sums, negatives, nonzero []string
	for _, name := range figureNames() {
		sums = append(sums, "sum(s."+name+") AS "+name)
		negatives = append(negatives, "-"+name)
		nonzero = append(nonzero, name+" != 0")
	}
	return s.exec(ctx, "INSERT INTO index_day SELECT s.day AS day, s.region AS region, s.department AS department, s.matter AS matter, "+strings.Join(sums, ", ")+
		" FROM (SELECT * FROM ("+source+") UNION ALL SELECT day, region, department, matter, "+strings.Join(negatives, ", ")+
		" FROM index_day) AS s GROUP BY day, region, department, matter HAVING "+strings.Join(nonzero, " OR ")+
		" SETTINGS insert_deduplicate = 0")
}

// viewSelect is the SELECT of a materialized view, as ClickHouse keeps it.
func (s *Store) viewSelect(ctx context.Context, view string) (string, error) {
	var text string
	err := s.conn.QueryRow(ctx, "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = "+quote(view)).Scan(&text)
	if err != nil {
		return "", fmt.Errorf("analytics: view %s: %w", view, err)
	}
	return text, nil
}

// countRange counts the rows of a table, or of a SELECT in parentheses, that come from the range of an intent.
func (s *Store) countRange(ctx context.Context, from string, p position, i intent) (int64, error) {
	if !isRecords(p.topic) {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var n uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM "+from+" WHERE "+inRange(p, i)).Scan(&n); err != nil {
		return 0, fmt.Errorf("analytics: count %s/%d %d-%d: %w", p.topic, p.partition, i.first, i.last, err)
	}
	return int64(n), nil
}

// inRange is the condition that a row comes from the range of an intent.
func inRange(p position, i intent) string {
	return fmt.Sprintf("resource = %s AND epoch = %d AND partition = %d AND offset BETWEEN %d AND %d",
		quote(strings.TrimPrefix(p.topic, exchange.RecordsTopicPrefix)), i.epoch, p.partition, i.first, i.last)
}

func (s *Store) exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("analytics: put right: %w", err)
	}
	return nil
}
