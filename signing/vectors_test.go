package signing

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm3"
)

func mustParseJWK(tb testing.TB, text string) crypto.PublicKey {
	tb.Helper()
	key, err := ParseJWK([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// TestPublishedTokens verifies the examples of the RFCs that have one of our
// algorithms. They have no typ, so only Verify's parts can be used, and Verify
// itself must refuse them for that.
func TestPublishedTokens(t *testing.T) {
	for name, c := range map[string]struct{ token, jwk, payload string }{
		"RFC 7515 A.3": {
			"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
			`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}",
		},
		"RFC 8037 A.4 and A.5": {
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"Example of Ed25519 signing",
		},
	} {
		key := mustParseJWK(t, c.jwk)
		if _, _, err := VerifyWith(c.token, "JWT", key); !errors.Is(err, ErrType) {
			t.Errorf("%s: a token without typ: %v", name, err)
		}
		last := strings.LastIndexByte(c.token, '.')
		alg, err := AlgorithmOf(key)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := parse(b64(`{"alg":"`+alg+`","typ":"t"}`)+c.token[strings.IndexByte(c.token, '.'):], "t", MaxToken)
		if err != nil || string(tok.payload) != c.payload {
			t.Fatalf("%s: payload %q, %v", name, tok.payload, err)
		}
		p, err := primitiveOf(alg)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.verify([]byte(c.token[:last]), tok.signature, key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := Thumbprint(mustParseJWK(t, `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)); err != nil || got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("RFC 8037 A.3: %s, %v", got, err)
	}
}

// TestPublishedTokensOfOtherAlgorithms has examples that hold, in algorithms
// that are not on the list.
func TestPublishedTokensOfOtherAlgorithms(t *testing.T) {
	key := newSigner(t, ES256).Public()
	for name, token := range map[string]string{
		"RFC 7515 A.1, HS256": "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		"RFC 7520 4.3, ES512": "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
		// RFC 7515 A.2 and A.4 by their headers, {"alg":"RS256"} and {"alg":"ES512"}.
		"RFC 7515 A.2, RS256": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UifQ.AA",
		"RFC 7515 A.4, ES512": "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AA",
	} {
		if payload, _, err := VerifyWith(token, "JWT", key); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: got %q, %v", name, payload, err)
		}
	}
	// RFC 7515 A.5 is unsecured: no signature at all.
	const unsecured = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
	if payload, _, err := VerifyWith(unsecured, "JWT", key); !errors.Is(err, ErrMalformed) {
		t.Errorf("RFC 7515 A.5: got %q, %v", payload, err)
	}
}

func number(tb testing.TB, text string) *big.Int {
	tb.Helper()
	x, ok := new(big.Int).SetString(text, 16)
	if !ok {
		tb.Fatalf("not a number: %s", text)
	}
	return x
}

// TestPublishedSignatures has signatures of standards that know no JOSE:
// RFC 6979 A.2.5 and A.2.6, and the example of GB/T 32918.5-2017 annex A.
func TestPublishedSignatures(t *testing.T) {
	for name, c := range map[string]struct {
		alg           string
		x, y, message string
		r, s          string
	}{
		"RFC 6979, P-256, SHA-256": {
			ES256,
			"60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6", "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299", "sample",
			"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716", "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
		},
		"RFC 6979, P-384, SHA-384": {
			ES384,
			"EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13", "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720", "sample",
			"94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46", "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
		},
		"GB/T 32918.5 annex A": {
			SM2SM3,
			"09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020", "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13", "message digest",
			"F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3", "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
		},
	} {
		p, err := primitiveOf(c.alg)
		if err != nil {
			t.Fatal(err)
		}
		size := p.size / 2
		point := scalars(number(t, c.x), number(t, c.y), size)
		key, err := decodeKey(c.alg, map[string]any{"x": b64(string(point[:size])), "y": b64(string(point[size:]))})
		if err != nil {
			t.Fatal(err)
		}
		signature := scalars(number(t, c.r), number(t, c.s), size)
		if err := p.verify([]byte(c.message), signature, key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.verify([]byte(c.message+"s"), signature, key); !errors.Is(err, ErrSignature) {
			t.Errorf("%s, another message: %v", name, err)
		}
		der, err := derSignature(signature)
		if err != nil {
			t.Fatal(err)
		}
		if raw, ok := rawSignature(der, size); !ok || !bytes.Equal(raw, signature) {
			t.Errorf("%s: %x does not come back from DER: %x", name, signature, raw)
		}
	}
}

// TestSM3 has the two examples of GB/T 32905-2016 annex A, since SM2SM3 rests
// on the library's SM3.
func TestSM3(t *testing.T) {
	for message, want := range map[string]string{
		"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		if got := sm3.Sum([]byte(message)); hex.EncodeToString(got[:]) != want {
			t.Errorf("SM3(%s) = %x, want %s", message, got, want)
		}
	}
}
