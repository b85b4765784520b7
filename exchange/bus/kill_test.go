package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain lets the test binary be the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BUS_TEST_CHILD"); dir != "" {
		if err := publishForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestKill kills a publishing process again and again and looks for every acknowledged message.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := make(map[Position]string)
	for round := range 3 {
		killOne(t, dir, round, acked)
		b := openURL(t, Config{URL: "embedded:" + dir})
		_, ends := endsOf(t, b, killTopic, killPartitions)
		found := 0
		for p := range killPartitions {
			for _, m := range readTo(t, b, killTopic, p, 0, ends[p]) {
				want, ok := acked[Position{p, m.Offset}]
				if ok && string(m.Value) != want {
					t.Fatalf("round %d: %d/%d is %q, acknowledged was %q", round, p, m.Offset, m.Value, want)
				}
				if ok {
					found++
				}
			}
		}
		if found != len(acked) {
			t.Fatalf("round %d: %d of %d acknowledged messages are there", round, found, len(acked))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages acknowledged and found", len(acked))
}

const (
	killTopic      = "kill"
	killPartitions = 3
)

// killOne starts a process that publishes into dir, and kills it after some acknowledgements.
func killOne(t *testing.T, dir string, round int, acked map[Position]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BUS_TEST_CHILD="+dir, fmt.Sprintf("BUS_TEST_ROUND=%d", round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var p Position
		var value string
		if _, err := fmt.Sscan(lines.Text(), &p.Partition, &p.Offset, &value); err != nil {
			continue // the last line may be cut
		}
		if was, ok := acked[p]; ok {
			t.Errorf("offset %v was given to %q and to %q", p, was, value)
		}
		acked[p] = value
		if n == 100 {
			_, err := Open(t.Context(), Config{URL: "embedded:" + dir, Logger: slog.New(slog.DiscardHandler)})
			if !errors.Is(err, ErrInUse) {
				t.Errorf("a second process on the folder: %v", err)
			}
		}
		if n == 5000+1777*round {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}

// publishForever is the process to be killed. It prints what was acknowledged.
func publishForever(dir string) error {
	b, err := Open(context.Background(), Config{URL: "embedded:" + dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := b.EnsureTopic(context.Background(), killTopic, TopicOptions{Partitions: killPartitions}); err != nil {
		return err
	}
	failed := make(chan error)
	for caller := range 4 {
		go func() {
			for call := 0; ; call++ {
				msgs := make([]Message, 1+call%50)
				for i := range msgs {
					msgs[i] = Message{Topic: killTopic, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "%s-%d-%d-%d", os.Getenv("BUS_TEST_ROUND"), caller, call, i)}
				}
				positions, err := b.Publish(context.Background(), msgs...)
				if err != nil {
					failed <- err
					return
				}
				var lines strings.Builder
				for i, p := range positions {
					fmt.Fprintf(&lines, "%d %d %s\n", p.Partition, p.Offset, msgs[i].Value)
				}
				if _, err := os.Stdout.WriteString(lines.String()); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}
