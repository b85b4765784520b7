package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"github.com/onewindow/onewindow/analytics"
	"github.com/onewindow/onewindow/analytics/engine"
	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/binlog"
	"github.com/onewindow/onewindow/connectors/files"
	"github.com/onewindow/onewindow/connectors/httpapi"
	"github.com/onewindow/onewindow/connectors/pglog"
	"github.com/onewindow/onewindow/connectors/sqltable"
	"github.com/onewindow/onewindow/connectors/topic"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/console"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/licenses"
	"github.com/onewindow/onewindow/signing/durable"
	"github.com/onewindow/onewindow/signing/service"
)

// hub is what one process opens and runs: all of it, or the parts that its
// roles need.
type hub struct {
	cfg    Config
	logger *slog.Logger

	db       *sqldb.DB
	topics   *bus.Bus
	engine   *engine.Engine
	store    *analytics.Store
	outbox   *exchange.Outbox
	exchange *exchange.Exchange
	registry *licenses.Registry
	signing  *service.Service // nil when it runs in another process
	remote   *service.Remote  // nil when it runs in this one
	signer   signingClient
	tokens   *access.Tokens
	runner   *connectors.Runner

	installation *installation

	closers []closer // in the order of opening
}

type closer struct {
	name  string
	close func() error
}

// openHub opens what the roles of cfg need, in the order of dependence. What
// was opened is closed again when a later part fails.
func openHub(ctx context.Context, cfg Config, logger *slog.Logger) (*hub, error) {
	h := &hub{cfg: cfg, logger: logger}
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *hub) open(ctx context.Context) error {
	if err := os.MkdirAll(h.cfg.Data, 0o750); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := h.openInstallation(); err != nil {
		return err
	}
	if err := h.openParts(ctx); err != nil {
		return err
	}
	return h.installation.finish()
}

func (h *hub) openParts(ctx context.Context) error {
	if h.signingOnly() {
		return h.openSigning(ctx)
	}
	if h.cfg.ClickHouse == embedded {
		if err := h.openEngine(ctx); err != nil {
			return err
		}
	}
	if h.engineOnly() {
		h.installation.established(storeEngine)
		return nil
	}
	if err := h.openStores(ctx); err != nil {
		return err
	}
	return h.openDomain(ctx)
}

// engineOnly says whether the process does nothing but serve the engine.
func (h *hub) engineOnly() bool { return len(h.cfg.Roles) == 1 && h.cfg.has(roleEngine) }

// signingOnly says whether the process is a signing service of its own.
func (h *hub) signingOnly() bool { return len(h.cfg.Roles) == 1 && h.cfg.has(roleSigning) }

func (h *hub) openEngine(ctx context.Context) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	// bin/onewindow stands beside analytics/ in a checkout.
	checkout := filepath.Dir(filepath.Dir(executable))
	library, err := engine.FindLibrary(os.Getenv("ONEWINDOW_LIBCHDB"),
		filepath.Dir(executable), filepath.Join(checkout, "analytics", "engine"), filepath.Join("analytics", "engine"))
	if err != nil {
		return err
	}
	h.engine, err = engine.Open(ctx, engine.Config{Library: library, Dir: filepath.Join(h.cfg.Data, "clickhouse"), Logger: h.logger})
	if err != nil {
		return err
	}
	h.closing("engine", h.engine.Close)
	return nil
}

// openStores opens the state database, the topics and the analytical store.
func (h *hub) openStores(ctx context.Context) (err error) {
	if h.db, err = sqldb.Open(ctx, h.cfg.databaseURL()); err != nil {
		if errors.Is(err, sqldb.ErrDamaged) {
			return fmt.Errorf("%w: %s", err, h.cfg.remedy(storeState))
		}
		return err
	}
	h.closing("state database", h.db.Close)
	if err := h.identifyState(ctx); err != nil {
		return err
	}
	if h.topics, err = bus.Open(ctx, bus.Config{URL: h.cfg.topicsURL(), Logger: h.logger}); err != nil {
		return err
	}
	h.closing("topics", h.topics.Close)
	if h.cfg.Topics == embedded {
		if err := h.identifyFolder(storeTopics); err != nil {
			return err
		}
	}
	options, database, err := h.clickHouse()
	if err != nil {
		return err
	}
	h.store, err = analytics.Open(ctx, analytics.Config{
		ClickHouse: options, Database: database, State: h.db, Feed: h.topics, Logger: h.logger, TrimStored: true,
	})
	if err != nil {
		return err
	}
	h.closing("analytics", h.store.Close)
	return h.identifyEngine(ctx)
}

// clickHouse returns how the client reaches ClickHouse: in process, or by URL.
func (h *hub) clickHouse() (clickhouse.Options, string, error) {
	if h.engine != nil {
		return clickhouse.Options{
			Protocol: clickhouse.HTTP, Addr: []string{"engine.invalid:8123"},
			TransportFunc: func(*http.Transport) (http.RoundTripper, error) { return h.engine.RoundTripper(), nil },
		}, "onewindow", nil
	}
	u, err := url.Parse(h.cfg.ClickHouse)
	if err != nil {
		return clickhouse.Options{}, "", fmt.Errorf("clickhouse: %w", err)
	}
	options := clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{u.Host}, Auth: clickhouse.Auth{Username: u.User.Username()}}
	if u.Scheme == "https" {
		options.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if file := h.cfg.ClickHousePasswordFile; file != "" {
		password, err := os.ReadFile(file)
		if err != nil {
			return clickhouse.Options{}, "", fmt.Errorf("clickhouse_password_file: %w", err)
		}
		options.Auth.Password = strings.TrimSpace(string(password))
	}
	database := strings.Trim(u.Path, "/")
	if database == "" {
		database = "onewindow"
	}
	return options, database, nil
}

// openDomain builds the exchange, the connectors and, for the API, licences
// and tokens: keys and tokens belong to the process that answers calls.
func (h *hub) openDomain(ctx context.Context) (err error) {
	h.exchange, err = exchange.New(ctx, exchange.Config{
		DB: h.db, Topics: h.intake(), Records: h.store, Licenses: licenses.NewHoldings(h.db, time.Now),
		Logger: h.logger, Partitions: h.cfg.Partitions, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if h.outbox, err = exchange.OpenOutbox(ctx, h.db, h.topics, h.logger); err != nil {
		return err
	}
	if h.cfg.has(roleAPI) {
		if err := h.openLicenses(ctx); err != nil {
			return err
		}
	}
	if err := h.topics.EnsureTopic(ctx, connectors.EventsTopic, bus.TopicOptions{Partitions: 1, Retention: -1}); err != nil {
		return err
	}
	h.runner, err = connectors.NewRunner(ctx, connectors.RunnerConfig{
		DB: h.db, Publisher: h.exchange, Holdings: h.store, Outbox: h.outbox, Logger: h.logger, Kinds: sourceKinds(), Dir: h.cfg.Data,
	})
	return err
}

// openLicenses opens the signing keys, the tokens and the registry.
func (h *hub) openLicenses(ctx context.Context) (err error) {
	if err := h.openSigning(ctx); err != nil {
		return err
	}
	if h.tokens, err = access.NewTokens(ctx, h.db); err != nil {
		return err
	}
	if err := h.tokens.EnsureSample(ctx, h.tokenDir(), h.cfg.firstIdentities()...); err != nil {
		return err
	}
	if err := h.topics.EnsureTopic(ctx, licenses.EventsTopic, bus.TopicOptions{Partitions: 1, Retention: -1}); err != nil {
		return err
	}
	h.registry, err = licenses.New(ctx, licenses.Config{
		DB: h.db, Keys: h.signer, Pages: h.signer, Outbox: h.outbox, Departments: h.exchange, BaseURL: h.cfg.BaseURL, Logger: h.logger, Now: time.Now,
	})
	return err
}

// sourceKinds has the constructor of every kind of source.
func sourceKinds() map[string]connectors.Constructor {
	return map[string]connectors.Constructor{
		connectors.KindSQL: sqltable.New, connectors.KindFiles: files.New, connectors.KindHTTP: httpapi.New, connectors.KindTopic: topic.New,
		connectors.KindLog: func(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
			if def.Log != nil && def.Log.Driver == "postgres" {
				return pglog.New(def, logger)
			}
			return binlog.New(def, logger)
		},
	}
}

// firstIdentities are the callers that the first start makes tokens for: the
// administrator, and those of the sample county where it is wanted.
func (c Config) firstIdentities() []access.Identity {
	first := []access.Identity{{Name: "administrator", Role: access.Administrator}}
	if !c.Sample {
		return first
	}
	return append(first,
		access.Identity{Name: "sample department", Role: access.Department, Department: "market"},
		access.Identity{Name: "sample clerk", Role: access.Clerk},
		access.Identity{Name: "sample analyst", Role: access.Analyst})
}

// tokenDir is where the first start puts the tokens.
func (h *hub) tokenDir() string { return filepath.Join(h.cfg.Data, "tokens") }

// passphrase reads the passphrase that seals the keys, or makes one at the
// first start. The file is written whole before it gets its name: a key sealed
// with a passphrase that a crash then lost could not be opened again.
func (h *hub) passphrase() ([]byte, error) {
	file := h.cfg.PassphraseFile
	if file == "" {
		file = filepath.Join(h.cfg.Data, "keys.passphrase")
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			random := make([]byte, 32)
			_, _ = rand.Read(random) // never fails: crypto/rand aborts instead
			if err := durable.WriteFile(filepath.Dir(file), filepath.Base(file), []byte(base64.RawURLEncoding.EncodeToString(random)+"\n")); err != nil {
				return nil, fmt.Errorf("make a passphrase for the signing keys: %w", err)
			}
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("passphrase_file: %w", err)
	}
	passphrase := strings.TrimSpace(string(text))
	if passphrase == "" {
		return nil, fmt.Errorf("passphrase_file %s is empty: put the passphrase of the signing keys into it", file)
	}
	return []byte(passphrase), nil
}

func (h *hub) closing(name string, fn func() error) {
	h.closers = append(h.closers, closer{name, fn})
}

// close closes what was opened, last first.
func (h *hub) close() error {
	var errs []error
	for _, c := range slices.Backward(h.closers) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	h.closers = nil
	return errors.Join(errs...)
}

// run runs the roles until ctx ends or one of them cannot go on: the API
// drains first, then the connectors and the sink finish what they have in
// hand. ready is called once the listeners are open.
func (h *hub) run(ctx context.Context, defs []connectors.Definition, ready func()) error {
	frontCtx, stopFront := context.WithCancel(ctx)
	defer stopFront()
	backCtx, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()
	var back errgroup.Group
	background := func(run func(ctx context.Context) error) {
		back.Go(func() error {
			defer stopFront() // none of them ends by itself unless it fails
			return run(backCtx)
		})
	}
	if h.outbox != nil {
		background(h.outbox.Run)
	}
	if h.cfg.has(roleSink) {
		background(func(ctx context.Context) error { return h.store.RunSink(ctx, h.topics) })
	}
	if h.cfg.has(roleConnectors) {
		background(func(ctx context.Context) error { return h.runner.Run(ctx, defs) })
	}
	front, serving := errgroup.WithContext(frontCtx)
	err := h.serve(serving, front)
	if err == nil {
		ready()
		<-serving.Done()
	}
	stopFront()
	err = errors.Join(err, front.Wait())
	stopBack()
	return errors.Join(err, back.Wait())
}

// serve opens the listeners of the roles and serves them in group.
func (h *hub) serve(ctx context.Context, group *errgroup.Group) error {
	if h.cfg.has(roleAPI) || h.cfg.has(roleSigning) {
		build := h.newServer
		if h.signingOnly() {
			build = func() (*server.Server, error) { return h.newSigningServer(ctx) }
		}
		api, err := build()
		if err != nil {
			return err
		}
		grpcListener, err := server.Listen(ctx, h.cfg.Listen.GRPC)
		if err != nil {
			return err
		}
		restListener, err := server.Listen(ctx, h.cfg.Listen.REST)
		if err != nil {
			return errors.Join(err, grpcListener.Close())
		}
		group.Go(func() error { return api.Serve(ctx, grpcListener, restListener) })
	}
	if h.cfg.has(roleEngine) {
		listener, err := server.Listen(ctx, h.cfg.Listen.Engine)
		if err != nil {
			return err
		}
		group.Go(func() error { return serveHTTP(ctx, listener, h.engine) })
	}
	return nil
}

// newServer builds the API from the domains.
func (h *hub) newServer() (*server.Server, error) {
	messages, err := catalog()
	if err != nil {
		return nil, err
	}
	return server.New(server.Config{
		Messages: messages, Language: h.cfg.Language,
		Logger: h.logger, Authenticator: h.tokens, Console: console.Handler(), Version: version(), Handlers: h.timestamps(),
		Parts: h.parts(), Errors: diskErrors(), Metrics: h.metrics(),
	}, h.exchange.Service(), h.runner.Service(), withErrors(h.registry.Service(), signingErrors()), h.signingService(), h.store.Service(h.exchange))
}
