package sdjwt

import "errors"

// Faults of form, algorithm, type, key and signature are those of package
// signing: signing.ErrMalformed, ErrAlgorithm, ErrType, ErrUnknownKey,
// ErrSignature.
var (
	// ErrDisclosure reports a disclosure that does not fit the signed digests,
	// or digests that contradict each other.
	ErrDisclosure = errors.New("sdjwt: invalid disclosure")
	// ErrIssuer reports a key that may not sign for the issuer in the token.
	ErrIssuer = errors.New("sdjwt: key does not belong to the issuer")
	// ErrExpired reports a token past its exp.
	ErrExpired = errors.New("sdjwt: expired")
	// ErrNotYetValid reports a token before its nbf.
	ErrNotYetValid = errors.New("sdjwt: not yet valid")
	// ErrAudience reports a token that is meant for another verifier.
	ErrAudience = errors.New("sdjwt: not for this audience")
	// ErrKeyBinding reports a required proof of the holder's key that is
	// absent or wrong.
	ErrKeyBinding = errors.New("sdjwt: key binding failed")
	// ErrStale reports a status list that is too old, or from the future, to
	// say anything about now.
	ErrStale = errors.New("sdjwt: status list is not current")
	// ErrIndex reports an index outside a status list: no statement about the
	// token is possible.
	ErrIndex = errors.New("sdjwt: status index out of range")
)
