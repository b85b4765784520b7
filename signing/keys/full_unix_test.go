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

	// A limit on the size of files stands for the full disk: the system takes
	// a part of the next line.
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var free syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	full := free
	full.Cur = uint64(len(readJournal(t, dir)) + 50)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	_, err := j.Intend(t.Context(), []Entry{testEntry("full")})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
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
