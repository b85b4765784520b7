package tsa

import (
	"bytes"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidSignedDataSM2 = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 2} // GB/T 35275
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

// signedData is CMS SignedData (RFC 5652 §5.1) of one signer over a TSTInfo.
// All slices are parts of the bytes that were read.
type signedData struct {
	digest       Hash
	content      []byte // DER of TSTInfo
	certificates [][]byte
	signer       signerInfo
}

// signerInfo is CMS SignerInfo (RFC 5652 §5.3). The certificate is named by
// issuer and serial number or by its key identifier.
type signerInfo struct {
	issuer, serial []byte // DER of Name; content of the INTEGER
	keyID          []byte
	digest         Hash
	attributes     signedAttributes
	scheme         signatureScheme
	signature      []byte
}

// parseSignedData reads ContentInfo with SignedData:
//
//	SEQUENCE { signedData, [0] SEQUENCE { version, digestAlgorithms SET,
//	  SEQUENCE { id-ct-TSTInfo, [0] OCTET STRING }, certificates [0] IMPLICIT SET?, signerInfos SET } }
//
// The order of the certificates is free: OpenSSL writes them unsorted, and they
// are not signed.
func parseSignedData(token []byte) (*signedData, error) {
	info, ok := readWhole(token, der.SEQUENCE, MaxToken)
	var oid asn1.ObjectIdentifier
	var explicit, seq, digests, encapsulated, certificates, signers cryptobyte.String
	if !ok || !info.ReadASN1ObjectIdentifier(&oid) || !info.ReadASN1(&explicit, contextSet(0)) || !info.Empty() ||
		!explicit.ReadASN1(&seq, der.SEQUENCE) || !explicit.Empty() {
		return nil, malformed("token: not one DER ContentInfo of at most %d bytes", MaxToken)
	}
	versions := []int64{3}
	switch {
	case oid.Equal(oidSignedDataSM2):
		versions = append(versions, 1) // GB/T 35275 follows PKCS #7
	case !oid.Equal(oidSignedData):
		return nil, malformed("token: content type %v is not signedData", oid)
	}
	if !readVersion(&seq, versions...) {
		return nil, malformed("token: version")
	}
	if !seq.ReadASN1(&digests, der.SET) {
		return nil, malformed("token: digestAlgorithms")
	}
	s := &signedData{}
	var err error
	if s.digest, err = readHash(&digests, "token: digestAlgorithms"); err != nil {
		return nil, err
	}
	if !digests.Empty() || !seq.ReadASN1(&encapsulated, der.SEQUENCE) {
		return nil, malformed("token: more than one of digestAlgorithms")
	}
	if s.content, err = readContent(encapsulated); err != nil {
		return nil, err
	}
	hasCertificates := false
	if !seq.ReadOptionalASN1(&certificates, &hasCertificates, contextSet(0)) || hasCertificates == certificates.Empty() || !seq.ReadASN1(&signers, der.SET) || !seq.Empty() {
		return nil, malformed("token: certificates or signerInfos; revocation lists are not read")
	}
	if s.certificates, err = readCertificates(certificates); err != nil {
		return nil, err
	}
	if s.signer, err = readSigner(signers); err != nil {
		return nil, err
	}
	if s.signer.digest != s.digest {
		return nil, malformed("token: digestAlgorithms without the signer's")
	}
	return s, nil
}

// readContent reads EncapsulatedContentInfo with TSTInfo.
func readContent(in cryptobyte.String) ([]byte, error) {
	var oid asn1.ObjectIdentifier
	var explicit, content cryptobyte.String
	if !in.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidTSTInfo) || !in.ReadASN1(&explicit, contextSet(0)) || !in.Empty() ||
		!explicit.ReadASN1(&content, der.OCTET_STRING) || !explicit.Empty() {
		return nil, malformed("token: encapContentInfo is no TSTInfo")
	}
	return content, nil
}

func readCertificates(in cryptobyte.String) ([][]byte, error) {
	var list [][]byte
	for !in.Empty() {
		var certificate cryptobyte.String
		if !in.ReadASN1Element(&certificate, der.SEQUENCE) || len(list) == maxMembers {
			return nil, malformed("token: certificates; at most %d, X.509 alone", maxMembers)
		}
		for _, other := range list {
			if bytes.Equal(other, certificate) {
				return nil, malformed("token: a certificate twice")
			}
		}
		list = append(list, certificate)
	}
	return list, nil
}

// readSigner reads SET OF SignerInfo with one member:
//
//	SEQUENCE { version, sid, digestAlgorithm, signedAttrs [0] IMPLICIT SET, signatureAlgorithm, signature OCTET STRING }
func readSigner(set cryptobyte.String) (signerInfo, error) {
	var s signerInfo
	var seq, attributes, signature cryptobyte.String
	if !set.ReadASN1(&seq, der.SEQUENCE) || !set.Empty() {
		return s, malformed("token: signerInfos is not one signer")
	}
	if !readSignerID(&seq, &s) {
		return s, malformed("signer: version or sid")
	}
	var err error
	if s.digest, err = readHash(&seq, "signer: digestAlgorithm"); err != nil {
		return s, err
	}
	if !seq.ReadASN1Element(&attributes, contextSet(0)) {
		return s, malformed("signer: signedAttrs")
	}
	if s.attributes, err = parseAttributes(attributes); err != nil {
		return s, err
	}
	oid, ok := readAlgorithm(&seq)
	if !ok {
		return s, malformed("signer: signatureAlgorithm")
	}
	for _, scheme := range signatureSchemes() {
		if scheme.oid.Equal(oid) {
			s.scheme = scheme
		}
	}
	if s.scheme.oid == nil {
		return s, fmt.Errorf("%w: signatureAlgorithm %v", ErrAlgorithm, oid)
	}
	if !seq.ReadASN1(&signature, der.OCTET_STRING) || !seq.Empty() {
		return s, malformed("signer: signature, or unsigned attributes, which are not read")
	}
	s.signature = signature
	return s, nil
}

// readSignerID reads version and sid, which go together (RFC 5652 §5.3).
func readSignerID(in *cryptobyte.String, s *signerInfo) bool {
	var version int64
	if !in.ReadASN1Int64WithTag(&version, der.INTEGER) {
		return false
	}
	switch version {
	case 1:
		var sid, issuer cryptobyte.String
		ok := in.ReadASN1(&sid, der.SEQUENCE) && sid.ReadASN1Element(&issuer, der.SEQUENCE)
		s.issuer = issuer
		if ok {
			s.serial, ok = readInteger(&sid, maxSerial)
		}
		return ok && sid.Empty()
	case 3:
		var keyID cryptobyte.String
		ok := in.ReadASN1(&keyID, contextTag(0)) && !keyID.Empty()
		s.keyID = keyID
		return ok
	}
	return false
}
