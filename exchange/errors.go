package exchange

import "errors"

// The errors of this package; each is wrapped with what was asked and what to do.
var (
	// ErrInvalid is a request that breaks a rule of its own form.
	ErrInvalid = errors.New("invalid request")
	// ErrUnknownDepartment is a department code that is not registered.
	ErrUnknownDepartment = errors.New("unknown department")
	// ErrUnknownResource is a resource name that is not in the catalogue.
	ErrUnknownResource = errors.New("unknown resource")
	// ErrUnknownMatter is a matter code that is not in the catalogue.
	ErrUnknownMatter = errors.New("unknown matter")
	// ErrUnknownRejected is an id under which no rejected record is kept.
	ErrUnknownRejected = errors.New("unknown rejected record")
	// ErrConflict is a code that belongs to somebody else.
	ErrConflict = errors.New("conflict")
	// ErrForbidden is a caller who may not act for a department or see a resource.
	ErrForbidden = errors.New("not allowed")
	// ErrDiskFull is a push or a batch that is refused because the disk has no room for it. Nothing of it is kept.
	ErrDiskFull = errors.New("the disk is full")
	// ErrNotStored is a push that the sink has not stored in time.
	ErrNotStored = errors.New("not stored yet")
)
