package keys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

const childFolder = "ONEWINDOW_TEST_KEYS_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Println("child ended:", liveUntilKilled(dir))
		return
	}
	m.Run()
}

// childConfig is the ring of the child, which the parent opens after it.
func childConfig(dir string) (Config, *Journal, error) {
	journal, err := openJournal(filepath.Join(dir, "journal"), []byte("correct horse"), time.Now, quickKDF())
	if err == nil {
		journal.maxLines = 4 // so that kills hit the closing of segments too
	}
	return Config{
		Dir: filepath.Join(dir, "keys"), Passphrase: []byte("correct horse"), Uses: journal, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}, journal, err
}

// liveUntilKilled leads keys through their lives and prints each step that is
// done, and each token.
func liveUntilKilled(dir string) error {
	ctx := context.Background()
	config, _, err := childConfig(dir)
	if err != nil {
		return err
	}
	r, err := open(ctx, config, quickKDF())
	if err != nil {
		return err
	}
	for {
		key, err := r.Create(ctx, Spec{Line: "l", Algorithm: signing.ES256})
		steps := []func() (Key, error){
			func() (Key, error) { return r.Publish(ctx, key.ID) },
			func() (Key, error) { return r.Activate(ctx, key.ID) },
			func() (Key, error) { return r.Retire(ctx, key.ID) },
			func() (Key, error) { return r.RequestDestroy(ctx, key.ID, "li") },
			func() (Key, error) { return r.ApproveDestroy(ctx, key.ID, "wang") },
		}
		for _, step := range steps {
			if err != nil {
				return err
			}
			fmt.Println(key.State, key.ID)
			if key.State == Active {
				tokens, err := r.SignTokens(ctx, "l", testUse(), "test+jwt", [][]byte{[]byte(key.ID)})
				if err != nil {
					return err
				}
				fmt.Println("token", tokens[0])
			}
			key, err = step()
		}
		if err != nil {
			return err
		}
		fmt.Println(key.State, key.ID)
	}
}

func TestRingSurvivesKill9(t *testing.T) {
	dir := t.TempDir()
	states := []State{Created, Published, Active, Retired, Destroyed}
	reached, tokens := map[string]State{}, []string{}
	for round := range 6 {
		lines := killedChild(t, dir, 10+11*round)
		for _, line := range lines {
			word, rest, _ := strings.Cut(line, " ")
			switch {
			case word == "token":
				tokens = append(tokens, rest)
			case slices.Contains(states, State(word)):
				reached[rest] = State(word)
			default:
				t.Fatalf("child: %s", line)
			}
		}
		config, journal, err := childConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := open(t.Context(), config, quickKDF())
		if err != nil {
			t.Fatal(err)
		}
		for kid, state := range reached {
			if got := find(r, kid).State; slices.Index(states, got) < slices.Index(states, state) {
				t.Errorf("round %d: key %s was %s and is %q after the kill", round, kid, state, got)
			}
		}
		for _, e := range r.current.Load().keys {
			_, err := os.Stat(filepath.Join(config.Dir, e.ID+keyFileSuffix))
			if gone := errors.Is(err, os.ErrNotExist); gone != (e.State == Destroyed) || e.Remnant {
				t.Errorf("round %d: key %s is %s, file gone: %v, remnant: %v", round, e.ID, e.State, gone, e.Remnant)
			}
		}
		for _, token := range tokens {
			payload, _, err := signing.Verify(token, "test+jwt", r)
			if err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			if data := fmt.Sprint(contents(t, filepath.Join(dir, "journal"))); !strings.Contains(data, sha256Of(payload)) {
				t.Errorf("round %d: a token that is not in the use log", round)
			}
		}
		if n := len(journal.Interrupted()); n > 1 {
			t.Errorf("round %d: %d uses were under way in a child that does one at a time", round, n)
		}
		if err := errors.Join(r.Close(), journal.Close()); err != nil {
			t.Fatal(err)
		}
		if audit, err := AuditJournal(filepath.Join(dir, "journal")); err != nil || round == 5 && audit.Closed == 0 {
			t.Errorf("round %d: use log %+v, %v", round, audit, err)
		}
	}
	t.Logf("%d keys, %d tokens over 6 kills", len(reached), len(tokens))
	if len(reached) == 0 || len(tokens) == 0 {
		t.Error("nothing was done before the kills")
	}
}

// killedChild runs the child, kills it after it has printed so many lines, and
// returns all that it printed.
func killedChild(t *testing.T, dir string, after int) (lines []string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+dir)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
		if len(lines) == after {
			// It goes on meanwhile: where the kill hits it is chance.
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = child.Wait() // killed
	return lines
}
