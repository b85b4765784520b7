package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says which library to load and where the data is.
type Config struct {
	// Library is the path of libchdb; see FindLibrary.
	Library string
	// Dir is the data folder. It is created if it does not exist.
	Dir string
	// MemoryLimit bounds the memory of all statements together, in bytes. One
	// statement gets a half of it; sorting and grouping go to disk from a
	// quarter of it. Zero means 256 MiB.
	MemoryLimit int64
	// Logger receives what a request cannot be told; nil means slog.Default.
	Logger *slog.Logger
}

// How many statements run at once. Inserts have a connection of their own, so
// that no reader holds up the sink.
const (
	insertSessions = 1
	querySessions  = 4
)

// Engine is ClickHouse inside this process. It is an http.Handler that speaks
// ClickHouse's HTTP interface; RoundTripper reaches the same handler without a
// port. All methods are safe for concurrent use.
type Engine struct {
	lib    *library
	argv   []string
	base   map[string]string
	logger *slog.Logger
	lock   *os.File

	inserts chan *session
	queries chan *session
	control chan *session // one session that only kills statements

	version, timezone string

	mu      sync.Mutex // guards closed and serial
	closed  bool
	serial  int            // tells sessions apart
	running sync.WaitGroup // requests under way
}

// Open loads the library and opens the data folder. libchdb holds one folder
// per process: ErrInUse is returned while another engine has this folder open,
// in any process, and ErrOpen while this process has another folder open or
// when the folder cannot be read. A folder that was closed can be opened again.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("engine: open: %w", err)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrOpen, cfg.Dir, err)
	}
	// The file itself: the system names mappings by it.
	library, err := filepath.EvalSymlinks(cfg.Library)
	if err == nil {
		library, err = filepath.Abs(library)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLibraryMissing, err)
	}
	lib, err := load(library)
	if err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		lib: lib, lock: lock, logger: cfg.Logger, base: baseSettings(cfg.MemoryLimit),
		inserts: make(chan *session, insertSessions),
		queries: make(chan *session, querySessions),
		control: make(chan *session, 1),
	}
	if e.logger == nil {
		e.logger = slog.Default()
	}
	// libchdb must not take over SIGSEGV and its like: Go's runtime needs them.
	lib.setSignalHandlers(0)
	repaired, err := repairDeduplication(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if repaired > 0 {
		e.logger.WarnContext(ctx, "tokens of inserts that were cut off are free again", slog.Int("tokens", repaired))
	}
	config, err := writeConfig(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e.argv = []string{"clickhouse", "--path=" + dir, "--config-file=" + config}
	if err := e.fill(); err != nil {
		e.drain()
		return nil, errors.Join(err, lock.Close())
	}
	if err := trim(library); err != nil {
		e.logger.WarnContext(ctx, "engine library not trimmed", slog.String("error", err.Error()))
	}
	return e, nil
}

// fill opens every session and learns what the handshake has to say.
func (e *Engine) fill() error {
	for _, pool := range []chan *session{e.control, e.inserts, e.queries} {
		for range cap(pool) {
			s, err := e.connect()
			if err != nil {
				return err
			}
			pool <- s
		}
	}
	s := <-e.control
	defer func() { e.control <- s }()
	answer, err := s.run("SELECT version(), timezone()", "TSV", nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOpen, err)
	}
	defer answer.free()
	e.version, e.timezone, _ = strings.Cut(strings.TrimSpace(string(answer.bytes())), "\t")
	return nil
}

// connect opens one more session.
func (e *Engine) connect() (*session, error) {
	e.mu.Lock()
	e.serial++
	serial := e.serial
	e.mu.Unlock()
	return openSession(e.lib, e.argv, "onewindow-session-"+strconv.Itoa(serial), e.base)
}

// take waits for a session of the pool.
func (e *Engine) take(ctx context.Context, pool chan *session) (*session, error) {
	select {
	case s := <-pool:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// give returns a session to its pool, a new one in its place if it is spoiled.
// The new one is opened before the old one is closed, since closing the last
// connection would shut the engine down.
func (e *Engine) give(ctx context.Context, pool chan *session, s *session) {
	if s.spoiled {
		fresh, err := e.connect()
		if err == nil {
			s.close()
			s = fresh
		} else {
			// Without a new one the old one must do: its settings are set again
			// by name for every request, so what is left over is small.
			e.logger.WarnContext(ctx, "engine session not replaced", slog.String("error", err.Error()))
		}
	}
	pool <- s
}

// watch kills what s runs when ctx ends. The returned function ends the watch
// and waits until a kill under way is over.
func (e *Engine) watch(ctx context.Context, s *session) func() {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		for {
			e.kill(context.WithoutCancel(ctx), s)
			// Again, should the statement have been about to begin.
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-ended }
}

// kill tells what s is running to stop.
func (e *Engine) kill(ctx context.Context, s *session) {
	killer := <-e.control
	defer func() { e.control <- killer }()
	answer, err := killer.run("KILL QUERY WHERE startsWith(concat(Settings['log_comment'], ' '), "+quote(s.marker+" ")+") ASYNC", "Null", nil)
	if err != nil {
		e.logger.WarnContext(ctx, "engine statement not killed", slog.String("error", err.Error()))
		return
	}
	answer.free()
}

// enter counts a request in, unless the engine is closed.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.running.Add(1)
	}
	return !e.closed
}

// Close refuses new requests with ErrClosed, waits for those under way, then
// closes the engine and frees the data folder. Closing again does nothing.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	e.running.Wait()
	if closed {
		return nil
	}
	e.drain()
	if err := e.lock.Close(); err != nil {
		return fmt.Errorf("engine: close lock file: %w", err)
	}
	return nil
}

// drain closes every idle session.
func (e *Engine) drain() {
	for _, pool := range []chan *session{e.control, e.inserts, e.queries} {
		for len(pool) > 0 {
			(<-pool).close()
		}
	}
}

// lockFolder creates the folder and takes its lock, which the system releases
// when the process ends, however it ends.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	path := filepath.Join(dir, "engine.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s is locked by another engine: %w", ErrInUse, path, err), file.Close())
	}
	return file, nil
}
