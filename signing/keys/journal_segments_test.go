package keys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smallSegments opens the journal with segments of four lines.
func smallSegments(tb testing.TB, dir string) *Journal {
	tb.Helper()
	j := openTestJournal(tb, dir)
	j.maxLines = 4
	return j
}

// segmented leaves a journal of 12 lines after a clean shutdown: closed segments
// of lines 1 to 4 and 5 to 9, and use 7, which is concluded in line 12.
func segmented(tb testing.TB, dir string) {
	tb.Helper()
	j := smallSegments(tb, dir)
	for i := range 3 {
		intend(tb, j, fmt.Sprint(i), nil)
	}
	carried := intend(tb, j, "carried")
	intend(tb, j, "between", nil)
	intend(tb, j, "last", nil)
	if err := errors.Join(j.Conclude(tb.Context(), carried, nil), j.Close()); err != nil {
		tb.Fatal(err)
	}
}

// contents are the files of a folder by name.
func contents(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			tb.Fatal(err)
		}
		all[f.Name()] = string(data)
	}
	return all
}

// leave makes a folder with exactly these files.
func leave(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func tryOpenJournal(dir string) (*Journal, error) {
	return openJournal(dir, []byte("correct horse"), newClock().now, quickKDF())
}

func TestFullSegmentsAreClosedAndTheLogGoesOn(t *testing.T) {
	dir := t.TempDir()
	segmented(t, dir)
	if got := strings.Count(contents(t, dir)[headsFile], "\n"); got != 2 {
		t.Fatalf("%d heads, want 2", got)
	}
	if heads := contents(t, dir)[headsFile]; !strings.Contains(heads, `"open":[7]`) {
		t.Errorf("the second head does not have use 7 as open: %s", heads)
	}
	audit, err := AuditJournal(dir)
	if err != nil || audit.Records != 12 || audit.Closed != 2 || audit.LogKeyID == "" {
		t.Fatalf("%+v, %v", audit, err)
	}
	j := openTestJournal(t, dir)
	if len(j.Interrupted()) != 0 {
		t.Errorf("interrupted: %v", j.Interrupted())
	}
	if got := intend(t, j, "next", nil); got != 13 {
		t.Errorf("goes on with %d", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	later, err := AuditJournal(dir)
	if err != nil || later.Records != 14 || later.LogKeyID != audit.LogKeyID {
		t.Errorf("%+v, %v", later, err)
	}
}

func TestUseUnderWayAcrossABoundIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	j := smallSegments(t, dir)
	intend(t, j, "carried")
	for i := range 6 {
		intend(t, j, fmt.Sprint(i), nil)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openTestJournal(t, dir)
	if got := j.Interrupted(); len(got) != 1 || got[0] != testEntry("carried") {
		t.Errorf("interrupted: %v", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if audit, err := AuditJournal(dir); err != nil || audit.Closed < 2 {
		t.Errorf("%+v, %v", audit, err)
	}
}

func TestLogOfAnOlderVersionOpensAndGoesOn(t *testing.T) {
	made := t.TempDir()
	j := openTestJournal(t, made)
	for i := range 5 {
		intend(t, j, fmt.Sprint(i), nil)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	dir := leave(t, map[string]string{JournalFile: contents(t, made)[JournalFile]})
	if audit, err := AuditJournal(dir); err != nil || audit.Records != 10 || audit.LogKeyID != "" {
		t.Errorf("before: %+v, %v", audit, err)
	}
	j = smallSegments(t, dir)
	intend(t, j, "next", nil)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if audit, err := AuditJournal(dir); err != nil || audit.Records != 12 || audit.Closed != 1 {
		t.Errorf("after: %+v, %v", audit, err)
	}
}

// TestClosingSurvivesKill9AtEveryStep leaves the files that a kill after each
// step leaves. No clean shutdown came after the one at line 4.
func TestClosingSurvivesKill9AtEveryStep(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	for i := range 2 {
		intend(t, j, fmt.Sprint(i), nil)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	j = smallSegments(t, dir)
	j.mu.Lock()
	err := j.makeRoom()
	j.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	first := segmentName(1)
	with := func(base map[string]string, name, data string) map[string]string {
		files := map[string]string{}
		for n, d := range base {
			files[n] = d
		}
		files[name] = data
		return files
	}
	without := func(base map[string]string, name string) map[string]string {
		files := with(base, name, "")
		delete(files, name)
		return files
	}
	renamed := with(without(before, JournalFile), first, before[JournalFile])
	for step, files := range map[string]map[string]string{
		"before":                     before,
		"renamed":                    renamed,
		"renamed, head half made":    with(renamed, ".new-1", after[headsFile][:20]),
		"head written":               without(after, JournalFile),
		"new segment":                after,
		"new segment, a torn line":   with(after, JournalFile, `{"n":5,`),
		"renamed, key but no tail":   without(renamed, tailFile),
		"head written, without tail": without(without(after, JournalFile), tailFile),
	} {
		dir := leave(t, files)
		j, err := tryOpenJournal(dir)
		if err != nil {
			t.Errorf("%s: %v", step, err)
			continue
		}
		if got := intend(t, j, "next", nil); got != 5 || len(j.Interrupted()) != 0 {
			t.Errorf("%s: goes on with %d, interrupted %v", step, got, j.Interrupted())
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if step != "before" && contents(t, dir)[headsFile] != after[headsFile] {
			t.Errorf("%s: another head than without the kill", step)
		}
		if audit, err := AuditJournal(dir); err != nil || audit.Records != 6 {
			t.Errorf("%s: %+v, %v", step, audit, err)
		}
	}
}

func TestOpeningNoticesWhatIsMissingOrChanged(t *testing.T) {
	dir := t.TempDir()
	segmented(t, dir)
	whole := contents(t, dir)
	other := t.TempDir()
	segmented(t, other)
	strangers := contents(t, other)
	first, second := segmentName(1), segmentName(5)
	heads := strings.SplitAfter(whole[headsFile], "\n")
	lines := strings.SplitAfter(whole[JournalFile], "\n")
	for name, c := range map[string]struct {
		change map[string]string // "" removes.
		want   string
	}{
		"segment missing":          {map[string]string{first: ""}, first},
		"last segment missing":     {map[string]string{second: ""}, second},
		"segment shorter":          {map[string]string{first: whole[first][:50]}, first},
		"segment longer":           {map[string]string{second: whole[second] + "\n"}, second},
		"heads missing":            {map[string]string{headsFile: ""}, headsFile},
		"last head missing":        {map[string]string{headsFile: heads[0]}, headsFile},
		"first head missing":       {map[string]string{headsFile: heads[1]}, headsFile},
		"head torn":                {map[string]string{headsFile: whole[headsFile][:len(whole[headsFile])-3]}, headsFile},
		"head changed":             {map[string]string{headsFile: strings.Replace(whole[headsFile], `"last":4`, `"last":3`, 1)}, headsFile},
		"head with a member more":  {map[string]string{headsFile: strings.Replace(whole[headsFile], `{"first"`, `{"x":1,"first"`, 1)}, headsFile},
		"heads of another log":     {map[string]string{headsFile: strangers[headsFile]}, headsFile},
		"key missing":              {map[string]string{logKeyFile: ""}, logKeyFile},
		"key of another log":       {map[string]string{logKeyFile: strangers[logKeyFile]}, headsFile},
		"key damaged":              {map[string]string{logKeyFile: "{}"}, logKeyFile},
		"tail changed":             {map[string]string{tailFile: strings.Replace(whole[tailFile], `"n":12`, `"n":11`, 1)}, tailFile},
		"tail of another log":      {map[string]string{tailFile: strangers[tailFile]}, tailFile},
		"tail cut off":             {map[string]string{JournalFile: lines[0]}, "line 12"},
		"tail torn":                {map[string]string{JournalFile: lines[0] + lines[1][:9]}, "line 12"},
		"current segment missing":  {map[string]string{JournalFile: ""}, "line 12"},
		"current line changed":     {map[string]string{JournalFile: strings.Replace(whole[JournalFile], `"last"`, `"lost"`, 1)}, "line 11"},
		"segments put back by one": {map[string]string{headsFile: heads[0], JournalFile: "", second: whole[second]}, "line 12"},
		"segment without a head":   {map[string]string{segmentName(10): whole[JournalFile]}, segmentName(10)},
		"all but the current gone": {map[string]string{first: "", second: "", headsFile: "", tailFile: "", logKeyFile: ""}, "line 1"},
	} {
		files := map[string]string{}
		for n, d := range whole {
			files[n] = d
		}
		for n, d := range c.change {
			if files[n] = d; d == "" {
				delete(files, n)
			}
		}
		dir := leave(t, files)
		j, err := tryOpenJournal(dir)
		if err == nil {
			_ = j.Close()
		}
		if !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
		if name != "segments put back by one" && fmt.Sprint(contents(t, dir)) != fmt.Sprint(files) {
			t.Errorf("%s: a refused journal was changed", name)
		}
	}
	if _, err := openJournal(leave(t, whole), []byte("wrong"), newClock().now, quickKDF()); !errors.Is(err, ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
}

func TestAuditNoticesAChangedLineInAClosedSegment(t *testing.T) {
	dir := t.TempDir()
	segmented(t, dir)
	whole := contents(t, dir)
	for _, name := range []string{segmentName(1), segmentName(5), JournalFile} {
		for i := range whole[name] {
			data := []byte(whole[name])
			data[i] ^= 1
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := AuditJournal(dir); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s byte %d changed: %v", name, i, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(whole[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentThatCannotBeClosedGoesOnWhenItCan(t *testing.T) {
	dir := t.TempDir()
	j := smallSegments(t, dir)
	for i := range 2 {
		intend(t, j, fmt.Sprint(i), nil)
	}
	blocked := filepath.Join(dir, segmentName(1))
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Intend(t.Context(), []Entry{testEntry("blocked")}); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("blocked: %v", err)
	}
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	if got := intend(t, j, "free", nil); got != 5 {
		t.Errorf("goes on with %d", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if audit, err := AuditJournal(dir); err != nil || audit.Closed != 1 || audit.Records != 6 {
		t.Errorf("%+v, %v", audit, err)
	}
}

// FuzzHeads: what is accepted as heads is what this log signed.
func FuzzHeads(f *testing.F) {
	dir := f.TempDir()
	segmented(f, dir)
	whole := contents(f, dir)
	f.Add([]byte(whole[headsFile]), []byte(whole[tailFile]))
	f.Add([]byte("{}\n"), []byte("{}"))
	key, err := openLogKey(dir, []byte("correct horse"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, heads, note []byte) {
		files := map[string]string{headsFile: string(heads), tailFile: string(note)}
		for _, name := range []string{segmentName(1), segmentName(5)} {
			files[name] = whole[name]
		}
		_, _, err := readArchive(leave(t, files), key)
		same := bytes.HasPrefix([]byte(whole[headsFile]), heads) && bytes.Equal(note, []byte(whole[tailFile]))
		if err == nil && !same {
			t.Fatal("accepted heads or a note that this log did not sign")
		}
		if err != nil && !errors.Is(err, ErrJournal) && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
}
