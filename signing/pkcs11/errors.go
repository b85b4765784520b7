package pkcs11

import "errors"

var (
	// ErrModule reports a library that cannot be loaded or initialised, or is
	// not a PKCS#11 library.
	ErrModule = errors.New("pkcs11: library not usable")
	// ErrToken reports that the token is not there: never found, ambiguous,
	// pulled out, or replaced by another one with the same label.
	ErrToken = errors.New("pkcs11: token not available")
	// ErrPIN reports that the token refused the PIN. It is not sent again.
	ErrPIN = errors.New("pkcs11: PIN refused")
	// ErrPINLocked reports a PIN that is locked, or has one attempt left,
	// which is not used up here.
	ErrPINLocked = errors.New("pkcs11: PIN locked")
	// ErrAlgorithm reports an algorithm, hash or digest that the key or the
	// token does not do.
	ErrAlgorithm = errors.New("pkcs11: algorithm not supported")
	// ErrNotFound reports an id for which the token has no key.
	ErrNotFound = errors.New("pkcs11: key not found")
	// ErrExists reports an id for which the token has objects already.
	ErrExists = errors.New("pkcs11: key exists")
	// ErrKey reports a key or key id that must not be used: extractable, two
	// keys under one id, a damaged public key, a signature that does not match.
	ErrKey = errors.New("pkcs11: key not usable")
	// ErrDevice reports any other refusal by the token or its library.
	ErrDevice = errors.New("pkcs11: token failed")
	// ErrClosed reports the use of a Token after Close.
	ErrClosed = errors.New("pkcs11: closed")
)
