package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/proto/message"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/tsa"
)

// The outcomes of a verification that did not hold.
var (
	errNotValid = errors.New("does not hold")
	// errUnsigned: the file can be read, and nothing in it is signed.
	errUnsigned = errors.New("has no seal and no signature")
	// errUnreadable: whether anything in the file is signed cannot be said.
	errUnreadable = errors.New("cannot be read")
)

// The steps that an offline verification leaves out.
const (
	stepLicenseStatus         = "license.status"
	stepCertificateRevocation = "certificate.revocation"
)

// maxVerified bounds the file that is read.
const maxVerified = 64 << 20

// verifyCommand verifies a file without any network: what it trusts is given.
func verifyCommand(_ context.Context, args []string, out *os.File) error {
	flags := newFlags("verify", `verify an OFD file or a licence token offline, step by step

  verify [-crl FILE]… -trust ROOTS.pem FILE

ROOTS.pem is what a hub gives at /v1/signing/trust.pem: check by another way that it is that hub's.`)
	trustFile := flags.String("trust", "", "PEM file of the root and issuing certificates to trust")
	var crls [][]byte
	flags.Func("crl", "revocation list (DER), may be given more than once", func(name string) error {
		crl, err := os.ReadFile(name)
		crls = append(crls, crl)
		return err
	})
	rest, err := parseAnywhere(flags, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 || *trustFile == "" {
		return wrongUsage(nil, "cli.VERIFY_ARGUMENTS")
	}
	words := newSpeaker("")
	trust, err := readTrust(*trustFile, crls)
	if err != nil {
		return err
	}
	file, err := readLimited(rest[0])
	if err != nil {
		return err
	}
	return verifyFile(rest[0], file, trust, out, words)
}

// verifyFile verifies what the file is by its content; its name says nothing.
func verifyFile(name string, file []byte, trust *pki.Trust, out io.Writer, words speaker) error {
	kind := ofd.KindOf(file)
	token := strings.TrimSpace(string(file))
	switch {
	case kind == ofd.KindZIP:
		return verifyOFD(name, file, trust, out, words)
	case kind == ofd.KindText && isToken(token):
		return verifyToken(token, trust, out, words)
	}
	return wrongUsage(nil, "cli.VERIFY_KIND", "file", name, "type", kind.String())
}

// isToken reports whether a text has the form of an SD-JWT: three parts with dots
// between them, then whatever follows the first ~.
func isToken(text string) bool {
	jwt, _, _ := strings.Cut(text, "~")
	return strings.Count(jwt, ".") == 2 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.~", r)
	})
}

func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, wrongUsage(err, "cli.VERIFY_FILE", "file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxVerified+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, wrongUsage(err, "cli.VERIFY_FILE", "file", name)
	}
	if len(data) > maxVerified {
		return nil, wrongUsage(nil, "cli.VERIFY_TOO_LARGE", "file", name, "mib", strconv.Itoa(maxVerified>>20))
	}
	return data, nil
}

// readTrust reads roots (certificates that sign themselves) and intermediates.
func readTrust(name string, crls [][]byte) (*pki.Trust, error) {
	text, err := readLimited(name)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil, wrongUsage(fmt.Errorf("the file is %s without certificates", ofd.KindOf(text)), "cli.TRUST_NO_ROOT", "file", name)
	}
	cfg := pki.TrustConfig{CRLs: crls}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := pki.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, wrongUsage(err, "cli.TRUST_FILE", "file", name)
		}
		if bytes.Equal(certificate.RawSubject, certificate.RawIssuer) {
			cfg.Roots = append(cfg.Roots, block.Bytes)
		} else {
			cfg.Intermediates = append(cfg.Intermediates, block.Bytes)
		}
	}
	if len(cfg.Roots) == 0 {
		return nil, wrongUsage(nil, "cli.TRUST_NO_ROOT", "file", name)
	}
	trust, err := pki.NewTrust(cfg)
	if err != nil {
		return nil, wrongUsage(err, "cli.TRUST_FILE", "file", name)
	}
	return trust, nil
}

func verifyOFD(name string, file []byte, trust *pki.Trust, out io.Writer, words speaker) error {
	report, err := ofd.Verify(file, ofd.Options{Trust: trust, Now: time.Now(), Timestamp: func(token, signature []byte) (time.Time, error) {
		verified, err := tsa.Verify(token, signature, trust)
		if err != nil {
			return time.Time{}, err
		}
		return verified.Time, nil
	}})
	if err != nil {
		return wrong(fmt.Errorf("%w: %w", errUnreadable, err), "cli.VERIFY_UNREADABLE", "file", name)
	}
	printSteps(out, report.Steps, words)
	for _, signature := range report.Signatures {
		seal := words.text("cli.VERIFY_NO_SEAL")
		if signature.Seal != nil {
			seal = signature.Seal.Name
		}
		fmt.Fprintln(out, words.text("cli.VERIFY_SIGNATURE", "id", signature.ID, "seal", seal, "signer", signature.Signer,
			"time", signature.Time.In(time.FixedZone("CST", 8*60*60)).Format(time.DateTime)))
		printSteps(out, signature.Steps, words)
	}
	if len(report.Signatures) == 0 {
		return nothingSigned(name, report)
	}
	for _, name := range report.Unsigned {
		fmt.Fprintf(out, "  %s %s\n", paint(out, colourRed, "✗"), words.text("cli.VERIFY_UNSIGNED", "part", name))
	}
	if report.Verdict != ofd.Valid {
		return wrong(errNotValid, "cli.VERIFY_NOT_VALID")
	}
	printSteps(out, []ses.Step{notChecked()}, words)
	fmt.Fprintln(out, paint(out, colourGreen, words.text("cli.VERIFY_VALID")))
	return nil
}

// notChecked is what no verifier can know without the network.
func notChecked() ses.Step { return ses.Step{Name: stepLicenseStatus, Status: ses.Skipped} }

// nothingSigned tells a file without seals from one whose seals cannot be read.
func nothingSigned(name string, report *ofd.Report) error {
	for _, step := range report.Steps {
		if step.Status == ses.Failed {
			return wrong(fmt.Errorf("%w: %w", errUnreadable, step.Err), "cli.VERIFY_UNREADABLE", "file", name)
		}
	}
	return wrong(errUnsigned, "cli.VERIFY_UNSIGNED_FILE", "file", name)
}

// stepPrefix stands before the name of a step in the catalogue.
const stepPrefix = "step."

// printSteps shows each step: in Chinese with the finding in words, in English
// by its name, with the error that a step which does not hold rests on.
func printSteps(out io.Writer, steps []ses.Step, words speaker) {
	for _, step := range steps {
		detail := step.Detail
		if words.language != message.Chinese {
			if detail = ""; step.Err != nil {
				detail = step.Err.Error()
			}
		}
		fmt.Fprintf(out, "  %s %-32s %s\n", paint(out, colourOf(step.Status), mark(step.Status)), step.Name,
			strings.TrimSuffix(words.text(stepPrefix+step.Name)+": "+detail, ": "))
	}
}

func colourOf(status ses.Status) string {
	switch status {
	case ses.Passed:
		return colourGreen
	case ses.Failed:
		return colourRed
	default:
		return colourYellow
	}
}

func mark(status ses.Status) string {
	switch status {
	case ses.Passed:
		return "✓"
	case ses.Warned:
		return "!"
	case ses.Skipped:
		return "-"
	default:
		return "✗"
	}
}

// verifyToken verifies an SD-JWT VC by the certificates that it carries. The
// status list is not asked: it needs the network.
func verifyToken(token string, trust *pki.Trust, out io.Writer, words speaker) error {
	establisher := &rootTrust{trust: trust}
	verified, err := sdjwt.VerifyChain(token, establisher, time.Now(), sdjwt.Policy{})
	if err != nil {
		return wrong(errors.Join(errNotValid, err), "cli.VERIFY_NOT_VALID")
	}
	fmt.Fprintf(out, "%s\n", verified.Claims)
	if !establisher.listed {
		printSteps(out, []ses.Step{{Name: stepCertificateRevocation, Status: ses.Skipped}}, words)
	}
	printSteps(out, []ses.Step{notChecked()}, words)
	fmt.Fprintln(out, words.text("cli.VERIFY_TOKEN_VALID"))
	return nil
}

// rootTrust lets every licence certificate below the roots issue: who names a
// root on the command line trusts it that far.
type rootTrust struct {
	trust *pki.Trust
	// listed is whether a revocation list speaks of the last certificate that was established.
	listed bool
}

// Establish validates a chain and returns the leaf's key.
func (r *rootTrust) Establish(chain [][]byte) (crypto.PublicKey, error) {
	result := r.trust.Check(chain[0], chain[1:], time.Now(), pki.UsageLicense)
	if err := result.Err(); err != nil {
		return nil, err
	}
	r.listed = result.Listed
	return result.Path[0].PublicKey, nil
}

// MayIssue allows every issuer.
func (*rootTrust) MayIssue([]byte, string) error { return nil }
