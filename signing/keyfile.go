package signing

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"
)

// A sealed key file, numbers big-endian:
//
//	 0  7  magic "ONEWKEY"
//	 7  1  version, 1
//	 8  4  generation: rises with each rotation, the highest one signs
//	12  4  argon2id passes
//	16  4  argon2id memory, KiB
//	20  1  argon2id lanes
//	21 16  salt
//	37 12  AES-256-GCM nonce
//	49  n  sealed PKCS#8 private key with tag; bytes 0–48 are the associated data
//	    32 SHA-256 of all before it
//
// The digest protects nothing: it tells a damaged file from a wrong passphrase.
const (
	keyFileMagic   = "ONEWKEY"
	keyFileVersion = 1
	keyFileHeader  = 49
	keyFileMax     = 8 << 10
	saltOffset     = 21
	nonceOffset    = 37
)

// The bounds keep a hostile file from asking for unbounded memory or time.
const (
	maxKDFPasses = 16
	maxKDFMemory = 256 << 10 // KiB
	maxKDFLanes  = 16
)

// kdf holds argon2id parameters (RFC 9106); memory in KiB.
type kdf struct {
	passes, memory uint32
	lanes          uint8
}

// standardKDF is the second recommended choice of RFC 9106 §4: 64 MiB.
func standardKDF() kdf { return kdf{passes: 3, memory: 64 << 10, lanes: 4} }

func (p kdf) aead(passphrase, salt []byte) (cipher.AEAD, error) {
	secret := argon2.IDKey(passphrase, salt, p.passes, p.memory, p.lanes, 32)
	defer clear(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sealedKey is a key file that is whole and within bounds, but not yet opened.
type sealedKey struct {
	generation uint32
	kdf        kdf
	header     []byte
	ciphertext []byte
}

func sealKey(key *ecdsa.PrivateKey, generation uint32, passphrase []byte, p kdf) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	defer clear(plain)
	file := append([]byte(keyFileMagic), keyFileVersion)
	file = binary.BigEndian.AppendUint32(file, generation)
	file = binary.BigEndian.AppendUint32(file, p.passes)
	file = binary.BigEndian.AppendUint32(file, p.memory)
	file = append(file, p.lanes)
	file = append(file, make([]byte, keyFileHeader-saltOffset)...)
	if _, err := rand.Read(file[saltOffset:]); err != nil { // salt and nonce
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	aead, err := p.aead(passphrase, file[saltOffset:nonceOffset])
	if err != nil {
		return nil, fmt.Errorf("seal private key: %w", err)
	}
	file = aead.Seal(file, file[nonceOffset:keyFileHeader], plain, file[:keyFileHeader:keyFileHeader])
	sum := sha256.Sum256(file)
	return append(file, sum[:]...), nil
}

// parseKeyFile checks everything that costs nothing, so that no key is
// derived for a file that cannot be opened anyway.
func parseKeyFile(file []byte) (sealedKey, error) {
	if len(file) < keyFileHeader+sha256.Size || len(file) > keyFileMax {
		return sealedKey{}, fmt.Errorf("%w: %d bytes long", ErrKeyFile, len(file))
	}
	if !bytes.HasPrefix(file, []byte(keyFileMagic)) {
		return sealedKey{}, fmt.Errorf("%w: not a key file", ErrKeyFile)
	}
	if v := file[len(keyFileMagic)]; v != keyFileVersion {
		return sealedKey{}, fmt.Errorf("%w: version %d, this program reads %d", ErrKeyFile, v, keyFileVersion)
	}
	body, digest := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], digest) {
		return sealedKey{}, fmt.Errorf("%w: checksum differs; restore it from a backup", ErrKeyFile)
	}
	s := sealedKey{
		generation: binary.BigEndian.Uint32(file[8:]),
		kdf: kdf{
			passes: binary.BigEndian.Uint32(file[12:]),
			memory: binary.BigEndian.Uint32(file[16:]),
			lanes:  file[20],
		},
		header:     body[:keyFileHeader],
		ciphertext: body[keyFileHeader:],
	}
	p := s.kdf
	if p.passes < 1 || p.passes > maxKDFPasses || p.lanes < 1 || p.lanes > maxKDFLanes ||
		p.memory < 8*uint32(p.lanes) || p.memory > maxKDFMemory {
		return sealedKey{}, fmt.Errorf("%w: argon2id asks for %d passes, %d KiB, %d lanes; limits are %d, %d, %d",
			ErrKeyFile, p.passes, p.memory, p.lanes, maxKDFPasses, maxKDFMemory, maxKDFLanes)
	}
	return s, nil
}

func (s sealedKey) open(passphrase []byte) (*ecdsa.PrivateKey, error) {
	aead, err := s.kdf.aead(passphrase, s.header[saltOffset:nonceOffset])
	if err != nil {
		return nil, fmt.Errorf("open private key: %w", err)
	}
	plain, err := aead.Open(nil, s.header[nonceOffset:], s.ciphertext, s.header)
	if err != nil {
		return nil, ErrPassphrase
	}
	defer clear(plain)
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: private key: %w", ErrKeyFile, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: holds a %T", ErrKeyFile, parsed)
	}
	if _, err := es256Key(&key.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return key, nil
}

// writeFile puts data at dir/name so that after a crash the file is there
// whole or not at all, and is on disk when writeFile returns nil.
func writeFile(dir, name string, data []byte) (err error) {
	tmp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// makeFolder creates dir if it is absent, durably: a key in a folder that a
// crash takes away is lost too.
func makeFolder(dir string) error {
	switch _, err := os.Stat(dir); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return err
	}
	return d.Close()
}
