package ses

import (
	"bytes"
	"time"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// Signature is a seal signature (电子签章, SES_Signature): the seal, the digest
// of what was sealed, and the signer's signature over both. The slices share
// memory with Raw and must not be changed.
type Signature struct {
	Raw         []byte // the whole SES_Signature as it was read, DER
	TBS         []byte // toSign as it was read: what the signer signed
	Version     int    // V1, V4 or V5; the seal has the same
	Seal        *Seal
	Time        time.Time // as the signer states it; zero if only TimeToken says it
	TimeToken   []byte    // V1 only: timeInfo that is a timestamp token
	DataHash    []byte    // digest of the sealed data; in OFD the SM3 of Signature.xml
	Property    string    // in OFD the absolute path of Signature.xml
	Extensions  []Extension
	Certificate []byte // the signer's, DER, not parsed
	Algorithm   string // OID in dots
	Value       []byte // the signer's signature, DER
	Timestamp   []byte // RFC 3161 token over Value, or nil
}

// ParseSignature reads a seal signature of any generation in strict DER. It
// checks form only; Check says whether the signature holds. Every error is
// ErrMalformed and names the field.
func ParseSignature(der []byte) (*Signature, error) {
	var fault error
	root := &node{rest: bytes.Clone(der), fault: &fault}
	if len(der) > maxSignature {
		root.fail("SES_Signature", "larger than is accepted")
	}
	body, raw := root.sequence("SES_Signature")
	root.end()
	g := &Signature{Raw: raw}
	toSign, tbs := body.sequence("toSign")
	g.TBS = tbs
	// The shape decides: the first generation keeps certificate and algorithm inside toSign.
	if body.next(asn1.BIT_STRING) {
		g.readTBS1(toSign)
	} else {
		g.readTBS(toSign)
		g.Certificate, _ = body.octets("cert", maxCertificate)
		g.Algorithm, _ = body.oid("signatureAlgID")
	}
	g.Value = body.bits("signature", maxString)
	if g.Version != V1 && body.next(tagExplicit0) {
		g.Timestamp = readTimestamp(body)
	}
	body.end()
	if fault != nil {
		return nil, fault
	}
	return g, nil
}

func (g *Signature) readTBS(toSign *node) {
	g.Version = toSign.integer("version", V4, V5)
	g.Seal = readSeal(toSign, "eseal")
	if g.Seal.Version != g.Version {
		toSign.fail("version", "is not the seal's")
	}
	g.Time = toSign.generalizedTime("timeInfo")
	g.DataHash = toSign.bits("dataHash", 64)
	g.Property = toSign.ia5("propertyInfo")
	if toSign.next(tagExplicit0) {
		wrap, _ := toSign.constructed("extDatas", tagExplicit0)
		g.Extensions = readExtensions(wrap)
		wrap.end()
	}
	toSign.end()
}

func (g *Signature) readTBS1(toSign *node) {
	g.Version = V1
	toSign.integer("version", 0, maxNumber)
	g.Seal = readSeal(toSign, "eseal")
	if g.Seal.Version != V1 {
		toSign.fail("eseal", "is of another generation")
	}
	g.readTimeInfo1(toSign)
	g.DataHash = toSign.bitsOrOctets("dataHash", 64)
	g.Property = toSign.ia5("propertyInfo")
	g.Certificate, _ = toSign.octets("cert", maxCertificate)
	g.Algorithm, _ = toSign.oid("signatureAlgorithm")
	toSign.end()
}

// chinaTime is the one time zone of China; the first generation's times as
// text have no zone.
var chinaTime = time.FixedZone("UTC+8", 8*60*60)

const textLayout = "2006-01-02 15:04:05"

// readTimeInfo1 reads timeInfo of GM/T 0031-2014: a time in DER, a timestamp
// token (a SEQUENCE), or, from some makers, a text in the time of China.
func (g *Signature) readTimeInfo1(toSign *node) {
	content := toSign.bitsOrOctets("timeInfo", maxToken)
	inner := &node{rest: content, path: toSign.at("timeInfo"), fault: toSign.fault}
	switch {
	case inner.next(asn1.SEQUENCE):
		_, g.TimeToken = inner.sequence("token")
		inner.end()
	case inner.next(asn1.UTCTime), inner.next(asn1.GeneralizedTime):
		g.Time = inner.anyTime("time")
		inner.end()
	case *toSign.fault == nil:
		t, err := time.ParseInLocation(textLayout, string(content), chinaTime)
		if err != nil || t.Format(textLayout) != string(content) || t.Year() < 1950 {
			inner.fail("text", "neither a time nor a token")
		}
		g.Time = t.UTC()
	}
}
