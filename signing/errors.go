package signing

import "errors"

var (
	// ErrMalformed reports bytes that are not a token, key or key set of the
	// accepted form: size, structure, base64url, JSON, or a refused header.
	ErrMalformed = errors.New("signing: malformed")
	// ErrAlgorithm reports an algorithm outside the allow-list, a key that has
	// none of them, or one that is not for the algorithm named in the token.
	ErrAlgorithm = errors.New("signing: algorithm not allowed")
	// ErrType reports a token whose typ header is not the one asked for.
	ErrType = errors.New("signing: wrong token type")
	// ErrUnknownKey reports a kid that the resolver does not hold.
	ErrUnknownKey = errors.New("signing: unknown key")
	// ErrSignature reports a signature that does not match.
	ErrSignature = errors.New("signing: signature does not match")
)
