package analytics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onewindow/onewindow/analytics/engine"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

// whole is a hub in one process: engine, log, state and sink below one folder.
type whole struct {
	engine *engine.Engine
	bus    *bus.Bus
	state  *sqldb.DB
	store  *Store
}

func openWhole(ctx context.Context, dir string, batchRecords int) (*whole, error) {
	library, err := engine.FindLibrary(os.Getenv("ONEWINDOW_LIBCHDB"), "engine")
	if err != nil {
		return nil, err
	}
	var w whole
	if w.engine, err = engine.Open(ctx, engine.Config{Library: library, Dir: filepath.Join(dir, "engine")}); err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if w.bus, err = bus.Open(ctx, bus.Config{URL: "embedded:" + filepath.Join(dir, "log"), Logger: logger}); err != nil {
		return nil, err
	}
	if w.state, err = sqldb.Open(ctx, "sqlite:"+filepath.Join(dir, "state.db")); err != nil {
		return nil, err
	}
	w.store, err = Open(ctx, Config{
		ClickHouse: embedded(w.engine), Database: "hub", State: w.state, Logger: logger,
		BatchRecords: batchRecords, Linger: time.Millisecond,
	})
	return &w, err
}

func (w *whole) close() error {
	return errors.Join(w.store.Close(), w.state.Close(), w.bus.Close(), w.engine.Close())
}

// child is what this test binary does when TestKill starts it again. With a number of records to verify it stores what is in the log,
// prints what is wrong, and ends; else it publishes and stores until it is killed, and prints how far the log is for certain.
func child(dir string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	from, _ := strconv.Atoi(os.Getenv("ANALYTICS_TEST_FROM"))
	verify, _ := strconv.Atoi(os.Getenv("ANALYTICS_TEST_VERIFY"))
	batchRecords := 40 // many inserts, so that a kill finds every point on the way
	if verify > 0 {
		batchRecords = 5000
	}
	w, err := openWhole(ctx, dir, batchRecords)
	if err != nil {
		fmt.Println("FAILED", err)
		return 1
	}
	for _, topic := range []string{"records.hall.case", "records.hall.rating", "records.hall.ticket"} {
		if err := w.bus.EnsureTopic(ctx, topic, bus.TopicOptions{Partitions: 2}); err != nil {
			fmt.Println("FAILED", err)
			return 1
		}
	}
	sink := make(chan error, 1)
	go func() { sink <- w.store.RunSink(ctx, w.bus) }()
	if verify == 0 {
		fmt.Println("READY")
		for i := from; ; i += 100 {
			if _, err := w.bus.Publish(ctx, events(caseRecords(i, i+100)...)...); err != nil {
				fmt.Println("FAILED", err)
				return 1
			}
			fmt.Println("PUBLISHED", i+100)
			time.Sleep(20 * time.Millisecond) // leaves the processor to the sink
		}
	}
	if err := w.verify(ctx, verify); err != nil {
		fmt.Println("FAILED", err)
		return 1
	}
	cancel()
	if err := errors.Join(<-sink, w.close()); err != nil {
		fmt.Println("FAILED", err)
		return 1
	}
	fmt.Println("VERIFIED")
	return 0
}

// verify waits until the log is stored and checks that all of the first n records are, once, and that every table agrees.
func (w *whole) verify(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	for {
		report, err := w.store.Storage(ctx)
		if err != nil {
			return err
		}
		if report.Lag == 0 && report.Rows >= int64(n) {
			fmt.Printf("REPORT rows %d, distinct %d, duplicates %d\n", report.Rows, report.Distinct, report.Duplicates)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	rows, _, err := w.store.Check(ctx)
	if err != nil {
		return err
	}
	differences, err := w.store.Recount(ctx)
	if err != nil || len(differences) > 0 {
		return fmt.Errorf("%d differences, first %+v: %w", len(differences), append(differences, Difference{})[0], errors.Join(err, ErrInconsistent))
	}
	// Every record of the stream is stored exactly once: rows is the length of the stream that reached the log.
	var stored []string
	if err := w.store.conn.QueryRow(ctx, "SELECT groupArray(lower(hex(record_id))) FROM records").Scan(&stored); err != nil {
		return err
	}
	have := make(map[string]bool, len(stored))
	for _, id := range stored {
		have[id] = true
	}
	for i := range n {
		if !have[caseRecord(i).ID] {
			return fmt.Errorf("record %d of %d is not stored", i, n)
		}
	}
	for kind, table := range map[exchange.Kind]string{exchange.CaseEvent: "case_events", exchange.Rating: "ratings", exchange.Ticket: "tickets"} {
		var want, got uint64
		err := w.store.conn.QueryRow(ctx, "SELECT (SELECT count() FROM records WHERE kind = "+quote(string(kind))+"), (SELECT count() FROM "+table+")").Scan(&want, &got)
		if err != nil || want != got {
			return fmt.Errorf("%s has %d rows, want %d: %w", table, got, want, errors.Join(err, ErrInconsistent))
		}
	}
	var current uint64
	if err := w.store.conn.QueryRow(ctx, "SELECT count() FROM records_current FINAL").Scan(&current); err != nil || int64(current) != rows {
		return fmt.Errorf("records_current has %d rows, want %d: %w", current, rows, errors.Join(err, ErrInconsistent))
	}
	return nil
}

// TestKill kills a hub at random moments while it publishes and stores, again and again, and then counts. ONEWINDOW_TEST_KILLS
// sets how often; each time the publisher repeats some records, as a connector does that could not save its position.
func TestKill(t *testing.T) {
	requireEngine(t)
	dir := t.TempDir()
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("ONEWINDOW_TEST_KILLS")); err == nil {
		kills = n
	}
	published := 0
	for range kills {
		published = killOne(t, dir, published)
	}
	if published == 0 {
		t.Fatal("nothing was published")
	}
	out := runChild(t, dir, "ANALYTICS_TEST_VERIFY="+strconv.Itoa(published))
	if !strings.Contains(out, "VERIFIED") {
		t.Fatalf("after %d kills: %s", kills, out)
	}
	t.Logf("%d kills, %d records published for certain; %s", kills, published, out)
}

// killOne starts a child, kills it at a random moment after it is ready and returns how many records it published for certain.
func killOne(t *testing.T, dir string, published int) int {
	t.Helper()
	cmd := childCommand(dir, "ANALYTICS_TEST_FROM="+strconv.Itoa(max(0, published-150)))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		text := lines.Text()
		if text == "READY" {
			time.AfterFunc(time.Duration(50+rand.IntN(900))*time.Millisecond, func() {
				_ = cmd.Process.Signal(syscall.SIGKILL)
			})
			continue
		}
		if n, ok := strings.CutPrefix(text, "PUBLISHED "); ok {
			if at, err := strconv.Atoi(n); err == nil {
				published = max(published, at)
			}
			continue
		}
		t.Errorf("child: %s", text)
	}
	_ = cmd.Wait() // it was killed
	return published
}

func childCommand(dir string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(append(os.Environ(), "ANALYTICS_TEST_CHILD="+dir), env...)
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	return cmd
}

func runChild(t *testing.T, dir string, env ...string) string {
	t.Helper()
	out, err := childCommand(dir, env...).Output()
	if err != nil {
		t.Errorf("child: %v", err)
	}
	return string(out)
}
