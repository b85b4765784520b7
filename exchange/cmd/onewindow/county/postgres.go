package county

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	databaseName = "market"
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// installation is a PostgreSQL that can be run: its programs, and the account
// and folder to run it with.
type installation struct {
	bin, version string
	account      account
	// base is the folder of the cluster, which the account owns and reaches.
	base string
}

// findPostgres looks for PostgreSQL in PATH and where Debian puts it. why says
// what is missing when there is none that can be run for dir.
func findPostgres(ctx context.Context, dir string) (found installation, why string) {
	found.bin = programFolder()
	if found.bin == "" {
		return found, "PostgreSQL is not installed"
	}
	output, err := exec.CommandContext(ctx, filepath.Join(found.bin, "postgres"), "--version").Output()
	fields := strings.Fields(string(output))
	if err != nil || len(fields) < 3 {
		return found, "PostgreSQL does not run"
	}
	found.version = fields[2] // postgres (PostgreSQL) 15.14 …
	var ok bool
	if found.account, ok = databaseAccount(); !ok {
		return found, "there is no account postgres or nobody to run PostgreSQL with"
	}
	found.base = filepath.Join(dir, databaseName)
	if !found.account.reaches(dir) {
		found.base = outside(dir)
		if !found.account.reaches(os.TempDir()) {
			return found, "the account " + found.account.name + " reaches no folder for PostgreSQL"
		}
	}
	return found, ""
}

// outside is where the cluster of dir lies when the account cannot reach dir.
// The name is always the same, so that the next start finds it again.
func outside(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(os.TempDir(), "onewindow-county-"+hex.EncodeToString(sum[:6]))
}

// programFolder is where initdb, pg_ctl and postgres lie, or empty.
func programFolder() string {
	var candidates []string
	if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(path))
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is valid
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // 0 for what is no version
		return n
	}
	slices.SortFunc(installed, func(a, b string) int { return version(b) - version(a) })
	for _, folder := range append(candidates, installed...) {
		complete := true
		for _, program := range []string{"initdb", "pg_ctl", "postgres"} {
			info, err := os.Stat(filepath.Join(folder, program))
			complete = complete && err == nil && !info.IsDir()
		}
		if complete {
			return folder
		}
	}
	return ""
}

// cluster is a running PostgreSQL.
type cluster struct {
	port   int
	cancel context.CancelFunc
	// exited is closed after the server ended; err says how.
	exited chan struct{}
	err    error
}

func (in installation) data() string { return filepath.Join(in.base, "data") }

// command prepares one of PostgreSQL's programs to run as the account.
func (in installation) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(in.bin, program), args...)
	cmd.Dir = in.base
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	in.account.apply(cmd)
	return cmd
}

// prepare makes the cluster's files unless the mark beside them says that
// they are complete.
func (in installation) prepare(ctx context.Context, password string) error {
	complete := filepath.Join(in.base, "complete")
	if _, err := os.Lstat(in.base); err == nil && !in.account.owns(in.base) {
		return fmt.Errorf("%w: %s is there and belongs to somebody else; remove it", ErrDatabase, in.base)
	}
	if _, err := os.Stat(complete); err == nil {
		return in.stopLeftover(ctx)
	}
	if err := os.RemoveAll(in.base); err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	if err := errors.Join(os.Mkdir(in.base, 0o700), in.account.own(in.base)); err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	passwordFile := filepath.Join(in.base, "password")
	if err := errors.Join(os.WriteFile(passwordFile, []byte(password+"\n"), 0o600), in.account.own(passwordFile)); err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	output, err := in.command(ctx, "initdb", "-D", in.data(), "-U", ownerName, "--pwfile", passwordFile,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: initdb: %w: %s", ErrDatabase, err, lastLine(output))
	}
	if err := errors.Join(os.Remove(passwordFile), os.WriteFile(complete, nil, 0o600)); err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return nil
}

// stopLeftover stops the server of a county that was killed, should it still run.
func (in installation) stopLeftover(ctx context.Context) error {
	if !in.running(ctx) {
		return nil
	}
	output, err := in.command(ctx, "pg_ctl", "stop", "-D", in.data(), "-m", "fast", "-w", "-t", strconv.Itoa(int(stopTimeout.Seconds()))).CombinedOutput()
	if err != nil && in.running(ctx) {
		return fmt.Errorf("%w: pg_ctl stop: %w: %s", ErrDatabase, err, lastLine(output))
	}
	return nil
}

// running says whether a server has the cluster's files open.
func (in installation) running(ctx context.Context) bool {
	return in.command(ctx, "pg_ctl", "status", "-D", in.data()).Run() == nil
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return lines[len(lines)-1]
}

// start runs the server on a port of 127.0.0.1, the one that was used last if
// it is free, and answers when it accepts connections. It ends with ctx, and
// with this process however that ends.
func (in installation) start(ctx context.Context, dir, password string, port int, logger *slog.Logger) (*cluster, error) {
	var err error
	for range 3 {
		var cl *cluster
		if cl, err = in.startOn(ctx, dir, password, port, logger); err == nil {
			return cl, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		port = 0 // somebody was quicker on that one
	}
	return nil, err
}

func (in installation) startOn(ctx context.Context, dir, password string, port int, logger *slog.Logger) (*cluster, error) {
	listener, port, err := listen(port)
	if err != nil {
		return nil, err
	}
	if err := listener.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cl := &cluster{port: port, cancel: cancel, exited: make(chan struct{})}
	logPath := filepath.Join(dir, "postgres.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	// The rows can be made again, so nothing waits for the disk.
	cmd := in.command(ctx, "postgres", "-D", in.data(), "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", "",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "wal_level=minimal", "-c", "max_wal_senders=0",
		"-c", "max_wal_size=512MB", "-c", "shared_buffers=48MB", "-c", "max_connections=40", "-c", "max_parallel_workers=0", "-c", "jit=off")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // PostgreSQL's fast shutdown
	cmd.WaitDelay = stopTimeout
	started := make(chan error, 1)
	go func() {
		// The signal at our death comes when the thread that started the child
		// ends, so that thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(cl.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			cl.err = cmd.Wait()
		}
		_ = log.Close() // the child had its own descriptor
	}()
	if err := <-started; err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	logger.InfoContext(ctx, "PostgreSQL of the sample county started", slog.String("version", in.version), slog.Int("port", port), slog.String("data", in.data()))
	if err := cl.wait(ctx, password); err != nil {
		cl.stop()
		return nil, fmt.Errorf("%w; its log is %s", err, logPath)
	}
	return cl, nil
}

// wait returns when the server accepts connections and has the database.
func (cl *cluster) wait(ctx context.Context, password string) error {
	deadline := time.Now().Add(startTimeout)
	for {
		conn, err := pgx.Connect(ctx, databaseURL(ownerName, password, cl.port, "postgres"))
		if err == nil {
			return cl.createDatabase(ctx, conn)
		}
		select {
		case <-cl.exited:
			return fmt.Errorf("%w: PostgreSQL ended at once", ErrDatabase)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrDatabase, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: PostgreSQL accepts no connection: %w", ErrDatabase, err)
		}
	}
}

func (cl *cluster) createDatabase(ctx context.Context, conn *pgx.Conn) (err error) {
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, databaseName).Scan(&exists); err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+databaseName); err != nil {
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	return nil
}

// stop ends the server and waits for it.
func (cl *cluster) stop() {
	cl.cancel()
	<-cl.exited
}

func databaseURL(user, password string, port int, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", user, password, port, database)
}
