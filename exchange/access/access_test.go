package access

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

// databases runs test on SQLite always and on PostgreSQL when it is there.
func databases(t *testing.T, test func(t *testing.T, open func(t *testing.T) *Tokens)) {
	sqldbtest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		test(t, func(t *testing.T) *Tokens {
			t.Helper()
			tokens, err := NewTokens(t.Context(), open())
			if err != nil {
				t.Fatal(err)
			}
			return tokens
		})
	})
}

func TestTokens(t *testing.T) {
	databases(t, func(t *testing.T, open func(t *testing.T) *Tokens) {
		here, there := open(t), open(t)
		now := time.Now()
		there.now = func() time.Time { return now }
		id := Identity{Name: "市场监管 push", Role: Department, Department: "market"}
		token, err := here.Issue(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, tokens := range []*Tokens{here, there} {
				if got, err := tokens.Authenticate(t.Context(), token); err != nil || got != id {
					t.Fatalf("Authenticate: %v, %v", got, err)
				}
			}
		}
		var stored string
		if err := here.db.QueryRowContext(t.Context(), `SELECT hash FROM access_tokens`).Scan(&stored); err != nil || strings.Contains(stored, token) || len(stored) != 64 {
			t.Errorf("stored %q, %v", stored, err)
		}
		for _, wrong := range []string{"", "x", token[:len(token)-1], token + "A", "ow_" + strings.Repeat("A", 43), hashOf(token)} {
			if _, err := here.Authenticate(t.Context(), wrong); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("a wrong token: %v", err)
			}
		}
		if err := here.Revoke(t.Context(), id.Name); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("after Revoke, here: %v", err)
		}
		now = now.Add(rememberFor)
		if _, err := there.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("after Revoke and a second, in another process: %v", err)
		}
		if err := here.Revoke(t.Context(), id.Name); !errors.Is(err, ErrNotFound) {
			t.Errorf("second Revoke: %v", err)
		}
	})
}

func TestAuthenticateWithoutDatabase(t *testing.T) {
	databases(t, func(t *testing.T, open func(t *testing.T) *Tokens) {
		tokens := open(t)
		token, err := tokens.Issue(t.Context(), Identity{Name: "clerk", Role: Clerk})
		if err != nil {
			t.Fatal(err)
		}
		if err := tokens.db.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = tokens.Authenticate(t.Context(), token)
		if err == nil || errors.Is(err, ErrUnauthenticated) || strings.Contains(err.Error(), token) {
			t.Errorf("with the database closed: %v", err)
		}
	})
}

func TestIssueRefuses(t *testing.T) {
	databases(t, func(t *testing.T, open func(t *testing.T) *Tokens) {
		tokens := open(t)
		for _, id := range []Identity{
			{Role: Clerk},
			{Name: "line\nbreak", Role: Clerk},
			{Name: strings.Repeat("n", 129), Role: Clerk},
			{Name: "x", Role: "king"},
			{Name: "x", Role: Department},
			{Name: "x", Role: Clerk, Department: "market"},
		} {
			if _, err := tokens.Issue(t.Context(), id); !errors.Is(err, ErrIdentity) {
				t.Errorf("%+v: %v", id, err)
			}
		}
	})
}

func TestRememberedIsBounded(t *testing.T) {
	tokens := &Tokens{remembered: map[string]remembered{}}
	for range maxRemembered + 100 {
		tokens.remember(newToken(), remembered{})
	}
	if n := len(tokens.remembered); n != maxRemembered {
		t.Errorf("%d remembered", n)
	}
}

func TestEnsureSample(t *testing.T) {
	ids := []Identity{
		{Name: "sample administrator", Role: Administrator},
		{Name: "sample department", Role: Department, Department: "market"},
	}
	databases(t, func(t *testing.T, open func(t *testing.T) *Tokens) {
		tokens, dir := open(t), filepath.Join(t.TempDir(), "tokens")
		ensure := func() [2]string {
			t.Helper()
			if err := tokens.EnsureSample(t.Context(), dir, ids...); err != nil {
				t.Fatal(err)
			}
			return [2]string{read(t, dir, "administrator.token"), read(t, dir, "department.token")}
		}
		holds := func(token string, want Identity) {
			t.Helper()
			if got, err := tokens.Authenticate(t.Context(), token); err != nil || got != want {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		}
		first := ensure()
		holds(first[0], ids[0])
		holds(first[1], ids[1])
		if again := ensure(); again != first {
			t.Error("a second call changed the files")
		}
		info, err := os.Stat(filepath.Join(dir, "administrator.token"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}

		// Killed after the file and before the row: the file's token is in no row.
		if _, err := tokens.db.ExecContext(t.Context(), `DELETE FROM access_tokens WHERE name = $1`, ids[0].Name); err != nil {
			t.Fatal(err)
		}
		repaired := ensure()
		holds(repaired[0], ids[0])
		if repaired[0] == first[0] || repaired[1] != first[1] {
			t.Error("want the orphan replaced and the other left alone")
		}
		// Killed while the file was written, and a file that was lost.
		write(t, dir, "administrator.token", first[0][:20])
		if err := os.Remove(filepath.Join(dir, "department.token")); err != nil {
			t.Fatal(err)
		}
		repaired = ensure()
		holds(repaired[0], ids[0])
		holds(repaired[1], ids[1])

		// Revoked stays revoked, whether the file is there or not.
		if err := tokens.Revoke(t.Context(), ids[0].Name); err != nil {
			t.Fatal(err)
		}
		if got := ensure(); got[0] != repaired[0] {
			t.Error("a revoked sample token was replaced")
		}
		if err := os.Remove(filepath.Join(dir, "administrator.token")); err != nil {
			t.Fatal(err)
		}
		if err := tokens.EnsureSample(t.Context(), dir, ids...); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "administrator.token")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a revoked sample token came back: %v", err)
		}
		if err := tokens.EnsureSample(t.Context(), dir, ids[0], ids[0]); !errors.Is(err, ErrIdentity) {
			t.Errorf("two of one role: %v", err)
		}
	})
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPolicy(t *testing.T) {
	clerks := Policy{Roles: []Role{Clerk}}
	tests := []struct {
		policy Policy
		role   Role
		want   bool
	}{
		{clerks, Clerk, true},
		{clerks, Administrator, true},
		{clerks, Analyst, false},
		{clerks, "", false},
		{Policy{}, Clerk, false},
		{Policy{}, Administrator, true},
		{Policy{Public: true}, "", true},
	}
	for _, tt := range tests {
		if got := tt.policy.Allows(Identity{Role: tt.role}); got != tt.want {
			t.Errorf("%+v allows %q: %v", tt.policy, tt.role, got)
		}
	}
	ctx := WithIdentity(t.Context(), Identity{Role: Department, Department: "market"})
	if !MayActFor(ctx, "market") || MayActFor(ctx, "civil") || MayActFor(t.Context(), "market") || MayActFor(ctx, "") {
		t.Error("MayActFor")
	}
	if !MayActFor(WithIdentity(t.Context(), Identity{Role: Administrator}), "civil") {
		t.Error("an administrator may act for every department")
	}
}
