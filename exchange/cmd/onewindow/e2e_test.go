package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is this program at work in a process of its own.
type program struct {
	cmd   *exec.Cmd
	lines chan string
}

// launch starts the program in dir; its standard output comes line by line.
func launch(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: cmd, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	})
	return p
}

// await reads the program's lines up to one that contains text and returns all of them.
func (p *program) await(t *testing.T, text string) string {
	t.Helper()
	var said strings.Builder
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the program ended before it said %q:\n%s", text, said.String())
			}
			said.WriteString(line + "\n")
			if strings.Contains(line, text) {
				return said.String()
			}
		case <-time.After(5 * time.Minute):
			t.Fatalf("the program does not say %q:\n%s", text, said.String())
		}
	}
}

// stop ends the program as Ctrl-C does; it must end in good order.
func (p *program) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the program did not end in good order: %v", err)
	}
}

// TestReadmeAsItStands runs every command of the README against the demo, as
// `make run` starts it, and compares the answers; then it starts the demo
// again, which must load nothing twice.
func TestReadmeAsItStands(t *testing.T) {
	needEngine(t)
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	// The README has the ports of `make run`, which somebody else may use here.
	rest, restErr := freeAddress(t.Context())
	grpc, grpcErr := freeAddress(t.Context())
	if err := errors.Join(restErr, grpcErr); err != nil {
		t.Fatal(err)
	}
	args := []string{"demo", "--data", "./data", "--scale", fmt.Sprint(testScale), "--sqlite", "--rest", rest, "--grpc", grpc}
	// In the README the program is bin/onewindow.
	executable, err := filepath.Abs(os.Args[0])
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o700), os.Symlink(executable, filepath.Join(dir, "bin", "onewindow")))
	}
	if err != nil {
		t.Fatal(err)
	}
	demo := launch(t, dir, args...)
	demo.await(t, "Ctrl-C stops")
	for _, readme := range []string{"README.md"} {
		text, err := os.ReadFile(filepath.Join("../../..", readme))
		if err != nil {
			t.Fatal(err)
		}
		moved := strings.ReplaceAll(string(text), "127.0.0.1:8080", rest)
		runReadme(t, dir, regexp.MustCompile(`(?m)^bin/onewindow connector .*$`).ReplaceAllString(moved, "$0 --address "+grpc))
	}
	demo.stop(t)

	again := launch(t, dir, args...)
	said := again.await(t, "Ctrl-C stops")
	if !strings.Contains(said, "sources: 11404 of 11404 rows read") || strings.Contains(said, "issued") || strings.Contains(said, "rows loaded") {
		t.Errorf("the second start did something again:\n%s", said)
	}
	again.stop(t)
}

// runReadme runs the blocks marked sh in one shell and compares what each
// prints with the block after it, without regard to white space; … stands for
// anything.
func runReadme(t *testing.T, dir, text string) {
	t.Helper()
	const separator = "@@ end of block @@"
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```\n```json\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) < 15 {
		t.Fatalf("the README has only %d commands with answers", len(blocks))
	}
	var script strings.Builder
	for _, block := range blocks {
		fmt.Fprintf(&script, "%s\necho\necho '%s'\n", block[1], separator)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -eu\n"+script.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8")
	output, err := cmd.Output()
	if err != nil {
		t.Errorf("a command failed: %v", err)
	}
	answers := strings.Split(string(output), separator)
	space := regexp.MustCompile(`\s+`)
	for i, block := range blocks {
		var pattern strings.Builder
		pattern.WriteString("^")
		for j, part := range strings.Split(space.ReplaceAllString(block[2], ""), "…") {
			if j > 0 {
				pattern.WriteString(".*?")
			}
			pattern.WriteString(regexp.QuoteMeta(part))
		}
		if !strings.HasSuffix(strings.TrimSpace(block[2]), "…") {
			pattern.WriteString("$")
		}
		if i >= len(answers) || !regexp.MustCompile(pattern.String()).MatchString(space.ReplaceAllString(answers[i], "")) {
			t.Errorf("the README says that\n%sanswers\n%sbut it answers\n%s", block[1], block[2], answers[min(i, len(answers)-1)])
		}
	}
}

// TestRealServers plays the whole scenario with topics in a real Apache Kafka,
// state in a real PostgreSQL, ClickHouse over HTTP and keys over mTLS in other
// processes, and reads a topic with kcat.
func TestRealServers(t *testing.T) {
	needEngine(t)
	if os.Getenv("ONEWINDOW_TEST_KAFKA") == "" || os.Getenv("ONEWINDOW_TEST_POSTGRES") == "" {
		missing(t, "PostgreSQL and Apache Kafka: ONEWINDOW_TEST_POSTGRES and ONEWINDOW_TEST_KAFKA are not set (make test starts them)")
	}
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		missing(t, "kcat is not installed")
	}
	// Servers of its own: the scenario owns every topic that begins with "records.".
	servers := startServices(t)
	d := newTestDemo(t)
	d.options.SQLite = false
	d.cfg.Topics = "kafka://" + servers["ONEWINDOW_TEST_KAFKA"]
	d.cfg.Database = servers["ONEWINDOW_TEST_POSTGRES"]
	d.cfg.ClickHouse = "http://" + startEngine(t) + "/onewindow"
	d.cfg.Signing = startSigning(t, d)
	r, err := play(t, d)
	if err != nil {
		t.Fatalf("%v: %v", err, r.Faults)
	}
	if !strings.HasPrefix(r.County, "postgresql") {
		t.Errorf("the county ran on %s", r.County)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, kcat, "-C", "-e", "-q", "-b", servers["ONEWINDOW_TEST_KAFKA"],
		"-t", "records.market.enterprise", "-c", "1", "-f", "%k %h %s\n").Output()
	if err != nil {
		t.Fatalf("kcat: %v", err)
	}
	for _, want := range []string{
		"ce_specversion=1.0", "ce_id=", "ce_source=market/enterprise", "ce_type=org.onewindow.record.upsert.v1", "ce_subject=", "ce_time=2", "content-type=application/json", `{"uscc":"`,
	} {
		if !strings.Contains(string(output), want) {
			t.Errorf("kcat does not show %q: %s", want, output)
		}
	}
}

// startServices starts a PostgreSQL and a Kafka for one test.
func startServices(t *testing.T) map[string]string {
	t.Helper()
	scripts := "../../../.tools/services/"
	output, err := exec.CommandContext(t.Context(), scripts+"up").Output()
	if err != nil {
		t.Fatalf("start services: %v", err)
	}
	values := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='?([^'\n]*)'?$`).FindAllStringSubmatch(string(output), -1) {
		values[m[1]] = m[2]
	}
	t.Cleanup(func() {
		if err := exec.Command(scripts+"down", values["ONEWINDOW_TEST_SERVICES"]).Run(); err != nil {
			t.Errorf("stop services: %v", err)
		}
	})
	for _, name := range []string{"ONEWINDOW_TEST_KAFKA", "ONEWINDOW_TEST_POSTGRES"} {
		if values[name] == "" {
			missing(t, "%s could not be started", name)
		}
	}
	return values
}

// startEngine serves the embedded ClickHouse on a port of another process.
func startEngine(t *testing.T) string {
	t.Helper()
	address, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf("data: %s\nroles: [engine]\nlisten: {rest: '', grpc: '', engine: %s}\n", dir, address)
	file := filepath.Join(dir, "engine.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, dir, "run", "--config", file).await(t, "engine")
	return address
}
