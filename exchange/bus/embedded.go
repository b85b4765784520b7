package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	// embeddedPort is the number under which the broker is known inside its in-memory network. No socket has it.
	embeddedPort = 9092
	// segmentBytes is the size of the files of a partition. Trim gives space back file by file and the last
	// file of a partition stays, so small files keep (partitions × segmentBytes) small; at the default cap
	// there are at most some 500 of them.
	segmentBytes = 4 << 20
	// measureEvery bounds how often a full log is measured again.
	measureEvery = 50 * time.Millisecond
)

// broker is the embedded single-node broker on one folder.
type broker struct {
	dir     string
	cluster *kfake.Cluster
	network *kfake.VirtualNetwork
	log     *brokerLog
	lock    *os.File

	max      int64
	mu       sync.Mutex
	used     int64     // bytes in the log: last measured, plus published since
	measured time.Time // when
}

func startBroker(ctx context.Context, dir string, maxBytes int64, logger *slog.Logger) (*broker, error) {
	// The log holds citizens' data.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: folder of the embedded log: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	br := &broker{dir: dir, lock: lock, max: maxBytes, network: new(kfake.VirtualNetwork), log: &brokerLog{logger: logger}}
	br.cluster, err = kfake.NewCluster(
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.NumBrokers(1),
		kfake.Ports(embeddedPort),
		kfake.ListenFn(br.network.Listen),
		kfake.WithLogger(br.log),
		kfake.BrokerConfigs(map[string]string{
			// A group that is idle for a week must not lose its positions.
			"offsets.retention.minutes": strconv.Itoa(10 * 365 * 24 * 60),
		}),
	)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("bus: embedded log in %s: %w", dir, err)
	}
	if n := br.log.truncated.Load(); n > 0 {
		logger.WarnContext(ctx, "embedded log was cut at start; normal once per partition after a crash, otherwise records are lost", slog.String("folder", dir), slog.Int64("files", n))
	}
	return br, nil
}

func (br *broker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return br.network.DialContext(ctx, network, address)
}

func (br *broker) addr() net.Addr {
	return kafka.TCP(net.JoinHostPort("127.0.0.1", strconv.Itoa(embeddedPort)))
}

// stop ends the broker, which writes a snapshot, and lets go of the folder.
func (br *broker) stop() error {
	br.cluster.Close()
	if err := br.lock.Close(); err != nil {
		return fmt.Errorf("bus: unlock %s: %w", br.dir, err)
	}
	return nil
}

// reserve books n bytes in the log, or answers ErrFull. topics are those that exist.
func (br *broker) reserve(n int64, topics func() ([]string, error)) error {
	br.mu.Lock()
	defer br.mu.Unlock()
	if stale := br.measured.IsZero() || br.used+n > br.max; stale && time.Since(br.measured) >= measureEvery {
		names, err := topics()
		if err != nil {
			return err
		}
		br.used = 0
		for _, name := range names {
			for _, p := range br.cluster.PartitionInfos(name) {
				br.used += p.NumBytes
			}
		}
		br.measured = time.Now()
	}
	if br.used+n > br.max {
		return fmt.Errorf("%w: %s holds %d of %d bytes and these messages need %d; the consumer that stores the records is behind, try again when it has caught up",
			ErrFull, br.dir, br.used, br.max, n)
	}
	br.used += n
	return nil
}

// trim deletes the records before an offset, except the last record of the partition: an empty partition
// would forget its next offset in a crash, and offsets would be used twice.
func (br *broker) trim(topic string, partition int, before int64) error {
	info := br.cluster.PartitionInfo(topic, int32(partition)) //nolint:gosec // partition numbers are small
	if info == nil {
		return fmt.Errorf("%w: %s/%d", ErrUnknownTopic, topic, partition)
	}
	if before > info.HighWatermark {
		return fmt.Errorf("%w: trim %s/%d before %d, but the log ends at %d", ErrOffsetOutOfRange, topic, partition, before, info.HighWatermark)
	}
	before = min(before, info.HighWatermark-1)
	if before <= info.LogStartOffset {
		return nil
	}
	if err := br.cluster.DeleteRecords(topic, int32(partition), before); err != nil { //nolint:gosec // as above
		return fmt.Errorf("bus: trim %s/%d before %d: %w", topic, partition, before, err)
	}
	return nil
}

// brokerLog passes the broker's warnings on and counts them.
type brokerLog struct {
	logger    *slog.Logger
	warnings  atomic.Int64
	truncated atomic.Int64
}

// Logf implements kfake.Logger.
func (l *brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level != kfake.LogLevelWarn && level != kfake.LogLevelError {
		return
	}
	l.warnings.Add(1)
	if strings.Contains(format, "truncating") {
		l.truncated.Add(1)
	}
	l.logger.WarnContext(context.Background(), "embedded broker", slog.String("detail", fmt.Sprintf(format, args...)))
}
