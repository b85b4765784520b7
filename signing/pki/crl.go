package pki

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxRevocationList is the size in bytes of the largest revocation list read.
const MaxRevocationList = 8 << 20

// Reason is why a certificate was revoked (RFC 5280 §5.3.1).
type Reason int

// The reasons for which a certificate is revoked.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	CertificateHold      Reason = 6
	PrivilegeWithdrawn   Reason = 9
	AACompromise         Reason = 10
)

// Compromise says whether somebody else may have had the key, so that a
// signature of any stated time may be theirs.
func (r Reason) Compromise() bool {
	return r == KeyCompromise || r == CACompromise || r == AACompromise
}

// String returns the reason's name in RFC 5280.
func (r Reason) String() string {
	switch r {
	case Unspecified:
		return "unspecified"
	case KeyCompromise:
		return "keyCompromise"
	case CACompromise:
		return "cACompromise"
	case AffiliationChanged:
		return "affiliationChanged"
	case Superseded:
		return "superseded"
	case CessationOfOperation:
		return "cessationOfOperation"
	case CertificateHold:
		return "certificateHold"
	case PrivilegeWithdrawn:
		return "privilegeWithdrawn"
	case AACompromise:
		return "aACompromise"
	}
	return fmt.Sprintf("reason %d", int(r))
}

var (
	oidCRLReason     = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidity    = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidListScope     = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCRLPoints     = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidExpiredOnList = asn1.ObjectIdentifier{2, 5, 29, 60}
)

// revocationList is a list that was read; signedBy says if it may be believed.
type revocationList struct {
	issuer, keyID          []byte // issuer's name; its key identifier, may be nil
	thisUpdate, nextUpdate time.Time
	number                 *big.Int
	keepsSince             time.Time // certificates that expired since then stay listed
	scope                  scope
	entries                map[string]revocation // by serial number, big-endian
	signed                 *smx509.RevocationList

	mu     sync.Mutex
	issued map[[sha256.Size]byte]bool // answers of signedBy, by issuer's certificate
}

type revocation struct {
	at     time.Time
	reason Reason
}

// parseRevocationList reads one v2 list (RFC 5280 §5). Lists for some reasons
// only, indirect and delta lists, and lists with any other critical extension
// are refused.
func parseRevocationList(data []byte) (*revocationList, error) {
	if len(data) > MaxRevocationList {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrMalformed, len(data), MaxRevocationList)
	}
	if err := checkDER(data); err != nil {
		return nil, err
	}
	if err := checkListFrame(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	crl, err := smx509.ParseRevocationList(bytes.Clone(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	list := &revocationList{
		issuer: crl.RawIssuer, keyID: crl.AuthorityKeyId, number: crl.Number,
		thisUpdate: crl.ThisUpdate, nextUpdate: crl.NextUpdate,
		entries: make(map[string]revocation, len(crl.RevokedCertificateEntries)),
		signed:  crl, issued: map[[sha256.Size]byte]bool{},
	}
	if list.number == nil {
		list.number = new(big.Int)
	}
	if list.nextUpdate.IsZero() || list.nextUpdate.Before(list.thisUpdate) {
		return nil, fmt.Errorf("%w: no next update, or one before this update", ErrMalformed)
	}
	if err := list.readExtensions(crl); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	for _, e := range crl.RevokedCertificateEntries {
		for _, ext := range e.Extensions {
			if ext.Critical && !ext.Id.Equal(oidCRLReason) && !ext.Id.Equal(oidInvalidity) {
				return nil, fmt.Errorf("%w: entry with critical extension %v", ErrMalformed, ext.Id)
			}
		}
		serial, entry := string(e.SerialNumber.Bytes()), revocation{e.RevocationTime, Reason(e.ReasonCode)}
		if before, twice := list.entries[serial]; !twice || entry.at.Before(before.at) {
			list.entries[serial] = entry
		}
	}
	crl.RevokedCertificateEntries, crl.RevokedCertificates = nil, nil
	return list, nil
}

// checkListFrame walks the fixed members of a list, as checkFrame does.
func checkListFrame(data []byte) error {
	in := cryptobyte.String(data)
	var list, tbs, entries, extensions cryptobyte.String
	var hasEntries, hasExtensions bool
	if !in.ReadASN1(&list, der.SEQUENCE) || !list.ReadASN1(&tbs, der.SEQUENCE) || !readAlgorithm(&list) || !readOctets(&list) || !list.Empty() {
		return errors.New("not SEQUENCE { list, algorithm, signature }")
	}
	if !tbs.SkipASN1(der.INTEGER) || !readAlgorithm(&tbs) || !tbs.SkipASN1(der.SEQUENCE) || !readAnyElement(&tbs) || !readAnyElement(&tbs) ||
		!tbs.ReadOptionalASN1(&entries, &hasEntries, der.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&extensions, &hasExtensions, der.Tag(0).Constructed().ContextSpecific()) || !tbs.Empty() {
		return errors.New("not { version, algorithm, issuer, this update, next update, entries, extensions }")
	}
	if hasExtensions && !onlyExtensions(extensions) {
		return errors.New("extension not { OID, critical, value }")
	}
	for !entries.Empty() {
		var entry, serial cryptobyte.String
		if !entries.ReadASN1(&entry, der.SEQUENCE) || !entry.ReadASN1(&serial, der.INTEGER) || serial[0]&0x80 != 0 || len(serial) > 20 || !readAnyElement(&entry) {
			return errors.New("entry not { serial number, time, extensions }")
		}
		if !entry.Empty() && !onlyExtensions(entry) {
			return errors.New("entry with members too many")
		}
	}
	return nil
}

func (l *revocationList) readExtensions(crl *smx509.RevocationList) error {
	seen := map[string]bool{}
	for _, e := range crl.Extensions {
		if seen[e.Id.String()] {
			return fmt.Errorf("extension %v appears twice", e.Id)
		}
		seen[e.Id.String()] = true
		switch {
		case e.Id.Equal(oidListScope):
			var err error
			if l.scope, err = parseScope(e.Value); err != nil {
				return err
			}
		case e.Id.Equal(oidExpiredOnList):
			in := cryptobyte.String(e.Value)
			if !in.ReadASN1GeneralizedTime(&l.keepsSince) || !in.Empty() {
				return errors.New("expired certificates on list: not a time")
			}
		case e.Critical:
			return fmt.Errorf("critical extension %v", e.Id)
		}
	}
	return nil
}

// signedBy reports whether the issuer of a path signed the list.
func (l *revocationList) signedBy(issuer *smx509.Certificate) bool {
	if len(l.keyID) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(l.keyID, issuer.SubjectKeyId) {
		return false
	}
	key := sha256.Sum256(issuer.Raw)
	l.mu.Lock()
	defer l.mu.Unlock()
	signed, known := l.issued[key]
	if !known {
		signed = usesKey(l.signed.SignatureAlgorithm, issuer) && l.signed.CheckSignatureFrom(issuer) == nil
		if len(l.issued) >= maxSent {
			clear(l.issued)
		}
		l.issued[key] = signed
	}
	return signed
}

// listsOf returns the lists of issuer that speak of cert, newest first.
func (t *Trust) listsOf(cert, issuer *smx509.Certificate) []*revocationList {
	var lists []*revocationList
	for _, list := range t.lists[string(issuer.RawSubject)] {
		if list.scope.covers(cert) && list.signedBy(issuer) {
			lists = append(lists, list)
		}
	}
	return lists
}

// verdict asks the lists, newest first. A list that names the certificate is
// believed at any age; one that does not must not be out of date at the
// moment, nor so new that the expired certificate may have been dropped.
func verdict(lists []*revocationList, cert *smx509.Certificate, at time.Time) (entry revocation, revoked, known bool) {
	serial := cert.SerialNumber.Bytes()
	for _, l := range lists {
		if entry, revoked := l.entries[string(serial)]; revoked {
			return entry, true, true
		}
		dropped := l.thisUpdate.After(cert.NotAfter) && (l.keepsSince.IsZero() || l.keepsSince.After(cert.NotAfter))
		if !at.After(l.nextUpdate) && !dropped {
			return revocation{}, false, true
		}
	}
	return revocation{}, false, false
}

// scope is the part of an authority's certificates that a list speaks of
// (issuing distribution point, RFC 5280 §5.2.5). The zero value is all.
type scope struct {
	usersOnly, authoritiesOnly bool
	points                     []string // GeneralNames in DER; nil: no matter where
}

func parseScope(value []byte) (scope, error) {
	var s scope
	in := cryptobyte.String(value)
	var seq, point, names cryptobyte.String
	var hasPoint bool
	fault := errors.New("issuing distribution point of a kind that is not read")
	if checkDER(value) != nil || !in.ReadASN1(&seq, der.SEQUENCE) || !seq.ReadOptionalASN1(&point, &hasPoint, der.Tag(0).Constructed().ContextSpecific()) {
		return s, fault
	}
	if hasPoint {
		if !point.ReadASN1(&names, der.Tag(0).Constructed().ContextSpecific()) || !point.Empty() {
			return s, fault // relative to the issuer's name
		}
		if s.points = generalNames(names); len(s.points) == 0 {
			return s, fault
		}
	}
	for _, flag := range []struct {
		tag uint8
		set *bool
	}{{1, &s.usersOnly}, {2, &s.authoritiesOnly}} {
		var v cryptobyte.String
		if !seq.ReadOptionalASN1(&v, flag.set, der.Tag(flag.tag).ContextSpecific()) || *flag.set && string(v) != "\xff" {
			return s, fault
		}
	}
	if !seq.Empty() || s.usersOnly && s.authoritiesOnly { // for some reasons, indirect, attributes
		return s, fault
	}
	return s, nil
}

// generalNames cuts GeneralNames into its elements.
func generalNames(in cryptobyte.String) (names []string) {
	for !in.Empty() {
		var name cryptobyte.String
		var tag der.Tag
		if !in.ReadAnyASN1Element(&name, &tag) {
			return nil
		}
		names = append(names, string(name))
	}
	return names
}

func (s scope) covers(cert *smx509.Certificate) bool {
	isCA := cert.BasicConstraintsValid && cert.IsCA
	if s.usersOnly && isCA || s.authoritiesOnly && !isCA {
		return false
	}
	if s.points == nil {
		return true
	}
	return slices.ContainsFunc(crlPoints(cert), func(name string) bool { return slices.Contains(s.points, name) })
}

// crlPoints returns the full names of a certificate's CRL distribution points
// (RFC 5280 §4.2.1.13) that this issuer serves for all reasons.
func crlPoints(cert *smx509.Certificate) (names []string) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidCRLPoints) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var points cryptobyte.String
		if !in.ReadASN1(&points, der.SEQUENCE) {
			return nil
		}
		for !points.Empty() {
			var point, name, full cryptobyte.String
			if !points.ReadASN1(&point, der.SEQUENCE) {
				return nil
			}
			if point.ReadASN1(&name, der.Tag(0).Constructed().ContextSpecific()) && point.Empty() &&
				name.ReadASN1(&full, der.Tag(0).Constructed().ContextSpecific()) {
				names = append(names, generalNames(full)...)
			}
		}
	}
	return names
}
