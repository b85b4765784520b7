package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
)

// countyCommand serves the sample county's three systems until it is told to
// stop: by a signal, or by the end of its standard input when a parent asked
// for that, so that it never outlives a parent that was killed.
func countyCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("county", "serve the sample county's three systems (its own process, outside the hub)")
	dir := flags.String("dir", "data/county", "folder of the systems and of connectors.yaml")
	scale := flags.Int("scale", 1, "divide the size of the county by this, 1 to 100")
	sqlite := flags.Bool("sqlite", false, "use SQLite even where PostgreSQL is installed")
	child := flags.Bool("child", false, "stop when standard input ends")
	if err := parse(flags, args); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *child {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	return county.New(county.Options{Scale: *scale, SQLite: *sqlite}).
		Serve(ctx, *dir, newLogger(os.Stderr), func(line string) { fmt.Fprintln(out, line) })
}

// outsideSystems are the county's systems at work in a process of their own.
type outsideSystems struct {
	cmd   *exec.Cmd
	input io.Closer
	state county.State
}

// startCounty starts the systems in a process of their own and waits until
// they answer.
func startCounty(ctx context.Context, dir string, options county.Options, say func(string, ...any)) (*outsideSystems, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Not CommandContext: the systems stay until the hub has drained.
	cmd := exec.Command(executable, "county", "--child", "--dir", dir, //nolint:noctx // see above
		"--scale", strconv.Itoa(max(options.Scale, 1)), "--sqlite="+strconv.FormatBool(options.SQLite))
	cmd.Stderr = os.Stderr
	ownGroup(cmd) // Ctrl-C is for the hub
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the county: %w", err)
	}
	s := &outsideSystems{cmd: cmd, input: input}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			say("county: %s", lines.Text())
		}
	}()
	for {
		if s.state, err = county.Load(ctx, dir); err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		case <-ended:
			return nil, errors.Join(wrong(nil, "cli.COUNTY_FAILED", "folder", dir), s.stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the systems and waits until they are gone.
func (s *outsideSystems) stop() error {
	err := s.input.Close()
	if waitErr := s.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("the county's systems: %w", waitErr))
	}
	return err
}
