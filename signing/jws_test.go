package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

func TestSignCompactAndVerify(t *testing.T) {
	const payload = `{"n":1,"名":"张三"}`
	for _, alg := range algorithms() {
		signer := newSigner(t, alg)
		kid, err := Thumbprint(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		published, err := MarshalJWKS([]PublicKey{{KeyID: kid, Key: signer.Public()}})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := ParseJWKS(published)
		if err != nil {
			t.Fatal(err)
		}
		for name, signer := range map[string]crypto.Signer{"software": signer, "opaque": opaque{signer}} {
			token, err := SignCompact(signer, Header{KeyID: kid, Type: "test+jwt"}, []byte(payload))
			if err != nil {
				t.Fatalf("%s, %s: %v", alg, name, err)
			}
			got, header, err := Verify(token, "test+jwt", keys)
			want := Header{Algorithm: alg, KeyID: kid, Type: "test+jwt"}
			if err != nil || string(got) != payload || !reflect.DeepEqual(header, want) {
				t.Errorf("%s, %s: got %s, %+v, %v", alg, name, got, header, err)
			}
			raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
			if want := `{"alg":"` + alg + `","kid":"` + kid + `","typ":"test+jwt"}`; err != nil || string(raw) != want {
				t.Errorf("%s, %s: header %s, want %s", alg, name, raw, want)
			}
		}
		unnamed, err := SignCompact(signer, Header{Algorithm: alg, Type: "t"}, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := VerifyWith(unnamed, "t", signer.Public()); err != nil {
			t.Errorf("%s: VerifyWith needs no kid: %v", alg, err)
		}
		if _, _, err := Verify(unnamed, "t", keys); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Verify without a kid: %v", alg, err)
		}
	}
}

// brokenSigner is a token with a faulty driver.
type brokenSigner struct {
	crypto.Signer
	signature []byte
	err       error
}

func (b brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return b.signature, b.err
}

func TestSignCompactRefuses(t *testing.T) {
	p256, ed := newSigner(t, ES256), opaque{newSigner(t, EdDSA)}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("{}")
	for name, c := range map[string]struct {
		signer  crypto.Signer
		header  Header
		payload []byte
		want    error
	}{
		"no typ":              {p256, Header{}, body, ErrMalformed},
		"typ not UTF-8":       {p256, Header{Type: "\xff"}, body, ErrMalformed},
		"kid not UTF-8":       {p256, Header{Type: "t", KeyID: "\xff"}, body, ErrMalformed},
		"kid too long":        {p256, Header{Type: "t", KeyID: strings.Repeat("k", maxKeyID+1)}, body, ErrMalformed},
		"no payload":          {p256, Header{Type: "t"}, nil, ErrMalformed},
		"empty certificate":   {p256, Header{Type: "t", Chain: [][]byte{{}}}, body, ErrMalformed},
		"long chain":          {p256, Header{Type: "t", Chain: make([][]byte, MaxChain+1)}, body, ErrMalformed},
		"large chain":         {p256, Header{Type: "t", Chain: [][]byte{make([]byte, maxHeader)}}, body, ErrMalformed},
		"another algorithm":   {p256, Header{Type: "t", Algorithm: SM2SM3}, body, ErrAlgorithm},
		"key without one":     {p224, Header{Type: "t"}, body, ErrAlgorithm},
		"public key is nil":   {opaque{&ecdsa.PrivateKey{}}, Header{Type: "t"}, body, ErrAlgorithm},
		"signer's own error":  {brokenSigner{p256, nil, io.ErrUnexpectedEOF}, Header{Type: "t"}, body, io.ErrUnexpectedEOF},
		"signer's own error2": {brokenSigner{newSigner(t, SM2SM3), nil, io.ErrUnexpectedEOF}, Header{Type: "t"}, body, io.ErrUnexpectedEOF},
	} {
		if token, err := SignCompact(c.signer, c.header, c.payload); !errors.Is(err, c.want) || token != "" {
			t.Errorf("%s: got %q, %v; want %v", name, token, err, c.want)
		}
	}
	for name, signature := range map[string][]byte{
		"nothing":  nil,
		"raw":      make([]byte, 64),
		"long r":   append([]byte{0x30, 56, 2, 51, 0, 0xff}, append(make([]byte, 49), 2, 1, 1)...),
		"zero":     {0x30, 6, 2, 1, 0, 2, 1, 1},
		"negative": {0x30, 6, 2, 1, 0xff, 2, 1, 1},
		"trailing": {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
	} {
		for _, key := range []crypto.Signer{p256, newSigner(t, ES384), newSigner(t, SM2SM3), ed} {
			if _, isEd := key.(opaque); isEd && len(signature) == ed25519.SignatureSize {
				continue // any 64 bytes may be one
			}
			if token, err := SignCompact(brokenSigner{key, signature, nil}, Header{Type: "t"}, body); err == nil {
				t.Errorf("%T made %s: %s", key.Public(), name, token)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, p384 := newSigner(t, ES256), newSigner(t, ES384)
	set := keySet(map[string]crypto.Signer{"k": key, "p384": p384})
	set.keys["text"] = "not a key"
	const head = `{"alg":"ES256","typ":"t","kid":"k"}`
	good := rawJWS(t, head, `{}`, key)
	signed := func(header string) string { return rawJWS(t, header, `{}`, key) }
	with := func(members string) string { return signed(`{"alg":"ES256","typ":"t","kid":"k",` + members + `}`) }
	parts := strings.Split(good, ".")

	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"accepted":                {good, nil},
		"members in any order":    {signed(` { "kid" : "k", "x":[{}], "typ":"t" ,"alg":"ES256" } `), nil},
		"escapes in the header":   {signed(`{"\u0061lg":"E\u0053256","typ":"t","kid":"\u006b"}`), nil},
		"x5c is not read":         {with(`"x5c":["AQ=="]`), nil},
		"key on another curve":    {rawJWS(t, `{"alg":"ES256","typ":"t","kid":"p384"}`, `{}`, p384), ErrAlgorithm},
		"resolver gives no key":   {signed(`{"alg":"ES256","typ":"t","kid":"text"}`), ErrAlgorithm},
		"other typ":               {signed(`{"alg":"ES256","typ":"u","kid":"k"}`), ErrType},
		"typ in other case":       {signed(`{"alg":"ES256","typ":"T","kid":"k"}`), ErrType},
		"typ with application/":   {signed(`{"alg":"ES256","typ":"application/t","kid":"k"}`), ErrType},
		"typ with white space":    {signed(`{"alg":"ES256","typ":"t ","kid":"k"}`), ErrType},
		"typ an array":            {signed(`{"alg":"ES256","typ":["t"],"kid":"k"}`), ErrType},
		"typ in capitals":         {signed(`{"alg":"ES256","TYP":"t","kid":"k"}`), ErrType},
		"no typ":                  {signed(`{"alg":"ES256","kid":"k"}`), ErrType},
		"unknown kid":             {signed(`{"alg":"ES256","typ":"t","kid":"x"}`), ErrUnknownKey},
		"kid a path":              {signed(`{"alg":"ES256","typ":"t","kid":"../../../../dev/null"}`), ErrUnknownKey},
		"kid an SQL injection":    {signed(`{"alg":"ES256","typ":"t","kid":"k' UNION SELECT 'key';--"}`), ErrUnknownKey},
		"kid a URL":               {signed(`{"alg":"ES256","typ":"t","kid":"https://example.org/k"}`), ErrUnknownKey},
		"kid with a NUL":          {signed(`{"alg":"ES256","typ":"t","kid":"k\u0000"}`), ErrUnknownKey},
		"kid in capitals":         {signed(`{"alg":"ES256","typ":"t","kid":"K"}`), ErrUnknownKey},
		"no kid":                  {signed(`{"alg":"ES256","typ":"t"}`), ErrMalformed},
		"kid empty":               {signed(`{"alg":"ES256","typ":"t","kid":""}`), ErrMalformed},
		"kid a number":            {signed(`{"alg":"ES256","typ":"t","kid":1}`), ErrMalformed},
		"kid null":                {signed(`{"alg":"ES256","typ":"t","kid":null}`), ErrMalformed},
		"kid an array":            {signed(`{"alg":"ES256","typ":"t","kid":["k"]}`), ErrMalformed},
		"kid an object":           {signed(`{"alg":"ES256","typ":"t","kid":{"k":"k"}}`), ErrMalformed},
		"kid too long":            {signed(`{"alg":"ES256","typ":"t","kid":"` + strings.Repeat("k", maxKeyID+1) + `"}`), ErrMalformed},
		"kid twice":               {with(`"kid":"k"`), ErrMalformed},
		"jwk":                     {with(`"jwk":{}`), ErrMalformed},
		"jwk null":                {with(`"jwk":null`), ErrMalformed},
		"jku":                     {with(`"jku":"https://example.org"`), ErrMalformed},
		"x5u":                     {with(`"x5u":"https://example.org"`), ErrMalformed},
		"crit":                    {with(`"crit":["exp"],"exp":1`), ErrMalformed},
		"crit empty":              {with(`"crit":[]`), ErrMalformed},
		"b64":                     {with(`"b64":false`), ErrMalformed},
		"b64 true":                {with(`"b64":true`), ErrMalformed},
		"b64 with crit":           {with(`"b64":false,"crit":["b64"]`), ErrMalformed},
		"x5c of the wrong type":   {with(`"x5c":7`), ErrMalformed},
		"x5c a string":            {with(`"x5c":"AQ=="`), ErrMalformed},
		"x5c empty":               {with(`"x5c":[]`), ErrMalformed},
		"x5c too long":            {with(`"x5c":[` + strings.Repeat(`"AQ==",`, MaxChain) + `"AQ=="]`), ErrMalformed},
		"cty a number":            {with(`"cty":7`), ErrMalformed},
		"x5t a number":            {with(`"x5t":7`), ErrMalformed},
		"alg twice":               {signed(`{"alg":"none","alg":"ES256","typ":"t","kid":"k"}`), ErrMalformed},
		"alg twice by escape":     {signed(`{"alg":"ES256","\u0061lg":"none","typ":"t","kid":"k"}`), ErrMalformed},
		"member twice deep":       {with(`"x":{"a":1,"a":1}`), ErrMalformed},
		"half a surrogate":        {with(`"x":"\ud800"`), ErrMalformed},
		"header not UTF-8":        {with("\"x\":\"\xff\""), ErrMalformed},
		"header nested too deep":  {with(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), ErrMalformed},
		"header too long":         {with(`"x":"` + strings.Repeat("x", maxHeader) + `"`), ErrMalformed},
		"header not JSON":         {signed(`alg=ES256`), ErrMalformed},
		"header an array":         {signed(`[` + head + `]`), ErrMalformed},
		"header twice":            {signed(head + head), ErrMalformed},
		"byte order mark":         {signed("\ufeff" + head), ErrMalformed},
		"signed by another key":   {rawJWS(t, head, `{}`, newSigner(t, ES256)), ErrSignature},
		"other payload":           {parts[0] + "." + b64(`{"a":1}`) + "." + parts[2], ErrSignature},
		"other header":            {b64(head+" ") + "." + parts[1] + "." + parts[2], ErrSignature},
		"white space":             {" " + good, ErrMalformed},
		"line break":              {good + "\n", ErrMalformed},
		"line break inside":       {good[:50] + "\n" + good[50:], ErrMalformed},
		"carriage return inside":  {good[:50] + "\r" + good[50:], ErrMalformed},
		"padding":                 {good + "=", ErrMalformed},
		"base64 instead of url":   {strings.NewReplacer("-", "+", "_", "/").Replace(parts[0] + "." + b64("\xff\xff\xfe") + "." + parts[2]), ErrMalformed},
		"one part":                {parts[0], ErrMalformed},
		"two parts":               {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":              {good + "." + parts[2], ErrMalformed},
		"five parts, like JWE":    {good + ".." + parts[2], ErrMalformed},
		"dots alone":              {"..", ErrMalformed},
		"empty payload, detached": {parts[0] + ".." + parts[2], ErrMalformed},
		"empty signature":         {parts[0] + "." + parts[1] + ".", ErrMalformed},
		"JSON serialisation":      {`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, ErrMalformed},
		"empty":                   {"", ErrMalformed},
		"over the limit":          {rawJWS(t, head, strings.Repeat("x", MaxToken), key), ErrMalformed},
	} {
		if payload, _, err := Verify(c.token, "t", set); !errors.Is(err, c.want) || err != nil && payload != nil {
			t.Errorf("%s: got %q, %v; want %v", name, payload, err, c.want)
		}
	}
	if _, _, err := VerifyLarge(rawJWS(t, head, strings.Repeat("x", MaxToken), key), "t", set, 2*MaxToken); err != nil {
		t.Errorf("a larger limit: %v", err)
	}
}

// TestVerifyRefusesAlgorithms has every alg that is none of ours, over a
// signature that would hold otherwise.
func TestVerifyRefusesAlgorithms(t *testing.T) {
	key := newSigner(t, ES256)
	set := keySet(map[string]crypto.Signer{"k": key})
	const rest = `"typ":"t","kid":"k"}`
	for _, alg := range []string{
		`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `""`, `"es256"`, `"ES256 "`, `" ES256"`, `"ES256\u0000"`, `"ＥＳ256"`, `"ES256K"`, `"ES512"`, `"ESP256"`,
		`"RS256"`, `"PS256"`, `"HS256"`, `"Ed25519"`, `"Ed448"`, `"sm2sm3"`, `"SM2"`, `256`, `null`, `true`, `["ES256"]`, `{"alg":"ES256"}`,
	} {
		if payload, _, err := Verify(rawJWS(t, `{"alg":`+alg+`,`+rest, `{}`, key), "t", set); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("alg %s: got %s, %v", alg, payload, err)
		}
		unsigned := b64(`{"alg":`+alg+`,`+rest) + "." + b64("{}") + "."
		if payload, _, err := Verify(unsigned, "t", set); !errors.Is(err, ErrMalformed) {
			t.Errorf("alg %s, no signature: got %s, %v", alg, payload, err)
		}
	}
	if payload, _, err := Verify(rawJWS(t, `{`+rest, `{}`, key), "t", set); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("no alg: got %s, %v", payload, err)
	}
	jwk, err := MarshalJWK(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{jwk, point, {}} { // the public key as an HMAC secret
		for _, alg := range []string{"HS256", ES256} {
			input := b64(`{"alg":"`+alg+`",`+rest) + "." + b64("{}")
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(input))
			if payload, _, err := Verify(input+"."+b64(string(mac.Sum(nil))), "t", set); err == nil {
				t.Errorf("HMAC as %s: got %s", alg, payload)
			}
		}
	}
	// Each of our algorithms, claimed for a key of each other one.
	for _, signs := range algorithms() {
		signer := newSigner(t, signs)
		for _, claims := range algorithms() {
			token := rawJWS(t, `{"alg":"`+claims+`",`+rest, `{}`, signer)
			_, _, err := Verify(token, "t", keySet(map[string]crypto.Signer{"k": signer}))
			if signs == claims && err != nil || signs != claims && !errors.Is(err, ErrAlgorithm) {
				t.Errorf("a key for %s, alg %s: %v", signs, claims, err)
			}
			_, _, err = Verify(token, "t", keySet(map[string]crypto.Signer{"k": newSigner(t, claims)}))
			if !errors.Is(err, ErrSignature) {
				t.Errorf("signed for %s, verified as %s: %v", signs, claims, err)
			}
		}
	}
}

func TestVerifyChain(t *testing.T) {
	signer := newSigner(t, SM2SM3)
	chain := [][]byte{[]byte("the key's own"), []byte("its issuer's \xff\xfe")}
	token, err := SignCompact(signer, Header{KeyID: "k", Type: "t", Chain: chain}, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	establish := func(got [][]byte) (crypto.PublicKey, error) {
		if !reflect.DeepEqual(got, chain) {
			t.Errorf("got chain %q", got)
		}
		return signer.Public(), nil
	}
	_, header, err := VerifyChain(token, "t", establish)
	if want := (Header{SM2SM3, "k", "t", chain}); err != nil || !reflect.DeepEqual(header, want) {
		t.Errorf("got %+v, %v", header, err)
	}
	if _, header, err := Verify(token, "t", keySet(map[string]crypto.Signer{"k": signer})); err != nil || header.Chain != nil {
		t.Errorf("by kid: %+v, %v", header, err)
	}
	untrusted := errors.New("no root of ours")
	if payload, _, err := VerifyChain(token, "t", func([][]byte) (crypto.PublicKey, error) { return nil, untrusted }); !errors.Is(err, untrusted) || payload != nil {
		t.Errorf("refused chain: %s, %v", payload, err)
	}
	if _, _, err := VerifyChain(token, "t", func([][]byte) (crypto.PublicKey, error) { return newSigner(t, SM2SM3).Public(), nil }); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	never := func([][]byte) (crypto.PublicKey, error) {
		t.Error("establish was asked about a token that is wrong anyway")
		return signer.Public(), nil
	}
	for name, members := range map[string]string{
		"none": `"kid":"k"`, "number": `"x5c":[1]`, "empty text": `"x5c":[""]`, "base64url": `"x5c":["-_8="]`,
		"no padding": `"x5c":["AQ"]`, "unused bits": `"x5c":["AR=="]`, "line break": `"x5c":["AQ==\n"]`, "nested": `"x5c":[["AQ=="]]`,
	} {
		if _, _, err := VerifyChain(rawJWS(t, `{"alg":"SM2SM3","typ":"t",`+members+`}`, `{}`, signer), "t", never); !errors.Is(err, ErrMalformed) {
			t.Errorf("x5c %s: %v", name, err)
		}
	}
	if _, _, err := VerifyChain(token, "u", never); !errors.Is(err, ErrType) {
		t.Errorf("another type: %v", err)
	}
}

// FuzzVerify looks for a token that passes and says anything else than what
// was signed.
func FuzzVerify(f *testing.F) {
	const payload = `{"n":1}`
	signers := map[string]crypto.Signer{}
	for _, alg := range algorithms() {
		signers[alg] = newSigner(f, alg)
		token, err := SignCompact(signers[alg], Header{KeyID: alg, Type: "t", Chain: [][]byte{{1}}}, []byte(payload))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add(rawJWS(f, `{"alg":"ES256","typ":"t","kid":"ES256","x5c":["AQ=="],"crit":[]}`, payload, signers[ES256]))
	f.Add("..")
	set := keySet(signers)
	f.Fuzz(func(t *testing.T, token string) {
		got, header, err := Verify(token, "t", set)
		if err == nil && (string(got) != payload || header.KeyID != header.Algorithm) {
			t.Fatalf("forged: %q gives %q", token, got)
		}
		_, _, err = VerifyChain(token, "t", func(chain [][]byte) (crypto.PublicKey, error) {
			if len(chain) == 0 || len(chain) > MaxChain {
				t.Fatalf("%d certificates", len(chain))
			}
			return nil, ErrUnknownKey
		})
		if err == nil {
			t.Fatal("verified without a key")
		}
	})
}

// FuzzHeader parses headers that nobody signed: only what re-encodes to one
// reading may come out.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"alg":"ES256","typ":"t","kid":"k"}`))
	f.Add([]byte(`{"alg":"EdDSA","typ":"t","x5c":["AQ=="],"cty":"x","x5t":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var tok token
		if err := tok.parseHeader(raw, "t"); err != nil {
			return
		}
		obj, err := strict.Object(raw)
		if err != nil || obj["alg"] != tok.header.Algorithm || obj["typ"] != "t" || !allowed(tok.header.Algorithm) {
			t.Fatalf("%q gives %+v, %v", raw, tok.header, err)
		}
	})
}
