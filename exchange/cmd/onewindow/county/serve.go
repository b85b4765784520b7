package county

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Serve sets the three systems up in dir, or finds them there, writes the
// connector definitions and, when all is ready, county.json, and serves until
// ctx ends; then it stops PostgreSQL and returns nil. progress, if not nil, is
// told one line at a time, from several goroutines, what is being done.
//
// It returns [ErrBusy] when another process serves dir, [ErrDatabase] when the
// database cannot be set up or ends by itself, and the error of ctx when that
// ends before all is ready.
func (c *County) Serve(ctx context.Context, dir string, logger *slog.Logger, progress func(string)) (err error) {
	if progress == nil {
		progress = func(string) {}
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("county: %w", err)
	}
	// The database's account has to pass through the folder; what is secret in it is closed on its own.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("county: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	state := filepath.Join(dir, stateFile)
	if err := os.Remove(state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("county: %w", err)
	}
	kept, err := readSettings(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := &serving{county: c, dir: dir, settings: kept, logger: logger, progress: progress}
	defer func() { err = errors.Join(err, run.stop(context.WithoutCancel(ctx))) }()
	if err := run.start(ctx); err != nil {
		return err
	}
	// Whoever looks after we stopped must not take us for serving.
	defer os.Remove(state) //nolint:errcheck // Load asks anyway
	progress("the county is ready")
	select {
	case <-ctx.Done():
	case <-run.database.done():
		if ctx.Err() == nil { // else it ended because we did
			return fmt.Errorf("%w: PostgreSQL ended by itself; its log is in %s", ErrDatabase, dir)
		}
	case err := <-run.server.failed:
		return err
	}
	return nil
}

// Remove deletes the folder of a county that does not serve, and the database
// cluster that had to be put outside it, if any. It returns [ErrBusy] when the
// county serves.
func Remove(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("county: %w", err)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	if account, ok := databaseAccount(); ok && account.owns(outside(dir)) {
		if err := os.RemoveAll(outside(dir)); err != nil {
			return fmt.Errorf("county: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("county: %w", err)
	}
	return nil
}

// serving is a county at work in a folder.
type serving struct {
	county   *County
	dir      string
	settings settings
	logger   *slog.Logger
	progress func(string)

	at       marketAddress
	database *cluster // nil when the database is a SQLite file
	server   *interfaceServer
}

// done is closed when the server has ended; never for a SQLite file.
func (cl *cluster) done() <-chan struct{} {
	if cl == nil {
		return nil
	}
	return cl.exited
}

// start brings the three systems up side by side and says that they are ready.
func (s *serving) start(ctx context.Context) error {
	group, loading := errgroup.WithContext(ctx)
	group.Go(func() error { return s.startMarket(ctx, loading) }) // the server lives longer than the loading
	group.Go(func() error {
		s.progress("public security: writing the nightly files of a year")
		loaded, err := s.county.loadPolice(loading, filepath.Join(s.dir, police))
		s.report(police, loaded, err)
		return err
	})
	group.Go(func() error {
		s.progress("civil affairs: preparing the interface")
		loaded, err := s.county.loadCivil(loading, filepath.Join(s.dir, civil))
		s.report(civil, loaded, err)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	instance := secret()
	var err error
	s.server, err = s.county.startInterface(filepath.Join(s.dir, civil), s.settings.Token, instance, s.settings.CivilPort, s.logger)
	if err != nil {
		return err
	}
	s.settings.CivilPort = s.server.port
	civilURL := fmt.Sprintf("http://127.0.0.1:%d", s.server.port)
	if err := s.settings.save(s.dir); err != nil {
		return err
	}
	if err := s.county.writeDefinitions(s.dir, s.at, civilURL, s.settings.Token); err != nil {
		return err
	}
	text, err := json.MarshalIndent(State{
		Instance: instance, Scale: s.county.options.Scale, Definitions: filepath.Join(s.dir, definitionsFile),
		Systems: Systems{
			Market: s.at.database, MarketAddress: s.at.address, Police: filepath.Join(s.dir, police), Civil: civilURL,
		},
		Planted: s.county.Planted(), Index: s.county.Index(),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("county: %w", err)
	}
	return writeFile(filepath.Join(s.dir, stateFile), text)
}

func (s *serving) report(system string, loaded bool, err error) {
	rows := int64(0)
	for _, source := range s.county.sourcesOf(system) {
		rows += int64(len(source.refs) + len(source.again))
	}
	switch {
	case err != nil:
	case loaded:
		s.progress(fmt.Sprintf("%s: %d rows loaded", system, rows))
	default:
		s.progress(fmt.Sprintf("%s: %d rows are there", system, rows))
	}
}

// startMarket brings the market regulation's database up: PostgreSQL where it
// can be run, otherwise a SQLite file. The server ends with ctx; loading ends
// earlier when another system fails.
func (s *serving) startMarket(ctx, loading context.Context) error {
	found, why := installation{}, "as asked for"
	if !s.county.options.SQLite {
		found, why = findPostgres(ctx, s.dir)
	}
	if why != "" {
		path := filepath.Join(s.dir, sqliteFile)
		s.at = marketAddress{driver: "sqlite", dsn: path, database: "sqlite (" + why + ")", address: path}
		s.progress("market regulation: " + s.at.database)
		loaded, err := s.county.loadSQLite(loading, s.dir)
		s.report(market, loaded, err)
		return err
	}
	s.progress("market regulation: starting PostgreSQL " + found.version)
	if err := found.prepare(ctx, s.settings.Owner); err != nil {
		return err
	}
	var err error
	if s.database, err = found.start(ctx, s.dir, s.settings.Owner, s.settings.MarketPort, s.logger); err != nil {
		return err
	}
	s.settings.MarketPort = s.database.port
	s.at = marketAddress{
		driver: "postgres", dsn: databaseURL(readerName, s.settings.Reader, s.database.port, databaseName),
		database: "postgresql " + found.version, address: fmt.Sprintf("127.0.0.1:%d", s.database.port),
	}
	s.progress("market regulation: loading " + s.at.database)
	conn, err := pgx.Connect(ctx, databaseURL(ownerName, s.settings.Owner, s.database.port, databaseName))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	loaded, err := s.county.loadPostgres(loading, conn, s.settings.Reader)
	err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	s.report(market, loaded, err)
	return err
}

// stop ends what was started and waits for it.
func (s *serving) stop(ctx context.Context) error {
	var err error
	if s.server != nil {
		err = s.server.stop(ctx)
	}
	if s.database != nil {
		s.database.stop()
	}
	return err
}
