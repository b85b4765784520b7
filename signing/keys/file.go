package keys

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/argon2"

	"github.com/onewindow/onewindow/signing"
)

// A sealed key file:
//
//	 0  7  magic "ONEWKEY"
//	 7  1  version, 2
//	 8 12  AES-256-GCM nonce
//	20  n  sealed PKCS#8 private key with tag; the associated data are the
//	       bytes 0–19 and the kid, so that no file passes for another
//	    32 SHA-256 of all before it
//
// The digest protects nothing: it tells a damaged file from a changed one.
const (
	keyFileMagic   = "ONEWKEY"
	keyFileVersion = 2
	keyFileNonce   = 8
	keyFileHeader  = 20
	keyFileMax     = 4 << 10
	keyFileSuffix  = ".key"
)

// The bounds keep a hostile manifest from asking for unbounded memory or time.
const (
	maxKDFPasses = 16
	maxKDFMemory = 256 << 10 // KiB
	maxKDFLanes  = 16
	saltSize     = 16
)

// kdf holds argon2id parameters (RFC 9106); memory in KiB.
type kdf struct {
	Salt   []byte `json:"salt"`
	Passes uint32 `json:"passes"`
	Memory uint32 `json:"memory"`
	Lanes  uint8  `json:"lanes"`
}

// standardKDF is the second recommended choice of RFC 9106 §4: 64 MiB.
func standardKDF() kdf { return kdf{Passes: 3, Memory: 64 << 10, Lanes: 4} }

func (p kdf) validate() error {
	if len(p.Salt) != saltSize || p.Passes < 1 || p.Passes > maxKDFPasses || p.Lanes < 1 || p.Lanes > maxKDFLanes ||
		p.Memory < 8*uint32(p.Lanes) || p.Memory > maxKDFMemory {
		return fmt.Errorf("%w: argon2id asks for %d bytes of salt, %d passes, %d KiB, %d lanes; limits are %d, %d, %d, %d",
			ErrDamaged, len(p.Salt), p.Passes, p.Memory, p.Lanes, saltSize, maxKDFPasses, maxKDFMemory, maxKDFLanes)
	}
	return nil
}

// vault holds what the passphrase of a folder opens: one argon2id derivation
// for all files, since a hub has a key per department.
type vault struct {
	kdf   kdf
	files cipher.AEAD
	mac   []byte
}

func newVault(passphrase []byte, p kdf) (*vault, error) {
	master := argon2.IDKey(passphrase, p.Salt, p.Passes, p.Memory, p.Lanes, 32)
	defer clear(master)
	fileKey, err := hkdf.Expand(sha256.New, master, "onewindow key files 2", 32)
	if err != nil {
		return nil, err
	}
	defer clear(fileKey)
	mac, err := hkdf.Expand(sha256.New, master, "onewindow key manifest 2", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(fileKey)
	if err != nil {
		return nil, err
	}
	files, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &vault{kdf: p, files: files, mac: mac}, nil
}

// authenticate is a keyed digest of the parts; label keeps its uses apart.
func (v *vault) authenticate(label string, data []byte) []byte {
	mac := hmac.New(sha256.New, v.mac)
	mac.Write([]byte(label + "\x00"))
	mac.Write(data)
	return mac.Sum(nil)
}

// seal makes the key file of a software key.
func (v *vault) seal(kid string, private crypto.Signer) ([]byte, error) {
	plain, err := smx509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	defer clear(plain)
	file := append([]byte(keyFileMagic), keyFileVersion)
	file = append(file, make([]byte, keyFileHeader-keyFileNonce)...)
	if _, err := rand.Read(file[keyFileNonce:]); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	file = v.files.Seal(file, file[keyFileNonce:keyFileHeader], plain, associated(file[:keyFileHeader], kid))
	sum := sha256.Sum256(file)
	return append(file, sum[:]...), nil
}

// open opens a key file, whose key must be the one with that kid.
func (v *vault) open(kid string, file []byte) (crypto.Signer, error) {
	header, sealed, err := splitKeyFile(file)
	if err != nil {
		return nil, err
	}
	plain, err := v.files.Open(nil, header[keyFileNonce:], sealed, associated(header, kid))
	if err != nil {
		return nil, fmt.Errorf("%w: it was not sealed here for key %s", ErrTampered, kid)
	}
	defer clear(plain)
	private, err := parsePrivateKey(plain)
	if err != nil {
		return nil, err
	}
	if got, err := signing.Thumbprint(private.Public()); err != nil || got != kid {
		return nil, errors.Join(fmt.Errorf("%w: it holds key %q", ErrTampered, got), err)
	}
	return private, nil
}

func associated(header []byte, kid string) []byte { return append(bytes.Clone(header), kid...) }

// splitKeyFile checks everything that needs no passphrase.
func splitKeyFile(file []byte) (header, sealed []byte, err error) {
	if len(file) < keyFileHeader+sha256.Size || len(file) > keyFileMax {
		return nil, nil, fmt.Errorf("%w: %d bytes long; restore it from a backup", ErrDamaged, len(file))
	}
	if !bytes.HasPrefix(file, []byte(keyFileMagic)) {
		return nil, nil, fmt.Errorf("%w: not a key file", ErrDamaged)
	}
	if v := file[len(keyFileMagic)]; v != keyFileVersion {
		return nil, nil, fmt.Errorf("%w: version %d, this program reads %d", ErrDamaged, v, keyFileVersion)
	}
	body, digest := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], digest) {
		return nil, nil, fmt.Errorf("%w: checksum differs; restore it from a backup", ErrDamaged)
	}
	return body[:keyFileHeader], body[keyFileHeader:], nil
}

// parsePrivateKey reads PKCS#8 (RFC 5958, for SM2 GM/T 0010) as
// MarshalPKCS8PrivateKey writes it and in no other encoding.
func parsePrivateKey(der []byte) (crypto.Signer, error) {
	parsed, err := smx509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: private key: %w", ErrDamaged, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: private key is a %T", ErrDamaged, parsed)
	}
	if _, err := signing.AlgorithmOf(private.Public()); err != nil {
		return nil, fmt.Errorf("%w: private key: %w", ErrDamaged, err)
	}
	again, err := smx509.MarshalPKCS8PrivateKey(private)
	defer clear(again)
	if err != nil || !bytes.Equal(again, der) {
		return nil, errors.Join(fmt.Errorf("%w: private key is not encoded as it was written", ErrDamaged), err)
	}
	return private, nil
}

// generate makes a software key.
func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case signing.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case signing.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case signing.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case signing.SM2SM3:
		return sm2.GenerateKey(rand.Reader)
	}
	return nil, fmt.Errorf("%w: algorithm %.40q; use %s, %s, %s or %s", ErrInvalid, algorithm, signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3)
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDamaged, limit)
	}
	return data, nil
}
