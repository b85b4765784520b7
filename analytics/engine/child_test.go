package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// child is what this test binary does when a test starts it again: it serves
// an engine on a free port until its standard input ends. libchdb holds one
// folder per process, and only a process can be killed.
func child(dir string) int {
	library, err := FindLibrary(os.Getenv("ONEWINDOW_LIBCHDB"), ".")
	if err != nil {
		return complain(err)
	}
	e, err := Open(context.Background(), Config{Library: library, Dir: dir})
	if err == nil && os.Getenv("ENGINE_TEST_REOPEN") != "" {
		if err = e.Close(); err == nil {
			e, err = Open(context.Background(), Config{Library: library, Dir: dir})
		}
	}
	if err != nil {
		return complain(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return complain(err)
	}
	server := &http.Server{Handler: e, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	fmt.Printf("http://%s\n", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := server.Shutdown(context.Background()); err != nil {
		return complain(err)
	}
	if err := e.Close(); err != nil {
		return complain(err)
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// process is an engine in a process of its own.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	url   string
}

// spawn starts an engine on dir, with further variables in its environment.
func spawn(t testing.TB, dir string, environment ...string) *process {
	t.Helper()
	if shared == nil {
		t.Skip("libchdb is missing: run `npm ci` in analytics/engine")
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(append(os.Environ(), environment...), "ENGINE_TEST_CHILD="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { p.kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("engine process: %v", err)
	}
	p.url = strings.TrimSpace(line)
	return p
}

// kill ends the process as a power cut would: nothing of it runs any more.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// stop ends the process in good order.
func (p *process) stop(t testing.TB) {
	t.Helper()
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("engine process: %v", err)
	}
}

func (p *process) conn(t testing.TB, database string) driver.Conn {
	t.Helper()
	return dial(t, options(nil, p.url, database))
}
