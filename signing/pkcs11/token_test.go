package pkcs11

import (
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

// TestFunctionList holds the places of the functions in CK_FUNCTION_LIST and the
// sizes of the structures against a real library.
func TestFunctionList(t *testing.T) {
	h := newHSM(t)
	var list *functionList
	if err := h.call("C_GetFunctionList", uintptr(unsafe.Pointer(&list))); err != nil {
		t.Fatal(err)
	}
	for name, symbol := range (&module{}).symbols() {
		address, err := purego.Dlsym(h.library, name)
		if err != nil || list.functions[symbol.index] != address {
			t.Errorf("entry %d is not %s (%v)", symbol.index, name, err)
		}
	}
	for name, sizes := range map[string][2]uintptr{ // sizeof by a C compiler, 64-bit Linux
		"CK_FUNCTION_LIST":     {unsafe.Sizeof(functionList{}), 552},
		"CK_C_INITIALIZE_ARGS": {unsafe.Sizeof(initializeArgs{}), 48},
		"CK_TOKEN_INFO":        {unsafe.Sizeof(tokenInfo{}), 208},
		"CK_SESSION_INFO":      {unsafe.Sizeof(sessionInfo{}), 32},
		"CK_MECHANISM":         {unsafe.Sizeof(mechanism{}), 24},
		"CK_ATTRIBUTE":         {unsafe.Sizeof(attribute{}), 24},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s has %d bytes, C says %d", name, sizes[0], sizes[1])
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	h := newHSM(t, "county", "twin", "twin")
	notLibrary := filepath.Join(t.TempDir(), "module.so")
	if err := os.WriteFile(notLibrary, []byte("not ELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := h.config("county")
	for name, test := range map[string]struct {
		change func(*Config)
		want   error
		text   string
	}{
		"missing library":  {func(c *Config) { c.Module = "/nowhere/module.so" }, ErrModule, "/nowhere/module.so"},
		"relative library": {func(c *Config) { c.Module = "libsofthsm2.so" }, ErrModule, "absolute"},
		"folder":           {func(c *Config) { c.Module = h.folder }, ErrModule, "not a file"},
		"not a library":    {func(c *Config) { c.Module = notLibrary }, ErrModule, "cannot be loaded"},
		"another library":  {func(c *Config) { c.Module = anotherLibrary(t) }, ErrModule, "not a PKCS#11 library"},
		"no such token":    {func(c *Config) { c.TokenLabel = "province" }, ErrToken, "province"},
		"prefix of token":  {func(c *Config) { c.TokenLabel = "count" }, ErrToken, "none"},
		"two such tokens":  {func(c *Config) { c.TokenLabel = "twin" }, ErrToken, "2 tokens"},
		"long label":       {func(c *Config) { c.TokenLabel = strings.Repeat("x", 33) }, ErrToken, "32"},
		"no PIN":           {func(c *Config) { c.PIN = "" }, ErrPIN, "county"},
		"wrong PIN":        {func(c *Config) { c.PIN = "20250102" }, ErrPIN, "CKR_PIN_INCORRECT"},
		"endless PIN":      {func(c *Config) { c.PIN = strings.Repeat("1", 300) }, ErrPIN, "CKR_PIN_"},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			test.change(&config)
			token, err := Open(config)
			if token != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, %v; want %v with %q", token, err, test.want, test.text)
			}
			if err != nil && strings.Contains(err.Error(), config.PIN) && config.PIN != "" {
				t.Errorf("%v shows the PIN", err)
			}
		})
	}
	if token, err := Open(good); err != nil || token.Close() != nil {
		t.Errorf("the right configuration: %v", err)
	}
}

// anotherLibrary names a library that is not PKCS#11: the C library.
func anotherLibrary(t *testing.T) string {
	for _, pattern := range []string{"/lib/*/libc.so.6", "/usr/lib/*/libc.so.6", "/lib*/libc.so.6", "/usr/lib*/libc.so.6"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("no libc.so.6 here")
	return ""
}

// TestPINIsNotRepeated changes the PIN behind a Token: the login after the next
// loss of its sessions is refused, and then the PIN is sent no more. The proof
// is that even the right PIN, set again, does not help this Token.
func TestPINIsNotRepeated(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	key := generate(t, token, "a", "ES256")
	changePIN(t, h, token, pin, "99999999")
	if err := h.call("C_CloseAllSessions", token.slot); err != nil {
		t.Fatal(err)
	}
	if _, err := signs(key, "m"); !errors.Is(err, ErrPIN) {
		t.Fatalf("%v, want ErrPIN", err)
	}
	config := h.config("county")
	config.PIN = "99999999"
	other, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	changePIN(t, h, other, "99999999", pin)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := signs(key, "m"); !errors.Is(err, ErrPIN) {
			t.Fatalf("%v, want ErrPIN as before", err)
		}
		if _, err := token.Find(t.Context(), []byte("a")); !errors.Is(err, ErrPIN) {
			t.Fatalf("%v, want ErrPIN as before", err)
		}
	}
	if _, err := h.open("county").Find(t.Context(), []byte("a")); err != nil {
		t.Errorf("a new Token with the right PIN: %v", err)
	}
}

func changePIN(t *testing.T, h *hsm, token *Token, from, to string) {
	t.Helper()
	_, err := token.once(t.Context(), sessionReadWrite, func(s session) error {
		before, after := []byte(from), []byte(to)
		return h.call("C_SetPIN", s.handle, uintptr(unsafe.Pointer(&before[0])), uintptr(len(before)),
			uintptr(unsafe.Pointer(&after[0])), uintptr(len(after)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSpareAttempts: SoftHSM counts no wrong PINs, so the flags are typed in.
func TestSpareAttempts(t *testing.T) {
	for flags, want := range map[uintptr]error{
		0x40d:             nil, // RNG, login required, PIN set, initialised
		0x1040d:           nil, // and wrong PINs were entered before
		0x3040d:           ErrPINLocked,
		0x4040d:           ErrPINLocked,
		1<<20 | 0x40d:     nil, // the security officer's attempts are not ours
		1<<22 | 1<<21 | 1: nil,
	} {
		if err := spareAttempts(flags); !errors.Is(err, want) {
			t.Errorf("flags 0x%x: %v, want %v", flags, err, want)
		}
	}
}

func TestSessionLimit(t *testing.T) {
	for allowed, want := range map[uintptr]int{0: 16, ^uintptr(0): 16, 1: 1, 2: 1, 3: 1, 4: 2, 10: 8, 18: 16, 19: 16, 1000: 16} {
		if got := sessionLimit(allowed); got != want {
			t.Errorf("%d sessions allowed: %d, want %d", allowed, got, want)
		}
	}
}

// TestLostSessions takes the sessions away in every way that a library has.
func TestLostSessions(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	key := generate(t, token, "a", "ES256")
	logout := func() error {
		_, err := token.once(t.Context(), 0, func(s session) error { return h.call("C_Logout", s.handle) })
		return err
	}
	for name, lose := range map[string]func() error{
		"sessions closed":   func() error { return h.call("C_CloseAllSessions", token.slot) },
		"anchor closed":     func() error { _ = h.call("C_CloseSession", token.anchor); return nil },
		"logged out":        logout,
		"library finalised": func() error { return h.call("C_Finalize", 0) },
	} {
		for what, use := range map[string]func() error{
			"Sign":     func() error { _, err := signs(key, "m"); return err },
			"Find":     func() error { _, err := token.Find(t.Context(), []byte("a")); return err },
			"Generate": func() error { _, err := token.Generate(t.Context(), []byte(name), "l", "ES256"); return err },
			"Destroy":  func() error { return token.Destroy(t.Context(), []byte(name)) },
		} {
			if err := lose(); err != nil {
				t.Fatal(name, err)
			}
			if err := use(); err != nil {
				t.Errorf("%s after %s: %v", what, name, err)
			}
			if _, err := signs(key, "m"); err != nil {
				t.Errorf("Sign after %s after %s: %v", what, name, err)
			}
			if err := token.Destroy(t.Context(), []byte(name)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestLogoutIsNotLoss: a session that is not logged in sees no private keys.
// That must never be reported as a key that is gone.
func TestLogoutIsNotLoss(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	generate(t, token, "a", "ES256")
	_, err := token.once(t.Context(), 0, func(s session) error {
		if err := h.call("C_Logout", s.handle); err != nil {
			return err
		}
		_, err := s.privateHandle([]byte("a"))
		return err
	})
	if errors.Is(err, ErrNotFound) || !returned(err, ckrNotLoggedIn) {
		t.Errorf("%v, want CKR_USER_NOT_LOGGED_IN", err)
	}
}

// TestUnplugged takes the token away, puts another one with the same label in
// its place, and then brings it back.
func TestUnplugged(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	key := generate(t, token, "a", "ES256")
	away := filepath.Join(h.folder, "away")
	// SoftHSM looks at its folder only when it is initialised.
	move := func(from, to string) {
		t.Helper()
		if err := errors.Join(h.call("C_Finalize", 0), os.Rename(from, to), os.MkdirAll(h.tokens(), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(want string) {
		t.Helper()
		for range 3 {
			_, signed := signs(key, "m")
			_, found := token.Find(t.Context(), []byte("a"))
			_, made := token.Generate(t.Context(), []byte("b"), "l", "ES256")
			for what, err := range map[string]error{"Sign": signed, "Find": found, "Generate": made, "Destroy": token.Destroy(t.Context(), []byte("a"))} {
				if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNotFound) {
					t.Errorf("%s: %v, want ErrToken with %q", what, err, want)
				}
			}
		}
	}
	move(h.tokens(), away)
	refuses("none of the")
	h.initToken("county", "66666666")
	if err := h.call("C_Finalize", 0); err != nil {
		t.Fatal(err)
	}
	refuses("was replaced by")
	move(h.tokens(), filepath.Join(h.folder, "another"))
	if err := errors.Join(os.Remove(h.tokens()), os.Rename(away, h.tokens())); err != nil {
		t.Fatal(err)
	}
	if _, err := signs(key, "m"); err != nil {
		t.Errorf("with the token back: %v", err)
	}
}

// TestTokenDeleted deletes the token's files under a running library, which
// goes on to say that the process is logged in and that there are no keys.
func TestTokenDeleted(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	key := generate(t, token, "a", "ES256")
	if err := os.RemoveAll(h.tokens()); err != nil {
		t.Fatal(err)
	}
	_, found := token.Find(t.Context(), []byte("a"))
	_, signed := signs(key, "m")
	_, made := token.Generate(t.Context(), []byte("b"), "l", "ES256")
	for what, err := range map[string]error{"Find": found, "Sign": signed, "Generate": made, "Destroy": token.Destroy(t.Context(), []byte("a"))} {
		if !errors.Is(err, ErrToken) || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want ErrToken", what, err)
		}
	}
}

// TestTwoTokens: two Tokens of one library, and two on one token, do not
// disturb each other when one is closed.
func TestTwoTokens(t *testing.T) {
	h := newHSM(t, "county", "city")
	county, again, city := h.open("county"), h.open("county"), h.open("city")
	key := generate(t, county, "a", "ES256")
	if _, err := city.Find(t.Context(), []byte("a")); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want ErrNotFound on the other token", err)
	}
	for range 2 {
		if err := county.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := signs(key, "m"); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	found, err := again.Find(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signs(found, "m"); err != nil {
		t.Error(err)
	}
	generate(t, city, "b", "EdDSA")
}

// TestWaiting: a context ends the waiting for a session.
func TestWaiting(t *testing.T) {
	token := newHSM(t, "county").open("county")
	for range cap(token.permits) {
		token.permits <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := token.Find(ctx, []byte("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want context.DeadlineExceeded", err)
	}
}

// TestConcurrent signs with three keys from 48 goroutines, which find their
// sessions closed at the start of every round. (SoftHSM does not survive that
// in the middle of a signature.)
func TestConcurrent(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	var keys []crypto.Signer
	for _, name := range []string{"ES256", "ES384", "EdDSA"} {
		keys = append(keys, generate(t, token, name, name))
	}
	for range 10 {
		var work sync.WaitGroup
		for i := range 48 {
			work.Go(func() {
				for range 4 {
					if _, err := signs(keys[i%len(keys)], "m"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		if sessions := len(token.idle); sessions > maxSessions || len(token.permits) > 0 {
			t.Fatalf("%d sessions are idle, limit %d; %d are in use", sessions, maxSessions, len(token.permits))
		}
		if err := h.call("C_CloseAllSessions", token.slot); err != nil {
			t.Fatal(err)
		}
	}
}
