package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/emmansun/gmsm/smx509"
)

// found is a certificate with its paths: what of Check needs no time or usage.
type found struct {
	cert  *smx509.Certificate
	paths []path
	fault error // why there is no path
}

// path is a chain whose names, signatures and constraints hold.
type path struct {
	certs []*smx509.Certificate // leaf first, root last
	lists [][]*revocationList   // of each but the root: those that speak of it, newest first
}

// look finds the paths of a certificate, or remembers them.
func (t *Trust) look(cert []byte, extra [][]byte) (*found, error) {
	if len(extra) > maxSent {
		return nil, fmt.Errorf("%w: %d certificates sent along, the limit is %d", ErrMalformed, len(extra), maxSent)
	}
	key := memoryKey(cert, extra)
	if f := t.seen.get(key); f != nil {
		return f, nil
	}
	leaf, err := ParseCertificate(cert)
	if err != nil {
		return nil, err
	}
	sent := make([]*smx509.Certificate, len(extra))
	for i, data := range extra {
		if sent[i], err = ParseCertificate(data); err != nil {
			return nil, fmt.Errorf("certificate %d sent along: %w", i, err)
		}
	}
	f := t.find(leaf, sent)
	if len(f.paths) > 0 { // strangers cannot fill the memory
		t.seen.put(key, f)
	}
	return f, nil
}

// find builds the paths. smx509 judges names, signatures, path lengths, name
// constraints and critical extensions; it gets copies that never expire, so
// that a path stays good for every moment that Check is asked about.
func (t *Trust) find(leaf *smx509.Certificate, sent []*smx509.Certificate) *found {
	f := &found{cert: leaf}
	originals := map[string]*smx509.Certificate{}
	for _, cert := range t.own {
		originals[string(cert.Raw)] = cert
	}
	pool := t.intermediates
	if len(sent) > 0 {
		pool = pool.Clone()
	}
	for _, cert := range sent {
		originals[string(cert.Raw)] = cert
		pool.AddCert(timeless(cert))
	}
	originals[string(leaf.Raw)] = leaf
	chains, err := timeless(leaf).Verify(smx509.VerifyOptions{
		Roots: t.roots, Intermediates: pool, CurrentTime: time.Unix(0, 0),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // checkUsage does it
	})
	if err != nil {
		f.fault = fmt.Errorf("%w: %w", ErrChain, err)
		return f
	}
	for _, chain := range chains {
		p := path{}
		for _, cert := range chain {
			p.certs = append(p.certs, originals[string(cert.Raw)])
		}
		if err := p.check(); err != nil {
			f.fault = fmt.Errorf("%w: %w", ErrChain, err)
			continue
		}
		for i, cert := range p.certs[:len(p.certs)-1] {
			p.lists = append(p.lists, t.listsOf(cert, p.certs[i+1]))
		}
		f.paths = append(f.paths, p)
	}
	return f
}

// check adds what smx509 leaves open: version 1 authorities, algorithms that
// are not the key's own, policies.
func (p path) check() error {
	for i, ca := range p.certs[1:] {
		if err := checkAuthority(ca); err != nil {
			return err
		}
		if child := p.certs[i]; !usesKey(child.SignatureAlgorithm, ca) {
			return fmt.Errorf("%w: %q is signed with %v", ErrKey, child.Subject.CommonName, child.SignatureAlgorithm)
		}
	}
	return nil
}

// checkLink checks that issuer signed cert with its own algorithm.
func checkLink(cert, issuer *smx509.Certificate) error {
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("issuer of %q is not %q", cert.Subject.CommonName, issuer.Subject.CommonName)
	}
	if !usesKey(cert.SignatureAlgorithm, issuer) {
		return fmt.Errorf("%w: %q is signed with %v", ErrKey, cert.Subject.CommonName, cert.SignatureAlgorithm)
	}
	return cert.CheckSignatureFrom(issuer)
}

// timeless copies a certificate for smx509's path building. Its bytes, and so
// its signature, stay the same.
func timeless(cert *smx509.Certificate) *smx509.Certificate {
	c := *cert
	c.NotBefore, c.NotAfter = time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	return &c
}

// memorySize is how many certificates with paths a generation remembers; a
// Trust holds two generations, some 10 MB when full.
const memorySize = 512

// memory remembers what was asked lately: a full generation becomes the old
// one, and what is found there moves back.
type memory struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*found
}

func newMemory() *memory { return &memory{young: map[[sha256.Size]byte]*found{}} }

// memoryKey is a digest of everything that find is told.
func memoryKey(cert []byte, extra [][]byte) (key [sha256.Size]byte) {
	h := sha256.New()
	var length [8]byte
	for i := -1; i < len(extra); i++ {
		data := cert
		if i >= 0 {
			data = extra[i]
		}
		binary.BigEndian.PutUint64(length[:], uint64(len(data)))
		h.Write(length[:])
		h.Write(data)
	}
	h.Sum(key[:0])
	return key
}

func (m *memory) get(key [sha256.Size]byte) *found {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.young[key]; f != nil {
		return f
	}
	f := m.old[key]
	if f != nil {
		m.add(key, f)
	}
	return f
}

func (m *memory) put(key [sha256.Size]byte, f *found) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(key, f)
}

func (m *memory) add(key [sha256.Size]byte, f *found) {
	if len(m.young) >= memorySize {
		m.old, m.young = m.young, map[[sha256.Size]byte]*found{}
	}
	m.young[key] = f
}
