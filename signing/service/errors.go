package service

import "errors"

var (
	// ErrInvalid reports a request that lacks something or has what cannot be signed.
	ErrInvalid = errors.New("service: invalid request")
	// ErrForbidden reports a caller without a grant for the key or the operation.
	ErrForbidden = errors.New("service: not granted")
	// ErrConflict reports a request id that was used for another request.
	ErrConflict = errors.New("service: request id used for another request")
	// ErrNotFound reports a key, seal or authority that is not here.
	ErrNotFound = errors.New("service: not found")
	// ErrLint reports a result that did not pass its own verification and was withheld.
	ErrLint = errors.New("service: result withheld")
	// ErrNoFont reports that pages and stamps cannot be drawn because the font is missing.
	ErrNoFont = errors.New("service: font missing")
)
