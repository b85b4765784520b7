package tsa

import "errors"

var (
	// ErrMalformed reports bytes that are not one strictly encoded request,
	// reply or token within the limits; the text names the field.
	ErrMalformed = errors.New("tsa: malformed")
	// ErrConfig reports an authority or client that cannot work as configured.
	ErrConfig = errors.New("tsa: configuration")
	// ErrAlgorithm reports a digest or signature algorithm that is not on the
	// list, or one that does not belong to the signer's key.
	ErrAlgorithm = errors.New("tsa: algorithm not allowed")
	// ErrSignature reports a token that was changed or that the certificate's
	// key did not sign.
	ErrSignature = errors.New("tsa: signature does not match")
	// ErrCertificate reports a signer's certificate that is missing, is not the
	// one the token names, or is not trusted for timestamps at the token's time.
	ErrCertificate = errors.New("tsa: certificate not accepted")
	// ErrMismatch reports a good token about other data or for another request.
	ErrMismatch = errors.New("tsa: timestamp of something else")
	// ErrRejected reports an authority that answered and refused; the text has
	// its reasons. The same request will be refused again.
	ErrRejected = errors.New("tsa: request rejected")
	// ErrUnavailable reports an authority that did not answer with a reply, or
	// one whose own part failed. A later try may succeed.
	ErrUnavailable = errors.New("tsa: authority unavailable")
)
