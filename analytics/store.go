package analytics

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

//go:embed schema
var schemaFiles embed.FS

// timeout bounds one statement, so that a server that hangs does not hang the sink.
const timeout = 2 * time.Minute

// Config says where a Store keeps its data and what its limits are.
type Config struct {
	// ClickHouse names the server: Addr, Auth and, for the embedded engine,
	// TransportFunc. The protocol is always HTTP; Auth.Database is ignored.
	ClickHouse clickhouse.Options
	// Database is the name of the ClickHouse database: letters, digits and underscores.
	Database string
	// State keeps positions and intents. Required.
	State *sqldb.DB
	// Feed, if set, lets Storage tell the lag in a process that runs no sink.
	Feed Feed
	// Logger is required.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// BatchRecords and BatchBytes bound one insert. Default 10,000 and 8 MiB.
	BatchRecords int
	BatchBytes   int
	// Linger is how long a batch waits for more records. Default 300 ms.
	Linger time.Duration
	// TrimStored lets the sink delete from the embedded log what is stored, but for the last TrimMargin
	// messages of each partition (default 10,000). Without it the log keeps everything.
	TrimStored bool
	TrimMargin int64
}

// Store is the analytical store. All methods may be called concurrently.
type Store struct {
	cfg    Config
	log    *slog.Logger
	conn   driver.Conn
	ledger ledger

	turn     chan struct{} // held by whoever writes to ClickHouse: one insert at a time
	progress progress
	lookups  *lookups
}

// Open connects to ClickHouse, creates the database and brings its tables and
// those of the state database up to date. It wraps ErrUnavailable when the
// server does not answer.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	state, err := fs.Sub(schemaFiles, "schema/state")
	if err != nil {
		return nil, fmt.Errorf("analytics: embedded files: %w", err)
	}
	if err := cfg.State.Migrate(ctx, "analytics", state); err != nil {
		return nil, err
	}
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: cfg.Logger, conn: conn, ledger: ledger{db: cfg.State, now: cfg.Now}, turn: make(chan struct{}, 1)}
	s.progress.open()
	s.lookups = newLookups(s.current)
	if err := s.applySchema(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// Close closes the connections to ClickHouse. RunSink must have returned.
func (s *Store) Close() error {
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("analytics: close: %w", err)
	}
	return nil
}

// Ping asks the server for an answer; it wraps ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// withDefaults fills in what is zero and refuses what is missing.
func (c Config) withDefaults() (Config, error) {
	if c.State == nil || c.Logger == nil {
		return c, errors.New("analytics: Config.State and Config.Logger are required")
	}
	if !databaseName.MatchString(c.Database) {
		return c, fmt.Errorf("analytics: Config.Database %q: use letters, digits and underscores", c.Database)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.BatchRecords == 0 {
		c.BatchRecords = 10_000
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = 8 << 20
	}
	if c.Linger == 0 {
		c.Linger = 300 * time.Millisecond
	}
	if c.TrimMargin == 0 {
		c.TrimMargin = 10_000
	}
	if c.BatchRecords < 0 || c.BatchBytes < 0 || c.Linger < 0 || c.TrimMargin < 0 {
		return c, errors.New("analytics: Config: limits must not be negative")
	}
	return c, nil
}

// connect makes sure that the database exists and returns a connection to it.
func connect(ctx context.Context, cfg Config) (driver.Conn, error) {
	opts := cfg.ClickHouse
	opts.Protocol = clickhouse.HTTP
	opts.Auth.Database = ""
	opts.MaxOpenConns, opts.MaxIdleConns = 16, 8
	if opts.ReadTimeout == 0 {
		opts.ReadTimeout = timeout
	}
	first, err := clickhouse.Open(&opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = first.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+cfg.Database)
	if err = errors.Join(err, first.Close()); err != nil {
		return nil, fmt.Errorf("%w: %s does not answer, or does not let us create database %s: %w",
			ErrUnavailable, strings.Join(opts.Addr, ","), cfg.Database, err)
	}
	opts.Auth.Database = cfg.Database
	conn, err := clickhouse.Open(&opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return conn, nil
}

// applySchema runs the files of schema/ that the database has not seen. The
// statements may be repeated, so a crash on the way does no harm.
func (s *Store) applySchema(ctx context.Context) error {
	if err := s.conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (name String, applied_time DateTime DEFAULT now())
		ENGINE = ReplacingMergeTree ORDER BY name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var applied []string
	if err := s.conn.QueryRow(ctx, "SELECT groupUniqArray(name) FROM schema_migrations").Scan(&applied); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	names, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		return fmt.Errorf("analytics: embedded files: %w", err)
	}
	for _, name := range names {
		short := strings.TrimPrefix(name, "schema/")
		if slices.Contains(applied, short) {
			continue
		}
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			return fmt.Errorf("analytics: embedded files: %w", err)
		}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%w: schema %s: %w", ErrUnavailable, short, err)
			}
		}
		if err := s.conn.Exec(ctx, "INSERT INTO schema_migrations (name) SELECT "+quote(short)); err != nil {
			return fmt.Errorf("%w: schema %s: %w", ErrUnavailable, short, err)
		}
	}
	return nil
}

// takeTurn waits until nobody else writes to ClickHouse. The returned function ends the turn.
func (s *Store) takeTurn(ctx context.Context) (func(), error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// quote writes text as a string literal of ClickHouse's SQL.
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(text) + "'"
}
