package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

const goodJWK = `{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`

func TestParseJWKS(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(goodJWK, old, replacement, 1) }
	other := func(members string) string { return `{"keys":[{"kid":"b",` + members + `},` + goodJWK + `]}` }
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"usable":                    {`{"keys":[` + goodJWK + `]}`, nil},
		"RSA is skipped":            {other(`"kty":"RSA","n":"AQ","e":"AQAB"`), nil},
		"secrets are skipped":       {other(`"kty":"oct","k":"AQ"`), nil},
		"P-521 is skipped":          {other(`"kty":"EC","crv":"P-521","x":"AQ","y":"AQ"`), nil},
		"Ed448 is skipped":          {other(`"kty":"OKP","crv":"Ed448","x":"AQ"`), nil},
		"X25519 is skipped":         {other(`"kty":"OKP","crv":"X25519","x":"AQ"`), nil},
		"encryption is skipped":     {other(`"kty":"EC","crv":"P-256","use":"enc"`), nil},
		"other alg is skipped":      {other(`"kty":"EC","crv":"P-256","alg":"ECDH-ES"`), nil},
		"alg of another curve":      {other(`"kty":"EC","crv":"P-256","alg":"SM2SM3"`), nil},
		"other key_ops skipped":     {other(`"kty":"EC","crv":"P-256","key_ops":["deriveKey"]`), nil},
		"odd members are skipped":   {other(`"kty":["EC"],"crv":{"P-256":1},"alg":[],"use":{},"key_ops":[[],{}]`), nil},
		"key_ops with verify":       {`{"keys":[` + with(`"kid"`, `"key_ops":["sign","verify"],"kid"`) + `]}`, nil},
		"kid twice":                 {`{"keys":[` + goodJWK + `,` + goodJWK + `]}`, ErrMalformed},
		"private":                   {`{"keys":[` + with(`"kty"`, `"d":"AQ","kty"`) + `]}`, ErrMalformed},
		"private among others":      {other(`"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ"`), ErrMalformed},
		"not on the curve":          {`{"keys":[` + with(`f83`, `g83`) + `]}`, ErrMalformed},
		"on another curve":          {`{"keys":[` + with(`P-256`, `SM2`) + `]}`, ErrMalformed},
		"infinity":                  {other(`"kty":"EC","crv":"P-256","x":"` + b64(string(make([]byte, 32))) + `","y":"` + b64(string(make([]byte, 32))) + `"`), ErrMalformed},
		"infinity of SM2":           {other(`"kty":"EC","crv":"SM2","x":"` + b64(string(make([]byte, 32))) + `","y":"` + b64(string(make([]byte, 32))) + `"`), ErrMalformed},
		"coordinates of p":          {other(`"kty":"EC","crv":"P-256","x":"_____wAAAAEAAAAAAAAAAAAAAAD_______________8","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`), ErrMalformed},
		"short coordinate":          {`{"keys":[` + with(`f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU`, `AQ`) + `]}`, ErrMalformed},
		"long coordinate":           {`{"keys":[` + with(`"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"`, `"AH_NzidA9sRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF"`) + `]}`, ErrMalformed},
		"no y":                      {`{"keys":[` + with(`"y"`, `"z"`) + `]}`, ErrMalformed},
		"y a number":                {`{"keys":[` + with(`"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`, `7`) + `]}`, ErrMalformed},
		"Ed25519, short":            {other(`"kty":"OKP","crv":"Ed25519","x":"AQ"`), ErrMalformed},
		"Ed25519, not a point":      {other(`"kty":"OKP","crv":"Ed25519","x":"` + b64("\x02"+strings.Repeat("\x00", 31)) + `"`), ErrMalformed},
		"no usable key":             {`{"keys":[` + with(`"kid":"a",`, ``) + `]}`, ErrMalformed},
		"no key":                    {`{"keys":[]}`, ErrMalformed},
		"not a set":                 {goodJWK, ErrMalformed},
		"not JSON":                  {`{"keys":[`, ErrMalformed},
		"key not an object":         {`{"keys":["a"]}`, ErrMalformed},
		"member twice":              {`{"keys":[` + with(`"kid":"a"`, `"kid":"a","kid":"b"`) + `]}`, ErrMalformed},
		"larger than the limit":     {`{"keys":[` + goodJWK + `]}` + strings.Repeat(" ", MaxJWKS), ErrMalformed},
		"certificates are not read": {`{"keys":[` + with(`"kid"`, `"x5c":["AQ=="],"kid"`) + `]}`, nil},
	} {
		set, err := ParseJWKS([]byte(c.in))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if _, err := set.Key("a"); (c.want == nil) != (err == nil) {
			t.Errorf("%s: key a: %v", name, err)
		}
		if _, err := set.Key("b"); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: key b: %v", name, err)
		}
	}
}

func TestParseJWK(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"usable":   {goodJWK, nil},
		"RSA":      {`{"kty":"RSA","n":"AQ","e":"AQAB"}`, ErrAlgorithm},
		"Ed448":    {`{"kty":"OKP","crv":"Ed448","x":"AQ"}`, ErrAlgorithm},
		"for use":  {strings.Replace(goodJWK, `"kid"`, `"use":"enc","kid"`, 1), ErrAlgorithm},
		"private":  {strings.Replace(goodJWK, `"kid"`, `"d":"AQ","kid"`, 1), ErrMalformed},
		"set":      {`{"keys":[]}`, ErrAlgorithm},
		"not JSON": {`{`, ErrMalformed},
		"large":    {goodJWK + strings.Repeat(" ", MaxJWKS), ErrMalformed},
	} {
		if key, err := ParseJWK([]byte(c.in)); !errors.Is(err, c.want) || (key == nil) != (c.want != nil) {
			t.Errorf("%s: got %v, %v; want %v", name, key, err, c.want)
		}
	}
}

func TestMarshalJWKS(t *testing.T) {
	keys := []PublicKey{}
	for _, alg := range algorithms() {
		keys = append(keys, PublicKey{KeyID: alg, Key: newSigner(t, alg).Public()})
	}
	keys[1].Chain = [][]byte{[]byte("leaf\xff"), []byte("root")}
	data, err := MarshalJWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	set, err := ParseJWKS(data)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := strict.Object(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		got, err := set.Key(key.KeyID)
		if err != nil || !reflect.DeepEqual(got, key.Key) {
			t.Errorf("%s: got %v, %v", key.KeyID, got, err)
		}
		bare, err := MarshalJWK(key.Key)
		if err != nil {
			t.Fatal(err)
		}
		if single, err := ParseJWK(bare); err != nil || !reflect.DeepEqual(single, key.Key) {
			t.Errorf("%s: %s gives %v, %v", key.KeyID, bare, single, err)
		}
		member := doc["keys"].([]any)[i].(map[string]any)
		if member["alg"] != key.KeyID || member["use"] != "sig" || (member["x5c"] != nil) != (i == 1) {
			t.Errorf("%s is published as %v", key.KeyID, member)
		}
	}
	x5c := doc["keys"].([]any)[1].(map[string]any)["x5c"]
	if want := []any{base64.StdEncoding.EncodeToString([]byte("leaf\xff")), "cm9vdA=="}; !reflect.DeepEqual(x5c, want) {
		t.Errorf("x5c %v, want %v", x5c, want)
	}
	if data, err := MarshalJWKS(nil); err != nil || string(data) != `{"keys":[]}` {
		t.Errorf("empty set: %s, %v", data, err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys []PublicKey
		want error
	}{
		"no kid":       {[]PublicKey{{Key: keys[0].Key}}, ErrMalformed},
		"kid twice":    {[]PublicKey{keys[0], keys[0]}, ErrMalformed},
		"P-521":        {[]PublicKey{{KeyID: "k", Key: &p521.PublicKey}}, ErrAlgorithm},
		"private keys": {[]PublicKey{{KeyID: "k", Key: newSigner(t, ES256)}}, ErrAlgorithm},
	} {
		if data, err := MarshalJWKS(c.keys); !errors.Is(err, c.want) {
			t.Errorf("%s: got %s, %v", name, data, err)
		}
	}
	if _, err := Thumbprint(&p521.PublicKey); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("thumbprint of P-521: %v", err)
	}
}

// TestJWKSAgainstJWX checks sets, thumbprints and signatures with jwx's own
// parser and verifier, which this package does not use.
func TestJWKSAgainstJWX(t *testing.T) {
	signers := map[string]crypto.Signer{}
	var keys []PublicKey
	for _, alg := range algorithms() {
		signer := newSigner(t, alg)
		kid, err := Thumbprint(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		signers[kid] = signer
		keys = append(keys, PublicKey{KeyID: kid, Key: signer.Public()})
	}
	data, err := MarshalJWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.Parse(data)
	if err != nil || set.Len() != len(keys) {
		t.Fatalf("%d keys, %v", set.Len(), err)
	}
	for i := range set.Len() {
		key, _ := set.Key(i)
		if key.KeyUsage() != "sig" {
			t.Errorf("use %q", key.KeyUsage())
		}
		if key.Algorithm().String() == SM2SM3 {
			continue // jwx carries the key, and cannot use it
		}
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil || key.KeyID() != strict.EncodeBase64URL(sum) {
			t.Errorf("kid %s is not the thumbprint %x, %v", key.KeyID(), sum, err)
		}
		token, err := SignCompact(signers[key.KeyID()], Header{KeyID: key.KeyID(), Type: "t"}, []byte(`{"n":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if payload, err := jws.Verify([]byte(token), jws.WithKeySet(set)); err != nil || string(payload) != `{"n":1}` {
			t.Errorf("jwx: %s: %s, %v", key.Algorithm(), payload, err)
		}
	}
}

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[` + goodJWK + `]}`))
	f.Add([]byte(`{"keys":[]}`))
	for _, alg := range algorithms() {
		data, err := MarshalJWKS([]PublicKey{{KeyID: "k", Key: newSigner(f, alg).Public(), Chain: [][]byte{{1}}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseJWKS(data)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		for kid, key := range set.keys {
			bare, e := MarshalJWK(key)
			if err != nil || e != nil || kid == "" {
				t.Fatalf("kid %q: %v, %v", kid, err, e)
			}
			if again, e := ParseJWK(bare); e != nil || !reflect.DeepEqual(again, key) {
				t.Fatalf("%s: %v", bare, e)
			}
		}
	})
}
