package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

var (
	_ sdjwt.TokenSigner   = Line{}
	_ signing.KeyResolver = (*Ring)(nil)
	_ UseLog              = (*Journal)(nil)
)

// verifies says whether the signature holds.
func verifies(public crypto.PublicKey, message, signature []byte) bool {
	switch key := public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	case *ecdsa.PublicKey:
		switch key.Params().BitSize {
		case 384:
			sum := sha512.Sum384(message)
			return ecdsa.VerifyASN1(key, sum[:], signature)
		default:
			if sm2.IsSM2PublicKey(key) {
				return sm2.VerifyASN1WithSM2(key, nil, message, signature)
			}
			sum := sha256.Sum256(message)
			return ecdsa.VerifyASN1(key, sum[:], signature)
		}
	}
	return false
}

// input is the message as a crypto.Signer of the algorithm wants it.
func input(algorithm string, message []byte) ([]byte, crypto.SignerOpts) {
	switch algorithm {
	case signing.ES256:
		sum := sha256.Sum256(message)
		return sum[:], crypto.SHA256
	case signing.ES384:
		sum := sha512.Sum384(message)
		return sum[:], crypto.SHA384
	case signing.SM2SM3:
		return message, sm2.DefaultSM2SignerOpts
	}
	return message, crypto.Hash(0)
}

func allAlgorithms() []string {
	return []string{signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3}
}

// journalText is everything in the ring's use log.
func (f *folder) journalText() string {
	f.tb.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(f.dir), "journal", JournalFile))
	if err != nil {
		f.tb.Fatal(err)
	}
	return string(data)
}

func TestSignerSignsOnlyWhatItsAlgorithmSigns(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	message := []byte("what is signed")
	for _, algorithm := range allAlgorithms() {
		key, err := r.EnsureActive(t.Context(), Spec{Line: algorithm, Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		signer, err := r.Signer(t.Context(), algorithm, testUse())
		if err != nil || signer.KeyID() != key.ID || signer.Algorithm() != algorithm || signer.Chain() != nil {
			t.Fatalf("%+v, %v", signer, err)
		}
		data, opts := input(algorithm, message)
		signature, err := signer.Sign(nil, data, opts)
		if err != nil || !verifies(signer.Public(), message, signature) {
			t.Errorf("%s: %v", algorithm, err)
		}
		before := f.journalText()
		for name, c := range map[string]struct {
			data []byte
			opts crypto.SignerOpts
		}{
			"no options":        {data, nil},
			"another hash":      {data, crypto.SHA512},
			"short":             {data[:len(data)-1], crypto.SHA256},
			"short for ES384":   {data[:len(data)-1], crypto.SHA384},
			"another user id":   {data, sm2.NewSM2SignerOption(true, []byte("other"))},
			"SM2 over a digest": {data, sm2.NewSM2SignerOption(false, nil)},
			"Ed25519ph":         {data, &ed25519.Options{Hash: crypto.SHA512}},
			"Ed25519ctx":        {data, &ed25519.Options{Context: "x"}},
		} {
			if _, err := signer.Sign(rand.Reader, c.data, c.opts); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %s: %v", algorithm, name, err)
			}
		}
		if f.journalText() != before {
			t.Errorf("%s: a refused signature is in the use log", algorithm)
		}
		digest := sha256Of(message)
		if algorithm == signing.ES384 {
			digest = "sha-384:" + hex.EncodeToString(data)
		}
		want := fmt.Sprintf(`"key":"%s","line":"%s","caller":"hub","purpose":"test","request":"r-1","digest":"%s"`, key.ID, algorithm, digest)
		if !strings.Contains(before, want) {
			t.Errorf("%s: the use log does not have %s", algorithm, want)
		}
	}
	for name, use := range map[string]Use{
		"no caller": {Purpose: "p"}, "no purpose": {Caller: "c"}, "not UTF-8": {Caller: "\xff", Purpose: "p"},
		"long": {Caller: "c", Purpose: "p", RequestID: strings.Repeat("x", maxUseText+1)},
	} {
		_, err := r.Signer(t.Context(), signing.ES256, use)
		_, tokenErr := r.SignTokens(t.Context(), signing.ES256, use, "t", [][]byte{{1}})
		if !errors.Is(err, ErrInvalid) || !errors.Is(tokenErr, ErrInvalid) {
			t.Errorf("%s: %v, %v", name, err, tokenErr)
		}
	}
	if _, err := r.Signer(t.Context(), "no such line", testUse()); !errors.Is(err, ErrNoActiveKey) {
		t.Error(err)
	}
	if _, err := r.SignerOf(t.Context(), "nobody", testUse()); !errors.Is(err, signing.ErrUnknownKey) {
		t.Error(err)
	}
}

func TestBatchOfTokensIsAllOrNone(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	for _, algorithm := range allAlgorithms() {
		key, err := r.EnsureActive(t.Context(), Spec{Line: algorithm, Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		payloads := make([][]byte, 100)
		for i := range payloads {
			payloads[i] = fmt.Appendf(nil, `{"n":%d}`, i)
		}
		records := strings.Count(f.journalText(), "\n")
		tokens, err := r.Line(algorithm, testUse()).SignTokens(t.Context(), "test+jwt", payloads)
		if err != nil || len(tokens) != len(payloads) {
			t.Fatalf("%s: %d tokens, %v", algorithm, len(tokens), err)
		}
		for i, token := range tokens {
			payload, header, err := signing.Verify(token, "test+jwt", r)
			if err != nil || string(payload) != string(payloads[i]) || header.KeyID != key.ID || header.Algorithm != algorithm {
				t.Fatalf("%s: token %d: %s, %+v, %v", algorithm, i, payload, header, err)
			}
		}
		if got := strings.Count(f.journalText(), "\n") - records; got != 2 || !strings.Contains(f.journalText(), sha256Of(payloads[99])) {
			t.Errorf("%s: a batch has %d records in the use log", algorithm, got)
		}
		for name, bad := range map[string][][]byte{"none": nil, "too many": make([][]byte, MaxBatch+1), "one empty": {{1}, nil, {3}}} {
			want := ErrInvalid
			if name == "one empty" {
				want = signing.ErrMalformed
			}
			if tokens, err := r.SignTokens(t.Context(), algorithm, testUse(), "test+jwt", bad); !errors.Is(err, want) || tokens != nil {
				t.Errorf("%s: %s: %d tokens, %v", algorithm, name, len(tokens), err)
			}
		}
	}
	if !strings.Contains(f.journalText(), `"outcome":"failed"`) {
		t.Error("the failed batches are not in the use log")
	}
}

func TestTokensCarryTheChainWhenAsked(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	key, err := r.EnsureActive(t.Context(), Spec{Line: "license", Algorithm: signing.SM2SM3})
	if err != nil {
		t.Fatal(err)
	}
	line := r.Line("license", testUse())
	if _, err := line.WithChain().SignTokens(t.Context(), "test+jwt", [][]byte{[]byte("{}")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a chain that is not there: %v", err)
	}
	cert := certificate(t, r, key)
	if err := r.SetChain(t.Context(), key.ID, [][]byte{cert}); err != nil {
		t.Fatal(err)
	}
	for _, with := range []bool{false, true} {
		if with {
			line = line.WithChain()
		}
		tokens, err := line.SignTokens(t.Context(), "test+jwt", [][]byte{[]byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		var seen [][]byte
		_, header, err := signing.VerifyChain(tokens[0], "test+jwt", func(chain [][]byte) (crypto.PublicKey, error) {
			seen = chain
			return key.Public, nil
		})
		if with && (err != nil || len(seen) != 1 || string(seen[0]) != string(cert) || header.KeyID != key.ID) {
			t.Errorf("with chain: %d certificates, %v", len(seen), err)
		}
		if !with && err == nil {
			t.Error("a chain that nobody asked for")
		}
	}
}

func TestNothingIsSignedWithoutTheUseLog(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	if _, err := r.EnsureActive(t.Context(), Spec{Line: "l", Algorithm: signing.ES256}); err != nil {
		t.Fatal(err)
	}
	signer, err := r.Signer(t.Context(), "l", testUse())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.config.Uses.(*Journal).Close(); err != nil {
		t.Fatal(err)
	}
	if signature, err := signer.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); !errors.Is(err, ErrClosed) || signature != nil {
		t.Errorf("%x, %v", signature, err)
	}
	if tokens, err := r.SignTokens(t.Context(), "l", testUse(), "t", [][]byte{{1}}); !errors.Is(err, ErrClosed) || tokens != nil {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
}

func TestRetiredKeyMakesNoSignature(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	key := in(t, r, f.clock, Active)
	signer, err := r.Signer(t.Context(), "l", testUse())
	if err != nil {
		t.Fatal(err)
	}
	var retired atomic.Bool
	var signed atomic.Int64
	var group sync.WaitGroup
	data, opts := input(signing.ES256, []byte("m"))
	for range 4 {
		group.Go(func() {
			for {
				late := retired.Load()
				_, err := signer.Sign(rand.Reader, data, opts)
				switch {
				case err == nil && late:
					t.Error("signed after Retire returned")
					return
				case err == nil:
					signed.Add(1)
				default:
					if !errors.Is(err, ErrState) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for signed.Load() < 20 {
		runtime.Gosched()
	}
	if _, err := r.Retire(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	retired.Store(true)
	group.Wait()

	// What is under way is waited for.
	under := &private{signer: signer}
	if err := under.use(func(crypto.Signer) error {
		if under.mu.TryLock() {
			t.Error("a key in use can be taken away")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	under.end()
	if err := under.use(func(crypto.Signer) error { return nil }); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

// TestRotationUnderLoad rotates while tokens are signed: a caller who names
// only the line must not notice.
func TestRotationUnderLoad(t *testing.T) {
	f := newFolder(t)
	f.config.CachePeriod = 0
	ring := f.open()
	spec := Spec{Line: "license", Algorithm: signing.ES256}
	if _, err := ring.EnsureActive(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var signers sync.WaitGroup
	for range 4 {
		signers.Go(func() {
			for !done.Load() {
				if _, err := ring.SignTokens(t.Context(), spec.Line, testUse(), "test+jwt", [][]byte{[]byte(`{}`)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		next, err := ring.Create(t.Context(), spec)
		if err == nil {
			_, err = ring.Publish(t.Context(), next.ID)
		}
		if err == nil {
			_, err = ring.Activate(t.Context(), next.ID)
		}
		if err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	signers.Wait()
}
