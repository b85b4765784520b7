package keys

import "errors"

var (
	// ErrPassphrase reports an intact folder that the passphrase does not open.
	ErrPassphrase = errors.New("keys: wrong passphrase")
	// ErrDamaged reports a manifest or key file that is missing, not whole, or
	// not what this package writes.
	ErrDamaged = errors.New("keys: damaged")
	// ErrTampered reports a whole manifest or key that somebody without the
	// passphrase has changed or exchanged.
	ErrTampered = errors.New("keys: changed without the passphrase")
	// ErrClosed reports a ring or journal that was closed, or a journal that a
	// failed write has closed.
	ErrClosed = errors.New("keys: closed")
	// ErrInvalid reports a request that can never succeed as it is: a bad line
	// name, algorithm, token, certificate or use, or a digest of the wrong kind.
	ErrInvalid = errors.New("keys: invalid request")
	// ErrState reports a step that the key's present state does not allow.
	ErrState = errors.New("keys: not possible in this state")
	// ErrTooEarly reports an activation before the cache period is over.
	ErrTooEarly = errors.New("keys: published too recently")
	// ErrNoActiveKey reports a line without a key that signs.
	ErrNoActiveKey = errors.New("keys: no active key")
	// ErrJournal reports a use log that is not an unbroken chain.
	ErrJournal = errors.New("keys: broken use log")
)
