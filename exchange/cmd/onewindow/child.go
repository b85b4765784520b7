package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
)

// childHub is a hub in a process of its own, for the drills and benchmarks.
type childHub struct {
	cfg    Config
	file   string // its configuration
	log    *os.File
	cmd    *exec.Cmd
	exited chan error
}

// newChildHub writes a configuration for a hub under dir on free ports.
func newChildHub(ctx context.Context, dir, connectors string) (*childHub, error) {
	cfg := defaultConfig()
	cfg.Data = filepath.Join(dir, "hub")
	cfg.Connectors = connectors
	cfg.Sample = true
	for _, address := range []*string{&cfg.Listen.REST, &cfg.Listen.GRPC} {
		free, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		*address = free
	}
	cfg.BaseURL = "http://" + cfg.Listen.REST
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	h := &childHub{cfg: cfg, file: filepath.Join(dir, "onewindow.yaml")}
	if err := os.WriteFile(h.file, text, 0o600); err != nil {
		return nil, err
	}
	h.log, err = os.OpenFile(filepath.Join(dir, "onewindow.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return h, err
}

// freeAddress returns a loopback address that is free now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the process; it does not wait until it answers.
func (h *childHub) start() error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	h.cmd = exec.Command(executable, "run", "--config", h.file) //nolint:noctx // it is ended by kill or stop
	h.cmd.Stdout, h.cmd.Stderr = h.log, h.log
	ownGroup(h.cmd)
	if err := h.cmd.Start(); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	h.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(h.cmd, h.exited)
	return nil
}

// awaitReady returns once /readyz says so.
func (h *childHub) awaitReady(ctx context.Context) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.cfg.Listen.REST+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close() // nothing of it is read
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-h.exited:
			h.exited <- err
			said, _ := os.ReadFile(h.log.Name()) // what there is of it
			return fmt.Errorf("the hub ended before it was ready (%w); its log is %s and ends:\n%s", err, h.log.Name(), said[max(0, len(said)-2048):])
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill ends the process as a power cut would, without a chance to clean up.
func (h *childHub) kill() error {
	if err := h.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-h.exited
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() != -1 {
		return fmt.Errorf("the hub had ended by itself with exit code %d; its log is %s", exit.ExitCode(), h.log.Name())
	}
	return nil
}

// end kills the process if it still runs, for ways out on which nobody stopped it.
func (h *childHub) end() {
	if h.cmd != nil && h.cmd.ProcessState == nil {
		_ = h.kill() // there is an error already
	}
}

// stop ends the process in good order and returns the most memory it had
// resident, in bytes.
func (h *childHub) stop() (int64, error) {
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if err := <-h.exited; err != nil {
		return 0, fmt.Errorf("the hub did not end in good order: %w; its log is %s", err, h.log.Name())
	}
	usage, ok := h.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, nil
	}
	return usage.Maxrss * rssUnit, nil
}
