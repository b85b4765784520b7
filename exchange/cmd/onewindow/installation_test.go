package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// opened opens a hub on cfg and closes it again.
func opened(t *testing.T, d *demo) error {
	t.Helper()
	h, err := openHub(t.Context(), d.cfg, d.logger)
	if err != nil {
		return err
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	return nil
}

// TestLossOfAStoreIsRefusedAndNamed takes away one store after the other while
// the rest is full: the start names what is gone and the command that starts
// afresh, makes nothing in its place, and goes on after that command.
func TestLossOfAStoreIsRefusedAndNamed(t *testing.T) {
	d := newTestDemo(t)
	if err := opened(t, d); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, d); err != nil {
		t.Fatalf("a whole installation: %v", err)
	}
	data := d.cfg.Data
	for i, tt := range []struct{ store, gone string }{
		{storeState, "state.db"}, {storeTopics, "topics"}, {storeEngine, "clickhouse"}, {storeSigning, "keys.passphrase"}, {storeSigning, "signing"},
	} {
		t.Run(tt.gone, func(t *testing.T) {
			path := filepath.Join(data, tt.gone)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the refusal makes nothing that would hide the loss the next time
				err := opened(t, d)
				if !errors.Is(err, errLost) || !strings.Contains(err.Error(), tt.gone) || !strings.Contains(err.Error(), "onewindow reset --data "+data+" "+tt.store) {
					t.Fatalf("without %s: %v", tt.gone, err)
				}
				if _, err := os.Stat(path); err == nil {
					t.Fatalf("%s was made again", tt.gone)
				}
			}
			if _, err := reset(t.Context(), d.cfg, tt.store, time.Unix(int64(i), 0)); err != nil {
				t.Fatal(err)
			}
			if err := opened(t, d); err != nil {
				t.Fatalf("after the reset: %v", err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("after the reset: %v", err)
			}
		})
	}
}

// A start that was killed on the way has not lost anything.
func TestFirstStartMayBeKilledBetweenItsStores(t *testing.T) {
	cfg := defaultConfig()
	cfg.Data = t.TempDir()
	h := &hub{cfg: cfg}
	if err := h.openInstallation(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(cfg.storePath(storeEngine), "store"), 0o700); err != nil { // killed after the first store
		t.Fatal(err)
	}
	id := h.installation.ID
	again := &hub{cfg: cfg}
	if err := again.openInstallation(); err != nil || again.installation.ID != id {
		t.Fatalf("the next start: %v, id %s instead of %s", err, again.installation.ID, id)
	}
}

// An installation from before there were ids is taken over if it is whole.
func TestOlderInstallationIsTakenOverOnlyWhole(t *testing.T) {
	d := newTestDemo(t)
	if err := opened(t, d); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{installationFile, "topics/" + installationFile, "signing/" + installationFile} {
		if err := os.Remove(filepath.Join(d.cfg.Data, file)); err != nil {
			t.Fatal(err)
		}
	}
	db := openState(t, d)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM installation`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), os.Rename(filepath.Join(d.cfg.Data, "topics"), filepath.Join(d.cfg.Data, "away"))); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, d); !errors.Is(err, errLost) {
		t.Fatalf("without topics: %v", err)
	}
}

func openState(t *testing.T, d *demo) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), d.cfg.databaseURL())
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestStoreOfAnotherInstallationIsRefused(t *testing.T) {
	d := newTestDemo(t)
	if err := opened(t, d); err != nil {
		t.Fatal(err)
	}
	db := openState(t, d)
	_, err := db.ExecContext(t.Context(), `UPDATE installation SET id = 'another'`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, d); !errors.Is(err, errLost) || !strings.Contains(err.Error(), "another installation") {
		t.Fatalf("another's state database: %v", err)
	}
}

// The state database says that rows are stored, and ClickHouse is empty.
func TestEmptyEngineBesidePositionsIsRefused(t *testing.T) {
	d := newTestDemo(t)
	if err := opened(t, d); err != nil {
		t.Fatal(err)
	}
	db := openState(t, d)
	_, err := db.ExecContext(t.Context(), `INSERT INTO sink_positions (topic, partition_id, epoch, next_offset, last_digest, stored, duplicates, not_events, updated_at)
		VALUES ('records.market.x', 0, 1, 7, '', 7, 0, 0, 0)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, d); !errors.Is(err, errLost) || !strings.Contains(err.Error(), "ClickHouse is empty") {
		t.Fatalf("an empty engine: %v", err)
	}
	if _, err := reset(t.Context(), d.cfg, storeEngine, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := opened(t, d); err != nil {
		t.Fatalf("after the reset: %v", err)
	}
}

func TestDamagedStateDatabaseIsRefusedWithTheCommand(t *testing.T) {
	d := newTestDemo(t)
	if err := opened(t, d); err != nil {
		t.Fatal(err)
	}
	path := d.cfg.storePath(storeState)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(b []byte){
		"head":      func(b []byte) { copy(b, "no database at all") },
		"root page": func(b []byte) { clear(b[100:4096]) },
		"a page":    func(b []byte) { copy(b[4096:8192], strings.Repeat("damage", 682)) },
	} {
		bytes := append([]byte{}, whole...)
		damage(bytes)
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := opened(t, d); !errors.Is(err, sqldb.ErrDamaged) || !strings.Contains(err.Error(), "onewindow reset") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
