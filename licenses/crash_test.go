package licenses

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashDir, when set, makes this test binary the child of
// TestKilledWhileIssuing.
const crashDir = "ONEWINDOW_LICENSES_CRASH_DIR"

// TestKilledWhileIssuing kills a process that issues and suspends licences, at
// different moments, and looks at what it left behind: everything it had
// acknowledged, and nothing by halves.
func TestKilledWhileIssuing(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		issueUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	acknowledged := map[string]Verdict{}
	tokens := map[string]string{}
	for round := range 4 {
		for _, line := range killedChild(t, dir, round) {
			fields := strings.Fields(line) // ISSUED number token, or SUSPENDED number
			switch {
			case len(fields) == 3 && fields[0] == "ISSUED":
				if tokens[fields[1]] != "" {
					t.Errorf("%s issued twice", fields[1])
				}
				acknowledged[fields[1]], tokens[fields[1]] = VerdictValid, fields[2]
			case len(fields) == 2 && fields[0] == "SUSPENDED":
				acknowledged[fields[1]] = VerdictSuspended
			}
		}
	}
	if len(acknowledged) < 50 {
		t.Fatalf("only %d licences acknowledged in all rounds", len(acknowledged))
	}
	e := openEnv(t, "sqlite:"+filepath.Join(dir, "state.db"), dir)
	list := e.statusList(t)
	for number, want := range acknowledged {
		v := e.verdict(t, tokens[number])
		l, err := e.Get(asMarket(t), number)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := list.Get(int(l.slot.index))
		if err != nil {
			t.Fatal(err)
		}
		// A suspension may be on disk although the kill came before its acknowledgement.
		pending := want == VerdictValid && v.Verdict == VerdictSuspended
		if v.Verdict != want && !pending || (entry != 0) != (v.Verdict == VerdictSuspended) {
			t.Errorf("%s: verdict %s, list entry %d; acknowledged as %s", number, v.Verdict, entry, want)
		}
	}
	// Unique indexes keep numbers and slots apart; every row must have exactly its events.
	events := e.events(t)
	stored, err := collect(t.Context(), e.db, func(scan func(...any) error) (l License, err error) {
		return l, scan(&l.Number, &l.changes)
	}, `SELECT number, changes FROM licenses`)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != len(stored) || len(stored) < len(acknowledged) {
		t.Errorf("events of %d licences, %d stored, %d acknowledged", len(events), len(stored), len(acknowledged))
	}
	for _, l := range stored {
		of := events[l.Number]
		if int64(len(of)) != 1+l.changes || header(of[0], "ce_type") != TypeIssued || l.changes == 1 && header(of[1], "ce_type") != TypeSuspended {
			t.Errorf("%s: %d events after %d changes", l.Number, len(of), l.changes)
		}
	}
	assertCounts(t, e)
	t.Logf("%d acknowledged, %d stored; serials %d, slots %d", len(acknowledged), len(stored),
		e.number(t, `SELECT last_serial FROM license_serials`), e.number(t, `SELECT used FROM license_status_lists`))
}

// killedChild runs the child until it has acknowledged some licences, kills it
// a little later, and returns what it said.
func killedChild(t *testing.T, dir string, round int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWhileIssuing$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("ROUND=%d", round))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	var kill *time.Timer
	read := bufio.NewScanner(out)
	for read.Scan() {
		lines = append(lines, read.Text())
		if kill == nil && strings.HasPrefix(read.Text(), "ISSUED") {
			kill = time.AfterFunc(time.Duration(30+round*23)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if kill == nil {
		t.Fatalf("the child issued nothing: %v\n%s", err, strings.Join(lines, "\n"))
	}
	if n := len(lines); !strings.HasSuffix(lines[n-1], "~") {
		lines = lines[:n-1] // cut off by the kill, unless it is a whole suspension
	}
	return lines
}

func issueUntilKilled(t *testing.T, dir string) {
	t.Helper()
	e := openEnv(t, "sqlite:"+filepath.Join(dir, "state.db"), dir)
	var workers sync.WaitGroup
	for w := range 3 {
		workers.Go(func() {
			for n := 0; ; n++ {
				var batch []Request
				for i := range 1 + n%7*3 {
					batch = append(batch, testRequest(fmt.Sprintf("%s-%d-%d-%d", os.Getenv("ROUND"), w, n, i)))
				}
				issued, err := e.BatchIssue(asMarket(t), batch)
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range issued {
					fmt.Printf("ISSUED %s %s\n", l.Number, l.Token)
				}
				number := issued[0].Number
				if _, err := e.Change(asMarket(t), number, Suspend, "x"); err != nil {
					t.Error(err)
					return
				}
				fmt.Printf("SUSPENDED %s\n", number)
			}
		})
	}
	workers.Wait()
}
