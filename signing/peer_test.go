package signing

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

const peerPayload = `{"n":1,"名":"张三"}`

// TestJose exchanges tokens and key sets with npm's jose in both directions.
// It knows no SM2, and must still take a set that holds such a key.
func TestJose(t *testing.T) {
	var keys []PublicKey
	var tokens []string
	for _, alg := range []string{SM2SM3, ES256, ES384, EdDSA} {
		signer := newSigner(t, alg)
		kid, err := Thumbprint(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, PublicKey{KeyID: kid, Key: signer.Public()})
		if alg == SM2SM3 {
			continue
		}
		token, err := SignCompact(signer, Header{KeyID: kid, Type: "test+jwt"}, []byte(peerPayload))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	set, err := MarshalJWKS(keys)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"jwks": json.RawMessage(set), "tokens": tokens, "payload": peerPayload})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Verified []struct {
			Payload string
			Header  struct{ Alg, Kid, Typ string }
		}
		Thumbprints []string
		JWKS        json.RawMessage
		Tokens      []string
	}
	if err := json.Unmarshal([]byte(peer.Node(t, filepath.Join("testdata", "jose.cjs"), string(input))), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Verified) != len(tokens) || len(answer.Tokens) != 3 || len(answer.Thumbprints) != len(keys) {
		t.Fatalf("jose verified %d and made %d tokens", len(answer.Verified), len(answer.Tokens))
	}
	for i, v := range answer.Verified {
		if alg := []string{ES256, ES384, EdDSA}[i]; v.Payload != peerPayload || v.Header.Alg != alg || v.Header.Typ != "test+jwt" {
			t.Errorf("jose read %+v of %s", v, alg)
		}
	}
	for i, key := range keys {
		if got := answer.Thumbprints[i]; got != "" && got != key.KeyID {
			t.Errorf("thumbprint %s, jose says %s", key.KeyID, got)
		}
	}
	theirs, err := ParseJWKS(answer.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range answer.Tokens {
		if payload, header, err := Verify(token, "test+jwt", theirs); err != nil || string(payload) != peerPayload || header.KeyID != header.Algorithm {
			t.Errorf("jose's %s: %s, %+v, %v", token, payload, header, err)
		}
	}
}

// opensslDigest are the options of openssl dgst for an algorithm. OpenSSL
// takes the message; without distid it would sign with an empty user id.
func opensslDigest(alg string) []string {
	switch alg {
	case SM2SM3:
		return []string{"-sm3", "-sigopt", "distid:1234567812345678"}
	case ES384:
		return []string{"-sha384"}
	}
	return []string{"-sha256"}
}

// TestOpenSSLVerifiesOurs takes the signature out of our tokens, including
// SM2SM3, for which there is no other JOSE library.
func TestOpenSSLVerifiesOurs(t *testing.T) {
	for _, alg := range []string{ES256, ES384, SM2SM3} {
		dir, signer := t.TempDir(), newSigner(t, alg)
		public, err := smx509.MarshalPKIXPublicKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		token, err := SignCompact(signer, Header{KeyID: "k", Type: "t"}, []byte(peerPayload))
		if err != nil {
			t.Fatal(err)
		}
		last := strings.LastIndexByte(token, '.')
		raw, err := base64.RawURLEncoding.DecodeString(token[last+1:])
		if err != nil {
			t.Fatal(err)
		}
		der, err := derSignature(raw)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "pub.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
		write(t, dir, "sig.der", der)
		write(t, dir, "msg", []byte(token[:last]))
		write(t, dir, "other", []byte(token[:last]+"x"))
		args := append([]string{"dgst", "-verify", "pub.pem", "-signature", "sig.der"}, opensslDigest(alg)...)
		if out := peer.OpenSSL(t, dir, append(args, "msg")...); !strings.Contains(out, "Verified OK") {
			t.Errorf("%s: %s", alg, out)
		}
		if out, err := peer.TryOpenSSL(t, dir, append(args, "other")...); err == nil {
			t.Errorf("%s: OpenSSL verifies another message: %s", alg, out)
		}
	}
}

// TestOpenSSLSigns makes keys and tokens with OpenSSL and verifies them here.
func TestOpenSSLSigns(t *testing.T) {
	for alg, curve := range map[string]string{ES256: "P-256", ES384: "P-384", SM2SM3: "SM2"} {
		dir := t.TempDir()
		peer.OpenSSL(t, dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-out", "key.pem")
		peer.OpenSSL(t, dir, "pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
		data, err := os.ReadFile(filepath.Join(dir, "pub.pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		if block == nil {
			t.Fatalf("no PEM: %s", data)
		}
		key, err := smx509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		input := b64(`{"alg":"`+alg+`","typ":"t","kid":"k"}`) + "." + b64(peerPayload)
		write(t, dir, "msg", []byte(input))
		peer.OpenSSL(t, dir, append(append([]string{"dgst", "-sign", "key.pem", "-out", "sig.der"}, opensslDigest(alg)...), "msg")...)
		der, err := os.ReadFile(filepath.Join(dir, "sig.der"))
		if err != nil {
			t.Fatal(err)
		}
		public, ok := key.(*ecdsa.PublicKey)
		if !ok {
			t.Fatalf("%T", key)
		}
		raw, ok := rawSignature(der, (public.Curve.Params().BitSize+7)/8)
		if !ok {
			t.Fatalf("not a signature: %x", der)
		}
		keys := KeySet{keys: map[string]crypto.PublicKey{"k": key}}
		if payload, _, err := Verify(input+"."+b64(string(raw)), "t", keys); err != nil || string(payload) != peerPayload {
			t.Errorf("%s: %s, %v", alg, payload, err)
		}
	}
}

func write(tb testing.TB, dir, name string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		tb.Fatal(err)
	}
}
