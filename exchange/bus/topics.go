package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	defaultPartitions = 4
	defaultRetention  = 7 * 24 * time.Hour
	// settleEvery is the pause between questions whether a new topic has its leaders.
	settleEvery = 20 * time.Millisecond
)

// TopicOptions are used when a topic is created; a topic that exists keeps what it has.
type TopicOptions struct {
	// Partitions default to 4. Order holds within a partition only.
	Partitions int
	// Retention is how long a real cluster keeps the records: default 7 days, negative for ever.
	// The embedded log has no retention: only Trim deletes.
	Retention time.Duration
}

// EnsureTopic creates the topic if it does not exist and waits until it can be written and read.
// Replication is the cluster's default.
func (b *Bus) EnsureTopic(ctx context.Context, name string, opts TopicOptions) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.ops.Done()
	if opts.Partitions == 0 {
		opts.Partitions = defaultPartitions
	}
	if opts.Retention == 0 {
		opts.Retention = defaultRetention
	}
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	res, err := b.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic:             name,
		NumPartitions:     opts.Partitions,
		ReplicationFactor: -1,
		ConfigEntries:     b.topicConfig(opts),
	}}})
	if err == nil {
		err = res.Errors[name]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("bus: create topic %q: %w", name, err)
	}
	return b.awaitTopic(ctx, name)
}

// topicConfig is explicit about retention, since a broker's defaults drop records by age.
func (b *Bus) topicConfig(opts TopicOptions) []kafka.ConfigEntry {
	entries := []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
		{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(max(b.cfg.MaxMessageBytes, batchBytes) + batchSlack)},
	}
	retention := int64(-1)
	if b.embedded != nil {
		entries = append(entries, kafka.ConfigEntry{ConfigName: "segment.bytes", ConfigValue: strconv.Itoa(segmentBytes)})
	} else if opts.Retention > 0 {
		retention = opts.Retention.Milliseconds()
	}
	return append(entries, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(retention, 10)})
}

// awaitTopic waits until every partition has a leader that answers. Brokers learn of a new topic one after another.
func (b *Bus) awaitTopic(ctx context.Context, name string) error {
	for {
		n, err := b.partitions(ctx, name)
		for p := 0; p < n && err == nil; p++ {
			_, _, err = b.bounds(ctx, name, p)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrUnknownTopic) && !temporary(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bus: topic %q is not ready: %w", name, errors.Join(err, ctx.Err()))
		case <-time.After(settleEvery):
		}
	}
}

// Topics lists the topics whose name begins with prefix, sorted, without the cluster's own.
// A topic created by another process appears within some seconds.
func (b *Bus) Topics(ctx context.Context, prefix string) ([]string, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.ops.Done()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return b.topics(ctx, prefix)
}

func (b *Bus) topics(ctx context.Context, prefix string) ([]string, error) {
	meta, err := b.client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, fmt.Errorf("bus: list topics: %w", err)
	}
	var names []string
	for _, t := range meta.Topics {
		if !t.Internal && strings.HasPrefix(t.Name, prefix) {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Partitions counts the partitions of a topic, or answers ErrUnknownTopic.
func (b *Bus) Partitions(ctx context.Context, topic string) (int, error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.ops.Done()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return b.partitions(ctx, topic)
}

func (b *Bus) partitions(ctx context.Context, topic string) (int, error) {
	meta, err := b.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("bus: topic %q: %w", topic, err)
	}
	for _, t := range meta.Topics {
		if t.Name == topic && t.Error == nil && len(t.Partitions) > 0 {
			return len(t.Partitions), nil
		}
	}
	return 0, fmt.Errorf("%w: %q; create it with EnsureTopic", ErrUnknownTopic, topic)
}

// Bounds returns the offsets of a partition: of its first record, and of the next one to be written or, if a
// transaction is open, of the first record of the first open one (the last stable offset).
// An end below what a consumer has stored means that the log went back or that the topic was made anew.
func (b *Bus) Bounds(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	if err := b.enter(); err != nil {
		return 0, 0, err
	}
	defer b.ops.Done()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return b.bounds(ctx, topic, partition)
}

func (b *Bus) bounds(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	res, err := b.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{IsolationLevel: kafka.ReadCommitted, Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("bus: bounds of %s/%d: %w", topic, partition, translate(err))
	}
	for _, p := range res.Topics[topic] {
		if p.Partition != partition {
			continue
		}
		if p.Error != nil {
			return 0, 0, fmt.Errorf("bus: bounds of %s/%d: %w", topic, partition, translate(p.Error))
		}
		return p.FirstOffset, p.LastOffset, nil
	}
	return 0, 0, fmt.Errorf("%w: %s/%d", ErrUnknownTopic, topic, partition)
}

// Trim deletes the records of a partition before an offset. The caller must have stored them: this is the only
// way by which the embedded log loses records, and by which its space comes back, in files of some MiB. The last
// record always stays. On a real cluster retention is the operator's affair: there Trim does nothing.
func (b *Bus) Trim(ctx context.Context, topic string, partition int, before int64) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.ops.Done()
	if err := ctx.Err(); err != nil || b.embedded == nil {
		return err
	}
	return b.embedded.trim(topic, partition, before)
}

// translate gives the sentinels of this package for what kafka-go and the broker call by other names.
func translate(err error) error {
	switch {
	case errors.Is(err, kafka.UnknownTopicOrPartition), errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return fmt.Errorf("%w (%w)", ErrUnknownTopic, err)
	case errors.Is(err, kafka.MessageSizeTooLarge), errors.Is(err, kafka.RecordListTooLarge):
		return fmt.Errorf("%w for the topic's max.message.bytes (%w)", ErrTooLarge, err)
	}
	return err
}

// temporary tells whether the same request may succeed a moment later.
func temporary(err error) bool {
	var ke kafka.Error
	return errors.Is(err, protocol.ErrNoLeader) || errors.As(err, &ke) && ke.Temporary()
}
