package signing

import (
	"crypto"
	"math/rand/v2"
	"strings"
	"testing"
)

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// TestRandomChangesAreRefused changes one byte of a token to another one,
// 34,000 times over the algorithms; package sdjwt adds its own. Since there
// is one way to write a token, none may pass, whatever it decodes to.
func TestRandomChangesAreRefused(t *testing.T) {
	for alg, times := range map[string]int{ES256: 10_000, EdDSA: 10_000, SM2SM3: 10_000, ES384: 4_000} {
		if testing.Short() {
			times /= 20
		}
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			signer := newSigner(t, alg)
			keys := keySet(map[string]crypto.Signer{"k": signer})
			token, err := SignCompact(signer, Header{KeyID: "k", Type: "test+jwt", Chain: [][]byte{{1, 2}}}, []byte(`{"n":1,"text":"some words to sign"}`))
			if err != nil {
				t.Fatal(err)
			}
			for range times {
				i, b := rand.IntN(len(token)), byte(rand.Uint32())
				if rand.IntN(2) == 0 { // else most end at the alphabet
					b = base64Alphabet[rand.IntN(len(base64Alphabet))]
				}
				if b == token[i] {
					b ^= 1
				}
				bad := token[:i] + string([]byte{b}) + token[i+1:]
				if payload, header, err := Verify(bad, "test+jwt", keys); err == nil {
					t.Fatalf("byte %d changed from %q to %q is accepted: %s, %+v", i, token[i], b, payload, header)
				}
			}
		})
	}
}

// TestEveryPositionIsRefused changes each byte to a few telling ones, takes it
// away and doubles it, and tries all spellings of the unused bits at the end of
// a part.
func TestEveryPositionIsRefused(t *testing.T) {
	for _, alg := range algorithms() {
		signer := newSigner(t, alg)
		keys := keySet(map[string]crypto.Signer{"k": signer})
		for _, payload := range []string{`{"a":1}`, `{"ab":1}`, `{"abc":1}`} { // all remainders modulo 3
			token, err := SignCompact(signer, Header{KeyID: "k", Type: "t"}, []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			for i := range len(token) {
				tries := []string{"", token[i:i+1] + token[i:i+1], string([]byte{token[i] ^ 1}), ".", "=", "\n", "\x00", "\xff"}
				if end := i + 1; end == len(token) || token[end] == '.' {
					for j := range len(base64Alphabet) {
						tries = append(tries, base64Alphabet[j:j+1])
					}
				}
				for _, b := range tries {
					bad := token[:i] + b + token[i+1:]
					if bad == token {
						continue
					}
					if _, _, err := Verify(bad, "t", keys); err == nil {
						t.Fatalf("%s: %q at %d of %q is accepted", alg, b, i, token)
					}
				}
			}
			if strings.Count(token, ".") != 2 {
				t.Errorf("token %q", token)
			}
		}
	}
}
