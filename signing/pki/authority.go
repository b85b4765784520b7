package pki

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/durable"
)

// listLife is the time from this update to next update of a revocation list
// when the configuration names none.
const listLife = 7 * 24 * time.Hour

// NewRoot makes a self-signed root certificate in DER, valid from now for
// validity (whole seconds). Its path length is not limited.
func NewRoot(signer crypto.Signer, subject Subject, validity time.Duration, now time.Time) ([]byte, error) {
	return issuer{signer: signer}.make(Request{
		Public: signer.Public(), Subject: subject, Usage: UsageCA, Validity: validity,
	}, now)
}

// Config says where an authority keeps its records and what it signs with.
type Config struct {
	// Dir is the authority's folder, created if absent. One process at a time.
	Dir string
	// Certificate is the authority's own certificate in DER, for Signer's key.
	Certificate []byte
	// Chain are the authorities above it in DER, its issuer first; empty for a root.
	Chain [][]byte
	// Signer holds the key.
	Signer crypto.Signer
	// CRLURL is where the revocation list can be fetched; it is written into
	// certificates unless empty.
	CRLURL string
	// CRLLife is the time for which a revocation list is good; zero is seven days.
	CRLLife time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Authority is a certification authority. In its folder it keeps each
// certificate that it issued (issued/SERIAL.der) and what it revoked
// (revoked.json). It is safe for concurrent use.
type Authority struct {
	by    issuer
	chain [][]byte
	dir   string
	life  time.Duration
	now   func() time.Time
	lock  *os.File

	mu      sync.Mutex
	issued  map[string]*smx509.Certificate // by serial number, hexadecimal
	revoked revocations
	list    *currentList
}

// Issued is a certificate that an authority issued.
type Issued struct {
	Serial      *big.Int
	Subject     Subject
	NotBefore   time.Time
	NotAfter    time.Time
	RevokedAt   time.Time // zero: not revoked.
	RevokedFor  Reason
	Certificate []byte // DER.
}

// OpenAuthority opens or creates an authority's folder. The certificate must be
// an authority's, for the signer's key, and Chain must lead up from it. A
// damaged file, a file of another authority or another process in the folder
// is ErrFolder with the file's name.
func OpenAuthority(config Config) (*Authority, error) {
	cert, err := checkOwn(config)
	if err != nil {
		return nil, fmt.Errorf("authority's certificate: %w", err)
	}
	a := &Authority{
		by:    issuer{config.Signer, cert, config.CRLURL},
		chain: slices.Clone(config.Chain), dir: config.Dir, life: config.CRLLife, now: config.Now,
		issued: map[string]*smx509.Certificate{},
	}
	if a.life == 0 {
		a.life = listLife
	}
	if a.now == nil {
		a.now = time.Now
	}
	for _, dir := range []string{a.dir, filepath.Join(a.dir, "issued")} {
		if err := durable.MakeDir(dir); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFolder, err)
		}
	}
	if a.lock, err = durable.Lock(a.dir); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFolder, a.dir, err)
	}
	if err := a.load(); err != nil {
		return nil, errors.Join(err, a.lock.Close())
	}
	return a, nil
}

// checkOwn reads the authority's certificate and the chain above it.
func checkOwn(config Config) (*smx509.Certificate, error) {
	cert, err := parseAuthority(config.Certificate)
	if err != nil {
		return nil, err
	}
	if err := checkUsage(cert, nil, UsageCA); err != nil {
		return nil, err
	}
	if !sameKey(config.Signer.Public(), cert.PublicKey) {
		return nil, fmt.Errorf("%w: the signer holds another key", ErrKey)
	}
	if len(cert.SubjectKeyId) == 0 {
		return nil, fmt.Errorf("%w: no subject key identifier, which revocation lists need", ErrProfile)
	}
	below := cert
	for i, data := range config.Chain {
		above, err := parseAuthority(data)
		if err != nil {
			return nil, fmt.Errorf("chain, certificate %d: %w", i, err)
		}
		if err := checkLink(below, above); err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", ErrChain, i, err)
		}
		below = above
	}
	return cert, nil
}

// load reads the folder.
func (a *Authority) load() error {
	files, err := os.ReadDir(filepath.Join(a.dir, "issued"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	for _, file := range files {
		serial, ok := strings.CutSuffix(file.Name(), ".der")
		if !ok {
			continue // what a crash left of a file that was being written
		}
		data, err := os.ReadFile(filepath.Join(a.dir, "issued", file.Name()))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFolder, err)
		}
		cert, err := ParseCertificate(data)
		if err != nil {
			return fmt.Errorf("%w: issued/%s: %w; restore it from a backup", ErrFolder, file.Name(), err)
		}
		if !bytes.Equal(cert.AuthorityKeyId, a.by.cert.SubjectKeyId) || serialName(cert.SerialNumber) != serial {
			return fmt.Errorf("%w: issued/%s was not issued here", ErrFolder, file.Name())
		}
		a.issued[serial] = cert
	}
	data, err := os.ReadFile(filepath.Join(a.dir, revokedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFolder, err)
	}
	if a.revoked, err = parseRevocations(data); err != nil {
		return fmt.Errorf("%w: %s: %w; restore it from a backup", ErrFolder, revokedFile, err)
	}
	return nil
}

// Close lets another process have the folder.
func (a *Authority) Close() error { return a.lock.Close() }

// Certificate returns the authority's own certificate in DER.
func (a *Authority) Certificate() []byte { return slices.Clone(a.by.cert.Raw) }

// Chain returns what to send along with a certificate issued here: the
// authority's certificate and those above it, in DER.
func (a *Authority) Chain() [][]byte {
	return append([][]byte{a.Certificate()}, a.chain...)
}

// Issue issues a certificate and returns it in DER; it is on disk before. The
// result is read again and compared with the request and the profile first
// (ErrProfile). The certificate's end must be within the authority's.
//
// Repeating a request whose NotBefore is set returns the certificate of the
// first time, unless that was revoked: after a crash nobody holds two. With
// NotBefore zero each call makes another certificate. A key that was revoked
// as compromised gets none (ErrKey).
func (a *Authority) Issue(ctx context.Context, r Request) ([]byte, error) {
	if r.Usage == UsageCA {
		return nil, fmt.Errorf("%w: authorities are made by IssueCA", ErrProfile)
	}
	return a.issue(ctx, r)
}

// IssueCA issues the certificate of an authority below this one, as Issue
// does: with PathLen 0 one that issues for end users alone.
func (a *Authority) IssueCA(ctx context.Context, r Request) ([]byte, error) {
	r.Usage = UsageCA
	return a.issue(ctx, r)
}

func (a *Authority) issue(ctx context.Context, r Request) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if compromised := a.find(r.Public, func(_ *smx509.Certificate, e revocation) bool { return e.reason == KeyCompromise && !e.at.IsZero() }); compromised != nil {
		return nil, fmt.Errorf("%w: it was revoked as compromised, serial number %x", ErrKey, compromised.SerialNumber)
	}
	if !r.NotBefore.IsZero() {
		if before := a.find(r.Public, func(c *smx509.Certificate, e revocation) bool { return e.at.IsZero() && answers(c, r) }); before != nil {
			return slices.Clone(before.Raw), nil
		}
	}
	data, err := a.by.make(r, a.now())
	if err != nil {
		return nil, err
	}
	cert, err := ParseCertificate(data)
	if err != nil {
		return nil, err
	}
	serial := serialName(cert.SerialNumber)
	if err := durable.WriteFile(filepath.Join(a.dir, "issued"), serial+".der", data); err != nil {
		return nil, fmt.Errorf("%w: keep the certificate: %w", ErrFolder, err)
	}
	a.issued[serial] = cert
	return data, nil
}

// find returns a certificate issued here for a key that accept takes.
func (a *Authority) find(public crypto.PublicKey, accept func(*smx509.Certificate, revocation) bool) *smx509.Certificate {
	for serial, cert := range a.issued {
		if sameKey(cert.PublicKey, public) && accept(cert, a.revoked.entries[serial]) {
			return cert
		}
	}
	return nil
}

// answers reports whether cert is what the request asked for.
func answers(cert *smx509.Certificate, r Request) bool {
	start := r.NotBefore.UTC().Truncate(time.Second)
	p, ok := r.Usage.profile()
	list, _, _ := purposes(cert)
	asked := len(list) == 0 && p.purpose == nil || len(list) == 1 && list[0].Equal(p.purpose)
	return ok && asked && cert.KeyUsage == p.keyUsage && SubjectOf(cert.Subject) == r.Subject &&
		cert.NotBefore.Equal(start) && cert.NotAfter.Equal(start.Add(r.Validity.Truncate(time.Second))) &&
		slices.Equal(cert.DNSNames, r.DNSNames) && slices.EqualFunc(cert.IPAddresses, r.IPs, net.IP.Equal) &&
		(r.Usage != UsageCA || cert.MaxPathLen == r.PathLen)
}

// Issued returns what was issued, oldest first.
func (a *Authority) Issued() []Issued {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Issued, 0, len(a.issued))
	for serial, cert := range a.issued {
		entry := a.revoked.entries[serial]
		list = append(list, Issued{
			Serial: new(big.Int).Set(cert.SerialNumber), Subject: SubjectOf(cert.Subject),
			NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Certificate: slices.Clone(cert.Raw),
			RevokedAt: entry.at, RevokedFor: entry.reason,
		})
	}
	slices.SortFunc(list, func(x, y Issued) int {
		if c := x.NotBefore.Compare(y.NotBefore); c != 0 {
			return c
		}
		return x.Serial.Cmp(y.Serial)
	})
	return list
}

// serialName is a serial number as files and records name it.
func serialName(serial *big.Int) string { return hex.EncodeToString(serial.Bytes()) }
