package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Commit tells the cluster how far a group has come: offset is the next one it will read. It is for operators,
// who see the lag with Kafka's own tools; consumers keep their true position with what they store.
func (b *Bus) Commit(ctx context.Context, group, topic string, partition int, offset int64) error {
	err := b.askCoordinator(ctx, func(ctx context.Context) error {
		res, err := b.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID:      group,
			GenerationID: -1, // no membership
			Topics:       map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: offset}}},
		})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Partition == partition {
				return p.Error
			}
		}
		return fmt.Errorf("%w: the answer leaves the partition out", ErrUnknown)
	})
	if err != nil {
		return fmt.Errorf("bus: commit of group %q for %s/%d: %w", group, topic, partition, translate(err))
	}
	return nil
}

// Committed is the last offset given to Commit, or -1 if there is none.
func (b *Bus) Committed(ctx context.Context, group, topic string, partition int) (int64, error) {
	offset := int64(-1)
	err := b.askCoordinator(ctx, func(ctx context.Context) error {
		res, err := b.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {partition}}})
		if err != nil {
			return err
		}
		if res.Error != nil {
			return res.Error
		}
		for _, p := range res.Topics[topic] {
			if p.Partition == partition && p.Error == nil {
				offset = p.CommittedOffset
			} else if p.Partition == partition {
				return p.Error
			}
		}
		return nil
	})
	if errors.Is(err, kafka.GroupIdNotFound) {
		return -1, nil // nobody has committed for it yet
	}
	if err != nil {
		return -1, fmt.Errorf("bus: committed offset of group %q for %s/%d: %w", group, topic, partition, translate(err))
	}
	return offset, nil
}

// askCoordinator repeats a request while the cluster is still choosing or loading the group's coordinator,
// as it does for the first group of all.
func (b *Bus) askCoordinator(ctx context.Context, request func(context.Context) error) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.ops.Done()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		err := request(ctx)
		if err == nil || !temporary(err) || errors.Is(err, kafka.UnknownTopicOrPartition) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(settleEvery):
		}
	}
}
