package ses_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/durable"
	"github.com/onewindow/onewindow/signing/ses"
)

// ticker is a clock that moves a minute at each reading.
func ticker() func() time.Time {
	var mu sync.Mutex
	t := signed
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		t = t.Add(time.Minute)
		return t
	}
}

func openRegister(tb testing.TB, dir string) *ses.Register {
	tb.Helper()
	r, err := ses.OpenRegister(dir, ticker())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func (w *world) numbered(tb testing.TB, id string) []byte {
	tb.Helper()
	spec := w.spec(tb)
	spec.ID = id
	der, err := ses.MakeSeal(spec, w.maker, w.makerCert)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func TestRegisterKeepsSealsAndTheirHistory(t *testing.T) {
	w, dir, ctx := newWorld(t), filepath.Join(t.TempDir(), "seals", "hub"), t.Context()
	r := openRegister(t, dir)
	a, b := w.numbered(t, "A1"), w.numbered(t, "B2")
	for _, der := range [][]byte{a, b, a} { // the third time is a repetition
		if _, err := r.Add(ctx, der); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"A1", "a1"} {
		if _, err := r.Add(ctx, w.numbered(t, id)); !errors.Is(err, ses.ErrState) {
			t.Errorf("other bytes as %s: %v", id, err)
		}
	}
	for _, change := range []error{
		r.Suspend(ctx, "A1", "保管人离岗", "张科长"),
		r.Resume(ctx, "A1", "保管人返岗", "张科长"),
		r.Revoke(ctx, "A1", "机构更名", "李主任"),
	} {
		if change != nil {
			t.Fatal(change)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Add(ctx, a); !errors.Is(err, ses.ErrDamaged) {
		t.Errorf("added to a closed register: %v", err)
	}

	r = openRegister(t, dir)
	all := r.List()
	if len(all) != 2 || all[0].Seal.ID != "A1" || all[1].Seal.ID != "B2" || !bytes.Equal(all[1].Seal.Raw, b) || all[1].State != ses.StateActive {
		t.Fatalf("read again %+v", all)
	}
	entry, err := r.Get("A1")
	if err != nil || entry.State != ses.StateRevoked || len(entry.History) != 4 {
		t.Fatalf("%+v, %v", entry, err)
	}
	if last := entry.History[3]; last.Reason != "机构更名" || last.Who != "李主任" || last.State != ses.StateRevoked {
		t.Errorf("last event %+v", last)
	}
	entry.History[0].State = ses.StateRevoked // a caller's own copy
	for i, want := range []ses.State{ses.StateActive, ses.StateSuspended, ses.StateActive, ses.StateRevoked} {
		event, _ := r.Get("A1")
		if got, err := r.Status("A1", event.History[i].Time.Add(time.Second)); err != nil || got != want {
			t.Errorf("after event %d: %v, %v; want %v", i, got, err, want)
		}
	}
	if got, err := r.Status("A1", made); err != nil || got != ses.StateActive {
		t.Errorf("before its registration: %v, %v", got, err)
	}
	if _, err := r.Status("C3", made); !errors.Is(err, ses.ErrNotFound) {
		t.Errorf("unknown seal: %v", err)
	}
}

func TestRegisterAllowsOnlyTheChangesThereAre(t *testing.T) {
	w := newWorld(t)
	r := openRegister(t, t.TempDir())
	ctx := t.Context()
	type change func(context.Context, string, string, string) error
	does := map[string]change{"suspend": r.Suspend, "resume": r.Resume, "revoke": r.Revoke}
	for from, c := range map[string]struct {
		before  []change
		allowed string
	}{
		"active":    {nil, "suspend revoke"},
		"suspended": {[]change{r.Suspend}, "resume revoke"},
		"revoked":   {[]change{r.Revoke}, ""},
		"finally":   {[]change{r.Suspend, r.Revoke}, ""},
	} {
		for name, do := range does {
			id := from + "-" + name
			if _, err := r.Add(ctx, w.numbered(t, id)); err != nil {
				t.Fatal(err)
			}
			for _, f := range c.before {
				if err := f(ctx, id, "因", "人"); err != nil {
					t.Fatal(err)
				}
			}
			err := do(ctx, id, "因", "人")
			if strings.Contains(c.allowed, name) != (err == nil) || err != nil && !errors.Is(err, ses.ErrState) {
				t.Errorf("%s a seal that is %s: %v", name, from, err)
			}
		}
	}
	if err := r.Revoke(ctx, "none", "因", "人"); !errors.Is(err, ses.ErrNotFound) {
		t.Errorf("unknown seal: %v", err)
	}
	for _, who := range []string{"", "a\nb", strings.Repeat("人", 257)} {
		if err := r.Suspend(ctx, "active-resume", "因", who); !errors.Is(err, ses.ErrSpec) {
			t.Errorf("by %.8q: %v", who, err)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := r.Suspend(gone, "active-resume", "因", "人"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRegisterRefusesWhatItDidNotMake(t *testing.T) {
	w := newWorld(t)
	r := openRegister(t, t.TempDir())
	forged := bytes.Clone(w.seal(t))
	forged[bytes.Index(forged, []byte("IDAT"))+6] ^= 1
	for name, c := range map[string]struct {
		der  []byte
		want error
	}{
		"changed picture": {forged, ses.ErrSignature},
		"not a seal":      {[]byte("seal"), ses.ErrMalformed},
	} {
		if _, err := r.Add(t.Context(), c.der); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(r.List()); n != 0 {
		t.Errorf("%d seals", n)
	}
}

func TestDamagedRegisterIsNotOpened(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		file   string
		damage func([]byte) []byte
		want   string
	}{
		"seal changed":    {"seals/A1.esl", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "A1.esl"},
		"seal torn":       {"seals/A1.esl", func(b []byte) []byte { return b[:len(b)/2] }, "A1.esl"},
		"seal gone":       {"seals/A1.esl", nil, "A1.esl"},
		"manifest torn":   {"register.json", func(b []byte) []byte { return b[:len(b)-9] }, "register.json"},
		"manifest empty":  {"register.json", func([]byte) []byte { return nil }, "register.json"},
		"revoked resumed": {"register.json", func(b []byte) []byte { return bytes.Replace(b, []byte("suspended"), []byte("revoked"), 1) }, "history"},
		"path as number":  {"register.json", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"A1"`), []byte(`"../A1"`)) }, "number"},
		"new version":     {"register.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 2`), 1) }, "version"},
		"unknown member":  {"register.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"who"`), []byte(`"whom"`), 1) }, "whom"},
		"member twice":    {"register.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"who"`), []byte(`"reason"`), 1) }, "twice"},
	} {
		dir := t.TempDir()
		r := openRegister(t, dir)
		if _, err := r.Add(t.Context(), w.numbered(t, "A1")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Suspend(t.Context(), "A1", "因", "人"), r.Resume(t.Context(), "A1", "因", "人"), r.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(c.file))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.damage == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, c.damage(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ses.OpenRegister(dir, time.Now); !errors.Is(err, ses.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	r := openRegister(t, dir)
	if _, err := ses.OpenRegister(dir, time.Now); !errors.Is(err, durable.ErrBusy) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	openRegister(t, dir)
}

func TestRegisterServesManyAtOnce(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	r := openRegister(t, dir)
	var group sync.WaitGroup
	for i := range 8 {
		id := string(rune('A' + i))
		der := w.numbered(t, id)
		group.Go(func() {
			if _, err := r.Add(t.Context(), der); err != nil {
				t.Error(err)
			}
			if err := r.Suspend(t.Context(), id, "因", "人"); err != nil {
				t.Error(err)
			}
			if state, err := r.Status(id, signed.Add(time.Hour)); err != nil || state != ses.StateSuspended {
				t.Error(state, err)
			}
			r.List()
		})
	}
	group.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(openRegister(t, dir).List()); n != 8 {
		t.Fatalf("%d seals", n)
	}
}

const childFolder = "ONEWINDOW_SES_CHILD_FOLDER"

// registerUntilKilled registers and suspends seals, and prints each number once
// both are answered.
func registerUntilKilled(t *testing.T, dir string) {
	w := newWorld(t)
	r := openRegister(t, dir)
	for i := 1; i <= 60; i++ { // the parent kills long before the last
		id := strings.Repeat("N", i)
		if _, err := r.Add(t.Context(), w.numbered(t, id)); err != nil {
			t.Fatal(err)
		}
		if err := r.Suspend(t.Context(), id, "因", "人"); err != nil {
			t.Fatal(err)
		}
		fmt.Println(id)
	}
	t.Fatal("was not killed")
}

func TestKilledRegisterKeepsWhatItAnswered(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		registerUntilKilled(t, dir)
	}
	for round := range 3 {
		dir := t.TempDir()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledRegisterKeepsWhatItAnswered$")
		child.Env = append(os.Environ(), childFolder+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		answered, buffer := "", make([]byte, 4096)
		for strings.Count(answered, "\n") <= 2+round {
			n, err := out.Read(buffer)
			if err != nil {
				t.Fatalf("child: %v after %q", err, answered)
			}
			answered += string(buffer[:n])
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed, as meant

		r := openRegister(t, dir)
		for id := range strings.Lines(answered) {
			if !strings.HasSuffix(id, "\n") {
				continue // cut by the kill: was not answered
			}
			entry, err := r.Get(strings.TrimSuffix(id, "\n"))
			if err != nil || entry.State != ses.StateSuspended {
				t.Errorf("answered %q: %v, %v", id, entry.State, err)
			}
		}
		// The number that the kill fell on can be used, whatever was left of it.
		next := strings.Repeat("N", len(r.List())+1)
		if _, err := r.Add(t.Context(), newWorld(t).numbered(t, next)); err != nil {
			t.Errorf("next seal: %v", err)
		}
	}
}

// An orphan is what a kill between the seal's file and the manifest leaves.
func TestOrphanedSealFileIsIgnoredAndReplaced(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	r := openRegister(t, dir)
	orphan, seal := w.numbered(t, "A1"), w.numbered(t, "A1")
	if err := os.WriteFile(filepath.Join(dir, "seals", "A1.esl"), orphan, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = openRegister(t, dir)
	if n := len(r.List()); n != 0 {
		t.Fatalf("%d seals", n)
	}
	if _, err := r.Add(t.Context(), seal); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if entry, err := openRegister(t, dir).Get("A1"); err != nil || !bytes.Equal(entry.Seal.Raw, seal) {
		t.Fatal(err)
	}
}
