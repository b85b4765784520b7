package keys

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/durable"
)

// State is where a key is in its life. It only moves forward.
type State string

// The states.
const (
	// Created is made, and known to nobody outside.
	Created State = "created"
	// Published is in the key set, so that verifiers get it before its first token.
	Published State = "published"
	// Active signs; a line has at most one such key.
	Active State = "active"
	// Retired verifies only.
	Retired State = "retired"
	// Destroyed verifies only, and its private part is gone.
	Destroyed State = "destroyed"
)

// Config is what a ring needs. All fields but Tokens are required.
type Config struct {
	// Dir is the ring's folder. It is made if it is absent.
	Dir string
	// Passphrase seals the folder. Open does not keep it.
	Passphrase []byte
	// Tokens are the devices that keys may live in, by the name in Spec.Token.
	Tokens map[string]Token
	// Uses records each use of a key.
	Uses UseLog
	// CachePeriod is how long verifiers may keep a key set: the time from a
	// key's publication to its first use.
	CachePeriod time.Duration
	Now         func() time.Time
	Logger      *slog.Logger
}

func (c Config) validate() error {
	if len(c.Passphrase) == 0 {
		return fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	if c.Dir == "" || c.Uses == nil || c.Now == nil || c.Logger == nil || c.CachePeriod < 0 {
		return fmt.Errorf("%w: a ring needs a folder, a use log, a clock, a logger and a cache period of 0 or more", ErrInvalid)
	}
	return nil
}

// Key is what is known of a key without its private part. Times that have not
// come are zero.
type Key struct {
	ID        string // RFC 7638 thumbprint.
	Line      string
	Algorithm string // signing.ES256, ….
	Token     string // empty for a sealed file.
	State     State
	Public    crypto.PublicKey
	Chain     [][]byte // certificates in DER, leaf first; empty without.

	Created, Published, Active, Retired, Destroyed time.Time

	// DestroyRequestedBy is who asked for its destruction, while that may still
	// be approved.
	DestroyRequestedBy string
}

// Ring is the keys of one folder. It is safe for concurrent use, and a
// signing.KeyResolver for its keys.
type Ring struct {
	dir     string
	vault   *vault
	tokens  map[string]Token
	uses    UseLog
	cache   time.Duration
	now     func() time.Time
	logger  *slog.Logger
	lock    *os.File
	current atomic.Pointer[snapshot]

	changing sync.Mutex // held while the manifest is written.
	closed   bool       // guarded by changing.
}

// snapshot is an immutable view of the keys, oldest first.
type snapshot struct {
	keys   []entry
	byID   map[string]int
	active map[string]int // by line.
}

func newSnapshot(keys []entry) *snapshot {
	s := &snapshot{keys: keys, byID: make(map[string]int, len(keys)), active: map[string]int{}}
	for i, e := range keys {
		s.byID[e.ID] = i
		if e.State == Active {
			s.active[e.Line] = i
		}
	}
	return s
}

// private is the private part of a key that may sign.
type private struct {
	mu     sync.RWMutex
	signer crypto.Signer
}

// errRetired reports a key that was found active and is so no more.
var errRetired = fmt.Errorf("%w: the key was retired or the ring closed meanwhile; ask for the line's key again", ErrState)

// use runs do with the signer, unless the key was retired or the ring closed.
func (p *private) use(do func(crypto.Signer) error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.signer == nil {
		return errRetired
	}
	return do(p.signer)
}

// end returns when no signature is being made and none will be any more.
func (p *private) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signer = nil
}

// Open opens the ring of a folder, or begins an empty one in a folder without
// keys. It takes about a tenth of a second and 64 MiB, then little per key.
//
// ErrPassphrase reports a wrong passphrase, durable.ErrBusy a folder in use, ErrDamaged
// and ErrTampered a bad file with its name: one bad file refuses all, so that
// it is mended while a backup still has it. A key that a token does not find is
// ErrDamaged too; retired keys are not looked for. What a crash left unfinished
// is finished: the private part of a destroyed key is removed. A key file that
// the manifest does not know is left alone, with a warning.
func Open(ctx context.Context, c Config) (*Ring, error) {
	return open(ctx, c, standardKDF())
}

func open(ctx context.Context, c Config, p kdf) (*Ring, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := durable.MakeDir(c.Dir); err != nil {
		return nil, fmt.Errorf("create key folder: %w", err)
	}
	lock, err := durable.Lock(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("key folder: %w", err)
	}
	r := &Ring{
		dir: c.Dir, tokens: c.Tokens, uses: c.Uses, cache: c.CachePeriod,
		now: func() time.Time { return c.Now().UTC().Round(0) }, logger: c.Logger, lock: lock,
	}
	if err := r.load(ctx, c.Passphrase, p); err != nil {
		return nil, errors.Join(fmt.Errorf("key folder %s: %w", c.Dir, err), lock.Close())
	}
	return r, nil
}

func (r *Ring) load(ctx context.Context, passphrase []byte, p kdf) error {
	names, err := r.files(ctx)
	if err != nil {
		return err
	}
	data, err := readBounded(filepath.Join(r.dir, ManifestFile), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return r.begin(ctx, passphrase, p, names)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ManifestFile, err)
	}
	m, err := decodeManifest(data)
	if err != nil {
		return fmt.Errorf("%s: %w", ManifestFile, err)
	}
	if r.vault, err = newVault(passphrase, m.KDF); err != nil {
		return err
	}
	if err := m.verify(r.vault); err != nil {
		return fmt.Errorf("%s: %w", ManifestFile, err)
	}
	for i := range m.Keys {
		e := &m.Keys[i]
		if err := r.loadPrivate(ctx, e); err != nil {
			return err
		}
		if i := slices.Index(names, e.ID+keyFileSuffix); i >= 0 {
			names = slices.Delete(names, i, i+1)
			// A backup may have brought it back.
			e.Remnant = e.Remnant || e.State == Destroyed
		}
	}
	for _, name := range names {
		r.logger.WarnContext(ctx, "key file is not in the manifest: a key whose making was interrupted, or the manifest is an old one",
			slog.String("file", name))
	}
	r.current.Store(newSnapshot(m.Keys))
	return r.finishDestructions(ctx)
}

// files lists the key files, and removes what writes that a crash interrupted
// have left.
func (r *Ring) files(ctx context.Context) (names []string, err error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), keyFileSuffix):
			names = append(names, e.Name())
		case strings.HasPrefix(e.Name(), ".new-"):
			if err := durable.Remove(r.dir, e.Name()); err != nil {
				r.logger.WarnContext(ctx, "unfinished file cannot be removed", slog.String("file", e.Name()), slog.Any("error", err))
			}
		}
	}
	return names, nil
}

// begin writes the first manifest, so that the salt is there before any key.
func (r *Ring) begin(ctx context.Context, passphrase []byte, p kdf, names []string) error {
	if len(names) > 0 {
		return fmt.Errorf("%w: %s is not there but key files are; restore it from a backup, or name an empty folder", ErrDamaged, ManifestFile)
	}
	p.Salt = make([]byte, saltSize)
	if _, err := rand.Read(p.Salt); err != nil {
		return fmt.Errorf("read random bytes: %w", err)
	}
	var err error
	if r.vault, err = newVault(passphrase, p); err != nil {
		return err
	}
	// A warning: on a folder that was mounted empty by mistake this is the
	// only sign that nothing signed before will verify any more.
	r.logger.WarnContext(ctx, "key folder was empty, an empty ring begins", slog.String("dir", r.dir))
	return r.commit(nil)
}

func (r *Ring) loadPrivate(ctx context.Context, e *entry) error {
	switch {
	case e.State == Destroyed:
		return nil
	case e.Token == "":
		name := e.ID + keyFileSuffix
		file, err := readBounded(filepath.Join(r.dir, name), keyFileMax)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s of line %s is not there; restore it from a backup", ErrDamaged, name, e.Line)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		signer, err := r.vault.open(e.ID, file)
		if err != nil {
			return fmt.Errorf("%s of line %s: %w", name, e.Line, err)
		}
		if e.State != Retired {
			e.private = &private{signer: signer}
		}
	case e.State != Retired:
		token, ok := r.tokens[e.Token]
		if !ok {
			return fmt.Errorf("%w: key %s of line %s is in token %q, which is not configured", ErrInvalid, e.ID, e.Line, e.Token)
		}
		signer, err := token.Find(ctx, e.TokenID)
		if err != nil {
			return fmt.Errorf("key %s of line %s in token %q: %w", e.ID, e.Line, e.Token, err)
		}
		if kid, err := signing.Thumbprint(signer.Public()); err != nil || kid != e.ID {
			return errors.Join(fmt.Errorf("%w: token %q has key %q instead of %s of line %s", ErrTampered, e.Token, kid, e.ID, e.Line), err)
		}
		e.private = &private{signer: signer}
	}
	return nil
}

// commit makes keys the ring's: first on disk, then in memory. After an error
// the disk may have either; the next Open decides. The caller holds changing.
func (r *Ring) commit(keys []entry) error {
	data, err := encodeManifest(r.vault, keys)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(r.dir, ManifestFile, data); err != nil {
		return fmt.Errorf("write %s: %w", ManifestFile, err)
	}
	r.current.Store(newSnapshot(keys))
	return nil
}

// Close waits for signatures under way, forgets the private keys and lets
// another process have the folder. Public keys can still be read.
func (r *Ring) Close() error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	for _, e := range r.current.Load().keys {
		e.private.end()
	}
	clear(r.vault.mac)
	r.vault = nil
	return r.lock.Close()
}

// List returns all keys by line, those of a line oldest first.
func (r *Ring) List() []Key {
	keys := r.current.Load().keys
	list := make([]Key, 0, len(keys))
	for i := range keys {
		list = append(list, r.view(&keys[i]))
	}
	slices.SortStableFunc(list, func(a, b Key) int { return cmp.Compare(a.Line, b.Line) })
	return list
}

// Active returns the key of a line that signs, or ErrNoActiveKey.
func (r *Ring) Active(line string) (Key, error) {
	s := r.current.Load()
	e, err := s.activeOf(line)
	if err != nil {
		return Key{}, err
	}
	return r.view(e), nil
}

// Key returns the public key of a kid that was ever published, or
// signing.ErrUnknownKey.
func (r *Ring) Key(kid string) (crypto.PublicKey, error) {
	s := r.current.Load()
	e, err := s.entry(kid)
	if err == nil && e.Published.IsZero() {
		err = fmt.Errorf("%w: %.64q is not published", signing.ErrUnknownKey, kid)
	}
	if err != nil {
		return nil, err
	}
	return e.public, nil
}

// PublicKeys returns the keys that were ever published, of the lines named or,
// if none is, of all, newest first: what signing.MarshalJWKS makes a key set of.
func (r *Ring) PublicKeys(line ...string) []signing.PublicKey {
	var list []signing.PublicKey
	for _, e := range slices.Backward(r.current.Load().keys) {
		if !e.Published.IsZero() && (len(line) == 0 || slices.Contains(line, e.Line)) {
			list = append(list, signing.PublicKey{KeyID: e.ID, Key: e.public, Chain: cloneChain(e.Chain)})
		}
	}
	return list
}

func (s *snapshot) entry(kid string) (*entry, error) {
	i, ok := s.byID[kid]
	if !ok {
		return nil, fmt.Errorf("%w: %.64q", signing.ErrUnknownKey, kid)
	}
	return &s.keys[i], nil
}

func (s *snapshot) activeOf(line string) (*entry, error) {
	i, ok := s.active[line]
	if !ok {
		return nil, fmt.Errorf("%w: line %.80q; publish a key of it and activate it", ErrNoActiveKey, line)
	}
	return &s.keys[i], nil
}

func (r *Ring) view(e *entry) Key {
	key := Key{
		ID: e.ID, Line: e.Line, Algorithm: e.Algorithm, Token: e.Token, State: e.State, Public: e.public, Chain: cloneChain(e.Chain),
		Created: e.Created, Published: e.Published, Active: e.Active, Retired: e.Retired, Destroyed: e.Destroyed,
	}
	if e.requested(r.now()) {
		key.DestroyRequestedBy = e.DestroyRequestedBy
	}
	return key
}

func cloneChain(chain [][]byte) [][]byte {
	clone := slices.Clone(chain)
	for i := range clone {
		clone[i] = bytes.Clone(clone[i])
	}
	return clone
}
