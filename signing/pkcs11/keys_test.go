package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

// TestSignatures holds each algorithm against OpenSSL, by a key that was just
// made and by one that was found again after a new login.
func TestSignatures(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	for algorithm, openssl := range map[string][]string{
		"ES256": {"-rawin", "-digest", "sha256"},
		"ES384": {"-rawin", "-digest", "sha384"},
		"EdDSA": {"-rawin"},
	} {
		t.Run(algorithm, func(t *testing.T) {
			made := generate(t, token, algorithm, algorithm)
			if err := h.call("C_CloseAllSessions", token.slot); err != nil {
				t.Fatal(err)
			}
			found, err := token.Find(t.Context(), []byte(algorithm))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			der, err := x509.MarshalPKIXPublicKey(found.Public())
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			for i, key := range []crypto.Signer{made, found} {
				if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(made.Public()) {
					t.Fatal("another public key")
				}
				message := strings.Repeat("一网通办 ", 1+i*100)
				signature, err := signs(key, message)
				if err != nil {
					t.Fatal(err)
				}
				write(t, dir, "message", []byte(message))
				write(t, dir, "signature", signature)
				verify := append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "message", "-sigfile", "signature"}, openssl...)
				peer.OpenSSL(t, dir, verify...)
				write(t, dir, "message", []byte(message+"x"))
				if out, err := peer.TryOpenSSL(t, dir, verify...); err == nil {
					t.Errorf("openssl accepts another message: %s", out)
				}
			}
		})
	}
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCertificates: crypto/x509 takes the keys for what they are.
func TestCertificates(t *testing.T) {
	token := newHSM(t, "county").open("county")
	for _, algorithm := range []string{"ES256", "ES384", "EdDSA"} {
		key := generate(t, token, algorithm, algorithm)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "县行政审批局"}, NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(algorithm, err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(algorithm, err)
		}
		if err := certificate.CheckSignatureFrom(certificate); err != nil {
			t.Error(algorithm, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	token := newHSM(t, "county").open("county")
	p256, p384, edwards := generate(t, token, "a", "ES256"), generate(t, token, "b", "ES384"), generate(t, token, "c", "EdDSA")
	for name, test := range map[string]struct {
		key    crypto.Signer
		digest int
		opts   crypto.SignerOpts
	}{
		"message for P-256":       {p256, 10, crypto.Hash(0)},
		"short digest":            {p256, 31, crypto.SHA256},
		"long digest":             {p256, 33, crypto.SHA256},
		"SHA-384 for P-256":       {p256, 48, crypto.SHA384},
		"SHA-256 for P-384":       {p384, 32, crypto.SHA256},
		"SHA-512 for P-384":       {p384, 64, crypto.SHA512},
		"digest for Ed25519":      {edwards, 32, crypto.SHA256},
		"Ed25519ph":               {edwards, 64, &ed25519.Options{Hash: crypto.SHA512}},
		"Ed25519 with a context":  {edwards, 10, &ed25519.Options{Context: "x"}},
		"no options":              {p256, 32, nil},
		"no options, for Ed25519": {edwards, 32, nil},
	} {
		if signature, err := test.key.Sign(rand.Reader, make([]byte, test.digest), test.opts); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: %x, %v; want ErrAlgorithm", name, signature, err)
		}
	}
	for _, message := range [][]byte{nil, {}, make([]byte, 1<<20)} {
		signature, err := edwards.Sign(nil, message, crypto.Hash(0))
		if err != nil || !ed25519.Verify(edwards.Public().(ed25519.PublicKey), message, signature) {
			t.Errorf("Ed25519 message of %d bytes: %v", len(message), err)
		}
	}
}

func TestLifeOfAKey(t *testing.T) {
	h := newHSM(t, "county")
	token := h.open("county")
	id := []byte{0, 1, 0xff}
	if _, err := token.Find(t.Context(), id); !errors.Is(err, ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound", err)
	}
	key := generate(t, token, string(id), "ES256")
	if _, err := token.Generate(t.Context(), id, "l", "EdDSA"); !errors.Is(err, ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
	generate(t, token, string(id)+"x", "ES256") // an id that begins with the other
	for range 2 {
		if err := token.Destroy(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := token.Find(t.Context(), id); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	if _, err := signs(key, "m"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want ErrNotFound from the signer that is left", err)
	}
	if _, err := token.Find(t.Context(), append(id, 'x')); err != nil {
		t.Errorf("the other key went too: %v", err)
	}
	generate(t, token, string(id), "EdDSA")
	if signature, err := signs(key, "m"); err == nil {
		t.Errorf("the old signer signs with the new key: %x", signature)
	}
}

func TestGenerateRefuses(t *testing.T) {
	token := newHSM(t, "county").open("county")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx                  context.Context
		id, label, algorithm string
		want                 error
	}{
		"SM2":       {t.Context(), "a", "l", "SM2SM3", ErrAlgorithm},
		"RSA":       {t.Context(), "a", "l", "RS256", ErrAlgorithm},
		"none":      {t.Context(), "a", "l", "none", ErrAlgorithm},
		"nothing":   {t.Context(), "a", "l", "", ErrAlgorithm},
		"no id":     {t.Context(), "", "l", "ES256", ErrKey},
		"long id":   {t.Context(), strings.Repeat("x", maxID+1), "l", "ES256", ErrKey},
		"no label":  {t.Context(), "a", "", "ES256", ErrKey},
		"cancelled": {canceled, "a", "l", "ES256", context.Canceled},
	} {
		if _, err := token.Generate(test.ctx, []byte(test.id), test.label, test.algorithm); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := token.Find(t.Context(), []byte("a")); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want ErrNotFound: nothing was made", err)
	}
}

// TestKeyStaysInside asks the token for the private number of a key, and the
// key for its attributes.
func TestKeyStaysInside(t *testing.T) {
	token := newHSM(t, "county").open("county")
	generate(t, token, "a", "ES256")
	_, err := token.once(t.Context(), 0, func(s session) error {
		object, err := s.privateHandle([]byte("a"))
		if err != nil {
			return err
		}
		for kind, want := range map[uintptr]bool{
			attributeSensitive: true, attributeExtractable: false, attributePrivate: true, attributeToken: true, attributeSign: true,
			0x163: true /* CKA_LOCAL */, 0x164: true /* CKA_NEVER_EXTRACTABLE */, 0x165: true, /* CKA_ALWAYS_SENSITIVE */
			attributeDecrypt: false, attributeUnwrap: false, attributeDerive: false,
		} {
			if got, err := s.flag(s.handle, object, kind); err != nil || got != want {
				t.Errorf("attribute 0x%x is %v (%v), want %v", kind, got, err, want)
			}
		}
		if label, err := s.attribute(s.handle, object, attributeLabel); string(label) != "label of a" {
			t.Errorf("label %q, %v", label, err)
		}
		if value, err := s.attribute(s.handle, object, 0x11); !returned(err, ckrAttributeSensitive) { // CKA_VALUE
			t.Errorf("CKA_VALUE: %d bytes, %v", len(value), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnfitKeys makes what Generate never makes: a key that can be read out, two
// keys under one id, halves of keys, and a public key that is not the private
// key's.
func TestUnfitKeys(t *testing.T) {
	token := newHSM(t, "county").open("county")
	in := func(f func(session) error) {
		t.Helper()
		if _, err := token.once(t.Context(), sessionReadWrite, f); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(id string, want error) {
		t.Helper()
		if _, err := token.Find(t.Context(), []byte(id)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
		if _, err := token.Generate(t.Context(), []byte(id), "l", "ES256"); !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v, want ErrExists", id, err)
		}
		if err := token.Destroy(t.Context(), []byte(id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		generate(t, token, id, "ES256")
	}
	p256, err := algorithmByName("ES256")
	if err != nil {
		t.Fatal(err)
	}

	in(func(s session) error { return generateExtractable(s, p256, []byte("extractable")) })
	refuses("extractable", ErrKey)

	in(func(s session) error {
		_, _, first := s.generatePair(p256, []byte("two"), "l")
		_, _, second := s.generatePair(p256, []byte("two"), "l")
		return errors.Join(first, second)
	})
	refuses("two", ErrKey)

	generate(t, token, "no public part", "ES256")
	in(func(s session) error { return dropBut(s, classPublicKey, "no public part", 0) })
	refuses("no public part", ErrKey)

	generate(t, token, "no private part", "ES256")
	in(func(s session) error { return dropBut(s, classPrivateKey, "no private part", 0) })
	refuses("no private part", ErrNotFound)

	in(func(s session) error { // the public key of one pair beside the private key of another
		public, _, first := s.generatePair(p256, []byte("swapped"), "l")
		_, private, second := s.generatePair(p256, []byte("swapped"), "l")
		return errors.Join(first, second, dropBut(s, classPublicKey, "swapped", public), dropBut(s, classPrivateKey, "swapped", private))
	})
	swapped, err := token.Find(t.Context(), []byte("swapped"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signs(swapped, "m"); !errors.Is(err, ErrKey) {
		t.Errorf("%v, want ErrKey: the signature is another key's", err)
	}
}

// dropBut destroys the objects of one class under id but one.
func dropBut(s session, class uintptr, id string, kept uintptr) error {
	objects, err := s.search(class, []byte(id))
	for _, object := range objects {
		if object != kept {
			err = errors.Join(err, check("C_DestroyObject", s.destroy(s.handle, object)))
		}
	}
	return err
}

// generateExtractable is generatePair without its care.
func generateExtractable(s session, a algorithm, id []byte) error {
	var public, private template
	defer public.release()
	defer private.release()
	public.addBool(attributeToken, true).add(attributeECParams, a.params).add(attributeID, id)
	private.addBool(attributeToken, true).addBool(attributePrivate, true).addBool(attributeSensitive, false).
		addBool(attributeExtractable, true).addBool(attributeSign, true).add(attributeID, id)
	var publicKey, privateKey uintptr
	return check("C_GenerateKeyPair", s.generate(s.handle, &mechanism{kind: a.generate},
		public.first(), public.count(), private.first(), private.count(), &publicKey, &privateKey))
}

// BenchmarkSign prints what a signature costs in all and in C_Sign alone; the
// rest is mostly the verification of the result.
func BenchmarkSign(b *testing.B) {
	h := newHSM(b, "county")
	token := h.open("county")
	digest := sha256.Sum256([]byte("m"))
	for _, name := range []string{"ES256", "EdDSA"} {
		key := generate(b, token, name, name).(*privateKey)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := key.Sign(nil, digest[:], key.algorithm.hash); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/C_Sign", func(b *testing.B) {
			_, err := token.once(b.Context(), 0, func(s session) error {
				handle, err := key.handle(s)
				for b.Loop() {
					if _, err := s.signRaw(key.algorithm, handle, digest[:]); err != nil {
						return err
					}
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := key.Sign(nil, digest[:], key.algorithm.hash); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	raw, err := ecdsa.GenerateKey(algorithms()[0].curve, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("crypto/ecdsa", func(b *testing.B) {
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, raw, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
