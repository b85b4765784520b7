package analytics

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// Group is the consumer group under which the sink shows operators how far it is.
const Group = "onewindow-sink"

const (
	// discoverEvery is the pause between two looks for new topics and partitions.
	discoverEvery = time.Second
	// maxPause bounds the pause after a failure.
	maxPause = 5 * time.Second
	// gathered bounds the bytes of messages that wait in all batches together, beside one fetch for each partition.
	gathered = 32 << 20
	// longFetch is a fetch of so many bytes that more of them are surely waiting; the bus fetches about 1 MiB.
	longFetch = 512 << 10
)

// Feed is the log that the sink reads; *bus.Bus is one. Methods may be called concurrently. The order of a partition's
// messages is fixed. An error means that the same call may be made again, but for bus.ErrOffsetOutOfRange and bus.ErrGap,
// which say that messages are not there. Commit is a courtesy to operators: it need not last.
type Feed interface {
	Topics(ctx context.Context, prefix string) ([]string, error)
	Partitions(ctx context.Context, topic string) (int, error)
	Bounds(ctx context.Context, topic string, partition int) (first, end int64, err error)
	Read(ctx context.Context, topic string, partition int, offset int64) (*bus.Reader, error)
	Commit(ctx context.Context, group, topic string, partition int, offset int64) error
}

// trimmer is a Feed whose messages may be deleted when they are stored. A failure leaves them there, which does no harm.
type trimmer interface {
	Trim(ctx context.Context, topic string, partition int, before int64) error
}

// sink is one run of RunSink.
type sink struct {
	*Store
	feed   Feed
	guard  guard               // used under the turn
	budget *semaphore.Weighted // bytes of gathered messages
}

// RunSink stores what comes on the topics records.* and licenses.events until ctx ends, topics and partitions
// that appear later included. It returns nil when ctx ends: a failure stops one partition for a moment, never the rest.
func (s *Store) RunSink(ctx context.Context, feed Feed) error {
	k := &sink{Store: s, feed: feed, budget: semaphore.NewWeighted(gathered)}
	if err := k.prepareGuard(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	s.progress.begin(feed)
	defer s.progress.end()
	var workers sync.WaitGroup
	defer workers.Wait()
	known := map[partitionID]bool{}
	look := time.NewTicker(discoverEvery)
	defer look.Stop()
	for {
		partitions, err := k.discover(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "topics cannot be listed", slog.String("error", err.Error()))
		}
		for _, id := range partitions {
			if known[id] {
				continue
			}
			known[id] = true
			workers.Go(func() { k.work(ctx, id) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// prepareGuard loads the known ids before the first batch, so that the first does not wait.
func (k *sink) prepareGuard(ctx context.Context) error {
	endTurn, err := k.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer endTurn()
	return k.loadGuard(ctx, &k.guard)
}

// partitionID names a partition of a topic.
type partitionID struct {
	topic     string
	partition int
}

// discover lists the partitions to be stored.
func (k *sink) discover(ctx context.Context) ([]partitionID, error) {
	topics, err := k.feed.Topics(ctx, exchange.RecordsTopicPrefix)
	if err != nil {
		return nil, err
	}
	licenses, err := k.feed.Topics(ctx, LicensesTopic)
	if err != nil {
		return nil, err
	}
	for _, topic := range licenses {
		if topic == LicensesTopic {
			topics = append(topics, topic)
		}
	}
	var out []partitionID
	for _, topic := range topics {
		n, err := k.feed.Partitions(ctx, topic)
		if err != nil {
			return out, err
		}
		for partition := range n {
			out = append(out, partitionID{topic, partition})
		}
	}
	return out, nil
}

// work stores one partition until ctx ends, starting again from the state database after each failure.
func (k *sink) work(ctx context.Context, id partitionID) {
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		started := k.cfg.Now()
		err := k.follow(ctx, id)
		if ctx.Err() != nil {
			return
		}
		if k.cfg.Now().Sub(started) > 2*maxPause {
			pause = 50 * time.Millisecond
		}
		k.log.ErrorContext(ctx, "storing stopped and will start again", slog.String("topic", id.topic), slog.Int("partition", id.partition),
			slog.Duration("pause", pause), slog.String("error", err.Error()))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// follow stores one partition from where the state database says, until something fails.
func (k *sink) follow(ctx context.Context, id partitionID) error {
	p, err := k.resume(ctx, id)
	if err != nil {
		return err
	}
	reader, err := k.feed.Read(ctx, p.topic, p.partition, p.next)
	if err != nil {
		return err
	}
	k.progress.advance(id, p.next)
	k.trim(ctx, p)
	for {
		b, held, readErr := k.gather(ctx, reader, id)
		if len(b.items) > 0 {
			p, err = k.store(ctx, p, b)
			k.budget.Release(held)
			if err != nil {
				return err
			}
			k.progress.advance(id, p.next)
			if err := k.feed.Commit(ctx, Group, p.topic, p.partition, p.next); err != nil && ctx.Err() == nil {
				k.log.WarnContext(ctx, "offset not committed; only the lag shown to operators is wrong",
					slog.String("topic", p.topic), slog.Int("partition", p.partition), slog.String("error", err.Error()))
			}
			k.trim(ctx, p)
		}
		var gap *bus.GapError
		if errors.As(readErr, &gap) {
			return k.skip(ctx, p, gap.To)
		}
		if readErr != nil {
			return readErr
		}
	}
}

// gather decodes messages until the batch is full, old enough, or somebody waits for it. It returns how much of the budget
// the batch holds, and with an error what came before it.
func (k *sink) gather(ctx context.Context, reader *bus.Reader, id partitionID) (b batch, held int64, err error) {
	var closes time.Time
	for {
		messages, err := k.next(ctx, reader, id, k.cfg.BatchRecords-len(b.items), len(b.items) > 0)
		if err != nil || len(messages) == 0 {
			return b, held, err
		}
		if len(b.items) == 0 {
			closes = time.Now().Add(k.cfg.Linger)
		}
		var size int64
		for i := range messages {
			size += int64(len(messages[i].Value) + len(messages[i].Key) + 64)
			b.items = append(b.items, decode(messages[i]))
		}
		b.bytes += int(size)
		full := len(b.items) >= k.cfg.BatchRecords || b.bytes >= k.cfg.BatchBytes
		switch {
		case k.budget.TryAcquire(size):
			held += size
		case held == 0: // nothing of ours stands in the way of others: wait
			size = min(size, gathered)
			if err := k.budget.Acquire(ctx, size); err != nil {
				return b, 0, err
			}
			held = size
		default:
			full = true
		}
		// With a long log ahead a small batch now would only make later records wait longer.
		behind := size >= longFetch
		if full || !behind && !time.Now().Before(closes) || k.progress.wanted(id, b.last()) {
			return b, held, nil
		}
	}
}

// next reads more messages. With some in hand already, it stops waiting for more when somebody asks for what there is.
func (k *sink) next(ctx context.Context, reader *bus.Reader, id partitionID, room int, some bool) ([]bus.Message, error) {
	if !some {
		return reader.Next(ctx, room)
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	hurry := k.progress.hurry(id)
	go func() {
		select {
		case <-hurry:
			cancel()
		case <-waiting.Done():
		}
	}()
	messages, err := reader.Next(waiting, room)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return messages, err
}

// store brings one batch into ClickHouse. After an error its intent is open, or was never written.
func (k *sink) store(ctx context.Context, p position, b batch) (position, error) {
	endTurn, err := k.takeTurn(ctx)
	if err != nil {
		return p, err
	}
	defer endTurn()
	i := intent{
		epoch: p.epoch, first: b.first(), last: b.last(), digest: b.digest(), lastDigest: b.lastDigest(),
		received: k.cfg.Now().UTC().Truncate(time.Millisecond),
	}
	if isRecords(p.topic) {
		resource := p.topic[len(exchange.RecordsTopicPrefix):]
		if i.dropped, err = k.duplicates(ctx, &k.guard, resource, b.items); err != nil {
			return p, err
		}
	}
	items := b.without(i.dropped)
	i.stored, i.duplicates = int64(len(items)), int64(len(i.dropped))
	for at := range items {
		if items[at].notEvent {
			i.notEvents++
		}
	}
	if i.notEvents > 0 {
		k.log.WarnContext(ctx, "messages that are no events were put aside", slog.String("topic", p.topic),
			slog.Int("partition", p.partition), slog.Int64("messages", i.notEvents))
	}
	if err := k.ledger.intend(ctx, p, i); err != nil {
		return p, err
	}
	// What begins here is finished even when the sink is asked to stop, so that a clean stop leaves no intent open.
	ctx = context.WithoutCancel(ctx)
	k.guard.learn(items)
	if err := k.insertItems(ctx, p, i, i.token(p), items); err != nil {
		return p, err
	}
	return k.ledger.done(ctx, p, i)
}

// resume finds where to go on: it settles an open intent and checks that the log is still the one that was stored.
func (k *sink) resume(ctx context.Context, id partitionID) (position, error) {
	p, open, err := k.ledger.load(ctx, id.topic, id.partition)
	if err != nil {
		return p, err
	}
	if open != nil {
		// The batch may be the first of its partition, in a log that does not begin at 0.
		p.next = open.first
		settled, err := k.settle(ctx, p, *open)
		if errors.Is(err, ErrLogChanged) {
			return k.goBack(ctx, p, open, err)
		}
		if err != nil {
			return p, err
		}
		p = settled
	}
	first, end, err := k.feed.Bounds(ctx, p.topic, p.partition)
	if err != nil {
		return p, err
	}
	switch {
	case p.next > end:
		return k.goBack(ctx, p, nil, fmt.Errorf("%w: it ends at %d, and %d was stored", ErrLogChanged, end, p.next-1))
	case p.next < first && p.next == 0 && p.last == "":
		p.next = first
	case p.next < first:
		return p, k.skip(ctx, p, first)
	case p.next > first && p.last != "":
		if err := k.sameLog(ctx, p); errors.Is(err, ErrLogChanged) {
			return k.goBack(ctx, p, nil, err)
		} else if err != nil {
			return p, err
		}
	}
	return p, nil
}

// sameLog checks that the last message that was stored is still where it was.
func (k *sink) sameLog(ctx context.Context, p position) error {
	reader, err := k.feed.Read(ctx, p.topic, p.partition, p.next-1)
	if err != nil {
		return err
	}
	messages, err := reader.Next(ctx, 1)
	if errors.Is(err, bus.ErrGap) || errors.Is(err, bus.ErrOffsetOutOfRange) {
		return fmt.Errorf("%w: message %d is gone: %w", ErrLogChanged, p.next-1, err)
	}
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		return fmt.Errorf("analytics: %s/%d: message %d did not come in time", p.topic, p.partition, p.next-1)
	}
	it := decode(messages[0])
	if hex.EncodeToString(it.id[:]) != p.last {
		return fmt.Errorf("%w: message %d is another one", ErrLogChanged, p.next-1)
	}
	return nil
}

// goBack starts a partition again at the first offset of its log, in a new epoch. Records that were stored before are
// recognised by their ids.
func (k *sink) goBack(ctx context.Context, p position, open *intent, cause error) (position, error) {
	first, _, err := k.feed.Bounds(ctx, p.topic, p.partition)
	if err != nil {
		return p, err
	}
	k.log.ErrorContext(ctx, "ALARM: the log went back; storing starts again at its beginning, in a new epoch",
		slog.String("topic", p.topic), slog.Int("partition", p.partition), slog.Int64("stored_until", p.next), slog.Int64("log_begins", first),
		slog.Int64("epoch", p.epoch+1), slog.String("cause", cause.Error()))
	if open != nil && isRecords(p.topic) {
		// None of its rows are in the landing table: see that no view has any.
		endTurn, err := k.takeTurn(ctx)
		if err != nil {
			return p, err
		}
		err = k.reconcile(ctx, p, *open)
		endTurn()
		if err != nil {
			return p, err
		}
	}
	to := position{topic: p.topic, partition: p.partition, epoch: p.epoch + 1, next: first}
	if err := k.ledger.move(ctx, p, to); err != nil {
		return p, err
	}
	return to, nil
}

// skip goes on behind messages that are missing in the log. It returns an error, so that the partition starts anew there.
func (k *sink) skip(ctx context.Context, p position, to int64) error {
	k.log.ErrorContext(ctx, "ALARM: messages are missing in the log; storing goes on behind them",
		slog.String("topic", p.topic), slog.Int("partition", p.partition), slog.Int64("first_missing", p.next), slog.Int64("next", to))
	next := p
	next.next, next.last = to, ""
	if err := k.ledger.move(ctx, p, next); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s/%d: %d to %d are missing", bus.ErrGap, p.topic, p.partition, p.next, to-1)
}

// trim lets the log forget what is stored, if the caller asked for it.
func (k *sink) trim(ctx context.Context, p position) {
	t, can := k.feed.(trimmer)
	before := p.next - k.cfg.TrimMargin
	if !k.cfg.TrimStored || !can || before <= 0 {
		return
	}
	if err := t.Trim(ctx, p.topic, p.partition, before); err != nil && ctx.Err() == nil {
		k.log.WarnContext(ctx, "stored messages not deleted from the log", slog.String("topic", p.topic),
			slog.Int("partition", p.partition), slog.String("error", err.Error()))
	}
}
