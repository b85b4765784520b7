package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/onewindow/onewindow/signing/durable"
	"github.com/onewindow/onewindow/signing/pki"
)

// A process on the network side needs its TLS keys without a person who types
// a passphrase, and they authenticate connections, not documents: they are
// plain PEM files, mode 0600, apart from the key ring.

const tlsYears = 5

// ServerCertificate returns the certificate with which a signing service of
// its own answers at hosts (names or addresses), made at the first start and
// made again when it is about to expire or hosts change.
func (s *Service) ServerCertificate(ctx context.Context, dir string, hosts []string) (tls.Certificate, error) {
	return s.tlsCertificate(ctx, dir, "server", pki.UsageServer, hosts)
}

// ClientCertificate makes the file NAME.pem in dir, certificate and key, unless
// it is there: what a client called name needs to be let in.
func (s *Service) ClientCertificate(ctx context.Context, dir, name string) error {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") || name == "server" || name == "roots" {
		return fmt.Errorf("%w: %q cannot be the name of a client", ErrInvalid, name)
	}
	_, err := s.tlsCertificate(ctx, dir, name, pki.UsageClient, nil)
	return err
}

// TLSRoots returns the root that clients' certificates must come from, and
// writes it to dir/roots.pem for the clients.
func (s *Service) TLSRoots(_ context.Context, dir string) (*x509.CertPool, error) {
	chain := s.issuing[authorityP256].Chain()
	roots := x509.NewCertPool()
	var text []byte
	for _, der := range chain[1:] {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("root: %w", err)
		}
		roots.AddCert(root)
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return roots, durable.WriteFile(dir, "roots.pem", text)
}

// CheckClient is for tls.Config.VerifyConnection: beside what TLS checks, a
// client certificate must be for clients and not be revoked.
func (s *Service) CheckClient(connection tls.ConnectionState) error {
	if len(connection.PeerCertificates) == 0 {
		return fmt.Errorf("%w: no client certificate", ErrForbidden)
	}
	t, err := s.trustNow(context.Background())
	if err != nil {
		return err
	}
	leaf := connection.PeerCertificates[0]
	if err := t.trust.Check(leaf.Raw, nil, s.cfg.Now(), pki.UsageClient).Err(); err != nil {
		return fmt.Errorf("%w: client certificate of %q: %w", ErrForbidden, leaf.Subject.CommonName, err)
	}
	return nil
}

func (s *Service) tlsCertificate(ctx context.Context, dir, name string, usage pki.Usage, hosts []string) (tls.Certificate, error) {
	if err := durable.MakeDir(dir); err != nil {
		return tls.Certificate{}, err
	}
	file := filepath.Join(dir, name+".pem") // both in one, so that a crash cannot part them
	kept, err := tls.LoadX509KeyPair(file, file)
	switch {
	case err == nil && s.stillGood(kept.Leaf, hosts):
		return kept, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return tls.Certificate{}, fmt.Errorf("TLS certificate %s: %w", file, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return tls.Certificate{}, err
	}
	request := pki.Request{
		Public: private.Public(), Usage: usage, Validity: tlsYears * 365 * 24 * time.Hour,
		Subject: pki.Subject{Organization: s.cfg.Operator.Organization, CommonName: name},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			request.IPs = append(request.IPs, ip)
		} else {
			request.DNSNames = append(request.DNSNames, host)
		}
	}
	authority := s.issuing[authorityP256]
	leaf, err := authority.Issue(ctx, request)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS certificate for %s: %w", name, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Chain()[0]})...)
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})...)
	if err := durable.WriteFile(dir, name+".pem", text); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(file, file)
}

// stillGood says whether a certificate holds for another month and for hosts.
func (s *Service) stillGood(leaf *x509.Certificate, hosts []string) bool {
	if leaf == nil || leaf.NotAfter.Sub(s.cfg.Now()) < 30*24*time.Hour {
		return false
	}
	for _, host := range hosts {
		if leaf.VerifyHostname(host) != nil {
			return false
		}
	}
	return true
}
