package access

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// EnsureSample gives a new installation one token per sample role: for every
// id, dir/<role>.token (mode 0600) holds a token that authenticates as id.
// What is right is left alone, so it can be called at every start.
//
// The file is on disk before the row that makes it valid: a process killed
// between the two leaves a file that opens nothing, and the next call replaces
// it. A file that was lost is written anew. A name whose tokens were revoked
// gets no sample token again. Ids must differ in role.
func (t *Tokens) EnsureSample(ctx context.Context, dir string, ids ...Identity) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("access: sample tokens: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("access: sample tokens: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	seen := map[Role]bool{}
	for _, id := range ids {
		if err := id.validate(); err != nil {
			return err
		}
		if seen[id.Role] {
			return fmt.Errorf("%w: two sample tokens for the role %s would share one file", ErrIdentity, id.Role)
		}
		seen[id.Role] = true
		if err := t.ensureFile(ctx, root, string(id.Role)+".token", id); err != nil {
			return fmt.Errorf("access: sample token %s: %w", filepath.Join(dir, string(id.Role)+".token"), err)
		}
	}
	return nil
}

func (t *Tokens) ensureFile(ctx context.Context, root *os.Root, file string, id Identity) error {
	text, err := root.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if token := strings.TrimSpace(string(text)); wellFormed(token) {
		stored, _, err := t.lookup(ctx, hashOf(token))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && stored == id {
			return root.Chmod(file, 0o600)
		}
	}
	revoked, err := t.wasRevoked(ctx, id.Name)
	if err != nil || revoked {
		return err
	}
	token := newToken()
	if err := replaceFile(root, file, token+"\n"); err != nil {
		return err
	}
	return t.store(ctx, token, id)
}

func (t *Tokens) wasRevoked(ctx context.Context, name string) (bool, error) {
	var n int
	err := t.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM access_tokens WHERE name = $1 AND revoked_at <> 0`, name).Scan(&n)
	return n > 0, err
}

// replaceFile puts text into a file so that after a crash it has the old
// contents or the new, and when it returns the new are on disk.
func replaceFile(root *os.Root, name, text string) error {
	temporary := name + ".new"
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := root.Rename(temporary, name); err != nil {
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
