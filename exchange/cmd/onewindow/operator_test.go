package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// asOperator runs the program in a locale and returns its exit code, what it
// printed and what it complained of.
func asOperator(t *testing.T, locale string, args ...string) (code int, printed, complaint string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "LC_ALL="+locale, "NO_COLOR=1")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// bothSay runs the program in both languages: each must end with code and say
// the sentence of the message; -v prints what it says.
func bothSay(t *testing.T, step string, code int, message string, args ...string) {
	t.Helper()
	for _, locale := range []string{"zh_CN.UTF-8", "en_GB.UTF-8"} {
		t.Setenv("LC_ALL", locale)
		got, printed, complaint := asOperator(t, locale, args...)
		t.Logf("%s: exit code %d\n%s%s", step, got, printed, complaint)
		if got != code || !saysCode(newSpeaker(""), printed+complaint, message) {
			t.Errorf("%s, %s: exit code %d, want %d and %s", step, locale, got, code, message)
		}
	}
}

// TestOperatorSeesEveryTroubleAndTheHubGoesOn takes a hub through what befalls
// one: sources that do not answer, a taken port, a lost and a damaged state
// database, one of a newer version, a passphrase that is gone or wrong. Each
// step reads what the program says in both languages, and at the end the hub
// starts again.
func TestOperatorSeesEveryTroubleAndTheHubGoesOn(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "connectors.yaml")
	const definitions = `sources:
  - {name: water/table, resource: water.table, kind: sql, sql: {driver: postgres, dsn_file: water.dsn, table: permit, cursor: updated_at, key: id}, map: {key: [id], event_time: updated_at, fields: [{from: id, to: id}]}}
  - {name: water/files, resource: water.files, kind: files, files: {dir: gone, pattern: '*.csv', format: csv}, map: {key: [id], event_time: at, fields: [{from: id, to: id}]}}
`
	err := errors.Join(os.WriteFile(file, []byte(definitions), 0o600),
		os.WriteFile(filepath.Join(dir, "water.dsn"), []byte("postgres://u:secret@127.0.0.1:1/x"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	h, err := newChildHub(t.Context(), dir, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.end)
	begin := func() {
		t.Helper()
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		if err := h.awaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	halt := func() {
		t.Helper()
		if _, err := h.stop(); err != nil {
			t.Fatal(err)
		}
	}
	token := filepath.Join((&hub{cfg: h.cfg}).tokenDir(), "administrator.token")
	cli := func(address string, args ...string) []string {
		return append(args, "--address", address, "--token-file", token)
	}

	begin()
	sourcesAreDown(t, h, cli(h.cfg.Listen.GRPC, "connector", "status"))
	bothSay(t, "the REST port instead of the gRPC port", exitFault, "cli.HUB_NOT_GRPC", cli(h.cfg.Listen.REST, "connector", "status")...)
	wrongToken := filepath.Join(dir, "wrong.token")
	if err := os.WriteFile(wrongToken, []byte("ow_wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bothSay(t, "a wrong token", exitFault, "reason.TOKEN_INVALID", "connector", "status", "--address", h.cfg.Listen.GRPC, "--token-file", wrongToken)
	bothSay(t, "a second hub", exitFault, "cli.PORT_", "run", "--config", h.file)
	halt()
	bothSay(t, "no hub", exitFault, "cli.HUB_DOWN", cli(h.cfg.Listen.GRPC, "connector", "status")...)

	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", h.cfg.Listen.REST)
	if err != nil {
		t.Fatal(err)
	}
	bothSay(t, "the port is taken", exitFault, "cli.PORT_", "run", "--config", h.file)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}

	for _, trouble := range []struct {
		step, file, code string
		text             []byte // nil: the file is gone
	}{
		{"the state database is gone", "state.db", "cli.STORE_LOST", nil},
		{"the state database is damaged", "state.db", "cli.STATE_DAMAGED", []byte(strings.Repeat("no database ", 1000))},
		{"the passphrase is gone", "keys.passphrase", "cli.STORE_LOST", nil},
		{"the passphrase is wrong", "keys.passphrase", "cli.PASSPHRASE_WRONG", []byte("another passphrase, long enough\n")},
	} {
		path := filepath.Join(h.cfg.Data, trouble.file)
		whole, err := os.ReadFile(path)
		if err == nil {
			err = os.Remove(path)
		}
		if err == nil && trouble.text != nil {
			err = os.WriteFile(path, trouble.text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		bothSay(t, trouble.step, exitFault, trouble.code, "run", "--config", h.file)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newerVersion(t, h)
	begin() // put back, all is there
	halt()
}

// newerVersion marks the state database as a newer version does, and takes the mark back.
func newerVersion(t *testing.T, h *childHub) {
	t.Helper()
	change := func(statement string) {
		t.Helper()
		db, err := sqldb.Open(t.Context(), h.cfg.databaseURL())
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(t.Context(), statement)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	change(`INSERT INTO schema_migrations (owner, name) SELECT owner, '9999_later.sql' FROM (SELECT DISTINCT owner FROM schema_migrations) AS owners`)
	bothSay(t, "a newer version wrote it", exitFault, "cli.DATA_NEWER", "run", "--config", h.file)
	change(`DELETE FROM schema_migrations WHERE name = '9999_later.sql'`)
}

// sourcesAreDown waits until both sources have a fault; the API and the command
// name it, and the hub stays ready.
func sourcesAreDown(t *testing.T, h *childHub, status []string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, printed, complaint := asOperator(t, "en_GB.UTF-8", append(status, "--json")...)
		var list struct {
			Sources []struct{ Name, FaultCode string }
		}
		if err := json.Unmarshal([]byte(printed), &list); err != nil {
			t.Fatalf("--json: %v\n%s%s", err, printed, complaint)
		}
		faults := map[string]string{}
		for _, s := range list.Sources {
			faults[s.Name] = s.FaultCode
		}
		if len(faults) == 2 && faults["water/table"] != "" && faults["water/files"] != "" {
			t.Logf("the sources are down: %v", faults)
			for _, code := range faults {
				bothSay(t, "all sources are down", exitFault, faultPrefix+code, status...)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no fault within a minute: %s", printed)
		}
	}
	if err := h.awaitReady(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownCommandIsSaidWithoutAStraySpace(t *testing.T) {
	if _, _, said := asOperator(t, "en_GB.UTF-8", "fly"); !strings.HasPrefix(said, "onewindow: ") {
		t.Errorf("it says %q", said)
	}
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.yaml")
	for _, args := range [][]string{{"connector", "check", file, "--json"}, {"connector", "--json", "check", file}, {"connector", "check", "--json", file}} {
		if code, _, said := asOperator(t, "en_GB.UTF-8", args...); code != exitUsage || !saysCode(newSpeaker("en"), said, "cli.DEFINITIONS_FILE") {
			t.Errorf("%v: %d %s", args, code, said)
		}
	}
}

func TestVersionFlagSaysWhatTheCommandSays(t *testing.T) {
	_, want, _ := asOperator(t, "en_GB.UTF-8", "version")
	if code, got, _ := asOperator(t, "en_GB.UTF-8", "--version"); code != exitOK || got != want || !strings.Contains(got, " go1.") {
		t.Errorf("--version: %d %q, version: %q", code, got, want)
	}
}

func TestCompletionScriptsAreWhatTheShellReads(t *testing.T) {
	for shell := range completionScripts() {
		code, script, said := asOperator(t, "en_GB.UTF-8", "completion", shell)
		if code != exitOK || !strings.Contains(script, "onewindow completion words") {
			t.Errorf("%s: %d %s%s", shell, code, script, said)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // the script is compared above; only its own shell can read it
		}
		cmd := exec.CommandContext(t.Context(), path, "-n")
		cmd.Stdin = strings.NewReader(script)
		if answer, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, answer)
		}
	}
	if _, words, _ := asOperator(t, "en_GB.UTF-8", "completion", "words", "connector"); !strings.Contains(words, "status\n") || !strings.Contains(words, "--json\n") {
		t.Errorf("words after connector:\n%s", words)
	}
}

// TestCtrlCEndsTheHubWithALine interrupts a hub that is ready.
func TestCtrlCEndsTheHubWithALine(t *testing.T) {
	needEngine(t)
	h, err := newChildHub(t.Context(), t.TempDir(), "")
	if err == nil {
		err = h.start()
	}
	if err == nil {
		t.Cleanup(h.end)
		err = h.awaitReady(t.Context())
	}
	if err == nil {
		err = h.cmd.Process.Signal(syscall.SIGINT)
	}
	if err == nil {
		err = <-h.exited
	}
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(h.log.Name())
	if err != nil || !bytes.Contains(said, []byte(newSpeaker("").text("cli.STOPPED"))) {
		t.Errorf("%v: the last line is missing:\n%s", err, said)
	}
}
