package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
)

// BenchmarkSignCompact and BenchmarkVerify measure tokens of 1,024 bytes of
// payload beside the bare primitive over the same bytes, hash included. The
// two take turns, so that a busy machine slows both alike; the medians and
// their ratio are printed.
func BenchmarkSignCompact(b *testing.B) {
	for _, alg := range algorithms() {
		b.Run(alg, func(b *testing.B) {
			signer, payload := newSigner(b, alg), benchmarkPayload()
			compare(b,
				func() error {
					_, err := SignCompact(signer, Header{KeyID: "k", Type: "test+jwt"}, payload)
					return err
				},
				func() error { _, err := bareSign(signer, payload); return err })
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range algorithms() {
		b.Run(alg, func(b *testing.B) {
			signer, payload := newSigner(b, alg), benchmarkPayload()
			keys := keySet(map[string]crypto.Signer{"k": signer})
			token, err := SignCompact(signer, Header{KeyID: "k", Type: "test+jwt"}, payload)
			if err != nil {
				b.Fatal(err)
			}
			bare, err := bareSign(signer, payload)
			if err != nil {
				b.Fatal(err)
			}
			compare(b,
				func() error { _, _, err := Verify(token, "test+jwt", keys); return err },
				func() error {
					if !bareVerify(signer.Public(), payload, bare) {
						return errors.New("bare signature")
					}
					return nil
				})
		})
	}
}

func benchmarkPayload() []byte { return []byte(`"` + strings.Repeat("x", 1022) + `"`) }

func bareSign(signer crypto.Signer, message []byte) ([]byte, error) {
	switch key := signer.(type) {
	case *sm2.PrivateKey:
		return key.SignWithSM2(rand.Reader, nil, message)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, message), nil
	case *ecdsa.PrivateKey:
		return ecdsa.SignASN1(rand.Reader, key, bareDigest(&key.PublicKey, message))
	}
	return nil, errors.New("unknown key")
}

func bareVerify(key crypto.PublicKey, message, signature []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	case *ecdsa.PublicKey:
		if key.Curve == sm2.P256() {
			return sm2.VerifyASN1WithSM2(key, nil, message, signature)
		}
		return ecdsa.VerifyASN1(key, bareDigest(key, message), signature)
	}
	return false
}

func bareDigest(key *ecdsa.PublicKey, message []byte) []byte {
	if key.Curve.Params().BitSize == 384 {
		sum := sha512.Sum384(message)
		return sum[:]
	}
	sum := sha256.Sum256(message)
	return sum[:]
}

func compare(b *testing.B, ours, bare func() error) {
	var a, r []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		t0 := time.Now()
		err1 := ours()
		t1 := time.Now()
		err2 := bare()
		a, r = append(a, t1.Sub(t0)), append(r, time.Since(t1))
		if err := errors.Join(err1, err2); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(a)
	slices.Sort(r)
	mine, theirs := a[len(a)/2], r[len(r)/2]
	b.ReportMetric(float64(mine.Nanoseconds())/1e3, "us-ours")
	b.ReportMetric(float64(theirs.Nanoseconds())/1e3, "us-bare")
	b.ReportMetric(float64(mine)/float64(theirs), "ratio")
}
