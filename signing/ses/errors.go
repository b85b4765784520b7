package ses

import "errors"

var (
	// ErrMalformed reports bytes that are not a seal or a seal signature of a
	// known generation in strict DER; the text names the field.
	ErrMalformed = errors.New("ses: malformed")
	// ErrSpec reports something that may not be made or signed as asked; the
	// text says what to change.
	ErrSpec = errors.New("ses: not permitted")
	// ErrAlgorithm reports an algorithm, or a key, other than SM2 with SM3.
	ErrAlgorithm = errors.New("ses: algorithm not allowed")
	// ErrSignature reports a signature or timestamp that does not match.
	ErrSignature = errors.New("ses: signature does not match")
	// ErrNotListed reports a signer whose certificate the seal does not list.
	ErrNotListed = errors.New("ses: signer is not in the seal's list")
	// ErrCertificate reports a certificate without an established chain, of the
	// wrong use, or revoked.
	ErrCertificate = errors.New("ses: certificate does not hold")
	// ErrPeriod reports a time outside the period of a certificate or seal.
	ErrPeriod = errors.New("ses: outside the period of validity")
	// ErrState reports a seal whose state in the register forbids what was
	// asked: suspended, revoked, or registered with other bytes.
	ErrState = errors.New("ses: state of the seal forbids it")
	// ErrNotFound reports a seal that the register does not hold.
	ErrNotFound = errors.New("ses: no such seal")
	// ErrDamaged reports a register whose files are not what it wrote, or that
	// another process has open.
	ErrDamaged = errors.New("ses: register cannot be used")
)
