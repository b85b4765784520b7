package ofd

import (
	"time"

	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
)

// The names of the steps that Verify adds to those of package ses.
const (
	// Of the whole file.
	StepDocument       = "file.document"        // OFD.xml, Document.xml and what they name can be read
	StepSignatureList  = "file.signature_list"  // Signatures.xml can be read
	StepNothingRemoved = "file.nothing_removed" // no signature that another covers is missing from the list

	// Of each signature, those of ses among them in the order of GM/T 0031 6.2.3.
	StepSignatureFile = "signature.file"         // Signature.xml can be read
	StepSignedValue   = "signature.signed_value" // SignedValue.dat can be read
	StepAlgorithm     = "signature.algorithm"    // SM2 with SM3, and SM3 for the parts
	StepDataHash      = "signature.data_hash"    // what is signed is this Signature.xml
	StepPlace         = "signature.place"        // it is where its signer put it
	StepReferences    = "file.references"        // every part covered is as it was
	StepCoverage      = "file.coverage"          // every part is covered
	StepSealCopy      = "seal.copy"              // Seal.esl is the seal that signed
	StepStamps        = "seal.stamps"            // the picture is on a page, in its size
)

// Verdict is the outcome of a verification.
type Verdict string

// The verdicts.
const (
	// Valid: no step failed. Warnings are for a person to read.
	Valid Verdict = "valid"
	// Invalid: a step failed.
	Invalid Verdict = "invalid"
	// Unsigned: there is no signature to judge.
	Unsigned Verdict = "unsigned"
)

// Options are what a verifier needs besides the file.
type Options struct {
	// Trust establishes the certificates of signers and seal makers. Without it
	// none holds.
	Trust *pki.Trust
	// Now is the time of verification; zero stands for the present.
	Now time.Time
	// SealStatus and Timestamp are those of ses.Options.
	SealStatus func(id string, at time.Time) (ses.State, error)
	Timestamp  func(token, signature []byte) (time.Time, error)
}

// Report is what Verify found.
type Report struct {
	// Verdict is Valid if the file is signed and every step of the file and of
	// every signature holds.
	Verdict Verdict
	// Signed tells whether the file lists a signature.
	Signed bool
	// Steps are those of the whole file.
	Steps []ses.Step
	// Signatures are those listed, in the order of Signatures.xml.
	Signatures []SignatureReport
	// Unsigned are the entries that no signature covers, those that make up the
	// signatures left out.
	Unsigned []string
}

// SignatureReport is what Verify found about one signature. Facts are those that the
// signature states; they hold only if Verdict is Valid.
type SignatureReport struct {
	// ID is that in Signatures.xml.
	ID string
	// Kind is "Seal" or "Sign" (a plain digital signature).
	Kind string
	// Producer is the program that signed, as it calls itself.
	Producer string
	// Seal is the seal, nil for a plain signature or if it cannot be read.
	Seal *ses.Seal
	// Signer is the common name of the signer's certificate.
	Signer string
	// Certificate is the signer's, DER.
	Certificate []byte
	// Time is when it was signed, as the signer states it.
	Time time.Time
	// Stamps are where the seal's picture stands.
	Stamps []Stamp
	// Steps are all that was judged.
	Steps   []ses.Step
	Verdict Verdict
}

// verdict is Invalid if any step failed.
func verdict(steps []ses.Step) Verdict {
	for _, s := range steps {
		if s.Status == ses.Failed {
			return Invalid
		}
	}
	return Valid
}

func passed(name, detail string) ses.Step {
	return ses.Step{Name: name, Status: ses.Passed, Detail: detail}
}

func skipped(name, detail string) ses.Step {
	return ses.Step{Name: name, Status: ses.Skipped, Detail: detail}
}

func warned(name, detail string, err error) ses.Step {
	return ses.Step{Name: name, Status: ses.Warned, Detail: detail, Err: err}
}

func failed(name, detail string, err error) ses.Step {
	return ses.Step{Name: name, Status: ses.Failed, Detail: detail, Err: err}
}
