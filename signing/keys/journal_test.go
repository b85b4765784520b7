package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/durable"
)

func openTestJournal(tb testing.TB, dir string) *Journal {
	tb.Helper()
	j, err := openJournal(dir, []byte("correct horse"), newClock().now, quickKDF())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	return j
}

func testEntry(digest string) Entry {
	return Entry{Time: newClock().now(), KeyID: "k", Line: "license", Use: testUse(), Digest: digest}
}

// intend writes an intent and, if an outcome is given, its conclusion.
func intend(tb testing.TB, j *Journal, digest string, outcome ...error) uint64 {
	tb.Helper()
	id, err := j.Intend(tb.Context(), []Entry{testEntry(digest)})
	if err == nil && len(outcome) > 0 {
		err = j.Conclude(tb.Context(), id, outcome[0])
	}
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// verifyJournal reads the lines of a log that has only its first segment.
func verifyJournal(r io.Reader) (int, error) {
	c := newChain(false)
	err := c.read(r)
	return c.records, err
}

func readJournal(tb testing.TB, dir string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(dir, JournalFile))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestJournalContinuesAndListsWhatACrashInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := openTestJournal(t, dir)
	intend(t, j, "one", nil)
	intend(t, j, "two", errors.New("the token is gone\xff "+strings.Repeat("x", 2*maxOutcome)))
	open := intend(t, j, "three")
	if _, err := openJournal(dir, []byte("correct horse"), newClock().now, quickKDF()); !errors.Is(err, durable.ErrBusy) {
		t.Fatalf("opened twice: %v", err)
	}
	if got := j.Interrupted(); len(got) != 0 {
		t.Errorf("interrupted in a new journal: %v", got)
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if err := j.Conclude(t.Context(), open, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("concluded after Close: %v", err)
	}

	// A crash in the middle of the next line.
	path := filepath.Join(dir, JournalFile)
	whole := readJournal(t, dir)
	if err := os.WriteFile(path, append(whole, `{"n":6,"prev":`...), 0o600); err != nil {
		t.Fatal(err)
	}
	j = openTestJournal(t, dir)
	if got := j.Interrupted(); len(got) != 1 || got[0] != testEntry("three") {
		t.Errorf("interrupted: %v; want the third", got)
	}
	if err := j.Conclude(t.Context(), open, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("concluded twice: %v", err)
	}
	intend(t, j, "four", nil)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	after := readJournal(t, dir)
	records, err := verifyJournal(bytes.NewReader(after))
	if err != nil || records != 8 || !bytes.HasPrefix(after, whole) || !bytes.Contains(after, []byte(`"concludes":5,"outcome":"unknown"`)) {
		t.Errorf("%d records, %v:\n%s", records, err, after)
	}
	if j = openTestJournal(t, dir); len(j.Interrupted()) != 0 {
		t.Errorf("listed again: %v", j.Interrupted())
	}
}

func TestJournalNoticesEveryChange(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	for i := range 4 {
		intend(t, j, fmt.Sprint(i), nil)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readJournal(t, dir)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	last := len(whole) - len(lines[7])
	refused := func(name string, changed []byte, line int) {
		t.Helper()
		records, err := verifyJournal(bytes.NewReader(changed))
		if !errors.Is(err, ErrJournal) || records != line-1 || !strings.Contains(err.Error(), fmt.Sprintf("line %d", line)) {
			t.Errorf("%s: %d records, %v; want line %d", name, records, err, line)
		}
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	refused("line removed", join(lines[0], join(lines[2:]...)), 2)
	refused("first line removed", join(lines[1:]...), 1)
	refused("lines exchanged", join(lines[0], lines[2], lines[1]), 2)
	refused("line repeated", join(lines[0], lines[0]), 2)
	refused("empty line", join(lines[0], []byte("\n"), lines[1]), 2)
	refused("line break of two bytes", join(lines[0][:len(lines[0])-1], []byte("\r\n")), 1)
	refused("space more", join([]byte(" "), whole), 1)
	refused("member more", bytes.Replace(whole, []byte(`{"n":1,`), []byte(`{"n":1,"x":2,`), 1), 1)
	refused("member twice", bytes.Replace(whole, []byte(`{"n":1,`), []byte(`{"n":1,"n":1,`), 1), 1)
	refused("torn", whole[:len(whole)-1], 8)
	refused("line too long", join(lines[0], bytes.Repeat([]byte("x"), maxRecord+2)), 2)
	refused("neither intent nor outcome", join(lines[0], []byte(`{"n":2,"prev":"`+digestLine(lines[0][:len(lines[0])-1])+`","time":"2026-11-22T08:00:00Z"}`+"\n")), 2)
	refused("outcome of nothing", join(lines[0], []byte(`{"n":2,"prev":"`+digestLine(lines[0][:len(lines[0])-1])+`","time":"2026-11-22T08:00:00Z","concludes":7,"outcome":"done"}`+"\n")), 2)

	// Nothing follows the last line, so that alone can be changed in it what
	// the form allows; every other byte counts.
	for i := range last {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		if _, err := verifyJournal(bytes.NewReader(changed)); !errors.Is(err, ErrJournal) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, JournalFile), join(lines[0], lines[2]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(dir, []byte("correct horse"), newClock().now, quickKDF()); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("broken chain: %v", err)
	}
	if got := readJournal(t, dir); !bytes.Equal(got, join(lines[0], lines[2])) {
		t.Error("a refused journal was changed")
	}
	if _, err := verifyJournal(io.MultiReader(bytes.NewReader(lines[0]), broken{})); !errors.Is(err, errBroken) || errors.Is(err, ErrJournal) {
		t.Errorf("unreadable: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestJournalSharesItsWritesAmongCallers(t *testing.T) {
	dir := t.TempDir()
	j := smallSegments(t, dir) // closed while others write
	const callers, uses = 16, 25
	ids := make(chan uint64, callers*uses)
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := range uses {
				id, err := j.Intend(t.Context(), []Entry{testEntry(fmt.Sprintf("%d/%d", caller, i)), testEntry("second")})
				if err == nil {
					err = j.Conclude(t.Context(), id, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
				ids <- id
			}
		})
	}
	group.Wait()
	close(ids)
	seen := map[uint64]bool{}
	for id := range ids {
		if seen[id] {
			t.Errorf("id %d twice", id)
		}
		seen[id] = true
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	audit, err := AuditJournal(dir)
	if err != nil || audit.Records != 2*callers*uses || len(seen) != callers*uses || audit.Closed == 0 {
		t.Errorf("%+v, %d ids, %v", audit, len(seen), err)
	}
}

func TestJournalStopsWhenTheDiskFails(t *testing.T) {
	j := openTestJournal(t, t.TempDir())
	id := intend(t, j, "before")
	if err := j.file.Close(); err != nil { // every write fails now, and cannot be taken back
		t.Fatal(err)
	}
	for range 2 {
		if _, err := j.Intend(t.Context(), []Entry{testEntry("after")}); err == nil {
			t.Error("an intent that is nowhere")
		}
	}
	if err := j.Conclude(t.Context(), id, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("concluded: %v", err)
	}
	if err := j.Close(); err == nil {
		t.Error("closed without a word of the failure")
	}
}

func TestIntendRefuses(t *testing.T) {
	j := openTestJournal(t, t.TempDir())
	if _, err := j.Intend(t.Context(), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no entries: %v", err)
	}
	if _, err := j.Intend(t.Context(), []Entry{testEntry(strings.Repeat("x", maxRecord))}); !errors.Is(err, ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if _, err := j.Intend(ctx, []Entry{testEntry("late")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
	if records, err := verifyJournal(bytes.NewReader(readJournal(t, filepath.Dir(j.file.Name())))); err != nil || records != 0 {
		t.Errorf("%d records, %v", records, err)
	}
}
