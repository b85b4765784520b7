package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

// A thousand signatures of a minute are two records and their outcomes, whose
// digest anybody can make again from what was signed.
func TestSeriesRecordsManySignaturesAsOne(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	if _, err := r.EnsureActive(t.Context(), Spec{Line: "tsa", Algorithm: signing.ES256}); err != nil {
		t.Fatal(err)
	}
	series := r.Series("tsa", testUse(), time.Minute)
	var chain [sha256.Size]byte
	sign := func(text string) {
		t.Helper()
		signer, err := series.Signer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(text))
		signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil || !verifies(signer.Public(), []byte(text), signature) {
			t.Fatalf("signature: %v", err)
		}
		chain = sha256.Sum256(append(chain[:], "sha-256:"+hex.EncodeToString(digest[:])...))
	}
	const many = 1000
	for range many {
		sign("a timestamp")
	}
	whole := chain
	f.clock.pass(time.Minute)
	sign("the next minute")
	log := f.journalText()
	if want := `"digest":"sha-256-chain:` + hex.EncodeToString(whole[:]) + `","count":1000`; !strings.Contains(log, want) {
		t.Errorf("the log lacks %s:\n%s", want, log)
	}
	if err := series.Close(); err != nil {
		t.Fatal(err)
	}
	log = f.journalText()
	if n, err := verifyJournal(bytes.NewReader([]byte(log))); err != nil || n != 8 { // two minutes, each with two intents and two outcomes
		t.Errorf("%d records for %d signatures, %v; want 8", n, many+1, err)
	}
	if _, err := series.Signer(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A process that dies within the minute leaves the beginning of the series,
// which is listed as interrupted.
func TestSeriesThatACrashEndsIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir)
	first := Entry{Time: newClock().now(), KeyID: "k", Line: "tsa", Use: testUse(), Digest: "series"}
	if _, err := j.Intend(t.Context(), []Entry{first}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := openTestJournal(t, dir).Interrupted(); len(got) != 1 || got[0].Digest != "series" {
		t.Errorf("interrupted: %v", got)
	}
}
