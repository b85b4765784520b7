package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	logger := newLogger(os.Stderr)
	h, err := openHub(ctx, cfg, logger)
	if err != nil {
		return err
	}
	err = h.run(ctx, defs, func() { announce(out, h) })
	return errors.Join(err, h.close())
}

// checkCommand reads the configuration and the definitions it names.
func checkCommand(_ context.Context, args []string, out *os.File) error {
	flags := newFlags("check", "read a configuration and the connector definitions, list every fault, and exit")
	file := flags.String("config", "", "configuration file (YAML)")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, defs, err := configured(*file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "configuration is good: roles %v, %d sources\n", cfg.Roles, len(defs))
	return nil
}

// configured reads a configuration and the definitions it names; all its
// errors are usage errors.
func configured(file string) (Config, []connectors.Definition, error) {
	cfg := defaultConfig()
	if file != "" {
		var err error
		if cfg, err = loadConfig(file); err != nil {
			return Config{}, nil, fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	defs, err := definitions(cfg.Connectors)
	if err != nil {
		return Config{}, nil, fmt.Errorf("%w: %w", errUsage, err)
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
		return nil, fmt.Errorf("connectors: %w", err)
	}
	defs, err := connectors.ParseDefinitions(text, filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("connectors: %s:\n%w", file, err)
	}
	return defs, nil
}

func newLogger(out *os.File) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// announce prints where things are once the hub answers.
func announce(out *os.File, h *hub) {
	if h.cfg.has(roleAPI) {
		fmt.Fprintf(out, "\n  page   http://%s/\n  REST   http://%s/v1/   (description: /openapi.json)\n  gRPC   %s\n  tokens %s\n\n",
			h.cfg.Listen.REST, h.cfg.Listen.REST, h.cfg.Listen.GRPC, h.tokenDir())
	}
	if h.cfg.has(roleSigning) {
		fmt.Fprintf(out, "  signing service: gRPC %s, REST https://%s/v1/signing/, both with client certificates of %s\n",
			h.cfg.Listen.GRPC, h.cfg.Listen.REST, filepath.Join(h.cfg.Data, "signing", "tls"))
	}
	if h.cfg.has(roleEngine) {
		fmt.Fprintf(out, "  engine http://%s/\n", h.cfg.Listen.Engine)
	}
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
