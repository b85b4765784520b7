package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/signing/service"
)

// foreign is a new hub in a process of its own for clients that know nothing
// of it but its OpenAPI document.
type foreign struct {
	child    *childHub
	base     string
	document []byte
	scenario string // file
	settings map[string]any
}

// newForeign starts the hub, with a department's table, and fetches the document.
func newForeign(t *testing.T) *foreign {
	t.Helper()
	needEngine(t)
	dir := t.TempDir()
	child, err := newChildHub(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	// One signs, another person approves, and keys need not wait.
	child.cfg.Signing.CachePeriod = time.Nanosecond
	child.cfg.Signing.Grants = []service.Grant{
		{Caller: "administrator", Lines: []string{"license"}, Operations: []service.Operation{service.Sign}},
		{Caller: "sample analyst", Lines: []string{"test"}, Operations: []service.Operation{service.Manage}},
	}
	text, err := yaml.Marshal(child.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(child.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := child.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		child.end()
		if log, err := os.ReadFile(child.log.Name()); err == nil && t.Failed() {
			t.Logf("the hub's log:\n%s", log)
		}
	})
	if err := child.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &foreign{child: child, base: child.cfg.BaseURL, scenario: filepath.Join(dir, "scenario.json")}
	f.document = f.fetch(t, "/openapi.json")
	f.prepare(t, dir)
	return f
}

func (f *foreign) fetch(t *testing.T, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, response.Status, err)
	}
	return body
}

// prepare writes the scenario with this hub's values, the department's table,
// and the settings of a client.
func (f *foreign) prepare(t *testing.T, dir string) {
	t.Helper()
	table := filepath.Join(dir, "people.db")
	db, err := sqldb.Open(t.Context(), "sqlite:"+table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, updated_at TEXT)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO people VALUES ('1', '张三', '2026-01-02 03:04:05'), ('2', '', '2026-01-02 03:04:06')`); err != nil {
		t.Fatal(err)
	}
	dsn := filepath.Join(dir, "people.dsn")
	if err := os.WriteFile(dsn, []byte(table+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	definition, err := json.Marshal(fmt.Sprintf(`sources:
  - name: market/people
    resource: market.people
    kind: sql
    interval: 100ms
    sql: {driver: sqlite, dsn_file: %s, table: people, cursor: updated_at, key: id, delay: 0s}
    map: {key: [id], event_time: updated_at, timezone: Asia/Shanghai, fields: [{from: id, to: id}, {from: name, to: name}]}
`, dsn))
	if err != nil {
		t.Fatal(err)
	}
	scenario, err := os.ReadFile("../../../.tools/interop/clients/scenario.json")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		`"@DEFINITION@"`, string(definition), "@BASE@", f.base, "@IAT@", strconv.FormatInt(time.Now().Unix(), 10),
	).Replace(string(scenario))
	if err := os.WriteFile(f.scenario, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, role := range []string{"administrator", "department", "clerk", "analyst"} {
		token, err := os.ReadFile(filepath.Join((&hub{cfg: f.child.cfg}).tokenDir(), role+".token"))
		if err != nil {
			t.Fatal(err)
		}
		tokens[role] = strings.TrimSpace(string(token))
	}
	f.settings = map[string]any{"base": f.base, "tokens": tokens, "saved": map[string]string{"tsq": timestampQuery()}}
}

// timestampQuery is a TimeStampReq (RFC 3161) of a SHA-256 digest, in Base64.
func timestampQuery() string {
	digest := sha256.Sum256([]byte("document"))
	head, _ := hex.DecodeString("3036020101" + "3031300d060960864801650304020105000420") // a constant
	return base64.StdEncoding.EncodeToString(append(head, digest[:]...))
}

// run runs a command in a folder and returns what it prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, args[0], err, &out, &faults)
	}
	return out.String()
}

// everyOperationIn fails for the operations of the document that a client's
// lines, "OPERATION STATUS", do not have.
func (f *foreign) everyOperationIn(t *testing.T, lines string) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(f.document, &document); err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	for line := range strings.Lines(lines) {
		operation, _, _ := strings.Cut(line, " ")
		called[operation] = true
	}
	all := 0
	for path, item := range document.Paths {
		for method, operation := range item {
			all++
			if !called[operation.OperationID] {
				t.Errorf("%s %s (%s) was not called", method, path, operation.OperationID)
			}
		}
	}
	if len(called) != all {
		t.Errorf("%d operations were called, and there are %d: %v", len(called), all, slices.Sorted(maps.Keys(called)))
	}
	t.Logf("%d operations called", len(called))
}

// work writes the document and the client's own files into a new folder.
func (f *foreign) work(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), f.document, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("../../../.tools/interop/clients", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f *foreign) argument(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(f.settings)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTypeScriptClientCallsEveryOperation makes types of the document with
// openapi-typescript, has the compiler check a call of every operation against
// them, and makes the calls with openapi-fetch.
func TestTypeScriptClientCallsEveryOperation(t *testing.T) {
	modules := os.Getenv("ONEWINDOW_TEST_NODE_MODULES")
	if _, err := os.Stat(filepath.Join(modules, "openapi-typescript")); modules == "" || err != nil {
		missing(t, "openapi-typescript: ONEWINDOW_TEST_NODE_MODULES is not set, or lacks it (make test sets it)")
	}
	f := newForeign(t)
	dir := f.work(t, "tsconfig.json", "typescript.mjs")
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "node", "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "--output", "api.d.ts")
	program := run(t, dir, "node", "typescript.mjs", f.scenario, "openapi.json")
	if err := os.WriteFile(filepath.Join(dir, "scenario.ts"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "node", "node_modules/typescript/bin/tsc", "--project", ".")
	f.everyOperationIn(t, run(t, dir, "node", "scenario.js", f.argument(t)))
}

// TestPythonClientCallsEveryOperation makes a client with
// openapi-python-client, which must understand all of the document, and calls
// every operation with it.
func TestPythonClientCallsEveryOperation(t *testing.T) {
	python := os.Getenv("ONEWINDOW_TEST_PYTHON")
	if python == "" {
		missing(t, "openapi-python-client: ONEWINDOW_TEST_PYTHON is not set (make test sets it)")
	}
	f := newForeign(t)
	dir := f.work(t, "python.yaml", "scenario.py")
	said := run(t, dir, python, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--config", "python.yaml",
		"--meta", "none", "--output-path", "onewindow_client")
	if strings.Contains(said, "arning") {
		t.Errorf("the generator does not understand all of the document:\n%s", said)
	}
	f.everyOperationIn(t, run(t, dir, python, "scenario.py", f.scenario, f.argument(t)))
}
