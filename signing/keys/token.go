package keys

import (
	"context"
	"crypto"
)

// Token is a device that makes keys and never gives out their private part,
// such as a PKCS#11 module. An id is 16 random bytes. Its methods and signers
// are called concurrently. Nothing is retried here: an implementation logs in
// again or opens a new session by itself where that is safe.
type Token interface {
	// Generate makes a key of an algorithm (signing.ES256, …) with that id and
	// label, durable when it returns. An algorithm that the token cannot do is
	// an error that says so. After an error a key may be there all the same; it
	// is never used.
	Generate(ctx context.Context, id []byte, label, algorithm string) (crypto.Signer, error)
	// Find returns the key with that id; one that is not there is an error.
	Find(ctx context.Context, id []byte) (crypto.Signer, error)
	// Destroy removes the private and the public key for good. It is repeated
	// after a crash, so a key that is not there must be no error.
	Destroy(ctx context.Context, id []byte) error
}
