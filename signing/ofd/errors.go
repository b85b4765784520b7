package ofd

import "errors"

var (
	// ErrContainer reports bytes that are not a zip file of the accepted form.
	ErrContainer = errors.New("ofd: not an acceptable container")
	// ErrLimit reports a file, part or structure beyond the limits.
	ErrLimit = errors.New("ofd: too large")
	// ErrNotFound reports a part that the container does not hold.
	ErrNotFound = errors.New("ofd: part not found")
	// ErrXML reports a part that is not XML of the accepted form.
	ErrXML = errors.New("ofd: not acceptable XML")
	// ErrDocument reports XML that is not the OFD (GB/T 33190) it should be.
	ErrDocument = errors.New("ofd: not a valid document")
	// ErrDraft reports a draft, licence or stamp that cannot be put on paper.
	ErrDraft = errors.New("ofd: cannot be laid out")
	// ErrClosed reports a file that its last signature closed to further ones.
	ErrClosed = errors.New("ofd: closed to further signatures")
	// ErrSigner reports a key, certificate or seal that cannot sign the file.
	ErrSigner = errors.New("ofd: cannot sign")
	// ErrSignature reports a signature of a file that does not hold.
	ErrSignature = errors.New("ofd: signature does not hold")
)
