package ses

import "time"

// Status is the outcome of one step of a check.
type Status int

// The outcomes. Warned holds, with something a person should know. Skipped was
// not judged, because it does not apply or the caller gave no means.
const (
	Passed Status = iota + 1
	Warned
	Skipped
	Failed
)

// String returns the English name of the status.
func (s Status) String() string {
	switch s {
	case Passed:
		return "passed"
	case Warned:
		return "warned"
	case Skipped:
		return "skipped"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Step is one step of a check, told apart from the others so that a clerk sees
// what is wrong and a program can decide by Name.
type Step struct {
	Name   string // one of the Step constants
	Status Status
	Detail string // Chinese, for clerks
	Err    error  // what Failed and Warned rest on; wraps an error of this package
}

// The names of the steps, in the order in which Signature.Check reports them
// (GM/T 0031-2014, 6.2.3, and 6.1.2 for the seal). Seal.Check reports those
// from StepMakerSignature to StepSealExtensions.
const (
	StepSignerSignature     = "signature.signer_signature"
	StepSignatureExtensions = "signature.extensions"
	StepSignerListed        = "signature.signer_listed"
	StepSigningTime         = "signature.time"
	StepSignerCertificate   = "signature.signer_certificate" // chain and use
	StepSignerPeriod        = "signature.signer_period"
	StepSignerRevocation    = "signature.signer_revocation"
	StepMakerSignature      = "seal.maker_signature"
	StepMakerCertificate    = "seal.maker_certificate" // chain and use
	StepMakerPeriod         = "seal.maker_period"
	StepMakerRevocation     = "seal.maker_revocation"
	StepSealPeriod          = "seal.period"
	StepSealPicture         = "seal.picture"
	StepSealExtensions      = "seal.extensions"
	StepSealStatus          = "seal.status"
	StepTimestamp           = "signature.timestamp"
)

// Options are a verifier's means besides its trust.
type Options struct {
	// Now is the time of verification; zero stands for the present. A signing
	// time after it is refused.
	Now time.Time
	// SealStatus says what state a seal had at a time; Register.Status fits.
	// ErrNotFound means that the seal is somebody else's: the step is skipped.
	// Any other error fails the step. Nil skips it.
	SealStatus func(id string, at time.Time) (State, error)
	// Timestamp verifies an RFC 3161 token over a signature value and returns
	// its time; an error fails the step. Nil skips it.
	Timestamp func(token, signature []byte) (time.Time, error)
}
