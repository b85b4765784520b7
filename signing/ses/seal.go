package ses

import (
	"bytes"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The generations of the structures. They differ in shape and in the bytes
// that the seal's maker signs.
const (
	V1 = 1 // GM/T 0031-2014
	V4 = 4 // GB/T 38540-2020, the one that is written here
	V5 = 5 // GM/T 0031-2025
)

// AlgorithmSM2SM3 is the one signature algorithm of seals: SM2 with SM3
// (GM/T 0006) and the user id 1234567812345678.
const AlgorithmSM2SM3 = "1.2.156.10197.1.501"

// The kinds of list of signers (GB/T 38540, SES_ESPropertyInfo.certListType).
const (
	ListCertificates = 1
	ListDigests      = 2
)

// The kinds of seal that the standards name (SES_ESPropertyInfo.type); others
// are in use and are read as they are.
const (
	KindUnit     = 1
	KindPersonal = 2
)

// Seal is an electronic seal (电子印章, SESeal). The slices share memory with
// Raw and must not be changed.
type Seal struct {
	Raw                 []byte // the whole SESeal as it was read, DER
	Version             int    // V1, V4 or V5
	VendorID            string // product that made it
	ID                  string // esID, the seal's own number
	Kind                int
	Name                string
	CertificateListType int                 // ListCertificates or ListDigests
	Certificates        [][]byte            // of the permitted signers, DER, not parsed
	Digests             []CertificateDigest // of the permitted signers' certificates
	Created             time.Time
	ValidFrom           time.Time
	ValidUntil          time.Time
	Picture             Picture
	Extensions          []Extension
	MakerCertificate    []byte // DER, not parsed
	Algorithm           string // OID in dots
	Value               []byte // the maker's signature, DER
	Timestamp           []byte // V5 only, optional, not judged here

	signed []byte // what the maker signed
}

// CertificateDigest stands for a permitted signer's certificate.
type CertificateDigest struct {
	Algorithm string // as written: an OID in dots or "SM3"
	Value     []byte
}

// Extension is a field beyond the standard (ExtData).
type Extension struct {
	OID      string
	Critical bool
	Value    []byte
}

// ParseSeal reads a seal of any generation in strict DER, at most 2 MiB. It
// checks form only; Check says whether the seal holds. Every error is
// ErrMalformed and names the field.
func ParseSeal(der []byte) (*Seal, error) {
	var fault error
	root := &node{rest: bytes.Clone(der), fault: &fault}
	if len(der) > maxSeal {
		root.fail("SESeal", "larger than 2 MiB")
	}
	s := readSeal(root, "SESeal")
	root.end()
	if fault != nil {
		return nil, fault
	}
	return s, nil
}

func readSeal(parent *node, field string) *Seal {
	body, raw := parent.sequence(field)
	s := &Seal{Raw: raw}
	if len(raw) > maxSeal {
		body.fail("length", "larger than 2 MiB")
	}
	info, infoRaw := body.sequence("eSealInfo")
	// The shape decides the generation before the version number is believed.
	first := body.next(asn1.SEQUENCE)
	s.readInfo(info, first)
	if first {
		s.readMaker1(body, infoRaw)
	} else {
		s.readMaker(body, infoRaw)
	}
	body.end()
	return s
}

// readMaker reads the maker's part of generations 4 and 5.
func (s *Seal) readMaker(body *node, info []byte) {
	s.MakerCertificate, _ = body.octets("cert", maxCertificate)
	s.Algorithm, _ = body.oid("signAlgID")
	s.Value = body.bits("signedValue", maxString)
	s.signed = info
	if s.Version == V5 && body.next(tagExplicit0) {
		s.Timestamp = readTimestamp(body)
	}
}

// readMaker1 reads SES_SignInfo. What was signed is a SEQUENCE of three
// elements that stand apart here; their bytes are joined as they came.
func (s *Seal) readMaker1(body *node, info []byte) {
	sign, _ := body.sequence("signInfo")
	var cert, algorithm []byte
	s.MakerCertificate, cert = sign.octets("cert", maxCertificate)
	s.Algorithm, algorithm = sign.oid("signatureAlgorithm")
	s.Value = sign.bits("signData", maxString)
	sign.end()
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		b.AddBytes(cert)
		b.AddBytes(algorithm)
	})
	s.signed = b.BytesOrPanic() // three slices of bounded length cannot fail
}

func readTimestamp(body *node) []byte {
	wrap, _ := body.constructed("timeStamp", tagExplicit0)
	token := wrap.bits("token", maxToken)
	wrap.end()
	return token
}

func (s *Seal) readInfo(info *node, first bool) {
	header, _ := info.sequence("header")
	if header.ia5("ID") != "ES" {
		header.fail("ID", "not ES")
	}
	s.Version = header.integer("version", 0, maxNumber)
	switch {
	case first && s.Version != V4 && s.Version != V5:
		s.Version = V1 // makers write 1, 11 and others
	case first || s.Version != V4 && s.Version != V5:
		header.fail("version", "does not belong to the shape of the seal")
	}
	s.VendorID = header.ia5("Vid")
	header.end()
	if s.ID = info.ia5("esID"); s.ID == "" {
		info.fail("esID", "empty")
	}
	s.readProperty(info, first)
	picture, _ := info.sequence("picture")
	s.Picture.Type = picture.ia5("type")
	s.Picture.Data, _ = picture.octets("data", maxPicture)
	s.Picture.Width = picture.integer("width", 1, maxSize)
	s.Picture.Height = picture.integer("height", 1, maxSize)
	picture.end()
	switch { // the text of 2014 says EXPLICIT, the seals in use have it plain
	case info.next(asn1.SEQUENCE):
		s.Extensions = readExtensions(info)
	case info.next(tagExplicit0):
		wrap, _ := info.constructed("extDatas", tagExplicit0)
		s.Extensions = readExtensions(wrap)
		wrap.end()
	}
	info.end()
}

func (s *Seal) readProperty(info *node, first bool) {
	property, _ := info.sequence("property")
	s.Kind = property.integer("type", 0, maxNumber)
	s.Name = property.utf8("name")
	s.CertificateListType = ListCertificates
	readTime := property.anyTime
	if !first {
		s.CertificateListType = property.integer("certListType", ListCertificates, ListDigests)
		readTime = property.generalizedTime
	}
	list, _ := property.sequence("certList")
	for count := 0; list.more(); count++ {
		switch {
		case count == maxListed:
			list.fail("length", "more than 64 entries")
		case s.CertificateListType == ListDigests:
			digest, _ := list.sequence("digest")
			d := CertificateDigest{Algorithm: digest.printable("type")}
			d.Value, _ = digest.octets("value", 64)
			digest.end()
			s.Digests = append(s.Digests, d)
		default:
			cert, _ := list.octets("cert", maxCertificate)
			s.Certificates = append(s.Certificates, cert)
		}
	}
	s.Created = readTime("createDate")
	s.ValidFrom = readTime("validStart")
	s.ValidUntil = readTime("validEnd")
	property.end()
}

func readExtensions(parent *node) []Extension {
	list, _ := parent.sequence("extDatas")
	var all []Extension
	for list.more() {
		if len(all) == maxListed {
			list.fail("length", "more than 64 entries")
			return nil
		}
		entry, _ := list.sequence("extData")
		var x Extension
		x.OID, _ = entry.oid("extnID")
		if entry.next(asn1.BOOLEAN) { // an explicit FALSE is common and accepted
			x.Critical = entry.boolean("critical")
		}
		x.Value, _ = entry.element("extnValue", asn1.OCTET_STRING, maxPicture)
		entry.end()
		all = append(all, x)
	}
	return all
}
