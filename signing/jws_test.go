package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

// rawJWS signs without jwx and without any check, for tokens that Sign would
// never make.
func rawJWS(tb testing.TB, header, payload string, key *ecdsa.PrivateKey) string {
	tb.Helper()
	input := strict.EncodeBase64URL([]byte(header)) + "." + strict.EncodeBase64URL([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	sig := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	return input + "." + strict.EncodeBase64URL(sig)
}

func newKey(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func TestVerifyRFC7515Example(t *testing.T) {
	// RFC 7515 appendix A.3.
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	key, err := ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if err != nil {
		t.Fatal(err)
	}
	if payload, _, err := checkSignature(token, Header{}, key); err != nil || !strings.HasPrefix(string(payload), `{"iss":"joe",`) {
		t.Errorf("%s, %v", payload, err)
	}
	if _, _, err := VerifyWith(token, "JWT", key); !errors.Is(err, ErrType) {
		t.Errorf("a token without typ: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	set := KeySet{keys: map[string]crypto.PublicKey{"k": &key.PublicKey, "p384": &p384.PublicKey, "text": "not a key"}}
	const head = `{"alg":"ES256","typ":"t","kid":"k"}`
	good := rawJWS(t, head, `{}`, key)
	signed := func(header string) string { return rawJWS(t, header, `{}`, key) }
	half := new(big.Int).Rsh(key.Params().N, 1)
	parts := strings.Split(good, ".")

	hmacInput := strict.EncodeBase64URL([]byte(`{"alg":"HS256","typ":"t","kid":"k"}`)) + "." + parts[1]
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(hmacInput))

	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"accepted":                 {good, nil},
		"x5c is not read":          {signed(`{"alg":"ES256","typ":"t","kid":"k","x5c":["AQ=="]}`), nil},
		"alg none":                 {strict.EncodeBase64URL([]byte(`{"alg":"none","typ":"t","kid":"k"}`)) + "." + parts[1] + ".", ErrMalformed},
		"alg none with signature":  {signed(`{"alg":"none","typ":"t","kid":"k"}`), ErrAlgorithm},
		"alg in other case":        {signed(`{"alg":"es256","typ":"t","kid":"k"}`), ErrAlgorithm},
		"HMAC with the public key": {hmacInput + "." + strict.EncodeBase64URL(mac.Sum(nil)), ErrAlgorithm},
		"alg absent":               {signed(`{"typ":"t","kid":"k"}`), ErrAlgorithm},
		"alg a number":             {signed(`{"alg":256,"typ":"t","kid":"k"}`), ErrAlgorithm},
		"key on another curve":     {rawJWS(t, `{"alg":"ES256","typ":"t","kid":"p384"}`, `{}`, p384), ErrAlgorithm},
		"resolver gives no key":    {signed(`{"alg":"ES256","typ":"t","kid":"text"}`), ErrAlgorithm},
		"other typ":                {signed(`{"alg":"ES256","typ":"u","kid":"k"}`), ErrType},
		"typ in other case":        {signed(`{"alg":"ES256","typ":"T","kid":"k"}`), ErrType},
		"no typ":                   {signed(`{"alg":"ES256","kid":"k"}`), ErrType},
		"unknown kid":              {signed(`{"alg":"ES256","typ":"t","kid":"x"}`), ErrUnknownKey},
		"no kid":                   {signed(`{"alg":"ES256","typ":"t"}`), ErrMalformed},
		"kid a number":             {signed(`{"alg":"ES256","typ":"t","kid":1}`), ErrMalformed},
		"kid too long":             {signed(`{"alg":"ES256","typ":"t","kid":"` + strings.Repeat("k", maxKeyID+1) + `"}`), ErrMalformed},
		"jwk":                      {signed(`{"alg":"ES256","typ":"t","kid":"k","jwk":{}}`), ErrMalformed},
		"jku":                      {signed(`{"alg":"ES256","typ":"t","kid":"k","jku":"https://example.org"}`), ErrMalformed},
		"x5u":                      {signed(`{"alg":"ES256","typ":"t","kid":"k","x5u":"https://example.org"}`), ErrMalformed},
		"crit":                     {signed(`{"alg":"ES256","typ":"t","kid":"k","crit":["exp"],"exp":1}`), ErrMalformed},
		"b64":                      {signed(`{"alg":"ES256","typ":"t","kid":"k","b64":false}`), ErrMalformed},
		"x5c of the wrong type":    {signed(`{"alg":"ES256","typ":"t","kid":"k","x5c":7}`), ErrMalformed},
		"alg twice":                {signed(`{"alg":"none","alg":"ES256","typ":"t","kid":"k"}`), ErrMalformed},
		"alg twice by escape":      {signed(`{"alg":"ES256","\u0061lg":"none","typ":"t","kid":"k"}`), ErrMalformed},
		"header nested too deep":   {signed(`{"alg":"ES256","typ":"t","kid":"k","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), ErrMalformed},
		"header too long":          {signed(`{"alg":"ES256","typ":"t","kid":"k","x":"` + strings.Repeat("x", maxHeader) + `"}`), ErrMalformed},
		"header not JSON":          {signed(`alg=ES256`), ErrMalformed},
		"signed by another key":    {rawJWS(t, head, `{}`, newKey(t, elliptic.P256())), ErrSignature},
		"signature cut":            {parts[0] + "." + parts[1] + "." + parts[2][:40], ErrSignature},
		"signature zero":           {parts[0] + "." + parts[1] + "." + strict.EncodeBase64URL(make([]byte, 64)), ErrSignature},
		"signature arbitrary":      {parts[0] + "." + parts[1] + "." + strict.EncodeBase64URL(append(half.Bytes(), half.Bytes()...)), ErrSignature},
		"signature in DER":         {parts[0] + "." + parts[1] + "." + derSignature(t, parts[0]+"."+parts[1], key), ErrSignature},
		"other payload":            {parts[0] + "." + strict.EncodeBase64URL([]byte(`{"a":1}`)) + "." + parts[2], ErrSignature},
		"white space":              {" " + good, ErrMalformed},
		"line break":               {good + "\n", ErrMalformed},
		"line break inside":        {good[:50] + "\n" + good[50:], ErrMalformed},
		"padding":                  {good + "=", ErrMalformed},
		"two parts":                {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":               {good + "." + parts[2], ErrMalformed},
		"empty payload":            {parts[0] + ".." + parts[2], ErrMalformed},
		"JSON serialisation":       {`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, ErrMalformed},
		"empty":                    {"", ErrMalformed},
		"over the limit":           {rawJWS(t, head, strings.Repeat("x", MaxToken), key), ErrMalformed},
	} {
		if payload, _, err := Verify(c.token, "t", set); !errors.Is(err, c.want) {
			t.Errorf("%s: got %q, %v; want %v", name, payload, err, c.want)
		}
	}
	if _, _, err := VerifyLarge(rawJWS(t, head, strings.Repeat("x", MaxToken), key), "t", set, 2*MaxToken); err != nil {
		t.Errorf("a larger limit: %v", err)
	}
	if _, _, err := VerifyWith(signed(`{"alg":"ES256","typ":"t"}`), "t", &key.PublicKey); err != nil {
		t.Errorf("VerifyWith needs no kid: %v", err)
	}
}

func derSignature(tb testing.TB, input string, key *ecdsa.PrivateKey) string {
	tb.Helper()
	sum := sha256.Sum256([]byte(input))
	der, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	return strict.EncodeBase64URL(der)
}

func TestSignRefuses(t *testing.T) {
	keys := mustOpen(t, t.TempDir())
	if _, err := keys.Sign(t.Context(), "", []byte("{}")); !errors.Is(err, ErrMalformed) {
		t.Errorf("no typ: %v", err)
	}
	if _, err := keys.Sign(t.Context(), "t", nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("no payload: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keys.Sign(ctx, "t", []byte("{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := keys.Rotate(ctx); !errors.Is(err, context.Canceled) || len(keys.current.Load().keys) != 1 {
		t.Errorf("rotate cancelled: %v", err)
	}
}

// TestEveryChangedByteIsRefused changes each byte of tokens, also to bytes
// that decode to the same value when unused bits are ignored.
func TestEveryChangedByteIsRefused(t *testing.T) {
	keys := mustOpen(t, t.TempDir())
	for _, payload := range []string{`{"a":1}`, `{"ab":1}`, `{"abc":1}`} { // all remainders modulo 3
		token, err := keys.Sign(t.Context(), "test+jwt", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(token) {
			for _, b := range []byte{token[i] ^ 1, token[i] ^ 0x20, 'A', '_', '.', '=', '\n', 0, 0xff} {
				if b == token[i] {
					continue
				}
				bad := token[:i] + string([]byte{b}) + token[i+1:]
				if _, _, err := Verify(bad, "test+jwt", keys); err == nil {
					t.Fatalf("byte %d changed from %q to %q is accepted", i, token[i], b)
				}
			}
		}
		// The last character of 64 bytes carries 4 unused bits: 15 more spellings.
		last := strings.IndexByte(base64Alphabet, token[len(token)-1])
		for bits := 1; bits < 16; bits++ {
			bad := token[:len(token)-1] + string(base64Alphabet[last&^15|(last+bits)&15])
			if _, _, err := Verify(bad, "test+jwt", keys); !errors.Is(err, ErrMalformed) {
				t.Fatalf("unused bits changed by %d: %v", bits, err)
			}
		}
	}
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func FuzzVerify(f *testing.F) {
	key := newKey(f, elliptic.P256())
	set := KeySet{keys: map[string]crypto.PublicKey{"k": &key.PublicKey}}
	const payload = `{"n":1}`
	good := rawJWS(f, `{"alg":"ES256","typ":"t","kid":"k"}`, payload, key)
	f.Add(good)
	f.Add(rawJWS(f, `{"alg":"ES256","typ":"t","kid":"k","x5c":["AQ=="],"crit":[]}`, payload, key))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		got, header, err := Verify(token, "t", set)
		if err == nil && (string(got) != payload || header.KeyID != "k") {
			t.Fatalf("forged: %q gives %q", token, got)
		}
	})
}

// BenchmarkES256 interleaves the package with bare ECDSA on the same 1,024
// bytes, so that a busy machine slows both alike, and reports the ratio.
func BenchmarkES256(b *testing.B) {
	keys := mustOpen(b, b.TempDir())
	private := keys.current.Load().active().private
	payload := []byte(`"` + strings.Repeat("x", 1022) + `"`)
	sum := sha256.Sum256(payload)
	token, err := keys.Sign(b.Context(), "test+jwt", payload)
	if err != nil {
		b.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	compare := func(b *testing.B, ours, raw func() error) {
		var a, r time.Duration
		b.ReportAllocs()
		for b.Loop() {
			t0 := time.Now()
			err1 := ours()
			t1 := time.Now()
			err2 := raw()
			a, r = a+t1.Sub(t0), r+time.Since(t1)
			if err := errors.Join(err1, err2); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(a.Microseconds())/float64(b.N), "us-ours")
		b.ReportMetric(float64(r.Microseconds())/float64(b.N), "us-raw")
		b.ReportMetric(float64(a)/float64(r), "ratio")
	}
	b.Run("sign", func(b *testing.B) {
		compare(b,
			func() error { _, err := keys.Sign(b.Context(), "test+jwt", payload); return err },
			func() error {
				h := sha256.Sum256(payload)
				_, err := ecdsa.SignASN1(rand.Reader, private, h[:])
				return err
			})
	})
	b.Run("verify", func(b *testing.B) {
		compare(b,
			func() error { _, _, err := Verify(token, "test+jwt", keys); return err },
			func() error {
				h := sha256.Sum256(payload)
				if !ecdsa.VerifyASN1(&private.PublicKey, h[:], der) {
					return fmt.Errorf("raw signature")
				}
				return nil
			})
	})
}
