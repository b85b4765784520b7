package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
)

var update = flag.Bool("update", false, "write testdata/mistakes.md")

// planted is one operator mistake: a command line and what it must say.
type planted struct {
	name string
	args string // %d is the folder of the test, %b a taken port
	exit int
	code string
}

// The configuration is what follows "config:" up to "|", with its newlines as ";".
func plantedMistakes() []planted {
	return []planted{
		{"unknown command", "fly", 2, "cli.COMMAND_UNKNOWN"},
		{"unknown flag", "run --colour", 2, "cli.FLAG"},
		{"flag without its value", "run --config", 2, "cli.FLAG"},
		{"argument too many", "check now", 2, "cli.ARGUMENT_UNEXPECTED"},
		{"no action", "connector", 2, "cli.ACTION_MISSING"},
		{"unknown action", "connector fly", 2, "cli.ACTION_UNKNOWN"},
		{"action without its argument", "connector pause", 2, "cli.ACTION_ARGUMENTS"},
		{"keys create without algorithm", "keys create license", 2, "cli.ACTION_ARGUMENTS"},
		{"unknown action of keys", "keys burn", 2, "cli.ACTION_UNKNOWN"},
		{"unknown shell", "completion tcsh", 2, "cli.COMPLETION_SHELL"},
		{"scale out of range", "demo --scale 500", 2, "cli.DEMO_SCALE"},
		{"configuration not there", "run --config %d/none.yaml", 2, "cli.CONFIG_FILE"},
		{"configuration is a folder", "check --config %d", 2, "cli.CONFIG_FILE"},
		{"not YAML", "check --config config:data: [|", 2, "cli.CONFIG_YAML"},
		{"wrong type", "check --config config:partitions: many|", 2, "cli.CONFIG_YAML"},
		{"unknown key", "check --config config:dataa: x|", 2, "cli.CONFIG_KEY"},
		{"unknown key within", "check --config config:listen: {rst: a}|", 2, "cli.CONFIG_KEY"},
		{"no role", "check --config config:roles: []|", 2, "cli.CONFIG_NO_ROLE"},
		{"unknown role", "check --config config:roles: [pilot, api, sink, connectors]|", 2, "cli.CONFIG_ROLE"},
		{"signing beside other roles", "check --config config:roles: [api, sink, connectors, signing]|", 2, "cli.CONFIG_SIGNING_ALONE"},
		{"base_url without scheme", "check --config config:base_url: hub|", 2, "cli.CONFIG_BASE_URL"},
		{"address without port", "check --config config:listen: {rest: localhost, grpc: '127.0.0.1:0'}|", 2, "cli.CONFIG_ADDRESS"},
		{"port out of range", "check --config config:listen: {rest: '127.0.0.1:70000', grpc: '127.0.0.1:0'}|", 2, "cli.CONFIG_ADDRESS"},
		{"no address for the API", "check --config config:listen: {rest: '', grpc: ''}|", 2, "cli.CONFIG_LISTEN_API"},
		{"engine without address", "check --config config:roles: [engine]|", 2, "cli.CONFIG_LISTEN_ENGINE"},
		{"topics of another kind", "check --config config:topics: rabbit|", 2, "cli.CONFIG_TOPICS"},
		{"ClickHouse without scheme", "check --config config:clickhouse: db1|", 2, "cli.CONFIG_CLICKHOUSE"},
		{"database of another kind", "check --config config:database: 'mysql://x'|", 2, "cli.CONFIG_DATABASE"},
		{"no partitions", "check --config config:partitions: 0|", 2, "cli.CONFIG_PARTITIONS"},
		{"unknown language", "check --config config:language: fr|", 2, "cli.CONFIG_LANGUAGE"},
		{"part of the roles with embedded topics", "check --config config:roles: [sink];clickhouse: 'http://a'|", 2, "cli.CONFIG_SPLIT_TOPICS"},
		{"part of the roles with embedded engine", "check --config config:roles: [sink];topics: 'kafka://a:1'|", 2, "cli.CONFIG_SPLIT_CLICKHOUSE"},
		{"operator without a name", "check --config config:signing: {operator: {name: ''}}|", 2, "cli.CONFIG_SIGNING"},
		{"passphrase file missing", "check --config config:passphrase_file: none|", 2, "cli.CONFIG_NAMED_FILE"},
		{"definitions missing", "check --config config:connectors: none.yaml|", 2, "cli.DEFINITIONS_FILE"},
		{"definitions missing for a check", "connector check %d/none.yaml", 2, "cli.DEFINITIONS_FILE"},
		{"unknown charset", "connector check config:sources: [{name: a/b, resource: a.b, kind: files, files: {dir: x, pattern: '*.csv', format: csv, charset: klingon}, map: {key: [id], fields: [{from: id, to: id}]}}]|", 2, "cli.DEFINITIONS"},
		{"port taken", "run --config config:listen: {rest: '127.0.0.1:0', grpc: '%b'}|", 1, "cli.PORT_"},
		{"port taken for the demo", "demo --data %d/demo --rest %b --grpc 127.0.0.1:0", 1, "cli.PORT_"},
		{"address of another machine", "run --config config:listen: {rest: '192.0.2.1:1', grpc: '127.0.0.1:0'}|", 1, "cli.PORT_ELSEWHERE"},
		{"data folder below a file", "run --config config:data: file/data;listen: {rest: '127.0.0.1:0', grpc: '127.0.0.1:0'}|", 1, "cli.DATA_FOLDER"},
		{"token file missing", "connector status --token-file %d/none", 2, "cli.TOKEN_FILE"},
		{"token file empty", "keys list --token-file %d/empty", 2, "cli.TOKEN_FILE_CONTENT"},
		{"hub not running", "connector status --token-file %d/token --address 127.0.0.1:1", 1, "cli.HUB_DOWN"},
		{"hub's address wrong", "keys list --token-file %d/token --address 127.0.0.1:http:x", 1, "cli.HUB_ADDRESS"},
		{"token for an unknown state", "token issue clerk --role clerk --config config:data: nowhere|", 1, "cli.NO_STATE"},
		{"verify without trust", "verify %d/token", 2, "cli.VERIFY_ARGUMENTS"},
		{"verify of a PNG", "verify %d/a.png -trust %d/roots.pem", 2, "cli.VERIFY_KIND"},
		{"verify of a PDF", "verify %d/a.pdf -trust %d/roots.pem", 2, "cli.VERIFY_KIND"},
		{"verify of a docx", "verify %d/a.docx -trust %d/roots.pem", 1, "cli.VERIFY_UNREADABLE"},
		{"no file matches", "connector check config:sources: [{name: a/b, resource: a.b, kind: files, files: {dir: drop, pattern: '*.tsv', format: csv}, map: {key: [id], event_time: at, fields: [{from: id, to: id}]}}]|", 1, "cli.CHECK_NO_FILE"},
		{"every row is rejected", "connector check config:sources: [{name: a/b, resource: a.b, kind: files, files: {dir: drop, pattern: '*.csv', format: csv}, map: {key: [id], event_time: at, fields: [{from: id, to: id, type: integer}]}}]|", 1, "cli.CHECK_ALL_REJECTED"},
		{"trust is no PEM", "verify -trust %d/token %d/token", 2, "cli.TRUST_NO_ROOT"},
		{"trust not there", "verify %d/token -trust %d/none", 2, "cli.VERIFY_FILE"},
	}
}

// TestPlantedMistakesSayWhatToDo plants each mistake, in both languages, and
// compares what the program says with testdata/mistakes.md (-update writes it).
func TestPlantedMistakesSayWhatToDo(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "drop"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "token": "ow_token\n", "file": "x", "drop/1.csv": "id,at\none,2026-11-22T08:00:00Z\ntwo,2026-11-22T08:00:00Z\n", "roots.pem": selfSigned(t),
		"a.png": string(pngOf(t, 4)), "a.pdf": "%PDF-1.7", "a.docx": string(zipOf(t, map[string]string{"[Content_Types].xml": "<Types/>", "word/document.xml": "<w/>"})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	words := newSpeaker("en")
	var table strings.Builder
	table.WriteString("# Operator mistakes, and what the program says\n\nMade by `go test -run TestPlantedMistakes ./exchange/cmd/onewindow -update`.\n")
	for i, m := range plantedMistakes() {
		args := strings.NewReplacer("%d", dir, "%b", listener.Addr().String()).Replace(m.args)
		if before, rest, ok := strings.Cut(args, "config:"); ok {
			text, after, _ := strings.Cut(rest, "|")
			file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, ";", "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = before + file + after
		}
		for _, locale := range []string{"zh_CN.UTF-8", "en_GB.UTF-8"} {
			exit, said := startIn(t, locale, strings.Fields(args)...)
			if exit != m.exit {
				t.Errorf("%s: exit code %d, want %d\n%s", m.name, exit, m.exit, said)
			}
			said = strings.NewReplacer(dir, "DIR", listener.Addr().String(), "ADDRESS", fmt.Sprint(os.Getpid()), "PID").Replace(said)
			if locale != "zh_CN.UTF-8" && !saysCode(words, said, m.code) {
				t.Errorf("%s: it does not say %s:\n%s", m.name, m.code, said)
			}
			if !strings.Contains(said, "  what to do: ") && !strings.Contains(said, "  处理: ") {
				t.Errorf("%s: no remedy:\n%s", m.name, said)
			}
			if locale == "zh_CN.UTF-8" {
				fmt.Fprintf(&table, "\n## %s (%s, exit %d)\n", m.name, m.code, m.exit)
			}
			fmt.Fprintf(&table, "\n```\n%s```\n", said)
		}
	}
	golden := filepath.Join("testdata", "mistakes.md")
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != table.String() {
		t.Errorf("%s differs from what the program says (%v); run with -update and review", golden, err)
	}
}

// selfSigned returns a root certificate in PEM.
func selfSigned(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root, err := pki.NewRoot(key, pki.Subject{Country: "CN", CommonName: "One root"}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}))
}

// saysCode reports whether a text holds the fixed beginning of a code's sentence;
// a code that ends in _ stands for all that begin so.
func saysCode(s speaker, said, code string) bool {
	for _, known := range s.catalog.Codes() {
		if known == code || strings.HasSuffix(code, "_") && strings.HasPrefix(known, code) {
			fixed, _, _ := strings.Cut(s.text(known), "{")
			if fixed == "" {
				_, fixed, _ = strings.Cut(s.text(known), "}")
				fixed, _, _ = strings.Cut(fixed, "{")
			}
			if strings.Contains(said, fixed) {
				return true
			}
		}
	}
	return false
}

// startIn runs the program in a locale and returns its exit code and what it says.
func startIn(t *testing.T, locale string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "LC_ALL="+locale)
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = &errs, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}
