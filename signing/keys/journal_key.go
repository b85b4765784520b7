package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/durable"
)

const logKeyFile = "log.key"

// sealedLogKey is log.key: the key that signs heads and tail notes, sealed as
// the keys of a ring are. Check is a keyed digest of KDF, as in the manifest.
type sealedLogKey struct {
	KDF    kdf    `json:"kdf"`
	Check  string `json:"check"`
	Public []byte `json:"public"`
	Sealed []byte `json:"sealed"`
}

// logKey is the key of a log; for an audit without its private part.
type logKey struct {
	id      string
	public  ed25519.PublicKey
	private crypto.Signer
	file    sealedLogKey
}

// readLogKey reads the public part, unauthenticated. Without a file it is nil.
func readLogKey(dir string) (*logKey, error) {
	data, err := readBounded(filepath.Join(dir, logKeyFile), 4*keyFileMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // a log of an older version has none
	}
	if err != nil {
		return nil, err
	}
	k := &logKey{}
	if err := json.Unmarshal(data, &k.file); err != nil || len(k.file.Public) != ed25519.PublicKeySize {
		return nil, errors.Join(fmt.Errorf("%w: %s is damaged; restore it from a backup", ErrJournal, logKeyFile), err)
	}
	k.public = k.file.Public
	k.id, err = signing.Thumbprint(k.public)
	return k, err
}

// openLogKey reads and opens the key, if there is one.
func openLogKey(dir string, passphrase []byte) (*logKey, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	k, err := readLogKey(dir)
	if k == nil || err != nil {
		return nil, err
	}
	if err := k.file.KDF.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", logKeyFile, err)
	}
	v, err := newVault(passphrase, k.file.KDF)
	if err != nil {
		return nil, err
	}
	check, err := checkValue(v)
	if err != nil {
		return nil, err
	}
	if check != k.file.Check {
		return nil, fmt.Errorf("%s: %w", logKeyFile, ErrPassphrase)
	}
	if k.private, err = v.open(k.id, k.file.Sealed); err != nil {
		return nil, fmt.Errorf("%s: %w", logKeyFile, err)
	}
	return k, nil
}

// makeLogKey makes the key of a log and writes it to disk. It is made when the
// log is first opened, since the passphrase is not kept until a segment ends.
func makeLogKey(dir string, passphrase []byte, params kdf) (*logKey, error) {
	params.Salt = make([]byte, saltSize)
	if _, err := rand.Read(params.Salt); err != nil {
		return nil, err
	}
	v, err := newVault(passphrase, params)
	if err != nil {
		return nil, err
	}
	k := &logKey{}
	if k.public, k.private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if k.id, err = signing.Thumbprint(k.public); err != nil {
		return nil, err
	}
	k.file = sealedLogKey{KDF: params, Public: k.public}
	if k.file.Check, err = checkValue(v); err != nil {
		return nil, err
	}
	if k.file.Sealed, err = v.seal(k.id, k.private); err != nil {
		return nil, err
	}
	data, err := json.Marshal(k.file)
	if err != nil {
		return nil, err
	}
	return k, durable.WriteFile(dir, logKeyFile, data)
}

func (k *logKey) sign(text []byte) ([]byte, error) {
	return k.private.Sign(rand.Reader, text, crypto.Hash(0))
}

// verify reports a signature that the key of the log did not make.
func (k *logKey) verify(text, signature []byte) error {
	if k == nil {
		return fmt.Errorf("%s is missing; restore it from a backup", logKeyFile)
	}
	if !ed25519.Verify(k.public, text, signature) {
		return errors.New("the key of the log did not sign it; restore the folder from a backup")
	}
	return nil
}
