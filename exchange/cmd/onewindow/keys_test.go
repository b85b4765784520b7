package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/keys"
)

func TestAuditOfKeyUsesNoticesAChangedLine(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "signing", "uses")
	journal, err := keys.OpenJournal(dir, []byte("a passphrase"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		id, err := journal.Intend(t.Context(), []keys.Entry{{KeyID: "k", Line: "license", Use: keys.Use{Caller: "hub", Purpose: "license"}, Digest: "sha-256:00"}})
		if err := errors.Join(err, journal.Conclude(t.Context(), id, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := auditUses(data, &out); err != nil || !strings.Contains(out.String(), "whole: 6 records") {
		t.Fatalf("%v: %s", err, out.String())
	}
	path := filepath.Join(dir, keys.JournalFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"caller":"hub"`, `"caller":"hut"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := auditUses(data, &out); !errors.Is(err, keys.ErrJournal) || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("a changed line: %v", err)
	}
}
