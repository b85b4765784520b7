package service

import (
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
)

// The hub's own authorities: one of each kind of key, since a chain does not
// change its algorithm.
const (
	authoritySM2  = "sm2"
	authorityP256 = "p256"
)

const (
	rootYears    = 20
	issuingYears = 10
	leafYears    = 5

	// listKept is how long a revocation list may be kept, by this service too, which is well before its next update;
	// trustKept is the same for the authorities' certificates.
	listKept  = time.Hour
	trustKept = 24 * time.Hour
)

func authorityAlgorithms() map[string]string {
	return map[string]string{authoritySM2: signing.SM2SM3, authorityP256: signing.ES256}
}

func issuingLine(authority string) string { return "ca/issuing-" + authority }

// trusted is what seals are verified against, and its revocation lists.
type trusted struct {
	trust *pki.Trust
	crls  map[string][]byte
	until time.Time // when the lists have to be made anew
}

// openAuthorities opens the issuing authorities. Those that have no certificate
// yet get one from a root authority, whose folder is opened for that alone.
func (s *Service) openAuthorities(ctx context.Context) error {
	for authority, algorithm := range authorityAlgorithms() {
		key, err := s.ring.EnsureActive(ctx, keys.Spec{Line: issuingLine(authority), Algorithm: algorithm})
		if err != nil {
			return err
		}
		if len(key.Chain) == 0 {
			if err := s.certifyIssuing(ctx, authority, key); err != nil {
				return fmt.Errorf("root authority %s: %w", authority, err)
			}
		}
		if key, err = s.ring.Active(key.Line); err != nil {
			return err
		}
		opened, err := pki.OpenAuthority(pki.Config{
			Dir: filepath.Join(s.cfg.Dir, "authorities", authority), Certificate: key.Chain[0], Chain: key.Chain[1:],
			Signer: lineSigner{ring: s.ring, key: key, use: keys.Use{Caller: "authority", Purpose: "certificates"}}, Now: s.cfg.Now,
			CRLURL: s.cfg.Issuer + "/v1/signing/crl/" + authority,
		})
		if err != nil {
			return err
		}
		s.closers = append(s.closers, opened.Close)
		s.issuing[authority] = opened
	}
	return nil
}

// certifyIssuing opens the root's key ring, makes the root certificate if there
// is none, and issues the issuing authority's. A crash in between leaves a root
// that the next start goes on with.
func (s *Service) certifyIssuing(ctx context.Context, authority string, issuing keys.Key) (err error) {
	root, err := keys.Open(ctx, keys.Config{
		Dir: filepath.Join(s.cfg.Dir, "root"), Passphrase: s.cfg.RootPassphrase, Uses: s.journal,
		CachePeriod: s.cfg.CachePeriod, Now: s.cfg.Now, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	line := "ca/root-" + authority
	key, err := root.EnsureActive(ctx, keys.Spec{Line: line, Algorithm: issuing.Algorithm})
	if err != nil {
		return err
	}
	signer, err := root.Signer(ctx, line, keys.Use{Caller: "root authority", Purpose: "certificate"})
	if err != nil {
		return err
	}
	operator := s.cfg.Operator
	if len(key.Chain) == 0 {
		operator.CommonName = "Onewindow Root CA " + strings.ToUpper(authority)
		certificate, err := pki.NewRoot(signer, operator, rootYears*365*24*time.Hour, s.cfg.Now())
		if err != nil {
			return err
		}
		key.Chain = [][]byte{certificate}
		if err := root.SetChain(ctx, key.ID, key.Chain); err != nil {
			return err
		}
	}
	ca, err := pki.OpenAuthority(pki.Config{
		Dir: filepath.Join(s.cfg.Dir, "root", "authority-"+authority), Certificate: key.Chain[0], Signer: signer, Now: s.cfg.Now,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ca.Close()) }()
	operator.CommonName = "Onewindow Issuing CA " + strings.ToUpper(authority)
	certificate, err := ca.IssueCA(ctx, pki.Request{
		Public: issuing.Public, Subject: operator, Validity: issuingYears * 365 * 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	return s.ring.SetChain(ctx, issuing.ID, [][]byte{certificate, key.Chain[0]})
}

// lineSigner signs for an authority, which lives longer than one operation.
type lineSigner struct {
	ring *keys.Ring
	key  keys.Key
	use  keys.Use
}

// Public returns the key's public part.
func (l lineSigner) Public() crypto.PublicKey { return l.key.Public }

// Sign signs with the key, each time as a use of its own.
func (l lineSigner) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	signer, err := l.ring.SignerOf(context.Background(), l.key.ID, l.use)
	if err != nil {
		return nil, err
	}
	return signer.Sign(random, message, opts)
}

// certify gives a key a certificate of this hub's own authority, unless it has
// one or its line has none.
func (s *Service) certify(ctx context.Context, key keys.Key, subject pki.Subject) error {
	usage := usageOf(key.Line)
	if len(key.Chain) > 0 || usage == pki.UsageCA {
		return nil
	}
	s.making.Lock()
	defer s.making.Unlock()
	authority := s.issuing[authorityP256]
	if key.Algorithm == signing.SM2SM3 {
		authority = s.issuing[authoritySM2]
	}
	leaf, err := authority.Issue(ctx, pki.Request{
		Public: key.Public, Subject: subject, Usage: usage, NotBefore: key.Created.Truncate(time.Second), Validity: leafYears * 365 * 24 * time.Hour,
	})
	if err != nil {
		return fmt.Errorf("certificate for %s: %w", key.Line, err)
	}
	// Without the root: whoever trusts it has it.
	return s.ring.SetChain(ctx, key.ID, [][]byte{leaf, authority.Certificate()})
}

// usageOf is what the certificates of a line are for.
func usageOf(line string) pki.Usage {
	switch {
	case strings.HasPrefix(line, "seal/"):
		return pki.UsageSeal
	case line == LineSealMaker:
		return pki.UsageSealMaker
	case line == LineTimestamp:
		return pki.UsageTimestamp
	case strings.HasPrefix(line, "ca/"):
		return pki.UsageCA
	}
	return pki.UsageLicense
}

// trustNow is what signatures are verified against: this hub's roots and fresh
// revocation lists.
func (s *Service) trustNow(ctx context.Context) (*trusted, error) {
	if t := s.trust.Load(); t != nil && s.cfg.Now().Before(t.until) {
		return t, nil
	}
	s.making.Lock()
	defer s.making.Unlock()
	t := &trusted{crls: map[string][]byte{}, until: s.cfg.Now().Add(listKept)}
	cfg := pki.TrustConfig{}
	for name, authority := range s.issuing {
		crl, err := authority.CRL(ctx)
		if err != nil {
			return nil, fmt.Errorf("revocation list %s: %w", name, err)
		}
		chain := authority.Chain()
		t.crls[name] = crl
		cfg.CRLs = append(cfg.CRLs, crl)
		cfg.Intermediates = append(cfg.Intermediates, chain[0])
		cfg.Roots = append(cfg.Roots, chain[1:]...)
	}
	var err error
	if t.trust, err = pki.NewTrust(cfg); err != nil {
		return nil, err
	}
	s.trust.Store(t)
	return t, nil
}

// GetTrust implements signing.v1.
func (s *Service) GetTrust(context.Context, *signingv1.GetTrustRequest) (*httpbody.HttpBody, error) {
	var text []byte
	until := s.cfg.Now().Add(trustKept)
	for _, authority := range []string{authoritySM2, authorityP256} {
		for _, der := range s.issuing[authority].Chain() {
			certificate, err := pki.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			if certificate.NotAfter.Before(until) {
				until = certificate.NotAfter
			}
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
	}
	return document("application/pem-certificate-chain", text, until)
}

// GetRevocationList implements signing.v1.
func (s *Service) GetRevocationList(ctx context.Context, req *signingv1.GetRevocationListRequest) (*httpbody.HttpBody, error) {
	t, err := s.trustNow(ctx)
	if err != nil {
		return nil, err
	}
	crl, ok := t.crls[req.GetAuthority()]
	if !ok {
		return nil, fmt.Errorf("%w: no authority %.20q; there are %s and %s", ErrNotFound, req.GetAuthority(), authoritySM2, authorityP256)
	}
	return document("application/pkix-crl", crl, t.until)
}

// RevokeCertificate implements signing.v1.
func (s *Service) RevokeCertificate(ctx context.Context, req *signingv1.RevokeCertificateRequest) (*signingv1.RevokeCertificateResponse, error) {
	authority, ok := s.issuing[req.GetAuthority()]
	if !ok {
		return nil, fmt.Errorf("%w: no authority %.20q", ErrNotFound, req.GetAuthority())
	}
	if _, err := s.authorize(ctx, Manage, issuingLine(req.GetAuthority())); err != nil {
		return nil, err
	}
	serial, ok := new(big.Int).SetString(req.GetSerial(), 16)
	if !ok || len(req.GetSerial()) > 40 {
		return nil, fmt.Errorf("%w: serial is not hexadecimal", ErrInvalid)
	}
	reason, err := reasonOf(req.GetReason())
	if err != nil {
		return nil, err
	}
	// Whoever is gathering the lists now must not store the one before.
	s.making.Lock()
	defer s.making.Unlock()
	if err := authority.Revoke(ctx, serial, reason, s.cfg.Now().Truncate(time.Second)); err != nil {
		return nil, err
	}
	s.trust.Store(nil) // the next verification reads the new list
	return &signingv1.RevokeCertificateResponse{}, nil
}

// reasonOf reads a reason by its name in RFC 5280.
func reasonOf(name string) (pki.Reason, error) {
	for reason := pki.Unspecified; reason <= pki.AACompromise; reason++ {
		if reason.String() == name && reason != pki.CertificateHold {
			return reason, nil
		}
	}
	return 0, fmt.Errorf("%w: reason %.40q; use unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn", ErrInvalid, name)
}
