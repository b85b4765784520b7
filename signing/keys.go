package signing

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

const keyFileSuffix = ".key"

// Keys are the signing keys of one folder. The key of the highest generation
// is active and signs; all older ones are retired and only verify. Nothing
// else records the state, so one file write rotates. Keys is safe for
// concurrent use, and is a KeyResolver for its own keys.
type Keys struct {
	dir        string
	passphrase []byte
	kdf        kdf
	logger     *slog.Logger

	rotating sync.Mutex
	current  atomic.Pointer[keyRing]
}

// keyRing is an immutable view of the folder, ordered old to new, never empty.
type keyRing struct {
	keys  []softwareKey
	byKID map[string]*ecdsa.PrivateKey
}

type softwareKey struct {
	kid        string
	generation uint32
	private    *ecdsa.PrivateKey
}

func (r *keyRing) active() softwareKey { return r.keys[len(r.keys)-1] }

// OpenKeys opens every key file (*.key) of a folder with the passphrase. An
// absent or empty folder gets its first ES256 key, which is on disk before
// OpenKeys returns; a folder with keys is never added to. It takes about a
// tenth of a second and 64 MiB per key, one after the other.
//
// The passphrase is kept in memory for Rotate. An empty or wrong one is
// ErrPassphrase, a damaged file ErrKeyFile, each with the file's name: one
// bad file refuses all, since a lost retired key would quietly make every
// licence signed with it unverifiable. One process at a time should own a
// folder: another one sees its rotations only when it opens the folder again.
func OpenKeys(dir string, passphrase []byte, logger *slog.Logger) (*Keys, error) {
	return openKeys(dir, passphrase, logger, standardKDF())
}

func openKeys(dir string, passphrase []byte, logger *slog.Logger, p kdf) (*Keys, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("create key folder: %w", err)
	}
	k := &Keys{dir: dir, passphrase: bytes.Clone(passphrase), kdf: p, logger: logger}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read key folder: %w", err)
	}
	var keys []softwareKey
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), keyFileSuffix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		key, err := k.load(path)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		first, err := k.create(1)
		if err != nil {
			return nil, err
		}
		// A warning: on a folder that was mounted empty by mistake this is the
		// only sign that tokens signed before will not verify any more.
		logger.LogAttrs(context.Background(), slog.LevelWarn, "key folder was empty, first signing key created", slog.String("kid", first.kid))
		keys = append(keys, first)
	}
	ring, err := newKeyRing(keys)
	if err != nil {
		return nil, fmt.Errorf("key folder %s: %w", dir, err)
	}
	k.current.Store(ring)
	return k, nil
}

func newKeyRing(keys []softwareKey) (*keyRing, error) {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b softwareKey) int {
		return cmp.Or(cmp.Compare(a.generation, b.generation), strings.Compare(a.kid, b.kid))
	})
	ring := &keyRing{keys: keys, byKID: make(map[string]*ecdsa.PrivateKey, len(keys))}
	for _, key := range keys {
		if _, dup := ring.byKID[key.kid]; dup {
			return nil, fmt.Errorf("%w: key %s is there twice; move one copy away", ErrKeyFile, key.kid)
		}
		ring.byKID[key.kid] = key.private
	}
	return ring, nil
}

func (k *Keys) load(path string) (softwareKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return softwareKey{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, keyFileMax+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return softwareKey{}, err
	}
	sealed, err := parseKeyFile(data)
	if err != nil {
		return softwareKey{}, err
	}
	private, err := sealed.open(k.passphrase)
	if err != nil {
		return softwareKey{}, err
	}
	kid, err := Thumbprint(&private.PublicKey)
	if err != nil {
		return softwareKey{}, err
	}
	return softwareKey{kid: kid, generation: sealed.generation, private: private}, nil
}

// create makes a key that is durable when it returns. The name carries the
// kid, so the rename can never replace another key.
func (k *Keys) create(generation uint32) (softwareKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return softwareKey{}, fmt.Errorf("generate key: %w", err)
	}
	kid, err := Thumbprint(&private.PublicKey)
	if err != nil {
		return softwareKey{}, err
	}
	file, err := sealKey(private, generation, k.passphrase, k.kdf)
	if err != nil {
		return softwareKey{}, err
	}
	name := fmt.Sprintf("%06d-%s%s", generation, kid, keyFileSuffix)
	if err := writeFile(k.dir, name, file); err != nil {
		return softwareKey{}, fmt.Errorf("write key file %s: %w", filepath.Join(k.dir, name), err)
	}
	return softwareKey{kid: kid, generation: generation, private: private}, nil
}

// Rotate makes a new active key and returns its kid; the one before is
// retired and keeps verifying. When Rotate returns nil the key is on disk;
// after an error or a crash the old or the new key is active at the next
// OpenKeys, and both verify.
func (k *Keys) Rotate(ctx context.Context) (string, error) {
	k.rotating.Lock()
	defer k.rotating.Unlock()
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("rotate: %w", err)
	}
	old := k.current.Load()
	key, err := k.create(old.active().generation + 1)
	if err != nil {
		return "", fmt.Errorf("rotate: %w", err)
	}
	ring, err := newKeyRing(append(slices.Clone(old.keys), key))
	if err != nil {
		return "", fmt.Errorf("rotate: %w", err)
	}
	k.current.Store(ring)
	k.logger.InfoContext(ctx, "signing key rotated", slog.String("kid", key.kid), slog.String("retired", old.active().kid))
	return key.kid, nil
}

// ActiveKeyID is the kid of the key that signs now.
func (k *Keys) ActiveKeyID() string { return k.current.Load().active().kid }

// Key returns the public key of an active or retired key, or ErrUnknownKey.
func (k *Keys) Key(kid string) (crypto.PublicKey, error) {
	private, ok := k.current.Load().byKID[kid]
	if !ok {
		return nil, fmt.Errorf("%w: %.64q", ErrUnknownKey, kid)
	}
	return &private.PublicKey, nil
}

// JWKS is the JWK set (RFC 7517) of all public keys, active and retired, the
// newest first, each with kid, alg and use. ParseJWKS reads it.
func (k *Keys) JWKS() ([]byte, error) {
	type jwk struct {
		KTY string `json:"kty"`
		CRV string `json:"crv"`
		X   string `json:"x"`
		Y   string `json:"y"`
		KID string `json:"kid"`
		ALG string `json:"alg"`
		Use string `json:"use"`
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	for _, key := range slices.Backward(k.current.Load().keys) {
		x, y, err := coordinates(&key.private.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("key set: key %s: %w", key.kid, err)
		}
		set.Keys = append(set.Keys, jwk{KTY: "EC", CRV: "P-256", X: x, Y: y, KID: key.kid, ALG: ES256, Use: "sig"})
	}
	return strict.Encode(set)
}

// Sign makes a compact JWS of the payload with the active key; its protected
// header holds alg, kid and typ. It fails with ErrMalformed for an empty typ
// or payload, and with the context's error.
func (k *Keys) Sign(ctx context.Context, typ string, payload []byte) (string, error) {
	key := k.current.Load().active()
	return signES256(ctx, typ, payload, key.kid, key.private)
}
