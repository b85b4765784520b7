package pki

import "errors"

var (
	// ErrMalformed reports bytes that are not one strictly encoded
	// certificate, request, revocation list or chain within the limits.
	ErrMalformed = errors.New("pki: malformed")
	// ErrKey reports a public key of a kind, size or curve that is not on the
	// list, a point that is not on its curve, or a signature algorithm that is
	// not the key's own.
	ErrKey = errors.New("pki: key not allowed")
	// ErrChain reports a certificate without a path of valid certification
	// authorities to a trusted root.
	ErrChain = errors.New("pki: no path to a trusted root")
	// ErrUsage reports a certificate that is not for the use in question.
	ErrUsage = errors.New("pki: certificate not for this use")
	// ErrPeriod reports a moment outside a certificate's validity.
	ErrPeriod = errors.New("pki: outside the certificate's validity")
	// ErrRevoked reports a certificate that was revoked at that moment.
	ErrRevoked = errors.New("pki: certificate revoked")
	// ErrRevocationUnknown reports that no current revocation list speaks of
	// a certificate although one is required.
	ErrRevocationUnknown = errors.New("pki: revocation unknown")
	// ErrProfile reports a request that no certificate of the profile can
	// answer, or a certificate that came out otherwise than asked for.
	ErrProfile = errors.New("pki: against the certificate profile")
	// ErrNotFound reports a serial number that this authority never issued.
	ErrNotFound = errors.New("pki: not found")
	// ErrFolder reports a folder of an authority that is damaged, in use by
	// another process, or belongs to another authority.
	ErrFolder = errors.New("pki: folder of the authority")
)
