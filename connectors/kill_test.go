package connectors_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

const (
	killDirVariable = "ONEWINDOW_KILL_TEST_DIR"
	killRows        = 6000
	kills           = 8
)

// announcer tells the parent, on standard output, before and after each
// publish, so that it can kill this process at the worst moments.
type announcer struct{ connectors.Publisher }

func (a announcer) Publish(ctx context.Context, resource, source string, drafts []exchange.Draft) ([]exchange.Outcome, error) {
	fmt.Println("publishing")
	outcomes, err := a.Publisher.Publish(ctx, resource, source, drafts)
	fmt.Println("published")
	return outcomes, err
}

// TestKillChild is the process that TestKill kills; run by itself it does nothing.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killDirVariable)
	if dir == "" {
		return
	}
	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
	e, _ := newExchange(t, db, filepath.Join(dir, "bus"))
	r := newRunner(t, db, announcer{e}, kinds())
	stop := start(t, r, parse(t, dir, tableSource, filesSource))
	await(t, r, "the end", readAll(map[string]int64{"market/table": killRows, "market/files": killRows}))
	stop()
	fmt.Println("done")
}

// TestKill kills the reading process again and again, mostly between the
// publish of a batch and the saving of its position. In the end every row is
// on its topic and is counted once.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	d := newDepartment(t, dir)
	d.fill(t, 0, killRows)
	text := "id,name,n,phone,updated_at\n"
	for i := range killRows {
		name := "李"
		if i%10 == 3 {
			name = "?" // becomes a byte that is not GBK
		}
		text += fmt.Sprintf("file-%d,%s,%d,１,2025-11-03\n", i, name, i)
	}
	d.put(t, "people-1.csv", text)

	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	killed := 0
	for done := false; !done; {
		lines := -1
		if killed < kills {
			lines = 1 + random.IntN(40)
		}
		done = runChild(t, dir, lines)
		if !done {
			killed++
		}
	}
	if killed < kills/2 {
		t.Errorf("only %d kills before the rows ran out", killed)
	}

	db := sqldbtest.Open(t, "sqlite:"+filepath.Join(dir, "state.db"))
	r := newRunner(t, db, &recorder{}, kinds())
	stop := start(t, r, parse(t, dir, tableSource, filesSource))
	await(t, r, "a new process", readAll(map[string]int64{"market/table": killRows, "market/files": killRows}))
	for name, s := range stop() {
		if s.Read != killRows || s.Accepted != killRows*9/10 || s.Rejected != killRows/10 || s.Findings[exchange.FindingFullWidth] != killRows*9/10 {
			t.Errorf("%s after %d kills: %+v", name, killed, s)
		}
	}
	expectTopics(t, db, filepath.Join(dir, "bus"), killed)
}

// runChild starts the child and kills it after so many lines of its output;
// it reports whether the child came to its end.
func runChild(t *testing.T, dir string, lines int) (done bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillChild$", "-test.v")
	child.Env = append(os.Environ(), killDirVariable+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var failure string
	scanner := bufio.NewScanner(out)
	for seen := 0; scanner.Scan(); {
		switch line := scanner.Text(); line {
		case "publishing", "published":
			if seen++; seen == lines {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, out)
				_ = child.Wait() // killed
				return false
			}
		case "done":
			done = true
		default:
			failure += line + "\n"
		}
	}
	if err := child.Wait(); err != nil || !done {
		t.Fatalf("child: %v\n%s", err, failure)
	}
	return true
}

// expectTopics checks that every accepted and every rejected row is on its topic, repeated at most by the kills.
func expectTopics(t *testing.T, db *sqldb.DB, dir string, killed int) {
	t.Helper()
	_, topics := newExchange(t, db, dir)
	for topic, want := range map[string]int{exchange.TopicOf("market.people"): 2 * killRows * 9 / 10, exchange.RejectedTopic: 2 * killRows / 10} {
		_, end, err := topics.Bounds(t.Context(), topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := topics.Read(t.Context(), topic, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for reader.Offset() < end {
			msgs, err := reader.Next(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs {
				for _, h := range m.Headers {
					if h.Key == "ce_id" {
						ids[string(h.Value)] = true
					}
				}
			}
		}
		if len(ids) != want {
			t.Errorf("%s has %d different records; want %d", topic, len(ids), want)
		}
		t.Logf("%s: %d different records in %d messages after %d kills", topic, len(ids), end, killed)
	}
}
