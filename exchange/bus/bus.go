package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"
)

const (
	// maxInFlight bounds the bytes of messages that Publish calls hold in memory together.
	maxInFlight = 64 << 20
	// maxSends bounds the produce requests under way, and so the connections they need.
	maxSends = 16
	// metadataTTL is how old the list of topics and leaders may be.
	metadataTTL = 2 * time.Second
	// requestTimeout bounds one request to a broker, waiting for data apart.
	requestTimeout = 15 * time.Second
)

// Bus is a connection to one Kafka cluster, embedded or real. All methods may be called concurrently.
type Bus struct {
	cfg       Config
	log       *slog.Logger
	client    *kafka.Client
	transport *kafka.Transport
	embedded  *broker // nil for a real cluster

	budget  *semaphore.Weighted // bytes of messages in memory
	sends   chan struct{}       // produce requests under way
	fetches chan struct{}       // large fetches under way
	spread  atomic.Uint64       // round robin for messages without key

	routesMu sync.Mutex
	routes   map[string]*route

	closing sync.RWMutex // guards closed; ops may only grow under its read lock
	closed  bool
	ops     sync.WaitGroup
}

// Open connects to the cluster that cfg.URL names, and for "embedded:DIR" starts it first.
// It answers ErrInUse if another process has DIR open. A real cluster that cannot be reached
// is an error as well; ctx bounds the wait.
func Open(ctx context.Context, cfg Config) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	to, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		cfg:     cfg,
		log:     cfg.Logger,
		budget:  semaphore.NewWeighted(maxInFlight),
		sends:   make(chan struct{}, maxSends),
		fetches: make(chan struct{}, maxFetches),
		routes:  make(map[string]*route),
	}
	b.transport = &kafka.Transport{ClientID: "onewindow", MetadataTTL: metadataTTL, DialTimeout: requestTimeout}
	var addr net.Addr
	if to.dir != "" {
		if b.embedded, err = startBroker(ctx, to.dir, cfg.MaxLogBytes, cfg.Logger); err != nil {
			return nil, err
		}
		b.transport.Dial = b.embedded.dial
		addr = b.embedded.addr()
	} else {
		if b.transport.TLS, err = to.tlsConfig(); err != nil {
			return nil, err
		}
		if b.transport.SASL, err = to.mechanism(); err != nil {
			return nil, err
		}
		b.transport.Dial = (&net.Dialer{}).DialContext
		addr = kafka.TCP(to.brokers...)
	}
	b.client = &kafka.Client{Addr: addr, Transport: b.transport, Timeout: 2 * requestTimeout}
	if err := b.Ping(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Ping asks a broker for an answer.
func (b *Bus) Ping(ctx context.Context) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.ops.Done()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := b.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("bus: broker does not answer: %w", err)
	}
	return nil
}

// Warnings counts what the embedded broker complained about since Open (each complaint is logged too).
// More than 0 deserves an alarm: see Truncated. It is always 0 for a real cluster.
func (b *Bus) Warnings() int64 {
	if b.embedded == nil {
		return 0
	}
	return b.embedded.log.warnings.Load()
}

// Truncated counts the files that the embedded broker had to cut short when it started. One cut at the end
// of a partition is normal after a crash, because the last batch was not whole and therefore not acknowledged;
// any other cut lost acknowledged records. It is always 0 for a real cluster.
func (b *Bus) Truncated() int64 {
	if b.embedded == nil {
		return 0
	}
	return b.embedded.log.truncated.Load()
}

// Close waits for the calls under way, closes the connections and stops the embedded broker last.
// Every later call answers ErrClosed.
func (b *Bus) Close() error {
	b.closing.Lock()
	if b.closed {
		b.closing.Unlock()
		return nil
	}
	b.closed = true
	b.closing.Unlock()
	b.ops.Wait()
	b.transport.CloseIdleConnections()
	if b.embedded != nil {
		return b.embedded.stop()
	}
	return nil
}

// enter counts a call in, so that Close waits for it; the caller must call b.ops.Done.
func (b *Bus) enter() error {
	b.closing.RLock()
	defer b.closing.RUnlock()
	if b.closed {
		return ErrClosed
	}
	b.ops.Add(1)
	return nil
}
