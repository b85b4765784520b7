package keys

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/durable"
)

const cachePeriod = 15 * time.Minute

// clock is a time that a test sets.
type clock struct {
	mu   sync.Mutex
	time time.Time
}

func newClock() *clock { return &clock{time: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(d)
}

// folder is the folder of a ring, with its journal beside it.
type folder struct {
	tb     testing.TB
	dir    string
	config Config
	clock  *clock
}

func newFolder(tb testing.TB) *folder {
	tb.Helper()
	base, c := tb.TempDir(), newClock()
	journal, err := openJournal(filepath.Join(base, "journal"), []byte("correct horse"), c.now, quickKDF())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = journal.Close() })
	dir := filepath.Join(base, "keys")
	return &folder{tb: tb, dir: dir, clock: c, config: Config{
		Dir: dir, Passphrase: []byte("correct horse"), Uses: journal, CachePeriod: cachePeriod, Now: c.now, Logger: slog.New(slog.DiscardHandler),
	}}
}

// quickKDF saves time where the cost of the derivation is not the subject.
func quickKDF() kdf { return kdf{Passes: 1, Memory: 64, Lanes: 1} }

// open opens the ring; the caller closes it before it opens it again.
func (f *folder) open() *Ring {
	f.tb.Helper()
	ring, err := f.tryOpen()
	if err != nil {
		f.tb.Fatal(err)
	}
	return ring
}

func (f *folder) tryOpen() (*Ring, error) {
	ring, err := open(context.Background(), f.config, quickKDF())
	if err == nil {
		f.tb.Cleanup(func() { _ = ring.Close() })
	}
	return ring, err
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func testUse() Use { return Use{Caller: "hub", Purpose: "test", RequestID: "r-1"} }

// in makes a key of line "l" that is in the state.
func in(tb testing.TB, r *Ring, c *clock, state State) Key {
	tb.Helper()
	ctx := tb.Context()
	key, err := r.Create(ctx, Spec{Line: "l", Algorithm: signing.ES256})
	if err == nil && state != Created {
		key, err = r.Publish(ctx, key.ID)
		c.pass(cachePeriod)
	}
	if err == nil && state != Created && state != Published {
		key, err = r.Activate(ctx, key.ID)
	}
	if err == nil && (state == Retired || state == Destroyed) {
		key, err = r.Retire(ctx, key.ID)
	}
	if err == nil && state == Destroyed {
		_, err = r.RequestDestroy(ctx, key.ID, "li")
		if err == nil {
			key, err = r.ApproveDestroy(ctx, key.ID, "wang")
		}
	}
	if err != nil || key.State != state {
		tb.Fatalf("a key in state %s: %+v, %v", state, key, err)
	}
	return key
}

func TestLifeOfAKeyGoesForwardOnly(t *testing.T) {
	type step func(r *Ring, kid string) (Key, error)
	steps := map[string]step{
		"publish":  func(r *Ring, kid string) (Key, error) { return r.Publish(t.Context(), kid) },
		"activate": func(r *Ring, kid string) (Key, error) { return r.Activate(t.Context(), kid) },
		"retire":   func(r *Ring, kid string) (Key, error) { return r.Retire(t.Context(), kid) },
		"request":  func(r *Ring, kid string) (Key, error) { return r.RequestDestroy(t.Context(), kid, "li") },
		"approve":  func(r *Ring, kid string) (Key, error) { return r.ApproveDestroy(t.Context(), kid, "wang") },
	}
	// What is not here is ErrState and changes nothing.
	allowed := map[State]map[string]State{
		Created:   {"publish": Published, "retire": Retired},
		Published: {"activate": Active, "retire": Retired},
		Active:    {"retire": Retired},
		Retired:   {"request": Retired},
		Destroyed: {},
	}
	f := newFolder(t)
	r := f.open()
	for from, ways := range allowed {
		for name, do := range steps {
			key := in(t, r, f.clock, from)
			want, ok := ways[name]
			got, err := do(r, key.ID)
			switch {
			case ok && (err != nil || got.State != want):
				t.Errorf("%s, %s: %s, %v; want %s", from, name, got.State, err, want)
			case !ok && !errors.Is(err, ErrState):
				t.Errorf("%s, %s: %s, %v; want ErrState", from, name, got.State, err)
			case !ok && find(r, key.ID).State != from:
				t.Errorf("%s, %s: refused, but it is %s now", from, name, find(r, key.ID).State)
			}
		}
	}
	for name, do := range steps {
		if _, err := do(r, "nobody"); !errors.Is(err, signing.ErrUnknownKey) {
			t.Errorf("%s of an unknown key: %v", name, err)
		}
	}
	before := r.List()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after := f.open().List(); !reflect.DeepEqual(before, after) {
		t.Error("the ring is another one after it was opened again")
	}
}

func find(r *Ring, kid string) Key {
	for _, key := range r.List() {
		if key.ID == kid {
			return key
		}
	}
	return Key{}
}

func TestKeyIsPublishedForACachePeriodBeforeItSigns(t *testing.T) {
	f := newFolder(t)
	r, ctx := f.open(), t.Context()
	first, err := r.EnsureActive(ctx, Spec{Line: "license", Algorithm: signing.ES256})
	if err != nil || first.State != Active || first.Published.IsZero() {
		t.Fatalf("first key: %+v, %v", first, err)
	}
	again, err := r.EnsureActive(ctx, Spec{Line: "license", Algorithm: signing.ES256})
	if err != nil || again.ID != first.ID {
		t.Fatalf("ensured again: %+v, %v", again, err)
	}
	second, err := r.Create(ctx, Spec{Line: "license", Algorithm: signing.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Key(second.ID); !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("a created key is visible: %v", err)
	}
	if _, err := r.Publish(ctx, second.ID); err != nil {
		t.Fatal(err)
	}
	if got := r.PublicKeys("license"); len(got) != 2 || got[0].KeyID != second.ID || got[1].KeyID != first.ID {
		t.Errorf("key set %v; want the new key, then the old one", got)
	}
	f.clock.pass(cachePeriod - time.Nanosecond)
	if _, err := r.Activate(ctx, second.ID); !errors.Is(err, ErrTooEarly) {
		t.Fatalf("too early: %v", err)
	}
	f.clock.pass(time.Nanosecond)
	if _, err := r.Activate(ctx, second.ID); err != nil {
		t.Fatal(err)
	}
	if active, err := r.Active("license"); err != nil || active.ID != second.ID || find(r, first.ID).State != Retired {
		t.Errorf("active %s, %v; the first is %s", active.ID, err, find(r, first.ID).State)
	}
	if key, err := r.Key(first.ID); err != nil || !first.Public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
		t.Errorf("the retired key does not verify any more: %v", err)
	}

	// Without an active key a line waits again: its old keys are still known.
	if _, err := r.Retire(ctx, second.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Active("license"); !errors.Is(err, ErrNoActiveKey) {
		t.Errorf("line without an active key: %v", err)
	}
	if _, err := r.EnsureActive(ctx, Spec{Line: "license", Algorithm: signing.ES256}); !errors.Is(err, ErrNoActiveKey) {
		t.Errorf("ensured in a line that had one: %v", err)
	}
	third, err := r.Create(ctx, Spec{Line: "license", Algorithm: signing.ES256})
	if err == nil {
		_, err = r.Publish(ctx, third.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Activate(ctx, third.ID); !errors.Is(err, ErrTooEarly) {
		t.Errorf("third key: %v", err)
	}

	// A line that begins does not, and finishes what was begun.
	begun := in(t, r, f.clock, Published)
	ensured, err := r.EnsureActive(ctx, Spec{Line: "l", Algorithm: signing.ES256})
	if err != nil || ensured.ID != begun.ID || !ensured.Published.Equal(begun.Published) {
		t.Errorf("begun line: %+v, %v; want %s", ensured, err, begun.ID)
	}
}

func TestDestructionTakesTwoPeopleWithinADay(t *testing.T) {
	f := newFolder(t)
	r, ctx := f.open(), t.Context()
	key := in(t, r, f.clock, Retired)
	if got, err := r.RequestDestroy(ctx, key.ID, "li"); err != nil || got.DestroyRequestedBy != "li" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, who := range []string{"li", ""} {
		if _, err := r.ApproveDestroy(ctx, key.ID, who); err == nil {
			t.Fatalf("%q approved", who)
		}
	}
	if _, err := r.RequestDestroy(ctx, key.ID, "wang"); !errors.Is(err, ErrState) {
		t.Errorf("a second request: %v", err)
	}
	f.clock.pass(requestLife)
	if _, err := r.ApproveDestroy(ctx, key.ID, "wang"); !errors.Is(err, ErrState) || find(r, key.ID).DestroyRequestedBy != "" {
		t.Fatalf("approved after a day: %v, requested by %q", err, find(r, key.ID).DestroyRequestedBy)
	}
	if _, err := r.RequestDestroy(ctx, key.ID, "wang"); err != nil {
		t.Fatal(err)
	}
	f.clock.pass(requestLife - time.Nanosecond)
	if err := r.Close(); err != nil { // a request outlives a restart
		t.Fatal(err)
	}
	r = f.open()
	got, err := r.ApproveDestroy(ctx, key.ID, "li")
	if err != nil || got.State != Destroyed || got.DestroyRequestedBy != "" || got.Destroyed.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := os.Stat(f.path(key.ID + keyFileSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key file is still there: %v", err)
	}
	if _, err := r.Key(key.ID); err != nil || len(r.PublicKeys()) != 1 {
		t.Errorf("a destroyed key does not verify any more: %v", err)
	}
	if _, err := r.SignerOf(ctx, key.ID, testUse()); !errors.Is(err, ErrState) {
		t.Errorf("a destroyed key signs: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	f := newFolder(t)
	r, ctx := f.open(), t.Context()
	in(t, r, f.clock, Created)
	for name, spec := range map[string]Spec{
		"no line":                {Algorithm: signing.ES256},
		"line with a dot":        {Line: "../x", Algorithm: signing.ES256},
		"line with a space":      {Line: "a b", Algorithm: signing.ES256},
		"long line":              {Line: strings.Repeat("x", maxLineName+1), Algorithm: signing.ES256},
		"no algorithm":           {Line: "x"},
		"unknown algorithm":      {Line: "x", Algorithm: "RS256"},
		"another for a line":     {Line: "l", Algorithm: signing.SM2SM3},
		"token of unknown name":  {Line: "x", Algorithm: signing.ES256, Token: "hsm"},
		"ensured, another for l": {Line: "l", Algorithm: signing.EdDSA},
	} {
		do := r.Create
		if strings.HasPrefix(name, "ensured") {
			do = r.EnsureActive
		}
		if key, err := do(ctx, spec); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v; want ErrInvalid", name, key, err)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Create(cancelled, Spec{Line: "x", Algorithm: signing.ES256}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(ctx, Spec{Line: "x", Algorithm: signing.ES256}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if n := len(r.List()); n != 1 {
		t.Errorf("%d keys, want the one of the beginning", n)
	}
}

// certificate is a self-signed one of the key.
func certificate(tb testing.TB, r *Ring, key Key) []byte {
	tb.Helper()
	signer, err := r.SignerOf(tb.Context(), key.ID, testUse())
	if err != nil {
		tb.Fatal(err)
	}
	template := &smx509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := smx509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func TestSetChainTakesOnlyTheKeysOwnCertificate(t *testing.T) {
	f := newFolder(t)
	r, ctx := f.open(), t.Context()
	for _, algorithm := range []string{signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3} {
		key, err := r.Create(ctx, Spec{Line: "a/" + algorithm, Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		other, err := r.Create(ctx, Spec{Line: "b/" + algorithm, Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		own, foreign := certificate(t, r, key), certificate(t, r, other)
		for name, chain := range map[string][][]byte{
			"none":           nil,
			"another key's":  {foreign, own},
			"not one":        {[]byte("x")},
			"trailing bytes": {append(own[:len(own):len(own)], 0)},
			"too many":       make([][]byte, signing.MaxChain+1),
			"too large":      {make([]byte, maxCertificate+1)},
		} {
			if err := r.SetChain(ctx, key.ID, chain); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %s: %v", algorithm, name, err)
			}
		}
		if err := r.SetChain(ctx, key.ID, [][]byte{own, foreign}); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if got := find(r, key.ID).Chain; !reflect.DeepEqual(got, [][]byte{own, foreign}) {
			t.Errorf("%s: chain of %d", algorithm, len(got))
		}
	}
	before := r.List()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after := f.open().List(); !reflect.DeepEqual(before, after) {
		t.Error("the ring is another one after it was opened again")
	}
}

func TestFolderBelongsToOneRing(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	if _, err := f.tryOpen(); !errors.Is(err, durable.ErrBusy) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	f.open()
	for name, spoil := range map[string]func(*Config){
		"no folder":    func(c *Config) { c.Dir = "" },
		"no use log":   func(c *Config) { c.Uses = nil },
		"no clock":     func(c *Config) { c.Now = nil },
		"no logger":    func(c *Config) { c.Logger = nil },
		"cache period": func(c *Config) { c.CachePeriod = -1 },
	} {
		config := f.config
		spoil(&config)
		if _, err := Open(t.Context(), config); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHubOfManySealsOpensFast runs the real key derivation.
func TestHubOfManySealsOpensFast(t *testing.T) {
	f := newFolder(t)
	r, err := Open(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := r.EnsureActive(t.Context(), Spec{Line: fmt.Sprintf("seal/%018d", i), Algorithm: signing.SM2SM3}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r, err = Open(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened %d keys in %v", len(r.List()), time.Since(began))
	if _, err := r.Active("seal/000000000000000049"); err != nil || len(r.List()) != 50 {
		t.Errorf("%d keys, %v", len(r.List()), err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestChangesAndReadsGoTogether(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			line := fmt.Sprintf("line/%d", worker%2)
			for range 4 {
				key, err := r.Create(t.Context(), Spec{Line: line, Algorithm: signing.EdDSA})
				if err == nil {
					_, err = r.Publish(t.Context(), key.ID)
				}
				if err == nil {
					f.clock.pass(cachePeriod)
					_, err = r.Activate(t.Context(), key.ID)
				}
				if err != nil {
					t.Error(err)
					return
				}
				token, err := r.SignTokens(t.Context(), line, testUse(), "test+jwt", [][]byte{[]byte("{}")})
				if err != nil && !errors.Is(err, ErrState) {
					t.Error(err)
				}
				if err == nil {
					if _, _, err := signing.Verify(token[0], "test+jwt", r); err != nil {
						t.Error(err)
					}
				}
				r.PublicKeys()
				r.List()
			}
		})
	}
	group.Wait()
	active := 0
	for _, key := range r.List() {
		if key.State == Active {
			active++
		}
	}
	if len(r.List()) != 16 || active != 2 {
		t.Errorf("%d keys, %d active; want 16 and 2", len(r.List()), active)
	}
}
