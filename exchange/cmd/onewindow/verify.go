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
	"strings"
	"time"

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
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() != 1 || *trustFile == "" {
		return fmt.Errorf("%w: give -trust and one file", errUsage)
	}
	trust, err := readTrust(*trustFile, crls)
	if err != nil {
		return err
	}
	file, err := readLimited(flags.Arg(0))
	if err != nil {
		return err
	}
	return verifyFile(flags.Arg(0), file, trust, out)
}

// verifyFile verifies what the file is by its content; its name says nothing.
func verifyFile(name string, file []byte, trust *pki.Trust, out io.Writer) error {
	kind := ofd.KindOf(file)
	if kind == ofd.KindZIP {
		if err := verifyOFD(file, trust, out); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		return nil
	}
	token := strings.TrimSpace(string(file))
	if kind == ofd.KindText && isToken(token) {
		if err := verifyToken(token, trust, out); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("%w: %s is %s; verify takes an OFD file, or a text file with a licence token (SD-JWT: HEADER.PAYLOAD.SIGNATURE~…)", errUsage, name, kind)
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
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxVerified+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxVerified {
		return nil, fmt.Errorf("%w: %s is larger than %d MiB", errUsage, name, maxVerified>>20)
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
		return nil, fmt.Errorf("%w: -trust %s is %s without certificates; give the PEM file of the hub's /v1/signing/trust.pem", errUsage, name, ofd.KindOf(text))
	}
	cfg := pki.TrustConfig{CRLs: crls}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := pki.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUsage, name, err)
		}
		if bytes.Equal(certificate.RawSubject, certificate.RawIssuer) {
			cfg.Roots = append(cfg.Roots, block.Bytes)
		} else {
			cfg.Intermediates = append(cfg.Intermediates, block.Bytes)
		}
	}
	trust, err := pki.NewTrust(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, name, err)
	}
	return trust, nil
}

func verifyOFD(file []byte, trust *pki.Trust, out io.Writer) error {
	report, err := ofd.Verify(file, ofd.Options{Trust: trust, Now: time.Now(), Timestamp: func(token, signature []byte) (time.Time, error) {
		verified, err := tsa.Verify(token, signature, trust)
		if err != nil {
			return time.Time{}, err
		}
		return verified.Time, nil
	}})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	printSteps(out, report.Steps)
	for _, signature := range report.Signatures {
		seal := "（无印章）"
		if signature.Seal != nil {
			seal = signature.Seal.Name
		}
		fmt.Fprintf(out, "签章 %s：%s，签章人 %s，%s\n", signature.ID, seal, signature.Signer, signature.Time.In(time.FixedZone("CST", 8*60*60)).Format("2006-01-02 15:04:05"))
		printSteps(out, signature.Steps)
	}
	if len(report.Signatures) == 0 {
		return nothingSigned(report, out)
	}
	for _, name := range report.Unsigned {
		fmt.Fprintf(out, "  ✗ 未被签章覆盖：%s\n", name)
	}
	if report.Verdict != ofd.Valid {
		return errNotValid
	}
	printSteps(out, []ses.Step{notChecked()})
	fmt.Fprintln(out, "有效")
	return nil
}

// notChecked is what no verifier can know without the network.
func notChecked() ses.Step {
	return ses.Step{Name: "license.status", Status: ses.Skipped, Detail: "未查证照状态（有效、暂停、吊销）：需要联网"}
}

// nothingSigned tells a file without seals from one whose seals cannot be read.
func nothingSigned(report *ofd.Report, out io.Writer) error {
	for _, step := range report.Steps {
		if step.Status == ses.Failed {
			fmt.Fprintln(out, "无法判断文件是否有签章")
			return fmt.Errorf("%w: %w", errUnreadable, step.Err)
		}
	}
	fmt.Fprintln(out, "文件没有签章")
	return errUnsigned
}

func printSteps(out io.Writer, steps []ses.Step) {
	for _, step := range steps {
		fmt.Fprintf(out, "  %s %-32s %s\n", mark(step.Status), step.Name, step.Detail)
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
func verifyToken(token string, trust *pki.Trust, out io.Writer) error {
	establisher := &rootTrust{trust: trust}
	verified, err := sdjwt.VerifyChain(token, establisher, time.Now(), sdjwt.Policy{})
	if err != nil {
		fmt.Fprintf(out, "✗ %v\n", err)
		return errNotValid
	}
	fmt.Fprintf(out, "%s\n", verified.Claims)
	if !establisher.listed {
		printSteps(out, []ses.Step{{Name: "certificate.revocation", Status: ses.Skipped, Detail: "没有当前有效的吊销列表（-crl），未查签发证书是否被吊销"}})
	}
	printSteps(out, []ses.Step{notChecked()})
	fmt.Fprintln(out, "有效（未查状态列表：需要联网）")
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
