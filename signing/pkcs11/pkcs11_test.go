package pkcs11

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ebitengine/purego"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

const pin = "20250101"

// hsm is SoftHSM with a folder of its own, initialised with one token.
type hsm struct {
	tb      testing.TB
	module  string
	folder  string
	library uintptr
}

// newHSM starts an empty SoftHSM. SoftHSM reads its configuration when it is
// initialised, so each test ends by finalising it.
func newHSM(tb testing.TB, labels ...string) *hsm {
	tb.Helper()
	h := &hsm{tb: tb, module: peer.SoftHSM(tb), folder: tb.TempDir()}
	config := filepath.Join(h.folder, "softhsm2.conf")
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", h.tokens())
	if err := errors.Join(os.Mkdir(h.tokens(), 0o700), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		tb.Fatal(err)
	}
	tb.Setenv("SOFTHSM2_CONF", config)
	for _, label := range labels {
		h.initToken(label, pin)
	}
	library, err := purego.Dlopen(h.module, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		tb.Fatal(err)
	}
	h.library = library
	tb.Cleanup(func() { _ = h.call("C_Finalize", 0) })
	return h
}

func (h *hsm) tokens() string { return filepath.Join(h.folder, "tokens") }

// initToken makes a token the way an operator does.
func (h *hsm) initToken(label, userPIN string) {
	h.tb.Helper()
	util, err := exec.LookPath("softhsm2-util")
	if err != nil {
		h.tb.Skip("softhsm2-util is not here")
	}
	out, err := exec.CommandContext(h.tb.Context(), util, "--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", userPIN).CombinedOutput()
	if err != nil {
		h.tb.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
}

// call calls a function that this package does not use: what another part of
// the process, or the token itself, could do behind its back.
func (h *hsm) call(function string, arguments ...uintptr) error {
	h.tb.Helper()
	address, err := purego.Dlsym(h.library, function)
	if err != nil {
		h.tb.Fatal(err)
	}
	code, _, _ := purego.SyscallN(address, arguments...)
	return check(function, code)
}

func (h *hsm) config(label string) Config {
	return Config{Module: h.module, TokenLabel: label, PIN: pin}
}

// open opens a token and closes it at the end of the test.
func (h *hsm) open(label string) *Token {
	h.tb.Helper()
	token, err := Open(h.config(label))
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { _ = token.Close() })
	return token
}

// generate makes a key or ends the test.
func generate(tb testing.TB, token *Token, id, algorithm string) crypto.Signer {
	tb.Helper()
	key, err := token.Generate(tb.Context(), []byte(id), "label of "+id, algorithm)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// signs signs a message the way the algorithm of the key wants it, which also
// verifies the signature (see privateKey.Sign), and returns the outcome.
func signs(key crypto.Signer, message string) ([]byte, error) {
	hash := key.(*privateKey).algorithm.hash
	digest := []byte(message)
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	return key.Sign(rand.Reader, digest, hash)
}
