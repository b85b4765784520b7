package access

import "errors"

var (
	// ErrUnauthenticated is returned for a token that was never issued, was revoked, or is none.
	ErrUnauthenticated = errors.New("access: unknown or revoked token")
	// ErrIdentity is wrapped when a token is asked for an identity that makes no sense.
	ErrIdentity = errors.New("access: invalid identity")
	// ErrNotFound is wrapped when no valid token has the name.
	ErrNotFound = errors.New("access: no such token")
)
