package tsa

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 3161 §2.4.2 names the certificate by SHA-1; see certificateID
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// signedAttributes are the attributes that the signature covers.
type signedAttributes struct {
	raw           []byte // as SET OF, which is what is signed
	messageDigest []byte
	certificates  []certificateID // identifiers of the signer's certificate, one or two
}

// certificateID is ESSCertID or ESSCertIDv2 (RFC 5035 §4). SHA-1 is read in the
// first, where RFC 3161 prescribes it: to pass another certificate off as the
// signer's takes a second preimage over a key that made the signature.
type certificateID struct {
	sum            func([]byte) []byte
	hash           []byte
	issuer, serial []byte // nil: not given
}

// parseAttributes reads SignedAttributes, given with its [0] IMPLICIT tag. The
// set must be in DER order, since the signature is over its DER encoding.
// Attributes that are not known here may be there, each once.
func parseAttributes(element []byte) (signedAttributes, error) {
	var a signedAttributes
	a.raw = bytes.Clone(element)
	a.raw[0] = byte(der.SET)
	set, _ := readWhole(a.raw, der.SET, MaxToken) // it was read as an element before
	var members [][]byte
	values := map[string]cryptobyte.String{}
	for !set.Empty() {
		var member, seq, list, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var tag der.Tag
		if !set.ReadASN1Element(&member, der.SEQUENCE) || len(members) == maxMembers {
			return a, malformed("signedAttrs: at most %d", maxMembers)
		}
		members = append(members, member)
		if !member.ReadASN1(&seq, der.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) || !seq.ReadASN1(&list, der.SET) || !seq.Empty() ||
			!list.ReadAnyASN1Element(&value, &tag) || !list.Empty() {
			return a, malformed("signedAttrs: an attribute is not { type, one value }")
		}
		if _, twice := values[oid.String()]; twice {
			return a, malformed("signedAttrs: %v twice", oid)
		}
		values[oid.String()] = value
	}
	if !sortedSet(members) {
		return a, malformed("signedAttrs: not in DER order")
	}
	return a, a.readValues(values)
}

// readValues reads the attributes that a timestamp must have.
func (a *signedAttributes) readValues(values map[string]cryptobyte.String) error {
	var contentType asn1.ObjectIdentifier
	value := values[oidContentType.String()]
	if !value.ReadASN1ObjectIdentifier(&contentType) || !value.Empty() || !contentType.Equal(oidTSTInfo) {
		return malformed("signedAttrs: contentType is not TSTInfo")
	}
	var digest cryptobyte.String
	value = values[oidMessageDigest.String()]
	if !value.ReadASN1(&digest, der.OCTET_STRING) || !value.Empty() {
		return malformed("signedAttrs: messageDigest")
	}
	a.messageDigest = digest
	for _, version := range []struct {
		oid  asn1.ObjectIdentifier
		read func(*cryptobyte.String) (certificateID, bool)
	}{
		{oidSigningCertificate, readCertificateID},
		{oidSigningCertificateV2, readCertificateIDv2},
	} {
		value, present := values[version.oid.String()]
		if !present {
			continue
		}
		id, ok := readSigningCertificate(value, version.read)
		if !ok {
			return malformed("signedAttrs: signingCertificate")
		}
		a.certificates = append(a.certificates, id)
	}
	if len(a.certificates) == 0 {
		return malformed("signedAttrs: neither signingCertificate nor signingCertificateV2")
	}
	return nil
}

// readSigningCertificate reads SigningCertificate or SigningCertificateV2 and
// returns the first identifier, which is the signer's. More may follow, of the
// certificates above; whether these are trusted is not the token's to say.
func readSigningCertificate(value cryptobyte.String, read func(*cryptobyte.String) (certificateID, bool)) (first certificateID, ok bool) {
	var seq, list cryptobyte.String
	if !value.ReadASN1(&seq, der.SEQUENCE) || !value.Empty() || !seq.ReadASN1(&list, der.SEQUENCE) || !seq.Empty() {
		return first, false
	}
	for n := 0; !list.Empty(); n++ {
		id, ok := read(&list)
		if !ok || n == maxMembers {
			return first, false
		}
		if n == 0 {
			first = id
		}
	}
	return first, first.sum != nil
}

// readCertificateID reads ESSCertID: SEQUENCE { SHA-1 OCTET STRING, issuerSerial? }.
func readCertificateID(in *cryptobyte.String) (certificateID, bool) {
	id := certificateID{sum: func(data []byte) []byte {
		sum := sha1.Sum(data) //nolint:gosec // see certificateID
		return sum[:]
	}}
	var seq cryptobyte.String
	ok := in.ReadASN1(&seq, der.SEQUENCE) && id.readRest(seq, sha1.Size)
	return id, ok
}

// readCertificateIDv2 reads ESSCertIDv2: SEQUENCE { hashAlgorithm DEFAULT
// SHA-256, OCTET STRING, issuerSerial? }.
func readCertificateIDv2(in *cryptobyte.String) (certificateID, bool) {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, der.SEQUENCE) {
		return certificateID{}, false
	}
	hash := SHA256
	if seq.PeekASN1Tag(der.SEQUENCE) {
		var err error
		if hash, err = readHash(&seq, "signingCertificateV2"); err != nil {
			return certificateID{}, false
		}
	}
	id := certificateID{sum: hash.Sum}
	ok := id.readRest(seq, hash.state().Size())
	return id, ok
}

// readRest reads the hash and issuerSerial: SEQUENCE { SEQUENCE { [4] Name }, serial }.
func (id *certificateID) readRest(seq cryptobyte.String, size int) bool {
	var hash, issuerSerial, names, name, issuer cryptobyte.String
	if !seq.ReadASN1(&hash, der.OCTET_STRING) || len(hash) != size {
		return false
	}
	id.hash = hash
	if seq.Empty() {
		return true
	}
	if !seq.ReadASN1(&issuerSerial, der.SEQUENCE) || !seq.Empty() || !issuerSerial.ReadASN1(&names, der.SEQUENCE) ||
		!names.ReadASN1(&name, contextSet(4)) || !names.Empty() || !name.ReadASN1Element(&issuer, der.SEQUENCE) || !name.Empty() {
		return false
	}
	id.issuer = issuer
	var ok bool
	id.serial, ok = readInteger(&issuerSerial, maxSerial)
	return ok && issuerSerial.Empty()
}
