package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/analytics/engine"
	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

// testScale divides the county for tests.
const testScale = 50

// asProgram makes the test binary behave as the program whatever its arguments.
const asProgram = "ONEWINDOW_TEST_AS_PROGRAM"

// TestMain lets the test binary stand in for bin/onewindow: the program starts
// itself for the county, and the tests start it for everything else.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" || slices.ContainsFunc(commands(), func(c command) bool { return len(os.Args) > 1 && os.Args[1] == c.name }) {
		main()
		return
	}
	os.Exit(m.Run())
}

// needEngine skips a test where libchdb or the font is not installed, or fails
// it where everything is required.
func needEngine(t *testing.T) {
	t.Helper()
	dir, err := filepath.Abs("../../../analytics/engine")
	if err != nil {
		t.Fatal(err)
	}
	library, err := engine.FindLibrary(os.Getenv("ONEWINDOW_LIBCHDB"), dir)
	if err != nil {
		missing(t, "libchdb: %v", err)
	}
	t.Setenv("ONEWINDOW_LIBCHDB", library)
	font := os.Getenv("ONEWINDOW_TEST_FONT")
	if font == "" {
		missing(t, "the font of signing/typeface: ONEWINDOW_TEST_FONT is not set (make test sets it)")
	}
	t.Setenv("ONEWINDOW_FONT", font)
}

// missing ends a test that needs something this machine lacks.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// newTestDemo returns a small demo that writes a report, on free ports.
func newTestDemo(t *testing.T) *demo {
	t.Helper()
	needEngine(t)
	dir := t.TempDir()
	cfg := defaultConfig()
	cfg.Data, cfg.Sample = filepath.Join(dir, "data"), true
	for _, address := range []*string{&cfg.Listen.REST, &cfg.Listen.GRPC} {
		free, err := freeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		*address = free
	}
	cfg.BaseURL = "http://" + cfg.Listen.REST
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = out.Close()
		if text, err := os.ReadFile(out.Name()); err == nil && t.Failed() {
			t.Logf("the demo said:\n%s", text)
		}
	})
	return &demo{
		cfg: cfg, options: county.Options{Scale: testScale, SQLite: true}, out: out,
		logger: slog.New(slog.DiscardHandler), reportFile: filepath.Join(dir, "report.json"),
	}
}

// play runs a demo to its end and returns its report.
func play(t *testing.T, d *demo) (Report, error) {
	t.Helper()
	runErr := d.run(t.Context())
	var r Report
	text, err := os.ReadFile(d.reportFile)
	if err != nil {
		t.Fatalf("no report: %v; the demo ended with %v", err, runErr)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r, runErr
}

func TestDemoAddsUp(t *testing.T) {
	r, err := play(t, newTestDemo(t))
	if err != nil {
		t.Fatalf("%v: %v", err, r.Faults)
	}
	if len(r.Sources) != 10 || r.StoredRows == 0 || r.StoredRows != r.StoredDistinct || r.LicensesIssued != 20_000/testScale ||
		r.VerifiedOk == 0 || r.PagesSealed == 0 || r.PagesVerified != r.PagesSealed || r.PagesTamperedRejected != r.PagesSealed || r.TamperedTried != r.TamperedRejected || r.RevokedRejected == 0 || r.MaterialsAsked >= r.MaterialsRequired ||
		r.Index.OnTimeRate < 0.9 || r.PeakRSSBytes == 0 {
		t.Fatalf("the report is not that of a county: %+v", r)
	}
	for _, kind := range []string{"CHECK_DIGIT", "COLUMN_CHANGED", "DUPLICATE", "ENCODING", "FULL_WIDTH", "LATE", "MALFORMED", "MISSING_FIELD"} {
		if !slices.ContainsFunc(r.Dirt, func(d DirtReport) bool { return d.Kind == kind && d.Planted > 0 && d.Found == d.Planted }) {
			t.Errorf("no dirt of kind %s was planted and found: %+v", kind, r.Dirt)
		}
	}
}

// TestAChangedByteIsNoticed changes one byte of a planted record and one of a
// token: exactly the counts concerned change, and the demo says so.
func TestAChangedByteIsNoticed(t *testing.T) {
	d := newTestDemo(t)
	d.loaded = func(state county.State) error { return changeOneDigit(state.Systems.Police) }
	d.issued = func(sample []*licensesv1.License) { sample[0].Token = tampered(sample[0].GetToken(), 1) }
	r, err := play(t, d)
	if err == nil {
		t.Fatal("the demo did not notice")
	}
	for _, dirt := range r.Dirt {
		want := dirt.Planted
		if dirt.Kind == "CHECK_DIGIT" {
			want++
		}
		if dirt.Found != want {
			t.Errorf("dirt %s: found %d, want %d", dirt.Kind, dirt.Found, want)
		}
	}
	if r.VerifiedOk != r.TamperedTried-1 {
		t.Errorf("%d of %d licences hold, one was tampered with", r.VerifiedOk, r.TamperedTried)
	}
	for _, want := range []string{"police/resident: accepted", "dirt CHECK_DIGIT", "licences hold"} {
		if !strings.Contains(strings.Join(r.Faults, "\n"), want) {
			t.Errorf("no fault says %q: %v", want, r.Faults)
		}
	}
}

// changeOneDigit changes the check digit of a clean resident who comes once in all nights.
func changeOneDigit(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "resident-*.csv"))
	if err != nil {
		return err
	}
	texts := make([]string, len(files))
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	all := strings.Join(texts, "")
	for i, name := range slices.Backward(files) {
		_, rows, _ := strings.Cut(texts[i], "\n")
		row, _, _ := strings.Cut(rows, "\n")
		number, _, _ := strings.Cut(row, ",")
		if len(number) != 18 || strings.Count(all, number) > 1 || strings.Contains(row, ",,") {
			continue
		}
		other := "1"
		if strings.HasSuffix(number, other) {
			other = "2"
		}
		return os.WriteFile(name, []byte(strings.Replace(texts[i], number, number[:17]+other, 1)), 0o600)
	}
	return os.ErrNotExist
}

// start runs this program with arguments and returns its exit code and what
// it wrote to standard error.
func start(t *testing.T, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

func TestWhatCannotServeSaysWhy(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	busy := listener.Addr().String()
	holder := newTestDemo(t)
	h, err := openHub(t.Context(), holder.cfg, holder.logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	cases := []struct {
		name  string
		args  []string
		env   string
		code  int
		wants []string
	}{
		{"no such command", []string{"fly"}, "", exitUsage, []string{"fly", "help"}},
		{"no such file", []string{"run", "--config", filepath.Join(dir, "none.yaml")}, "", exitUsage, []string{"none.yaml", "--config"}},
		{"not YAML", []string{"check", "--config", file("a.yaml", "data: [")}, "", exitUsage, []string{"a.yaml"}},
		{"unknown key", []string{"check", "--config", file("b.yaml", "data: x\ncolour: blue\n")}, "", exitUsage, []string{"b.yaml", "colour"}},
		{
			"every fault at once",
			[]string{"check", "--config", file("c.yaml", "roles: [pilot]\npartitions: 0\ntopics: rabbit\nbase_url: nowhere\n")},
			"", exitUsage,
			[]string{"pilot", "partitions", "rabbit", "nowhere"},
		},
		{
			"split roles without real servers",
			[]string{"check", "--config", file("d.yaml", "roles: [sink]\n")},
			"", exitUsage,
			[]string{"the embedded broker lives in one process"},
		},
		{
			"faulty definitions",
			[]string{"check", "--config", file("e.yaml", "connectors: "+file("defs.yaml", "sources:\n  - {name: x, speed: 1}\n")+"\n")},
			"", exitUsage,
			[]string{"defs.yaml", "speed"},
		},
		{
			"libchdb missing",
			[]string{"run", "--config", file("f.yaml", "data: "+filepath.Join(dir, "f")+"\nlisten: {rest: 127.0.0.1:0, grpc: 127.0.0.1:0}\n")},
			filepath.Join(dir, "no-libchdb.so"), exitFault,
			[]string{"no-libchdb.so", "npm ci"},
		},
		{
			"data folder in use",
			[]string{"run", "--config", file("g.yaml", "data: "+holder.cfg.Data+"\nlisten: {rest: 127.0.0.1:0, grpc: 127.0.0.1:0}\n")},
			"", exitFault,
			[]string{"in use", holder.cfg.Data},
		},
		{
			"port in use",
			[]string{"run", "--config", file("h.yaml", "data: "+filepath.Join(dir, "h")+"\nlisten: {rest: "+busy+", grpc: "+busy+"}\n")},
			"", exitFault,
			[]string{busy, "listen.rest", "listen.grpc", "The port is taken"},
		},
		{
			"state database not there",
			[]string{"run", "--config", file("i.yaml", "data: "+filepath.Join(dir, "i")+"\ndatabase: postgres://u:secret@127.0.0.1:1/x\nlisten: {rest: 127.0.0.1:0, grpc: 127.0.0.1:0}\n")},
			"", exitFault,
			[]string{"The state database is unavailable"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.env != "" {
				t.Setenv("ONEWINDOW_LIBCHDB", c.env)
			}
			code, said := start(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.wants {
				if !strings.Contains(said, want) {
					t.Errorf("the message does not say %q:\n%s", want, said)
				}
			}
			if strings.Contains(said, "secret") {
				t.Error("the message shows a password")
			}
		})
	}
}
