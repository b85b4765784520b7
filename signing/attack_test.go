package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

// The classes of attack here are those of Project Wycheproof's collections for
// ECDSA in raw form, EdDSA and JWS; the values are made anew for each run.

func curveOf(tb testing.TB, alg string) (elliptic.Curve, int) {
	tb.Helper()
	p, err := primitiveOf(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return p.curve, p.size / 2
}

func TestScalarAttacks(t *testing.T) {
	for _, alg := range []string{ES256, ES384, SM2SM3} {
		signer := newSigner(t, alg)
		curve, size := curveOf(t, alg)
		token := rawJWS(t, `{"alg":"`+alg+`","typ":"t"}`, `{}`, signer)
		input := token[:strings.LastIndexByte(token, '.')]
		signature := rawSignatureOf(t, input, signer)
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])

		n, p := curve.Params().N, curve.Params().P
		one := big.NewInt(1)
		most := new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one)
		half := new(big.Int).Rsh(n, 1)
		special := []*big.Int{
			new(big.Int), one, big.NewInt(2), half, new(big.Int).Add(half, one), new(big.Int).Sub(n, one), n, new(big.Int).Add(n, one),
			new(big.Int).Sub(p, one), p, new(big.Int).Add(p, one), most, new(big.Int).Sub(p, n), new(big.Int).Rsh(most, 1),
			curve.Params().Gx, curve.Params().Gy,
		}
		bad := map[string][]byte{
			"halves swapped": scalars(s, r, size),
			"negated r":      scalars(new(big.Int).Sub(n, r), s, size),
			"r and s equal":  scalars(r, r, size),
			"cut":            signature[:len(signature)-1],
			"cut in front":   signature[1:],
			"cut to half":    signature[:size],
			"one byte":       signature[:1],
			"zero after":     append(slices.Clone(signature), 0),
			"zero before":    append([]byte{0}, signature...),
			"r padded":       scalars(r, s, size+1),
			"twice":          append(slices.Clone(signature), signature...),
			"all zero":       make([]byte, 2*size),
			"all ones":       bytes.Repeat([]byte{0xff}, 2*size),
		}
		for i, v := range special {
			bad[fmt.Sprintf("r special %d", i)] = scalars(v, s, size)
			bad[fmt.Sprintf("s special %d", i)] = scalars(r, v, size)
			for j, w := range special {
				bad[fmt.Sprintf("both special %d %d", i, j)] = scalars(v, w, size)
			}
		}
		for name, x := range map[string]*big.Int{"r and n": new(big.Int).Add(r, n), "s and n": new(big.Int).Add(s, n)} {
			if x.BitLen() <= 8*size {
				bad[name] = append(x.FillBytes(make([]byte, size)), signature[size:]...)
			}
		}
		for name, pair := range map[string][2]*big.Int{
			"right": {r, s}, "negative r": {new(big.Int).Neg(r), s}, "negative s": {r, new(big.Int).Neg(s)},
			"r−n": {new(big.Int).Sub(r, n), s}, "huge": {new(big.Int).Lsh(r, 2048), s},
		} {
			der, err := asn1.Marshal(struct{ R, S *big.Int }{pair[0], pair[1]})
			if err != nil {
				t.Fatal(err)
			}
			bad["DER "+name] = der
			bad["DER filled up "+name] = append(der, make([]byte, max(0, 2*size-len(der)))...)
		}
		if alg == SM2SM3 { // s and n−s are not the same signature there
			bad["negated s"] = scalars(r, new(big.Int).Sub(n, s), size)
		} else if _, _, err := VerifyWith(withSignature(token, scalars(r, new(big.Int).Sub(n, s), size)), "t", signer.Public()); err != nil {
			t.Errorf("%s: JOSE has no rule against the other s: %v", alg, err)
		}
		if _, _, err := VerifyWith(withSignature(token, signature), "t", signer.Public()); err != nil {
			t.Fatalf("%s: the signature itself: %v", alg, err)
		}
		for name, signature := range bad {
			if _, _, err := VerifyWith(withSignature(token, signature), "t", signer.Public()); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s: %v", alg, name, err)
			}
		}
	}
}

// TestExtremeScalarsHold has signatures with s of 1 and n−1, small and large,
// which a verifier must not refuse: the key is chosen for them.
func TestExtremeScalarsHold(t *testing.T) {
	for _, alg := range []string{ES256, ES384} {
		curve, size := curveOf(t, alg)
		n := curve.Params().N
		input := b64(`{"alg":"`+alg+`","typ":"t"}`) + "." + b64("{}")
		sum256, sum384 := sha256.Sum256([]byte(input)), sha512.Sum384([]byte(input))
		digest := sum256[:]
		if alg == ES384 {
			digest = sum384[:]
		}
		e := new(big.Int).SetBytes(digest)
		for name, s := range map[string]*big.Int{
			"1": big.NewInt(1), "2": big.NewInt(2), "n−1": new(big.Int).Sub(n, big.NewInt(1)), "short": new(big.Int).Rsh(n, 100),
		} {
			k := big.NewInt(12345)
			point, err := ecdsa.ParseRawPrivateKey(curve, k.FillBytes(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := point.PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			r := new(big.Int).SetBytes(encoded[1 : 1+size])
			r.Mod(r, n)
			d := new(big.Int).Mul(s, k) // s = (e + rd)/k
			d.Sub(d, e).Mul(d, new(big.Int).ModInverse(r, n)).Mod(d, n)
			key, err := ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := VerifyWith(input+"."+b64(string(scalars(r, s, size))), "t", &key.PublicKey); err != nil {
				t.Errorf("%s, s = %s: %v", alg, name, err)
			}
		}
	}
}

// edOrder is L, the order of the base point of Ed25519 (RFC 8032 §5.1).
func edOrder() *big.Int {
	l, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	return l.Add(l, new(big.Int).Lsh(big.NewInt(1), 252))
}

func littleEndian(x *big.Int) []byte {
	b := x.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func fromLittleEndian(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// smallOrderKeys are encodings of the points of order 1, 2, 4 and 8: the
// reduced ones, and those that only a lax decoder takes.
func smallOrderKeys(tb testing.TB) []ed25519.PublicKey {
	tb.Helper()
	var keys []ed25519.PublicKey
	for _, text := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // 1
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 2
		"0000000000000000000000000000000000000000000000000000000000000000", // 4
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // 8
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 1, not reduced
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 4, not reduced
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			tb.Fatal(err)
		}
		negative := slices.Clone(key)
		negative[31] |= 0x80
		keys = append(keys, key, negative)
	}
	return keys
}

func TestEdwardsAttacks(t *testing.T) {
	signer := newSigner(t, EdDSA)
	private := signer.(ed25519.PrivateKey)
	token := rawJWS(t, `{"alg":"EdDSA","typ":"t"}`, `{}`, signer)
	input := token[:strings.LastIndexByte(token, '.')]
	signature := ed25519.Sign(private, []byte(input))
	r, s := signature[:32], fromLittleEndian(signature[32:])
	join := func(r []byte, s *big.Int) []byte { return slices.Concat(r, littleEndian(s)) }
	digest := sha512.Sum512([]byte(input))
	prehashed, err := private.Sign(rand.Reader, digest[:], &ed25519.Options{Hash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	withContext, err := private.Sign(rand.Reader, []byte(input), &ed25519.Options{Context: "c"})
	if err != nil {
		t.Fatal(err)
	}
	highBit := slices.Clone(signature)
	highBit[63] |= 0x80
	bad := map[string][]byte{
		"S of 0":       join(r, new(big.Int)),
		"S of 1":       join(r, big.NewInt(1)),
		"S of L":       join(r, edOrder()),
		"S of L−1":     join(r, new(big.Int).Sub(edOrder(), big.NewInt(1))),
		"S of 2^255−1": join(r, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(1))),
		"S high bit":   highBit,
		"negated S":    join(r, new(big.Int).Sub(edOrder(), s)),
		"swapped":      slices.Concat(signature[32:], r),
		"cut":          signature[:63],
		"cut in front": signature[1:],
		"zero after":   append(slices.Clone(signature), 0),
		"twice":        slices.Concat(signature, signature),
		"all zero":     make([]byte, 64),
		"all ones":     bytes.Repeat([]byte{0xff}, 64),
		"Ed25519ph":    prehashed,
		"Ed25519ctx":   withContext,
		"other key's":  rawSignatureOf(t, input, newSigner(t, EdDSA)),
	}
	for i := int64(1); i <= 7; i++ { // S is taken modulo L by a lax verifier
		bad[fmt.Sprintf("S and %d L", i)] = join(r, new(big.Int).Add(s, new(big.Int).Mul(edOrder(), big.NewInt(i))))
	}
	for i, point := range smallOrderKeys(t) {
		bad[fmt.Sprintf("R of small order %d", i)] = join(point, s)
		bad[fmt.Sprintf("R of small order %d, S of 0", i)] = join(point, new(big.Int))
	}
	if _, _, err := VerifyWith(withSignature(token, signature), "t", signer.Public()); err != nil {
		t.Fatal(err)
	}
	for name, signature := range bad {
		if _, _, err := VerifyWith(withSignature(token, signature), "t", signer.Public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forgeable tells whether crypto/ed25519 accepts for this key a signature that
// nobody made: R of small order, S of zero, which holds for one message in 8.
func forgeable(tb testing.TB, key ed25519.PublicKey) bool {
	tb.Helper()
	for j := range 100 {
		for _, r := range smallOrderKeys(tb) {
			if ed25519.Verify(key, fmt.Appendf(nil, "any message %d", j), slices.Concat(r, make([]byte, 32))) {
				return true
			}
		}
	}
	return false
}

func TestSmallOrderKeys(t *testing.T) {
	for i, key := range smallOrderKeys(t) {
		if i < 10 && !forgeable(t, key) { // those that are reduced
			t.Errorf("%x: the attack itself is wrong", key)
		}
		if alg, err := AlgorithmOf(key); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%x: %s, %v", key, alg, err)
		}
		if _, err := ParseJWK([]byte(`{"kty":"OKP","crv":"Ed25519","x":"` + b64(string(key)) + `"}`)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x as a JWK: %v", key, err)
		}
		token := b64(`{"alg":"EdDSA","typ":"t"}`) + "." + b64("{}") + "." + b64(string(key)+strings.Repeat("\x00", 32))
		if _, _, err := VerifyWith(token, "t", key); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%x verifies: %v", key, err)
		}
	}
}

func TestOnEdwards25519(t *testing.T) {
	on := 0
	for range 200 {
		key := make(ed25519.PublicKey, ed25519.PublicKeySize)
		if _, err := rand.Read(key); err != nil {
			t.Fatal(err)
		}
		if onEdwards25519(key) {
			on++
		}
		if made := newSigner(t, EdDSA).Public().(ed25519.PublicKey); !onEdwards25519(made) {
			t.Errorf("%x is a key", made)
		}
	}
	if on < 60 || on > 140 { // half of all y have a point
		t.Errorf("%d of 200 random encodings are points", on)
	}
	if two := append([]byte{2}, make([]byte, 31)...); onEdwards25519(two) {
		t.Error("y = 2 has no point")
	}
}

func coordinates(tb testing.TB, jwk fullJWK) (x, y *big.Int) {
	tb.Helper()
	rawX, errX := strict.Base64URL(jwk.X)
	rawY, errY := strict.Base64URL(jwk.Y)
	if err := errors.Join(errX, errY); err != nil {
		tb.Fatal(err)
	}
	return new(big.Int).SetBytes(rawX), new(big.Int).SetBytes(rawY)
}

// TestKeysOffTheirCurve gives keys as Go values, not parsed: whoever resolves
// a kid may have made them in any way.
func TestKeysOffTheirCurve(t *testing.T) {
	for _, alg := range []string{ES256, ES384, SM2SM3} {
		curve, _ := curveOf(t, alg)
		token := rawJWS(t, `{"alg":"`+alg+`","typ":"t"}`, `{}`, newSigner(t, alg))
		jwk, err := encodeKey(newSigner(t, alg).Public())
		if err != nil {
			t.Fatal(err)
		}
		x, y := coordinates(t, jwk)
		for name, key := range map[string]*ecdsa.PublicKey{
			"infinity":      {Curve: curve, X: new(big.Int), Y: new(big.Int)},
			"one off":       {Curve: curve, X: x, Y: new(big.Int).Add(y, big.NewInt(1))},
			"not reduced":   {Curve: curve, X: new(big.Int).Add(x, curve.Params().P), Y: y},
			"negative":      {Curve: curve, X: x, Y: new(big.Int).Neg(y)},
			"another curve": {Curve: curve, X: elliptic.P521().Params().Gx, Y: elliptic.P521().Params().Gy},
		} {
			if _, _, err := VerifyWith(token, "t", key); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s: %v", alg, name, err)
			}
			if jwk, err := MarshalJWK(key); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, %s: published as %s, %v", alg, name, jwk, err)
			}
		}
	}
	for _, key := range []crypto.PublicKey{nil, "key", (*ecdsa.PublicKey)(nil), &ecdsa.PublicKey{}, ecdsa.PublicKey{Curve: sm2.P256()}, ed25519.PublicKey(nil), ed25519.PublicKey{1, 2}} {
		if alg, err := AlgorithmOf(key); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%T %v: %s, %v", key, key, alg, err)
		}
	}
}
