package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/smx509"
)

// Usage is what a certificate is for. Each has one profile, written when a
// certificate is issued and asked for when one is checked (RFC 5280 §4.2.1.3,
// §4.2.1.12; GB/T 20518 for the key usage of SM2 signing certificates):
//
//	usage      key usage, critical                  purpose (extended key usage)
//	seal       digitalSignature, contentCommitment  documentSigning (RFC 9336)
//	sealMaker  digitalSignature, contentCommitment  none
//	license    digitalSignature                     jwt (RFC 9509)
//	timestamp  digitalSignature                     timeStamping, critical and alone (RFC 3161 §2.3)
//	server     digitalSignature                     serverAuth
//	client     digitalSignature                     clientAuth
//	CA         keyCertSign, cRLSign                 none
//
// A check is laxer where certificates of other authorities are: a seal or a
// maker of seals needs only one of the two key usages; a seal may also have no
// purpose, any purpose, or emailProtection; a maker may have any purpose or
// emailProtection. The rest is as issued, except that server and client also
// take any purpose. So a certificate of this package serves one use, but for a
// maker's, which could seal; an authority whose certificates name no purpose
// cannot be told apart that way: trust it only with what it may vouch for.
type Usage int

// The uses of a certificate.
const (
	UsageSeal      Usage = iota + 1 // sign documents with a seal (GB/T 38540 signer).
	UsageSealMaker                  // sign seals (GB/T 38540 seal maker).
	UsageLicense                    // sign licence tokens and status lists.
	UsageTimestamp                  // sign RFC 3161 timestamps.
	UsageServer                     // TLS server.
	UsageClient                     // TLS client.
	UsageCA                         // issue certificates and revocation lists.
)

// String returns the usage's name in lower case.
func (u Usage) String() string {
	p, ok := u.profile()
	if !ok {
		return fmt.Sprintf("usage %d", int(u))
	}
	return p.name
}

// profile is one row of the table above.
type profile struct {
	name     string
	keyUsage x509.KeyUsage           // written
	oneOf    x509.KeyUsage           // asked for: at least one of these
	purpose  asn1.ObjectIdentifier   // written; nil: none
	accepted []asn1.ObjectIdentifier // asked for: at least one of these …
	bare     bool                    // … or no purpose at all
	alone    bool                    // the purpose is critical and the only one
}

func (u Usage) profile() (profile, bool) {
	const signs, commits = x509.KeyUsageDigitalSignature, x509.KeyUsageContentCommitment
	var (
		anyPurpose      = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
		serverAuth      = purposeOID(1)
		clientAuth      = purposeOID(2)
		emailProtection = purposeOID(4)
		timeStamping    = purposeOID(8)
		documentSigning = purposeOID(36)
		jwt             = purposeOID(37)
	)
	type oids = []asn1.ObjectIdentifier
	switch u {
	case UsageSeal:
		return profile{"seal", signs | commits, signs | commits, documentSigning, oids{documentSigning, emailProtection, anyPurpose}, true, false}, true
	case UsageSealMaker:
		return profile{"seal maker", signs | commits, signs | commits, nil, oids{emailProtection, anyPurpose}, true, false}, true
	case UsageLicense:
		return profile{"license", signs, signs, jwt, oids{jwt}, false, false}, true
	case UsageTimestamp:
		return profile{"timestamp", signs, signs | commits, timeStamping, oids{timeStamping}, false, true}, true
	case UsageServer:
		return profile{"server", signs, signs, serverAuth, oids{serverAuth, anyPurpose}, false, false}, true
	case UsageClient:
		return profile{"client", signs, signs, clientAuth, oids{clientAuth, anyPurpose}, false, false}, true
	case UsageCA:
		certs := x509.KeyUsageCertSign
		return profile{"CA", certs | x509.KeyUsageCRLSign, certs, nil, nil, true, false}, true
	}
	return profile{}, false
}

// purposeOID is a member of id-kp (RFC 5280 §4.2.1.12).
func purposeOID(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, n}
}

var oidPurposes = asn1.ObjectIdentifier{2, 5, 29, 37}

// purposes reads the extended key usage; present is false without one.
func purposes(cert *smx509.Certificate) (list []asn1.ObjectIdentifier, critical, present bool) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidPurposes) {
			// ParseCertificate has read it already: this cannot fail.
			_, err := asn1.Unmarshal(e.Value, &list)
			return list, e.Critical, err == nil
		}
	}
	return nil, false, false
}

// checkUsage judges a certificate and the authorities above it by the profile.
// Authorities with purposes limit what is below them to these.
func checkUsage(cert *smx509.Certificate, above []*smx509.Certificate, usage Usage) error {
	p, ok := usage.profile()
	if !ok {
		return fmt.Errorf("%w: %v is none", ErrUsage, usage)
	}
	if isCA := cert.BasicConstraintsValid && cert.IsCA; isCA != (usage == UsageCA) {
		return fmt.Errorf("%w: %v: certification authority: %t", ErrUsage, usage, isCA)
	}
	if cert.KeyUsage&p.oneOf == 0 {
		return fmt.Errorf("%w: %v: key usage %09b", ErrUsage, usage, cert.KeyUsage)
	}
	list, critical, present := purposes(cert)
	if p.alone && (!critical || len(list) != 1) {
		return fmt.Errorf("%w: %v: purpose must be critical and alone", ErrUsage, usage)
	}
	if usage == UsageCA {
		return nil // its purposes bind what it issues
	}
	if !p.allows(list, present) {
		return fmt.Errorf("%w: %v: purposes %v", ErrUsage, usage, list)
	}
	for _, ca := range above {
		if list, _, present := purposes(ca); present && !containsAny(list) && !p.allows(list, present) {
			return fmt.Errorf("%w: %v: authority %q is limited to purposes %v", ErrUsage, usage, ca.Subject.CommonName, list)
		}
	}
	return nil
}

func (p profile) allows(list []asn1.ObjectIdentifier, present bool) bool {
	if !present {
		return p.bare
	}
	return slices.ContainsFunc(list, func(oid asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(p.accepted, oid.Equal)
	})
}

func containsAny(list []asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(list, asn1.ObjectIdentifier{2, 5, 29, 37, 0}.Equal)
}
