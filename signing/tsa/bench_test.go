package tsa

import "testing"

// BenchmarkStamp and BenchmarkVerify stand beside what they cannot be faster
// than: the signatures. Stamp makes one and checks it.
func BenchmarkStamp(b *testing.B) {
	for _, algorithm := range []string{"P-256", "SM2"} {
		w := newWorld(b, algorithm)
		s := w.authority.signer
		b.Run(algorithm+"/signature", func(b *testing.B) {
			for b.Loop() {
				if _, err := sign(w.signer, s.scheme, []byte("data")); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+"/token", func(b *testing.B) {
			for b.Loop() {
				w.stamp(b, []byte("data"))
			}
		})
		b.Run(algorithm+"/authority", func(b *testing.B) {
			for b.Loop() {
				if _, err := New(Config{Signer: w.signer, Chain: w.chain}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []string{"P-256", "SM2"} {
		w := newWorld(b, algorithm)
		token := w.stamp(b, []byte("data"))
		scheme := w.authority.signer.scheme
		signature, err := sign(w.signer, scheme, []byte("data"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(algorithm+"/signature", func(b *testing.B) {
			for b.Loop() {
				if err := verifySignature(w.authority.leaf.PublicKey, scheme, scheme.hash, []byte("data"), signature); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+"/token", func(b *testing.B) {
			for b.Loop() {
				if _, err := Verify(token, []byte("data"), w.trust); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
