package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

// BenchmarkCheck prints the cost of judging a certificate three deep with
// revocation lists, remembered and for the first time, beside one raw SM2
// verification (of which the first time needs two).
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b, kindSM2)
	cert, chain := w.issue(b, UsageSeal, newKey(b, kindSM2).Public()), w.ca.Chain()
	trust := newTrust(b, TrustConfig{Roots: [][]byte{w.root}, CRLs: w.lists(b), RequireRevocation: true})
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			if err := trust.Check(cert, chain, epoch, UsageSeal).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			trust.seen = newMemory()
			if err := trust.Check(cert, chain, epoch, UsageSeal).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := ParseCertificate(cert); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw SM2", func(b *testing.B) {
		message := make([]byte, 700)
		signature, err := w.key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
		if err != nil {
			b.Fatal(err)
		}
		public := w.key.Public().(*ecdsa.PublicKey)
		for b.Loop() {
			if !sm2.VerifyASN1WithSM2(public, nil, message, signature) {
				b.Fatal("does not hold")
			}
		}
	})
}

// BenchmarkIssue prints the cost of a certificate, its file synced included.
func BenchmarkIssue(b *testing.B) {
	w := newWorld(b, kindSM2)
	public := newKey(b, kindSM2).Public()
	for b.Loop() {
		w.issue(b, UsageSeal, public)
	}
}
