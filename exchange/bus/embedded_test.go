package bus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestEveryProduceRequestAsksForAllAcks(t *testing.T) {
	b := openURL(t, Config{URL: "embedded:" + t.TempDir()})
	topic := newTopic(t, b, 2)
	var mu sync.Mutex
	seen := make(map[int16]int)
	b.embedded.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.embedded.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		seen[req.(*kmsg.ProduceRequest).Acks]++
		return nil, nil, false
	})
	if _, err := b.Publish(t.Context(), make100(topic)...); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 || seen[-1] == 0 {
		t.Errorf("acks asked for, with number of requests: %v; want -1 (all) only", seen)
	}
}

func TestPartialFailure(t *testing.T) {
	b := openURL(t, Config{URL: "embedded:" + t.TempDir()})
	topic := newTopic(t, b, 2)
	b.embedded.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: 2})
	if _, err := b.Publish(t.Context(), make100(topic)...); err != nil {
		t.Fatalf("a change of leader must be survived: %v", err)
	}
	_, ends := endsOf(t, b, topic, 2)

	// Two batches and more for partition 1, the first of which is refused.
	faults := b.embedded.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{1}, Err: kerr.TopicAuthorizationFailed, Count: 1})
	msgs := slices.Concat(make100(topic), make100(topic))
	for i := range msgs {
		msgs[i].Value = make([]byte, 40_000)
	}
	positions, err := b.Publish(t.Context(), msgs...)
	faults.Remove()
	var pe *PublishError
	if !errors.As(err, &pe) || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "ot authorized") && !strings.Contains(err.Error(), "Authorization") {
		t.Fatalf("got %v", err)
	}
	stored := ends[0]
	for i, p := range positions {
		switch {
		case (p.Partition == 0) != (pe.Errs[i] == nil):
			t.Errorf("message %d for partition %d: %v", i, p.Partition, pe.Errs[i])
		case p.Partition == 0:
			if p.Offset != stored {
				t.Errorf("message %d at %d, want %d", i, p.Offset, stored)
			}
			stored++
		case p.Offset != -1:
			t.Errorf("message %d failed and is at %d", i, p.Offset)
		}
	}
	if _, after := endsOf(t, b, topic, 2); after[0] != stored || after[1] != ends[1] {
		t.Errorf("the logs end at %v; before %v, stored in 0 up to %d", after, ends, stored)
	}
	if b.budget.TryAcquire(maxInFlight) {
		b.budget.Release(maxInFlight)
	} else {
		t.Error("memory of failed messages is still counted")
	}
}

func endsOf(t *testing.T, b *Bus, topic string, partitions int) (firsts, ends []int64) {
	t.Helper()
	for p := range partitions {
		first, end, err := b.Bounds(t.Context(), topic, p)
		if err != nil {
			t.Fatal(err)
		}
		firsts, ends = append(firsts, first), append(ends, end)
	}
	return firsts, ends
}

func TestGivingUpTellsSentFromUnsent(t *testing.T) {
	b := openURL(t, Config{URL: "embedded:" + t.TempDir()})
	topic := newTopic(t, b, 1)
	held, release := make(chan struct{}), make(chan struct{})
	b.embedded.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.embedded.cluster.DropControl()
		close(held)
		<-release // the broker is busy, with the first request on its way
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	var first, second error
	var wg sync.WaitGroup
	wg.Go(func() { _, first = b.Publish(ctx, Message{Topic: topic, Value: []byte("sent")}) })
	<-held
	wg.Go(func() { _, second = b.Publish(ctx, Message{Topic: topic, Value: []byte("unsent")}) })
	lane := b.routes[topic].lanes[0]
	for queued := 0; queued == 0; time.Sleep(time.Millisecond) {
		lane.mu.Lock()
		queued = len(lane.queue)
		lane.mu.Unlock()
	}
	cancel()
	wg.Wait()
	close(release)
	if !errors.Is(first, ErrUnknown) || !errors.Is(first, context.Canceled) {
		t.Errorf("on its way: %v", first)
	}
	if errors.Is(second, ErrUnknown) || !errors.Is(second, context.Canceled) {
		t.Errorf("in the queue: %v", second)
	}
	if _, err := b.Publish(t.Context(), Message{Topic: topic, Value: []byte("next")}); err != nil {
		t.Fatal(err)
	}
	got := readTo(t, b, topic, 0, 0, 2)
	if _, end, err := b.Bounds(t.Context(), topic, 0); end != 2 || err != nil || string(got[0].Value) != "sent" || string(got[1].Value) != "next" {
		t.Errorf("the log holds %q and %q, ends at %d, %v", got[0].Value, got[1].Value, end, err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	b := openURL(t, Config{URL: "embedded:" + dir})
	topic := newTopic(t, b, 3)
	positions, err := b.Publish(t.Context(), make100(topic)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(t.Context(), "sink", topic, 2, 5); err != nil {
		t.Fatal(err)
	}
	crashed := crashCopy(t, dir)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"stopped": dir, "crashed": crashed} {
		t.Run(name, func(t *testing.T) {
			b := openURL(t, Config{URL: "embedded:" + dir})
			var all []Message
			_, ends := endsOf(t, b, topic, 3)
			for p := range 3 {
				all = append(all, readTo(t, b, topic, p, 0, ends[p])...)
			}
			for i, m := range make100(topic) {
				if !slices.ContainsFunc(all, func(got Message) bool {
					return Position{got.Partition, got.Offset} == positions[i] && string(got.Value) == string(m.Value)
				}) {
					t.Errorf("message %d is not at %v", i, positions[i])
				}
			}
			if len(all) != 100 {
				t.Errorf("%d messages", len(all))
			}
			if got, err := b.Committed(t.Context(), "sink", topic, 2); got != 5 || err != nil {
				t.Errorf("committed: %d, %v", got, err)
			}
			if b.Warnings() != 0 || b.Truncated() != 0 {
				t.Errorf("%d warnings, %d files cut", b.Warnings(), b.Truncated())
			}
		})
	}
}

// crashCopy copies the folder of an open Bus: what a crash would leave, as far as it was written.
func crashCopy(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestTwoOnOneFolder(t *testing.T) {
	dir := t.TempDir()
	first := openURL(t, Config{URL: "embedded:" + dir})
	_, err := Open(t.Context(), Config{URL: "embedded:" + dir, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrInUse with the folder's name", err)
	}
	if err := first.Ping(t.Context()); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

func TestNoPortIsOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sockets are listed by /proc, which is Linux's")
	}
	b := openURL(t, Config{URL: "embedded:" + t.TempDir()})
	newTopic(t, b, 1)
	ours := make(map[string]bool)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(link, "socket:[") {
			ours[strings.Trim(link, "socket:[]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "unix"} {
		list, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			continue // no such protocol on this machine
		}
		for line := range strings.Lines(string(list)) {
			f := strings.Fields(line)
			if table != "unix" && len(f) > 9 && f[3] == "0A" && ours[f[9]] {
				t.Errorf("listening: %s", line)
			}
			if table == "unix" && len(f) > 6 && f[3] == "00010000" && ours[f[6]] {
				t.Errorf("listening: %s", line)
			}
		}
	}
}

func TestTrimGivesSpaceBack(t *testing.T) {
	dir := t.TempDir()
	b := openURL(t, Config{URL: "embedded:" + dir})
	topic := newTopic(t, b, 1)
	msgs := make100(topic)
	for i := range msgs {
		msgs[i].Value = make([]byte, 100_000)
	}
	for range 3 {
		if _, err := b.Publish(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
	full := diskUse(t, dir)
	if err := b.Trim(t.Context(), topic, 0, 150); err != nil {
		t.Fatal(err)
	}
	if first, end, err := b.Bounds(t.Context(), topic, 0); first != 150 || end != 300 || err != nil {
		t.Errorf("after a trim to the middle: %d to %d, %v", first, end, err)
	}
	if half := diskUse(t, dir); half > full*2/3 {
		t.Errorf("%d bytes on disk after half of %d was trimmed", half, full)
	}
	if _, err := b.Read(t.Context(), topic, 0, 149); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("read of what was trimmed: %v", err)
	}
	if err := b.Trim(t.Context(), topic, 0, 301); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("trim beyond the end: %v", err)
	}
	for range 2 {
		if err := b.Trim(t.Context(), topic, 0, 300); err != nil {
			t.Fatal(err)
		}
	}
	if rest := diskUse(t, dir); rest > 2*segmentBytes {
		t.Errorf("%d bytes on disk after everything was trimmed", rest)
	}
	// Offsets must go on after a crash, even though everything was trimmed.
	again := openURL(t, Config{URL: "embedded:" + crashCopy(t, dir)})
	positions, err := again.Publish(t.Context(), Message{Topic: topic, Value: []byte("next")})
	if err != nil || positions[0].Offset != 300 {
		t.Errorf("after a crash the next offset is %v, %v; want 300", positions, err)
	}
}

func diskUse(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		bytes += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestFull(t *testing.T) {
	dir := t.TempDir()
	const limit = 20 << 20
	b := openURL(t, Config{URL: "embedded:" + dir, MaxLogBytes: limit})
	topic := newTopic(t, b, 1)
	msgs := make100(topic)
	for i := range msgs {
		msgs[i].Value = make([]byte, 10_000)
	}
	var stored int64
	var err error
	for err == nil && stored < 10_000 {
		if _, err = b.Publish(t.Context(), msgs...); err == nil {
			stored += int64(len(msgs))
		}
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "behind") {
		t.Fatalf("after %d messages: %v", stored, err)
	}
	if used := diskUse(t, dir); used > limit+1<<20 || used < limit-2<<20 {
		t.Errorf("full at %d bytes on disk, the cap is %d", used, limit)
	}
	if got := readTo(t, b, topic, 0, 0, stored); int64(len(got)) != stored {
		t.Errorf("%d of %d messages are there", len(got), stored)
	}
	if err := b.Trim(t.Context(), topic, 0, stored); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(measureEvery) {
		positions, err := b.Publish(t.Context(), msgs...)
		if err == nil {
			if positions[0].Offset != stored {
				t.Errorf("goes on at %d, want %d", positions[0].Offset, stored)
			}
			return
		}
		if !errors.Is(err, ErrFull) || time.Now().After(deadline) {
			t.Fatalf("after everything was trimmed: %v", err)
		}
	}
}

func TestDamageIsSeen(t *testing.T) {
	dir := t.TempDir()
	b := openURL(t, Config{URL: "embedded:" + dir})
	topic := newTopic(t, b, 1)
	msgs := make100(topic)
	for i := range msgs {
		msgs[i].Value = make([]byte, 100_000)
	}
	if _, err := b.Publish(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	damaged := crashCopy(t, dir)
	first := filepath.Join(damaged, "partitions", topic+"-0", "0.dat")
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2+1000] ^= 1 // within the records of a batch
	if err := os.WriteFile(first, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b = openURL(t, Config{URL: "embedded:" + damaged})
	if b.Truncated() != 1 || b.Warnings() == 0 {
		t.Errorf("%d files cut, %d warnings", b.Truncated(), b.Warnings())
	}
	registry := prometheus.NewRegistry()
	for _, c := range b.Collectors() {
		registry.MustRegister(c)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("%v, %v", families, err)
	}
	for _, family := range families {
		if got := family.GetMetric()[0].GetCounter().GetValue(); got == 0 {
			t.Errorf("%s is 0 after damage", family.GetName())
		}
	}
	r, err := b.Read(t.Context(), topic, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.Next(t.Context(), 10)
	}
	var gap *GapError
	if !errors.As(err, &gap) || !errors.Is(err, ErrGap) || gap.From != r.Offset() || gap.To <= gap.From || gap.To >= 100 {
		t.Fatalf("at %d: %v", r.Offset(), err)
	}
	if got := readTo(t, b, topic, 0, gap.To, 100); int64(len(got)) != 100-gap.To {
		t.Errorf("%d messages behind the gap %v", len(got), gap)
	}
}

func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		b, err := Open(t.Context(), Config{URL: "embedded:" + t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		topic := newTopic(t, b, 4)
		if _, err := b.Publish(t.Context(), make100(topic)...); err != nil {
			t.Fatal(err)
		}
		r, err := b.Read(t.Context(), topic, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = r.Next(ctx, 1)
		if _, err := r.Next(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
