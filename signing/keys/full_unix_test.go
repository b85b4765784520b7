//go:build linux || darwin

package keys

import (
	"bytes"
	"errors"
	"os/signal"
	"syscall"
	"testing"
)

func TestJournalGoesOnAfterAFullDisk(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	intend(t, j, "before", nil)

	var err error
	fullDisk(t, uint64(len(readJournal(t, dir))+50), func() {
		_, err = j.Intend(t.Context(), []Entry{testEntry("full")})
	})
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("full disk: %v", err)
	}
	intend(t, j, "after", nil)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if records, err := verifyJournal(bytes.NewReader(readJournal(t, dir))); err != nil || records != 4 {
		t.Errorf("%d records, %v", records, err)
	}
}

func TestFullDiskLeavesASegmentOpenUntilThereIsRoom(t *testing.T) {
	dir := t.TempDir()
	j := smallSegments(t, dir)
	intend(t, j, "one", nil)
	intend(t, j, "two", nil)
	before := readJournal(t, dir)
	var err error
	fullDisk(t, 50, func() { // no room for the head
		_, err = j.Intend(t.Context(), []Entry{testEntry("full")})
	})
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("full disk: %v", err)
	}
	if !bytes.Equal(readJournal(t, dir), before) {
		t.Error("the segment was changed")
	}
	intend(t, j, "after", nil)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if audit, err := AuditJournal(dir); err != nil || audit.Closed != 1 || audit.Records != 6 {
		t.Errorf("%+v, %v", audit, err)
	}
}

// fullDisk does something while no file may grow beyond a size: a limit stands
// for the full disk, and the system takes a part of what does not fit.
func fullDisk(t *testing.T, size uint64, do func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var free syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	full := free
	full.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	do()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
}
