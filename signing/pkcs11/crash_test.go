package pkcs11

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childModule, if set, makes the test binary the process that is killed.
const childModule = "ONEWINDOW_TEST_PKCS11_CHILD"

func TestMain(m *testing.M) {
	if module := os.Getenv(childModule); module != "" {
		fmt.Fprintln(os.Stderr, useToken(module, os.Args[1], os.Stdout))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// useToken makes, uses and destroys keys, every third one, until it is killed.
// It prints what it is about to do to an id and, with "done", what it has done.
func useToken(module, prefix string, out io.Writer) error {
	ctx := context.Background()
	token, err := Open(Config{Module: module, TokenLabel: "county", PIN: pin})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", prefix, i)
		fmt.Fprintln(out, "make", id)
		key, err := token.Generate(ctx, []byte(id), "l", "ES256")
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "done", id)
		if _, err := signs(key, "m"); err != nil {
			return err
		}
		if i%3 == 0 {
			fmt.Fprintln(out, "destroy", id)
			if err := token.Destroy(ctx, []byte(id)); err != nil {
				return err
			}
			fmt.Fprintln(out, "destroyed", id)
		}
	}
}

// TestKilled kills a process that uses the token, with SIGKILL at a time of no
// choosing, 12 times over. What it said was done holds. The id that it was at
// works or does not, and is free again after Destroy.
func TestKilled(t *testing.T) {
	h := newHSM(t, "county")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{} // id → the last word about it
	for round := range 12 {
		cmd := exec.CommandContext(t.Context(), self, fmt.Sprint("child", round))
		cmd.Env = append(os.Environ(), childModule+"="+h.module)
		stderr := &strings.Builder{}
		cmd.Stderr = stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		scanner, lines := bufio.NewScanner(out), 0
		for scanner.Scan() {
			word, id, _ := strings.Cut(scanner.Text(), " ")
			last[id] = word
			if lines++; lines == 5+round {
				time.Sleep(time.Duration(round) * 3 * time.Millisecond)
				_ = cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the child ended by itself: %v\n%s", err, stderr)
		}
	}
	token := h.open("county")
	undecided := 0
	for id, word := range last {
		key, err := token.Find(t.Context(), []byte(id))
		switch word {
		case "done":
			if err != nil {
				t.Errorf("%s was made: %v", id, err)
			} else if _, err := signs(key, "m"); err != nil {
				t.Errorf("%s was made: %v", id, err)
			}
		case "destroyed":
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s was destroyed: %v", id, err)
			}
		default:
			undecided++
			if err := token.Destroy(t.Context(), []byte(id)); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			generate(t, token, id, "ES256")
		}
	}
	t.Logf("%d ids, %d of them undecided", len(last), undecided)
}
