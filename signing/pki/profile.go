package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Request says what certificate is to be issued.
type Request struct {
	// Public is the key; SM2, P-256, P-384 or Ed25519.
	Public crypto.PublicKey
	// Subject is who holds it.
	Subject Subject
	// Usage is what it is for; IssueCA sets it to UsageCA.
	Usage Usage
	// NotBefore is the start of the validity; zero is now. A caller who may
	// have to repeat the request sets it: see Issue.
	NotBefore time.Time
	// Validity is the length of the validity, in whole seconds.
	Validity time.Duration
	// DNSNames and IPs are the names of a TLS server, which needs at least
	// one; no other usage may have any.
	DNSNames []string
	IPs      []net.IP
	// PathLen is how many authorities may stand below this one (IssueCA).
	PathLen int
}

// issuer is what a certificate takes from the authority that signs it.
type issuer struct {
	signer crypto.Signer
	cert   *smx509.Certificate // nil: self-signed
	crlURL string
}

// make writes a certificate and reads it again before anybody gets it.
func (by issuer) make(r Request, now time.Time) ([]byte, error) {
	template, err := by.template(r, now)
	if err != nil {
		return nil, err
	}
	parent := template
	if by.cert != nil {
		parent = by.cert.ToX509()
	}
	data, err := smx509.CreateCertificate(rand.Reader, template, parent, r.Public, by.signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if err := by.lint(data, template, r); err != nil {
		return nil, fmt.Errorf("%w: the certificate made is not what was asked for: %w", ErrProfile, err)
	}
	return data, nil
}

func (by issuer) template(r Request, now time.Time) (*x509.Certificate, error) {
	p, ok := r.Usage.profile()
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrProfile, r.Usage)
	}
	if err := by.checkRequest(r); err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	name, err := r.Subject.marshal()
	if err != nil {
		return nil, err
	}
	extensions, err := p.extensions()
	if err != nil {
		return nil, err
	}
	keyID, err := keyIdentifier(r.Public)
	if err != nil {
		return nil, err
	}
	start := r.NotBefore
	if start.IsZero() {
		start = now
	}
	start = start.UTC().Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber: serial, RawSubject: name, SubjectKeyId: keyID, ExtraExtensions: extensions,
		NotBefore: start, NotAfter: start.Add(r.Validity.Truncate(time.Second)),
		DNSNames: r.DNSNames, IPAddresses: r.IPs,
		BasicConstraintsValid: true, IsCA: r.Usage == UsageCA, MaxPathLen: -1,
	}
	if by.cert == nil {
		t.AuthorityKeyId = keyID
		return t, nil
	}
	if t.IsCA {
		t.MaxPathLen, t.MaxPathLenZero = r.PathLen, r.PathLen == 0
	}
	if t.NotBefore.Before(by.cert.NotBefore) || t.NotAfter.After(by.cert.NotAfter) {
		return nil, fmt.Errorf("%w: %s to %s is not within the validity of %q, which ends %s; renew the authority or ask for less", ErrProfile,
			t.NotBefore.Format(time.RFC3339), t.NotAfter.Format(time.RFC3339), by.cert.Subject.CommonName, by.cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if by.crlURL != "" {
		t.CRLDistributionPoints = []string{by.crlURL}
	}
	return t, nil
}

// checkRequest refuses what no certificate of the profile can say.
func (by issuer) checkRequest(r Request) error {
	k, err := keyKind(r.Public)
	if err != nil {
		return err
	}
	own, err := keyKind(by.signer.Public())
	if err != nil || own == kindRSA || k == kindRSA {
		return fmt.Errorf("%w: nothing is issued with or for %T here", ErrKey, r.Public)
	}
	spki, err := smx509.MarshalPKIXPublicKey(r.Public)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := checkKey(spki, r.Public); err != nil {
		return err
	}
	if (k == kindSM2) != (own == kindSM2) {
		return fmt.Errorf("%w: SM2 certificates are issued by SM2 authorities, others by others (GB/T 20518)", ErrProfile)
	}
	if r.Validity < time.Minute {
		return fmt.Errorf("%w: validity of %v", ErrProfile, r.Validity)
	}
	if named := len(r.DNSNames)+len(r.IPs) > 0; named != (r.Usage == UsageServer) {
		return fmt.Errorf("%w: a server needs DNS names or addresses, and nothing else has any", ErrProfile)
	}
	for _, name := range r.DNSNames {
		if !isDNSName(name) {
			return fmt.Errorf("%w: %.80q is no DNS name (letters, digits, hyphens; a name in Chinese in its xn-- form)", ErrProfile, name)
		}
	}
	if r.PathLen < 0 || r.PathLen > 0 && r.Usage != UsageCA {
		return fmt.Errorf("%w: path length %d", ErrProfile, r.PathLen)
	}
	if r.Usage != UsageCA || by.cert == nil {
		return nil
	}
	if limit := by.cert.MaxPathLen; limit >= 0 && r.PathLen >= limit {
		return fmt.Errorf("%w: %q allows %d authorities below it", ErrProfile, by.cert.Subject.CommonName, limit)
	}
	return nil
}

// isDNSName reports whether name is a host name (RFC 1123 §2.1), the first
// label of which may be a star.
func isDNSName(name string) bool {
	for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
		other := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
		}
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, other) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(name) <= 253
}

// newSerial returns 128 random bits, the highest set, so that all serial
// numbers have one length (RFC 5280 §4.1.2.2).
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	b[0] |= 0x80
	return new(big.Int).SetBytes(b[:]), nil
}

// keyIdentifier is method 1 of RFC 7093 §2.
func keyIdentifier(public crypto.PublicKey) ([]byte, error) {
	info, err := smx509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	in := cryptobyte.String(info)
	var spki, bits cryptobyte.String
	if !in.ReadASN1(&spki, der.SEQUENCE) || !spki.SkipASN1(der.SEQUENCE) || !spki.ReadASN1(&bits, der.BIT_STRING) || len(bits) < 1 {
		return nil, fmt.Errorf("%w: not a key", ErrKey)
	}
	sum := sha256.Sum256(bits[1:])
	return sum[:20], nil
}

// lint reads a new certificate as a stranger would and compares it with the
// request: a fault in encoding, a signer with another key or a library that
// left something out is noticed before the certificate is handed out.
func (by issuer) lint(data []byte, t *x509.Certificate, r Request) error {
	cert, err := ParseCertificate(data)
	if err != nil {
		return err
	}
	root := cert
	if by.cert != nil {
		root = by.cert
	}
	if err := checkLink(cert, root); err != nil {
		return err
	}
	if !sameKey(by.signer.Public(), root.PublicKey) || !sameKey(cert.PublicKey, r.Public) {
		return errors.New("another key")
	}
	if err := checkUsage(cert, nil, r.Usage); err != nil {
		return err
	}
	p, _ := r.Usage.profile()
	switch {
	case cert.KeyUsage != p.keyUsage:
		return fmt.Errorf("key usage %b", cert.KeyUsage)
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("critical extensions %v", cert.UnhandledCriticalExtensions)
	case SubjectOf(cert.Subject) != r.Subject:
		return fmt.Errorf("subject %v", cert.Subject)
	case cert.SerialNumber.Cmp(t.SerialNumber) != 0 || cert.SerialNumber.BitLen() != 128:
		return fmt.Errorf("serial number %x", cert.SerialNumber)
	case !cert.NotBefore.Equal(t.NotBefore) || !cert.NotAfter.Equal(t.NotAfter):
		return fmt.Errorf("validity %v to %v", cert.NotBefore, cert.NotAfter)
	case !slices.Equal(cert.DNSNames, t.DNSNames) || !slices.EqualFunc(cert.IPAddresses, t.IPAddresses, net.IP.Equal):
		return fmt.Errorf("names %v %v", cert.DNSNames, cert.IPAddresses)
	case !bytes.Equal(cert.SubjectKeyId, t.SubjectKeyId) || !bytes.Equal(cert.AuthorityKeyId, root.SubjectKeyId):
		return errors.New("key identifiers")
	case cert.IsCA != t.IsCA || cert.IsCA && cert.MaxPathLen != t.MaxPathLen:
		return fmt.Errorf("path length %d", cert.MaxPathLen)
	}
	return nil
}
