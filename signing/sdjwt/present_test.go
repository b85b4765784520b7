package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

func TestVerifyTimes(t *testing.T) {
	issuer := newSigner(t)
	c := licence(nil)
	token := mustIssue(t, issuer, c)
	second := time.Second
	for name, c := range map[string]struct {
		now    time.Time
		leeway time.Duration
		want   error
	}{
		"first moment":     {c.NotBefore, 0, nil},
		"just before":      {c.NotBefore.Add(-second), 0, ErrNotYetValid},
		"within leeway":    {c.NotBefore.Add(-second), second, nil},
		"last moment":      {c.Expires.Add(-1), 0, nil},
		"expired":          {c.Expires, 0, ErrExpired},
		"expired, leeway":  {c.Expires, second, nil},
		"leeway is over":   {c.Expires.Add(second), second, ErrExpired},
		"expired long ago": {c.Expires.AddDate(50, 0, 0), time.Minute, ErrExpired},
	} {
		v, err := Verify(token, issuer.trust(), c.now, Policy{Leeway: c.leeway})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if v == nil || v.Type != testType || v.Status == nil {
			t.Errorf("%s: what expired must still be told: %+v", name, v)
		}
	}
}

func TestPresent(t *testing.T) {
	issuer := newSigner(t)
	token := issuer.craft(t, `{`+visible+`,"_sd":["$0","$3"],"x":{"_sd":["$2"]}}`,
		`["s","a",{"_sd":["$1"]}]`, `["s","b",[1]]`, `["s","c",2]`, `["s","d",3]`)
	for name, c := range map[string]struct {
		disclose []string
		want     string
	}{
		"nothing":         {nil, `{` + visible + `,"x":{}}`},
		"one with inside": {[]string{"a"}, `{"a":{"b":[1]},` + visible + `,"x":{}}`},
		"inside visible":  {[]string{"x"}, `{` + visible + `,"x":{"c":2}}`},
		"visible anyway":  {[]string{"iss", "d"}, `{"d":3,` + visible + `,"x":{}}`},
		"all":             {[]string{"x", "d", "a"}, `{"a":{"b":[1]},"d":3,` + visible + `,"x":{"c":2}}`},
	} {
		// A key binding covers an older selection, so Present drops it.
		shown, err := Present(token+"a.b.c", c.disclose)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v, err := Verify(shown, issuer.trust(), testNow(), Policy{})
		if err != nil || string(v.Claims) != c.want {
			t.Errorf("%s: got %+v, %v; want %s", name, v, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		token, disclose string
		want            error
	}{
		"no such claim":        {token, "e", ErrDisclosure},
		"claim inside another": {token, "b", ErrDisclosure},
		"not a token":          {"x~", "a", signing.ErrMalformed},
		"no JSON inside":       {"x.eA.x~", "a", signing.ErrMalformed},
		"stray disclosure":     {token + b64(`["s","e",1]`) + "~", "a", ErrDisclosure},
	} {
		if shown, err := Present(c.token, []string{c.disclose}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %q, %v; want %v", name, shown, err, c.want)
		}
	}
}

func TestKeyBinding(t *testing.T) {
	issuer, holder, thief := newSigner(t), newSigner(t), newSigner(t)
	token := mustIssue(t, issuer, licence(&holder.key.PublicKey))
	shown, err := Present(token, []string{"name"})
	if err != nil {
		t.Fatal(err)
	}
	const head = `{"alg":"ES256","typ":"kb+jwt"}`
	now := testNow().Add(time.Hour)
	claims := func(change ...string) string {
		return strings.NewReplacer(change...).Replace(fmt.Sprintf(`{"iat":%d,"aud":%q,"nonce":"n-1","sd_hash":"$h"}`, now.Unix(), testAudience))
	}
	at := func(offset time.Duration) string {
		return claims(fmt.Sprint(now.Unix()), fmt.Sprint(now.Add(offset).Unix()))
	}
	good := holder.bind(t, shown, head, claims())
	unbound := mustIssue(t, issuer, licence(nil))
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"accepted":                {good, nil},
		"none":                    {shown, ErrKeyBinding},
		"token names no key":      {holder.bind(t, unbound, head, claims()), ErrKeyBinding},
		"private key in cnf":      {holder.bind(t, issuer.craft(t, `{`+visible+`,"cnf":{"jwk":{"kty":"EC","d":"AQ"}}}`), head, claims()), ErrKeyBinding},
		"signed by another":       {thief.bind(t, shown, head, claims()), signing.ErrSignature},
		"signed by the issuer":    {issuer.bind(t, shown, head, claims()), signing.ErrSignature},
		"other typ":               {holder.bind(t, shown, `{"alg":"ES256","typ":"JWT"}`, claims()), signing.ErrType},
		"alg none":                {holder.bind(t, shown, `{"alg":"none","typ":"kb+jwt"}`, claims()), signing.ErrAlgorithm},
		"key in the header":       {thief.bind(t, shown, `{"alg":"ES256","typ":"kb+jwt","jwk":{}}`, claims()), signing.ErrMalformed},
		"another nonce":           {holder.bind(t, shown, head, claims("n-1", "n-2")), ErrKeyBinding},
		"another audience":        {holder.bind(t, shown, head, claims("window", "other")), ErrKeyBinding},
		"list of audiences":       {holder.bind(t, shown, head, claims(`"`+testAudience+`"`, `["`+testAudience+`"]`)), ErrKeyBinding},
		"no nonce":                {holder.bind(t, shown, head, claims("nonce", "once")), ErrKeyBinding},
		"no iat":                  {holder.bind(t, shown, head, claims("iat", "tai")), ErrKeyBinding},
		"iat a string":            {holder.bind(t, shown, head, `{"iat":"now"}`), ErrKeyBinding},
		"too old":                 {holder.bind(t, shown, head, at(-time.Minute-6*time.Second)), ErrKeyBinding},
		"old enough":              {holder.bind(t, shown, head, at(-time.Minute)), nil},
		"from the future":         {holder.bind(t, shown, head, at(6*time.Second)), ErrKeyBinding},
		"within leeway":           {holder.bind(t, shown, head, at(5*time.Second)), nil},
		"expired itself":          {holder.bind(t, shown, head, claims(`{`, fmt.Sprintf(`{"exp":%d,`, now.Unix()-10))), ErrKeyBinding},
		"not valid yet itself":    {holder.bind(t, shown, head, claims(`{`, fmt.Sprintf(`{"nbf":%d,`, now.Unix()+10))), ErrKeyBinding},
		"over another selection":  {shown + strings.TrimPrefix(holder.bind(t, token, head, claims()), token), ErrKeyBinding},
		"disclosure added after":  {token + strings.TrimPrefix(good, shown), ErrKeyBinding},
		"disclosures taken after": {strings.Split(token, "~")[0] + "~" + strings.TrimPrefix(good, shown), ErrKeyBinding},
	} {
		v, err := Verify(c.token, issuer.trust(), now, Policy{KeyBinding: true, Audience: testAudience, Nonce: "n-1", MaxAge: time.Minute, Leeway: 5 * time.Second})
		if !errors.Is(err, c.want) || (err == nil) != (v != nil) {
			t.Errorf("%s: got %+v, %v; want %v", name, v, err, c.want)
		}
	}
	policy := Policy{KeyBinding: true, Audience: testAudience, Nonce: "n-1", MaxAge: time.Minute}
	if _, err := Verify(thief.bind(t, shown, head, claims()), issuer.trust(), now, Policy{}); err != nil {
		t.Errorf("a binding that nobody asked for is ignored: %v", err)
	}
	if v, err := Verify(good, issuer.trust(), now.AddDate(2, 0, 0), policy); !errors.Is(err, ErrKeyBinding) || v != nil {
		t.Errorf("expired and badly bound: claims must stay hidden: %+v, %v", v, err)
	}
	for name, incomplete := range map[string]Policy{
		"audience": {KeyBinding: true, Nonce: "n-1", MaxAge: time.Minute},
		"nonce":    {KeyBinding: true, Audience: testAudience, MaxAge: time.Minute},
		"age":      {KeyBinding: true, Audience: testAudience, Nonce: "n-1"},
	} {
		if _, err := Verify(good, issuer.trust(), now, incomplete); !errors.Is(err, ErrKeyBinding) {
			t.Errorf("policy without %s: %v", name, err)
		}
	}
}

// TestRFC9901Example runs the SD-JWT VC with key binding of RFC 9901 appendix
// A.3, with the issuer's key of appendix A.5. Its tokens have no kid, hence
// VerifyWith instead of Verify for the first step.
func TestRFC9901Example(t *testing.T) {
	data, err := os.ReadFile("testdata/rfc9901-a3-presentation.txt")
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ","y":"Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := split(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	raw, header, err := signing.VerifyWith(p.jwt, TokenType, key)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{KeyBinding: true, Audience: "https://verifier.example.org", Nonce: "1234567890", MaxAge: time.Minute}
	mayIssue := OneIssuer{Issuer: "https://pid-issuer.bund.de.example"}
	v, err := evaluate(p, raw, header, time.Unix(1748537244, 0), policy, func(iss string) error { return mayIssue.MayIssue("", iss) })
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"age_equal_or_over":{"18":true},"cnf":{"jwk":{"crv":"P-256","kty":"EC","x":"TCAER19Zvu3OHF4j4W4vfSVoHIP1ILilDls7vCeGemc","y":"ZxjiWWbZMQGHVWKVQ4hbSIirsVfuecCE6t4jT9F2HZQ"}},` +
		`"exp":1883000000,"iat":1683000000,"iss":"https://pid-issuer.bund.de.example","nationalities":["DE"],"vct":"urn:eudi:pid:de:1"}`
	if string(v.Claims) != want || !slices.Equal(v.Disclosed, []string{"age_equal_or_over", "nationalities"}) {
		t.Errorf("got %s %v", v.Claims, v.Disclosed)
	}
}

// TestRFC9901Disclosures has the values of RFC 9901 §4.2: encodings differ,
// what they say does not, and digests are over the encoding.
func TestRFC9901Disclosures(t *testing.T) {
	for _, encoded := range []string{
		"WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0",
		"WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNXHUwMGY2Yml1cyJd",
		"WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsImZhbWlseV9uYW1lIiwiTcO2Yml1cyJd",
		"WwoiXzI2YmM0TFQtYWM2cTJLSTZjQlc1ZXMiLAoiZmFtaWx5X25hbWUiLAoiTcO2Yml1cyIKXQ",
	} {
		d, err := parseDisclosure(encoded)
		if err != nil || !slices.Equal(d.content, []any{"_26bc4LT-ac6q2KI6cBW5es", "family_name", "Möbius"}) {
			t.Errorf("%s: %+v, %v", encoded, d, err)
		}
	}
	for encoded, want := range map[string]string{
		"WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0": "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0",
		"WyJsa2x4RjVqTVlsR1RQVW92TU5JdkNBIiwgIkZSIl0":                             "w0I8EKcdCtUPkGCNUrfwVp2xEgNjtoIDlOxc9-PlOhs",
	} {
		if got := digest(encoded); got != want {
			t.Errorf("digest of %s is %s, want %s", encoded, got, want)
		}
	}
}

// TestRFC9901MainExample has the digests, disclosures and part of the payload
// of RFC 9901 §5.1, with the selection of §5.2.
func TestRFC9901MainExample(t *testing.T) {
	payload := `{"_sd":["CrQe7S5kqBAHt-nMYXgc6bdt2SH5aTY1sU_M-PgkjPI","JzYjH4svliH0R3PyEMfeZu6Jt69u5qehZo7F7EPYlSE",` +
		`"PorFbpKuVu6xymJagvkFsFXAbRoc2JGlAUA2BA4o7cI","TGf4oLbgwd5JQaHyKVQZU9UdGE0w5rtDsrZzfUaomLo",` +
		`"XQ_3kPKt1XyX7KANkqVR6yZ2Va5NrPIvPYbyMvRKBMM","XzFrzwscM6Gn6CJDc6vVK8BkMnfG8vOSKfpPIZdAfdE",` +
		`"gbOsI4Edq2x2Kw-w5wPEzakob9hV1cRD0ATN3oQL9JM","jsu9yVulwQQlhFlM_3JlzMaSFzglhQG0DpfayQwLUK4"],` +
		`"_sd_alg":"sha-256","nationalities":[{"...":"pFndjkZ_VCzmyTa6UjlZo3dh-ko8aIKQc9DlGzhaVYo"},` +
		`{"...":"7Cf6JkPudry3lcbwHgeZ8khAv1U1OSlerP0VkBJrWZ0"}],"sub":"user_42"}`
	var disclosures []*disclosure
	for _, encoded := range []string{
		"WyIyR0xDNDJzS1F2ZUNmR2ZyeU5STjl3IiwgImdpdmVuX25hbWUiLCAiSm9obiJd",
		"WyJlbHVWNU9nM2dTTklJOEVZbnN4QV9BIiwgImZhbWlseV9uYW1lIiwgIkRvZSJd",
		"WyJsa2x4RjVqTVlsR1RQVW92TU5JdkNBIiwgIlVTIl0",
		"WyI2SWo3dE0tYTVpVlBHYm9TNXRtdlZBIiwgImVtYWlsIiwgImpvaG5kb2VAZXhhbXBsZS5jb20iXQ",
	} {
		d, err := parseDisclosure(encoded)
		if err != nil {
			t.Fatal(err)
		}
		disclosures = append(disclosures, d)
	}
	claims, err := decodePayload([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if err := walk(claims, disclosures); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(claims)
	const want = `{"email":"johndoe@example.com","family_name":"Doe","given_name":"John","nationalities":["US"],"sub":"user_42"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// TestRandomChangesAreRefused changes one byte of tokens with disclosures and
// key binding, at random, 6,000 times: with those of package signing 40,000.
func TestRandomChangesAreRefused(t *testing.T) {
	times := 1500
	if testing.Short() {
		times /= 20
	}
	for issues, holds := range map[string]string{
		signing.ES256: signing.EdDSA, signing.EdDSA: signing.ES256, signing.SM2SM3: signing.SM2SM3, signing.ES384: signing.ES256,
	} {
		t.Run(issues, func(t *testing.T) {
			t.Parallel()
			authority, holder := newIssuer(t, issues), newIssuer(t, holds)
			token := holder.bound(t, mustIssue(t, authority, licence(holder.signer.Public())))
			trust := OneIssuer{testIssuer, authority}
			if _, err := Verify(token, trust, testNow(), bindingPolicy()); err != nil {
				t.Fatal(err)
			}
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
			for range times {
				i, b := rand.IntN(len(token)), byte(rand.Uint32())
				if rand.IntN(2) == 0 {
					b = alphabet[rand.IntN(len(alphabet))]
				}
				if b == token[i] {
					b ^= 1
				}
				bad := token[:i] + string([]byte{b}) + token[i+1:]
				if v, err := Verify(bad, trust, testNow(), bindingPolicy()); err == nil || v != nil {
					t.Fatalf("byte %d changed from %q to %q is accepted: %+v, %v", i, token[i], b, v, err)
				}
			}
		})
	}
}

// TestEveryPositionIsRefused takes each byte of a token away and changes it to
// the ones that mean something in it.
func TestEveryPositionIsRefused(t *testing.T) {
	authority, holder := newIssuer(t, signing.EdDSA), newIssuer(t, signing.EdDSA)
	token := mustIssue(t, authority, licence(holder.signer.Public()))
	trust := OneIssuer{testIssuer, authority}
	for _, c := range []struct {
		token  string
		policy Policy
	}{{token, Policy{}}, {holder.bound(t, token), bindingPolicy()}} {
		end := len(c.token)
		if !c.policy.KeyBinding {
			end-- // what follows the last ~ is a key binding that nobody asked for
		}
		for i := range end {
			for _, b := range []string{"", "~", ".", "="} {
				if bad := c.token[:i] + b + c.token[i+1:]; bad != c.token {
					if v, err := Verify(bad, trust, testNow(), c.policy); err == nil {
						t.Fatalf("%q at %d is accepted: %s", b, i, v.Claims)
					}
				}
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	issuer := newSigner(f)
	token := mustIssue(f, issuer, licence(nil))
	base := strings.Split(token, "~")[0] + "~"
	all, err := Verify(token, issuer.trust(), testNow(), Policy{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(base)
	f.Add(issuer.craft(f, `{`+visible+`,"_sd":["$0"],"x":[{"...":"$1"}]}`, `["s","a",{"_sd":["$2"]}]`, `["s",1]`, `["s","b",2]`))
	f.Fuzz(func(t *testing.T, token string) {
		v, err := Verify(token, issuer.trust(), testNow(), Policy{})
		if err != nil {
			if v != nil {
				t.Fatalf("claims with %v", err)
			}
		} else if strings.HasPrefix(token, base) && len(v.Claims) > len(all.Claims) {
			t.Fatalf("more claims than were signed: %s", v.Claims)
		}
		shown, err := Present(token, nil)
		if err == nil && strings.Count(shown, "~") != 1 {
			t.Fatalf("presented nothing as %q", shown)
		}
	})
}

// FuzzDisclosures signs whatever the fuzzer makes of payload and disclosure,
// to reach the walk that FuzzVerify cannot reach without the key.
func FuzzDisclosures(f *testing.F) {
	f.Add(`{"_sd":["$0"]}`, `["s","a",{"_sd":[],"b":[{"...":"x"}]}]`)
	f.Add(`{"a":[{"...":"$0"}],"_sd":[]}`, `["s",[1,{"...":"y"}]]`)
	f.Fuzz(func(t *testing.T, payload, content string) {
		encoded := b64(content)
		d, err := parseDisclosure(encoded)
		if err != nil {
			if !errors.Is(err, ErrDisclosure) {
				t.Fatal(err)
			}
			return
		}
		claims, err := decodePayload([]byte(strings.ReplaceAll(payload, "$0", sum(encoded))))
		if err != nil {
			return
		}
		if err := walk(claims, []*disclosure{d}); err != nil {
			return
		}
		if !d.used || holdsReserved(claims) {
			t.Fatalf("walk left %v", claims)
		}
	})
}

// BenchmarkLicence measures one licence as the licence side issues it.
func BenchmarkLicence(b *testing.B) {
	keys := newIssuer(b, signing.ES256)
	c := licence(nil)
	for i := range 9 {
		name := fmt.Sprintf("field%d", i)
		c.Body[name] = "内容"
		c.Disclosable = append(c.Disclosable, name)
	}
	token := mustIssue(b, keys, c)
	b.Run("issue", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustIssue(b, keys, c)
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(token)), "bytes/token")
		for b.Loop() {
			if _, err := Verify(token, OneIssuer{testIssuer, keys}, testNow(), Policy{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
