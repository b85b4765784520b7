// Package peer runs other people's software for the tests: what this module
// signs must hold for OpenSSL, Bouncy Castle, ofdrw and the SD-JWT libraries
// of npm, and what they sign must hold here. A peer that is not on the machine
// skips the test; `make test` installs them all.
package peer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// OpenSSL runs openssl (3 or newer) in dir and returns what it printed. A
// failure ends the test with its output.
func OpenSSL(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	out, err := TryOpenSSL(tb, dir, args...)
	if err != nil {
		tb.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return out
}

// TryOpenSSL is OpenSSL for a call that may fail.
func TryOpenSSL(tb testing.TB, dir string, args ...string) (string, error) {
	tb.Helper()
	return run(tb, dir, nil, lookPath(tb, "openssl"), args...)
}

// Java runs a one-file Java program with ofdrw and Bouncy Castle in its class
// path and returns what it printed. A failure ends the test.
func Java(tb testing.TB, source string, args ...string) string {
	tb.Helper()
	jars := environment(tb, "ONEWINDOW_TEST_JARS", "ofdrw and Bouncy Castle")
	out, err := run(tb, "", nil, lookPath(tb, "java"), append([]string{"-cp", filepath.Join(jars, "*"), source}, args...)...)
	if err != nil {
		tb.Fatalf("java %s %v: %v\n%s", source, args, err, out)
	}
	return out
}

// Node runs a CommonJS script that may require the packages of .tools/interop,
// with input on its standard input, and returns what it printed. A failure
// ends the test.
func Node(tb testing.TB, script, input string, args ...string) string {
	tb.Helper()
	modules := environment(tb, "ONEWINDOW_TEST_NODE_MODULES", "the SD-JWT packages of npm")
	tb.Setenv("NODE_PATH", modules)
	out, err := run(tb, "", []byte(input), lookPath(tb, "node"), append([]string{script}, args...)...)
	if err != nil {
		tb.Fatalf("node %s %v: %v\n%s", script, args, err, out)
	}
	return out
}

// SoftHSM returns the path of SoftHSM's PKCS#11 module.
func SoftHSM(tb testing.TB) string {
	tb.Helper()
	return environment(tb, "ONEWINDOW_TEST_SOFTHSM", "SoftHSM")
}

// SoftHSMToken makes a SoftHSM token of the test's own, and returns the PKCS#11
// module, the token's label and its PIN. The module reads its folder once in a
// process, so a test binary should make all its tokens by one call.
func SoftHSMToken(tb testing.TB) (module, label, pin string) {
	tb.Helper()
	module, label, pin = SoftHSM(tb), "hub", "123456"
	util := lookPath(tb, "softhsm2-util")
	dir := tb.TempDir()
	config, tokens := filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "tokens")
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens)
	if err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		tb.Fatal(err)
	}
	tb.Setenv("SOFTHSM2_CONF", config)
	if out, err := run(tb, "", nil, util, "--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", pin); err != nil {
		tb.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
	return module, label, pin
}

// Face returns the path of the font of the pages, or skips.
func Face(tb testing.TB) string {
	tb.Helper()
	return environment(tb, "ONEWINDOW_TEST_FONT", "the font of signing/typeface")
}

func environment(tb testing.TB, name, what string) string {
	tb.Helper()
	value := os.Getenv(name)
	if value == "" {
		tb.Skipf("%s is not set: %s is not here", name, what)
	}
	return value
}

func lookPath(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Skipf("%s is not here: %v", name, err)
	}
	return path
}

func run(tb testing.TB, dir string, input []byte, name string, args ...string) (string, error) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
