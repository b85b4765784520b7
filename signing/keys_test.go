package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

// quickKDF saves time where the cost of the derivation is not the subject.
func quickKDF() kdf { return kdf{passes: 1, memory: 64, lanes: 1} }

func openTestKeys(tb testing.TB, dir, passphrase string) (*Keys, error) {
	tb.Helper()
	return openKeys(dir, []byte(passphrase), slog.New(slog.DiscardHandler), quickKDF())
}

func mustOpen(tb testing.TB, dir string) *Keys {
	tb.Helper()
	keys, err := openTestKeys(tb, dir, "correct horse")
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func keyFiles(tb testing.TB, dir string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+keyFileSuffix))
	if err != nil || len(names) == 0 {
		tb.Fatalf("key files: %v, %v", names, err)
	}
	return names
}

func TestKeysSurviveReopenAndRotation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	keys, err := OpenKeys(dir, []byte("correct horse"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first := keys.ActiveKeyID()
	before, err := keys.Sign(t.Context(), "test+jwt", []byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	second, err := keys.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := keys.Sign(t.Context(), "test+jwt", []byte(`{"n":2}`))
	if err != nil {
		t.Fatal(err)
	}
	// What a crash in the middle of a write leaves must not disturb.
	if err := os.WriteFile(filepath.Join(dir, ".new-123"), []byte("ONEWKEY"), 0o600); err != nil {
		t.Fatal(err)
	}

	reopened := mustOpen(t, dir)
	if got := reopened.ActiveKeyID(); got != second || second == first {
		t.Fatalf("active key %s, want %s (first was %s)", got, second, first)
	}
	for _, c := range []struct{ token, kid, payload string }{{before, first, `{"n":1}`}, {after, second, `{"n":2}`}} {
		payload, header, err := Verify(c.token, "test+jwt", reopened)
		if err != nil || string(payload) != c.payload || header != (Header{ES256, c.kid, "test+jwt"}) {
			t.Errorf("got %s, %+v, %v", payload, header, err)
		}
	}
	for _, path := range keyFiles(t, dir) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	if len(keyFiles(t, dir)) != 2 {
		t.Errorf("opening a folder with keys added one: %v", keyFiles(t, dir))
	}
}

func TestSignDuringRotation(t *testing.T) {
	keys := mustOpen(t, t.TempDir())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				token, err := keys.Sign(t.Context(), "test+jwt", []byte("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := Verify(token, "test+jwt", keys); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if _, err := keys.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	if got := keys.current.Load(); len(got.keys) != 6 || got.active().generation != 6 {
		t.Errorf("%d keys, generation %d", len(got.keys), got.active().generation)
	}
}

func TestOpenKeysNamesTheBadFile(t *testing.T) {
	reseal := func(change func(file []byte)) func([]byte) []byte {
		return func(file []byte) []byte {
			body := file[:len(file)-sha256.Size]
			change(body)
			sum := sha256.Sum256(body)
			return append(body, sum[:]...)
		}
	}
	huge := func(offset int) func([]byte) []byte {
		return reseal(func(file []byte) { binary.BigEndian.PutUint32(file[offset:], 1<<31) })
	}
	for name, c := range map[string]struct {
		passphrase string
		damage     func(file []byte) []byte
		want       error
	}{
		"wrong passphrase":       {"wrong horse", nil, ErrPassphrase},
		"empty passphrase":       {"", nil, ErrPassphrase},
		"cut short":              {"correct horse", func(b []byte) []byte { return b[:len(b)-1] }, ErrKeyFile},
		"empty":                  {"correct horse", func([]byte) []byte { return nil }, ErrKeyFile},
		"too long":               {"correct horse", func(b []byte) []byte { return append(b, make([]byte, keyFileMax)...) }, ErrKeyFile},
		"another format":         {"correct horse", reseal(func(b []byte) { b[0] = 'X' }), ErrKeyFile},
		"later version":          {"correct horse", reseal(func(b []byte) { b[7] = 2 }), ErrKeyFile},
		"hostile memory":         {"correct horse", huge(16), ErrKeyFile},
		"hostile passes":         {"correct horse", huge(12), ErrKeyFile},
		"hostile lanes":          {"correct horse", reseal(func(b []byte) { b[20] = 255 }), ErrKeyFile},
		"no lanes":               {"correct horse", reseal(func(b []byte) { b[20] = 0 }), ErrKeyFile},
		"generation forged":      {"correct horse", reseal(func(b []byte) { b[11]++ }), ErrPassphrase},
		"cipher text forged":     {"correct horse", reseal(func(b []byte) { b[60] ^= 1 }), ErrPassphrase},
		"private key not inside": {"correct horse", reseal(func(b []byte) { clear(b[keyFileHeader:]) }), ErrPassphrase},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustOpen(t, dir)
			path := keyFiles(t, dir)[0]
			if c.damage != nil {
				file, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, c.damage(file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := openTestKeys(t, dir, c.passphrase)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.passphrase != "" && !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

func TestEveryDamagedByteOfAKeyFileIsFound(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	file, err := os.ReadFile(keyFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for _, mask := range []byte{1, 0x80, 0xff} {
			bad := append([]byte(nil), file...)
			bad[i] ^= mask
			if _, err := parseKeyFile(bad); !errors.Is(err, ErrKeyFile) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func TestACopiedKeyFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	file, err := os.ReadFile(keyFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "copy.key"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openTestKeys(t, dir, "correct horse"); !errors.Is(err, ErrKeyFile) {
		t.Fatalf("got %v", err)
	}
}

// TestJWKSAgainstJWX checks the key set, the thumbprint and the signature
// with jwx's own parser and verifier, which this package does not use there.
func TestJWKSAgainstJWX(t *testing.T) {
	keys := mustOpen(t, t.TempDir())
	if _, err := keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := keys.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.Parse(data)
	if err != nil || set.Len() != 2 {
		t.Fatalf("%d keys, %v", set.Len(), err)
	}
	for i := range set.Len() {
		key, _ := set.Key(i)
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil || key.KeyID() != strict.EncodeBase64URL(sum) {
			t.Errorf("kid %s is not the thumbprint %x, %v", key.KeyID(), sum, err)
		}
		if key.KeyUsage() != "sig" || key.Algorithm().String() != ES256 {
			t.Errorf("use %q, alg %q", key.KeyUsage(), key.Algorithm())
		}
		if private, _ := jwk.IsPrivateKey(key); private {
			t.Error("a private key is published")
		}
	}
	token, err := keys.Sign(t.Context(), "test+jwt", []byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := jws.Verify([]byte(token), jws.WithKeySet(set)); err != nil || string(payload) != `{"n":1}` {
		t.Errorf("jwx: %s, %v", payload, err)
	}
	offline, err := ParseJWKS(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(token, "test+jwt", offline); err != nil {
		t.Error(err)
	}
	if _, _, err := Verify(token, "test+jwt", mustOpen(t, t.TempDir())); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("another folder's keys: %v", err)
	}
}

func TestParseJWKS(t *testing.T) {
	const good = `{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	with := func(old, replacement string) string { return strings.Replace(good, old, replacement, 1) }
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"usable":                {`{"keys":[` + good + `]}`, nil},
		"others are skipped":    {`{"keys":[{"kty":"RSA","kid":"r","n":"AQ","e":"AQAB"},` + with(`"kty"`, `"use":"enc","kty"`) + `,` + with(`P-256`, `SM2`) + `,` + good + `]}`, nil},
		"kid twice":             {`{"keys":[` + good + `,` + good + `]}`, ErrMalformed},
		"private":               {`{"keys":[` + with(`"kty"`, `"d":"AQ","kty"`) + `]}`, ErrMalformed},
		"not on the curve":      {`{"keys":[` + with(`f83`, `g83`) + `]}`, ErrMalformed},
		"short coordinate":      {`{"keys":[` + with(`f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU`, `AQ`) + `]}`, ErrMalformed},
		"no usable key":         {`{"keys":[` + with(`"kid":"a",`, ``) + `]}`, ErrMalformed},
		"not a set":             {good, ErrMalformed},
		"not JSON":              {`{"keys":[`, ErrMalformed},
		"key not an object":     {`{"keys":["a"]}`, ErrMalformed},
		"member twice":          {`{"keys":[` + with(`"kid":"a"`, `"kid":"a","kid":"b"`) + `]}`, ErrMalformed},
		"larger than the limit": {`{"keys":[` + good + `]}` + strings.Repeat(" ", MaxJWKS), ErrMalformed},
	} {
		set, err := ParseJWKS([]byte(c.in))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if _, err := set.Key("a"); (c.want == nil) != (err == nil) {
			t.Errorf("%s: key a: %v", name, err)
		}
	}
	if _, err := ParseJWK([]byte(`{"kty":"OKP","crv":"Ed25519","x":"AQ"}`)); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("Ed25519: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Thumbprint(&other.PublicKey); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("thumbprint of P-384: %v", err)
	}
}

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseJWKS(data)
		for kid, key := range set.keys {
			if _, e := MarshalJWK(key); err != nil || e != nil || kid == "" {
				t.Fatalf("kid %q: %v, %v", kid, err, e)
			}
		}
	})
}

// FuzzKeyFile covers all that is read before a key is derived; the derivation
// itself gets only bounded parameters, which is checked too.
func FuzzKeyFile(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	file, err := sealKey(key, 1, []byte("p"), quickKDF())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file[:len(file)-sha256.Size])
	f.Add([]byte(keyFileMagic))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body) // else nearly every input ends at the checksum
		s, err := parseKeyFile(append(body[:len(body):len(body)], sum[:]...))
		if err != nil {
			if !errors.Is(err, ErrKeyFile) {
				t.Fatal(err)
			}
			return
		}
		if p := s.kdf; p.memory > maxKDFMemory || p.passes > maxKDFPasses || p.lanes > maxKDFLanes || p.passes == 0 || p.lanes == 0 {
			t.Fatalf("unbounded parameters %+v", p)
		}
		if s.kdf.memory <= 64 && s.kdf.passes == 1 {
			if _, err := s.open([]byte("p")); err != nil && !errors.Is(err, ErrPassphrase) && !errors.Is(err, ErrKeyFile) {
				t.Fatal(err)
			}
		}
	})
}
