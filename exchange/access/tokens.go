package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// tokenPrefix lets secret scanners find a token that got into a file.
	tokenPrefix = "ow_"
	tokenLength = len(tokenPrefix) + 43

	rememberFor   = time.Second
	maxRemembered = 4096
)

// Tokens issues, checks and revokes bearer tokens. Its methods may be called
// concurrently, and by several processes on one database.
type Tokens struct {
	db  *sqldb.DB
	now func() time.Time

	mu         sync.Mutex
	remembered map[string]remembered // by hash
}

type remembered struct {
	identity Identity
	until    time.Time
}

// NewTokens brings the schema up to date and returns the tokens of db.
func NewTokens(ctx context.Context, db *sqldb.DB) (*Tokens, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	if err := db.Migrate(ctx, "access", dir); err != nil {
		return nil, err
	}
	return &Tokens{db: db, now: time.Now, remembered: map[string]remembered{}}, nil
}

// Issue makes a token for id and returns it; this is the only time it can be
// read. Several tokens may have one name, so that one can be replaced without
// a gap. It wraps [ErrIdentity] when id makes no sense.
func (t *Tokens) Issue(ctx context.Context, id Identity) (string, error) {
	if err := id.validate(); err != nil {
		return "", err
	}
	token := newToken()
	if err := t.store(ctx, token, id); err != nil {
		return "", err
	}
	return token, nil
}

// Authenticate returns whose token it is. It returns [ErrUnauthenticated] for
// a token that does not hold; any other error means that the database could
// not be asked.
func (t *Tokens) Authenticate(ctx context.Context, token string) (Identity, error) {
	if !wellFormed(token) {
		return Identity{}, ErrUnauthenticated
	}
	hash := hashOf(token)
	now := t.now()
	t.mu.Lock()
	known, ok := t.remembered[hash]
	t.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.identity, nil
	}
	id, revoked, err := t.lookup(ctx, hash)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && revoked:
		return Identity{}, ErrUnauthenticated
	case err != nil:
		return Identity{}, fmt.Errorf("access: check token: %w", err)
	}
	t.remember(hash, remembered{identity: id, until: now.Add(rememberFor)})
	return id, nil
}

// Revoke makes every token of that name invalid, for good. It wraps
// [ErrNotFound] when there is none.
func (t *Tokens) Revoke(ctx context.Context, name string) error {
	result, err := t.db.ExecContext(ctx, `UPDATE access_tokens SET revoked_at = $1 WHERE name = $2 AND revoked_at = 0`,
		t.now().UnixMicro(), name)
	if err != nil {
		return fmt.Errorf("access: revoke %q: %w", name, err)
	}
	t.mu.Lock()
	clear(t.remembered)
	t.mu.Unlock()
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("access: revoke %q: %w", name, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: no valid token is named %q", ErrNotFound, name)
	}
	return nil
}

// remember keeps an identity; when there are too many, an arbitrary other one
// is forgotten, which costs its bearer one query.
func (t *Tokens) remember(hash string, r remembered) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.remembered) >= maxRemembered {
		for other := range t.remembered {
			delete(t.remembered, other)
			break
		}
	}
	t.remembered[hash] = r
}

func (t *Tokens) store(ctx context.Context, token string, id Identity) error {
	return t.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO access_tokens (hash, name, role, department, issued_at, revoked_at) VALUES ($1, $2, $3, $4, $5, 0)`,
			hashOf(token), id.Name, string(id.Role), id.Department, t.now().UnixMicro())
		if err != nil {
			return fmt.Errorf("access: store token of %q: %w", id.Name, err)
		}
		return nil
	})
}

func (t *Tokens) lookup(ctx context.Context, hash string) (id Identity, revoked bool, err error) {
	var revokedAt int64
	err = t.db.QueryRowContext(ctx, `SELECT name, role, department, revoked_at FROM access_tokens WHERE hash = $1`, hash).
		Scan(&id.Name, &id.Role, &id.Department, &revokedAt)
	return id, revokedAt != 0, err
}

// newToken returns 256 random bits in base64url.
func newToken() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

func wellFormed(token string) bool {
	return len(token) == tokenLength && strings.HasPrefix(token, tokenPrefix)
}

// hashOf needs no salt and no slow function: the token has 256 random bits.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// validate says whether a token can be issued for id.
func (id Identity) validate() error {
	unprintable := strings.ContainsFunc(id.Name, func(r rune) bool { return !unicode.IsPrint(r) })
	switch {
	case id.Name == "" || len(id.Name) > 128 || unprintable:
		return fmt.Errorf("%w: the name must be 1 to 128 bytes of printable text", ErrIdentity)
	case id.Role == Department && id.Department == "":
		return fmt.Errorf("%w: %q: the role department needs a department code", ErrIdentity, id.Name)
	case id.Role != Department && id.Department != "":
		return fmt.Errorf("%w: %q: only the role department has a department code", ErrIdentity, id.Name)
	}
	switch id.Role {
	case Administrator, Department, Clerk, Analyst:
		return nil
	}
	return fmt.Errorf("%w: %q: unknown role %q", ErrIdentity, id.Name, id.Role)
}
