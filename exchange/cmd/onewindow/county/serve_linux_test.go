package county

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestRestart changes what was loaded, restarts, and finds it changed: nothing
// was loaded again. Addresses stay. What is half-loaded is built again.
func TestRestart(t *testing.T) {
	needPostgres(t)
	c := New(Options{Scale: 100})
	dir := t.TempDir()
	before, stop := serve(t, c, dir)
	if err := c.Serve(t.Context(), dir, slog.New(slog.DiscardHandler), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("a second county in the folder: got %v, want %v", err, ErrBusy)
	}
	if err := Remove(dir); !errors.Is(err, ErrBusy) {
		t.Errorf("remove while it serves: got %v, want %v", err, ErrBusy)
	}
	execute(t, c, before, dir, "DELETE FROM rating WHERE row_id = 1")
	tickets := filepath.Join(dir, civil, "tickets.jsonl")
	text, err := os.ReadFile(tickets)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.SplitAfter(string(text), "\n")[0]
	if err := os.WriteFile(tickets, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := Load(t.Context(), dir); !errors.Is(err, ErrNotReady) {
		t.Errorf("load after the end: got %v, want %v", err, ErrNotReady)
	}

	// The public security's files lose their mark, as if the loading had been cut off.
	if err := os.Remove(filepath.Join(dir, police, "loaded")); err != nil {
		t.Fatal(err)
	}
	leftover := filepath.Join(dir, police, "resident-20250102.csv.tmp")
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	after, _ := serve(t, c, dir)
	if after.Systems != before.Systems || after.Instance == before.Instance {
		t.Errorf("systems %+v of instance %s became %+v of %s", before.Systems, before.Instance, after.Systems, after.Instance)
	}
	planted := c.Planted().Sources
	for name, want := range map[string]int64{
		"market/rating": planted["market/rating"].Read - 1, "civil/ticket": 1, "police/resident": planted["police/resident"].Read,
	} {
		for _, s := range c.sources {
			if s.name == name {
				expect(t, name, int64(len(readBack(t, after, dir, s))), want)
			}
		}
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Error("the folder that was built again still has a half-written file")
	}
}

// execute runs a statement as the owner of the market regulation's database.
func execute(t *testing.T, c *County, state State, dir, statement string) {
	t.Helper()
	kept, err := readSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "address", state.Systems.MarketAddress, "127.0.0.1:"+strconv.Itoa(kept.MarketPort))
	conn, err := pgx.Connect(t.Context(), databaseURL(ownerName, kept.Owner, kept.MarketPort, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the statement is committed
	var mark string
	if err := conn.QueryRow(t.Context(), `SELECT mark FROM loaded`).Scan(&mark); err != nil {
		t.Fatal(err)
	}
	expect(t, "mark", mark, c.mark())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestMain is, in the process that [TestKilled] starts and kills, a county
// that serves its working folder.
func TestMain(m *testing.M) {
	if os.Getenv("COUNTY_TEST_SERVE") == "" {
		m.Run()
		return
	}
	if err := New(Options{Scale: 100}).Serve(context.Background(), ".", slog.New(slog.DiscardHandler), nil); err != nil {
		panic(err)
	}
}

// TestKilled kills a county with SIGKILL: its PostgreSQL ends, and the next
// county of the folder serves the same rows.
func TestKilled(t *testing.T) {
	needPostgres(t)
	// A folder that PostgreSQL's account can reach, so that the cluster lies in it.
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self)
	child.Dir = dir
	child.Env = append(os.Environ(), "COUNTY_TEST_SERVE=1")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		if _, err := Load(t.Context(), dir); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the county ended by itself: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	server := serverOf(t, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the county that was killed ended without an error")
	}
	if _, err := Load(t.Context(), dir); !errors.Is(err, ErrNotReady) {
		t.Errorf("load after the kill: got %v, want %v", err, ErrNotReady)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for syscall.Kill(server, 0) == nil {
		select {
		case <-ctx.Done():
			t.Fatalf("PostgreSQL, process %d, outlives its county", server)
		case <-time.After(20 * time.Millisecond):
		}
	}
	// Had it not ended, as where there is no such signal, the next county would stop it.
	leftover := startLeftover(t, dir)
	c := New(Options{Scale: 100})
	state, _ := serve(t, c, dir)
	if serverOf(t, dir) == leftover {
		t.Error("the next county uses a server that will not end with it")
	}
	for _, s := range c.sourcesOf(market) {
		expect(t, s.name, int64(len(readBack(t, state, dir, s))), c.Planted().Sources[s.name].Read)
	}
}

// startLeftover starts the cluster of dir as a daemon and returns its process id.
func startLeftover(t *testing.T, dir string) int {
	t.Helper()
	in, why := findPostgres(t.Context(), dir)
	if why != "" {
		t.Fatal(why)
	}
	listener, port, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	output, err := in.command(t.Context(), "pg_ctl", "start", "-D", in.data(), "-w", "-l", filepath.Join(in.base, "leftover.log"),
		"-o", "-h 127.0.0.1 -k '' -p "+strconv.Itoa(port)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return serverOf(t, dir)
}

// serverOf returns the process id of the cluster in dir.
func serverOf(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, databaseName, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
