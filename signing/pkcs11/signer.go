package pkcs11

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"sync/atomic"
)

// privateKey is a crypto.Signer whose private part is in a token.
type privateKey struct {
	token     *Token
	id        []byte
	algorithm algorithm
	public    crypto.PublicKey
	located   atomic.Pointer[location]
}

// location is where the private part was in one epoch of the token.
type location struct {
	epoch  uint64
	handle uintptr
}

// newKey reads the public part and returns the signer.
func (t *Token) newKey(s session, id []byte, public, private uintptr) (*privateKey, error) {
	params, err := s.attribute(s.handle, public, attributeECParams)
	if err != nil {
		return nil, err
	}
	point, err := s.attribute(s.handle, public, attributeECPoint)
	if err != nil {
		return nil, err
	}
	a, key, err := parsePublicKey(params, point)
	if err != nil {
		return nil, fmt.Errorf("key %x: %w", id, err)
	}
	k := &privateKey{token: t, id: append([]byte(nil), id...), algorithm: a, public: key}
	k.located.Store(&location{epoch: s.epoch, handle: private})
	return k, nil
}

// trial is newKey for a key just made: it must be fit for use and must sign.
func (t *Token) trial(s session, id []byte, public, private uintptr) (*privateKey, error) {
	if err := s.checkPrivate(private); err != nil {
		return nil, err
	}
	k, err := t.newKey(s, id, public, private)
	if err != nil {
		return nil, err
	}
	size := 32
	if hash := k.algorithm.hash; hash != 0 {
		size = hash.Size()
	}
	digest := make([]byte, size)
	_, _ = rand.Read(digest) // never fails
	_, err = k.signIn(s, digest)
	return k, err
}

// Public returns an *ecdsa.PublicKey or an ed25519.PublicKey.
func (k *privateKey) Public() crypto.PublicKey { return k.public }

// Sign signs a digest of SHA-256 (P-256) or SHA-384 (P-384), or a whole message
// with crypto.Hash(0) (Ed25519, RFC 8032 §5.1, without context). The reader is
// not used: the token has its own random numbers. ErrAlgorithm for another hash
// or length; ErrNotFound if the key was destroyed; ErrKey if the signature does
// not match the public key.
func (k *privateKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := k.algorithm.hash
	if opts == nil || opts.HashFunc() != hash {
		return nil, fmt.Errorf("%w: a key for %s signs nothing that was hashed otherwise", ErrAlgorithm, k.algorithm.name)
	}
	if hash != 0 && len(digest) != hash.Size() {
		return nil, fmt.Errorf("%w: digest of %d bytes, %v has %d", ErrAlgorithm, len(digest), hash, hash.Size())
	}
	if options, ok := opts.(*ed25519.Options); ok && options.Context != "" {
		return nil, fmt.Errorf("%w: Ed25519 with a context", ErrAlgorithm)
	}
	var signature []byte
	err := k.token.repeat(context.Background(), 0, func(s session) (err error) {
		signature, err = k.signIn(s, digest)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("signing with key %x: %w", k.id, err)
	}
	return signature, nil
}

// signIn signs in one session and verifies the result. It looks for the key
// once more if the handle it had has become invalid.
func (k *privateKey) signIn(s session, digest []byte) ([]byte, error) {
	handle, err := k.handle(s)
	if err != nil {
		return nil, err
	}
	raw, err := s.signRaw(k.algorithm, handle, digest)
	if returned(err, ckrKeyHandleInvalid, ckrObjectHandleInvalid) {
		k.located.Store(nil)
		if handle, err = k.handle(s); err != nil {
			return nil, err
		}
		raw, err = s.signRaw(k.algorithm, handle, digest)
	}
	if err != nil {
		return nil, err
	}
	signature, err := k.algorithm.encodeSignature(raw)
	if err != nil {
		return nil, err
	}
	if !k.algorithm.verify(k.public, digest, signature) {
		return nil, fmt.Errorf("%w: the token's signature does not match the public key", ErrKey)
	}
	return signature, nil
}

// handle is the private key's handle in the epoch of s.
func (k *privateKey) handle(s session) (uintptr, error) {
	if known := k.located.Load(); known != nil && known.epoch == s.epoch {
		return known.handle, nil
	}
	handle, err := s.privateHandle(k.id)
	if err != nil {
		return 0, err
	}
	k.located.Store(&location{epoch: s.epoch, handle: handle})
	return handle, nil
}

// signRaw returns what C_Sign returns.
func (s session) signRaw(a algorithm, key uintptr, digest []byte) ([]byte, error) {
	if err := check("C_SignInit", s.signInit(s.handle, &mechanism{kind: a.sign}, key)); err != nil {
		return nil, err
	}
	first := new(byte) // some libraries refuse NULL even for the empty message
	if len(digest) > 0 {
		first = &digest[0]
	}
	signature := make([]byte, 256)
	length := uintptr(len(signature))
	if err := check("C_Sign", s.sign(s.handle, first, uintptr(len(digest)), &signature[0], &length)); err != nil {
		return nil, err
	}
	return signature[:min(length, uintptr(len(signature)))], nil
}
