package licenses

import "errors"

// The errors of this package; each is wrapped with what was asked and what to
// do, without data of the holder.
var (
	// ErrInvalid is a request that breaks a rule of its own form.
	ErrInvalid = errors.New("licenses: invalid request")
	// ErrNumber is text that is not a licence number (GB/T 36904).
	ErrNumber = errors.New("licenses: not a licence number")
	// ErrCheck is a licence number whose check character does not fit.
	ErrCheck = errors.New("licenses: wrong check character")
	// ErrUnknownType is a licence type that is not registered.
	ErrUnknownType = errors.New("licenses: unknown licence type")
	// ErrNotFound is a licence or status list that does not exist.
	ErrNotFound = errors.New("licenses: not found")
	// ErrConflict is a request id that was used for another request.
	ErrConflict = errors.New("licenses: request id used before")
	// ErrState is an action that the licence's status does not allow.
	ErrState = errors.New("licenses: not possible in this status")
	// ErrForbidden is a caller who may not act for the department.
	ErrForbidden = errors.New("licenses: not allowed")
	// ErrNoSeal reports a department without an e-seal in force, whose licences have no page.
	ErrNoSeal = errors.New("licenses: no seal")
)
