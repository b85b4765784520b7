package exchange

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Topics is what the exchange needs of the bus. EnsureTopic is idempotent.
// Publish returns the position of every message, in the order given, after
// the broker has all of them on disk; messages of one key keep their order.
// After an error the outcome is unknown and the same messages are published
// again.
type Topics interface {
	EnsureTopic(ctx context.Context, name string, opts bus.TopicOptions) error
	Publish(ctx context.Context, msgs ...bus.Message) ([]bus.Position, error)
}

// Records reads what the sink has stored. Lookup returns the current records
// of the keys that have one, in any order. WaitStored returns once the
// positions of the resource are stored, or with ctx's error.
type Records interface {
	Lookup(ctx context.Context, resource string, keys []string) ([]Record, error)
	WaitStored(ctx context.Context, resource string, positions []bus.Position) error
}

// Licenses answers whether a holder has a licence of a type. An absent licence
// is not an error: Number is empty.
type Licenses interface {
	Held(ctx context.Context, holder, licenseType string) (HeldLicense, error)
}

// HeldLicense is the best licence of a type that a holder has.
type HeldLicense struct {
	// Number is the GB/T 36904 identifier; empty when there is none.
	Number string
	Valid  bool
	// Note says why it is not valid, in words for a clerk.
	Note string
}

// Config is what an [Exchange] is built from; all fields are required.
type Config struct {
	DB       *sqldb.DB
	Topics   Topics
	Records  Records
	Licenses Licenses
	Logger   *slog.Logger
	// Partitions of each new topic.
	Partitions int
	Now        func() time.Time
}

// Exchange is the domain of sharing. Its methods may be called concurrently.
type Exchange struct {
	cfg Config

	mu        sync.Mutex
	validated map[string]*validator // by resource name
	changes   int                   // of resources, so that a validator of an older row is not remembered
}

// New applies the migrations and returns an exchange.
func New(ctx context.Context, cfg Config) (*Exchange, error) {
	if err := migrate(ctx, cfg.DB); err != nil {
		return nil, err
	}
	if err := cfg.Topics.EnsureTopic(ctx, RejectedTopic, bus.TopicOptions{Partitions: 1}); err != nil {
		return nil, err
	}
	return &Exchange{cfg: cfg, validated: map[string]*validator{}}, nil
}

func migrate(ctx context.Context, db *sqldb.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	return db.Migrate(ctx, "exchange", dir)
}
