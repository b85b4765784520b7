package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// drainTime bounds how long requests in work may take at the end.
const drainTime = 10 * time.Second

// runCommand starts the hub from a configuration file and stays up.
func runCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("run", "start the hub, or some of its roles, from a configuration file")
	file := flags.String("config", "", "configuration file (YAML); without it everything is embedded under ./data")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, defs, err := configured(*file)
	if err != nil {
		return err
	}
	return serveHub(ctx, cfg, defs, out)
}

// serveHub opens the hub of a configuration and stays up until ctx ends. The
// end that was asked for is no error; what really failed is, whatever was
// stopped because of it.
func serveHub(ctx context.Context, cfg Config, defs []connectors.Definition, out *os.File) error {
	if err := preflight(ctx, cfg.Data, cfg.listenSettings()); err != nil {
		return err
	}
	h, err := openHub(ctx, cfg, newLogger(os.Stderr))
	if err != nil {
		return withoutCancel(err)
	}
	err = h.run(ctx, defs, func() { announce(out, h) })
	return errors.Join(withoutCancel(err), h.close())
}

// checkCommand reads the configuration and the definitions it names.
func checkCommand(_ context.Context, args []string, out *os.File) error {
	flags := newFlags("check", "read a configuration and the connector definitions, list every fault, and exit")
	file := flags.String("config", "", "configuration file (YAML)")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, defs, err := configured(*file)
	if err != nil {
		return err
	}
	if err := cfg.checkFiles(); err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"good": true, "roles": cfg.Roles, "sources": len(defs)})
	}
	fmt.Fprintln(out, newSpeaker(cfg.Language).text("cli.CONFIG_GOOD", "roles", strings.Join(cfg.Roles, ", "), "sources", strconv.Itoa(len(defs))))
	return nil
}

// configured reads a configuration and the definitions it names; all its
// errors are usage errors.
func configured(file string) (Config, []connectors.Definition, error) {
	cfg := defaultConfig()
	if file != "" {
		var err error
		if cfg, err = loadConfig(file); err != nil {
			return Config{}, nil, err
		}
	}
	defs, err := definitions(cfg.Connectors)
	if err != nil {
		return Config{}, nil, err
	}
	return cfg, defs, nil
}

// definitions reads a file of source definitions; an empty name means none.
func definitions(file string) ([]connectors.Definition, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, wrongUsage(err, "cli.DEFINITIONS_FILE", "file", file)
	}
	defs, err := connectors.ParseDefinitions(text, filepath.Dir(file))
	if err != nil {
		return nil, wrongUsage(err, "cli.DEFINITIONS", "file", file)
	}
	return defs, nil
}

func newLogger(out *os.File) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// announce prints where things are once the hub answers.
func announce(out *os.File, h *hub) {
	s := newSpeaker(h.cfg.Language)
	fmt.Fprintln(out)
	if h.cfg.has(roleAPI) {
		fmt.Fprintln(out, s.text("cli.ANNOUNCE_API", "rest", h.cfg.Listen.REST, "grpc", h.cfg.Listen.GRPC, "tokens", h.tokenDir()))
	}
	if h.cfg.has(roleSigning) {
		fmt.Fprintln(out, s.text("cli.ANNOUNCE_SIGNING", "rest", h.cfg.Listen.REST, "grpc", h.cfg.Listen.GRPC,
			"certificates", filepath.Join(h.cfg.Data, "signing", "tls")))
	}
	if h.cfg.has(roleEngine) {
		fmt.Fprintln(out, s.text("cli.ANNOUNCE_ENGINE", "engine", h.cfg.Listen.Engine))
	}
	fmt.Fprintln(out)
}

// serveHTTP serves a handler until ctx ends, then lets requests in work finish.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		stopped <- s.Shutdown(drain)
	})
	defer stop()
	if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
