package tsa

import (
	"bytes"
	"crypto/subtle"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/pki"
)

// Token is a timestamp (RFC 3161 §2.4.2).
type Token struct {
	Time     time.Time     // genTime, UTC
	Accuracy time.Duration // Time may be off by so much either way; 0: not said
	Ordered  bool          // the authority's tokens are in the order of their times, whatever the accuracy
	Serial   *big.Int      // unique within the authority
	Policy   asn1.ObjectIdentifier
	Hash     Hash                // algorithm of Imprint
	Imprint  []byte              // digest of the data
	Signer   *smx509.Certificate // nil if the token does not carry it

	nonce []byte
	tsa   []byte
	cms   *signedData
}

// Parse reads a token without checking anything that it says: for display, and
// for telling why Verify refused. Errors are ErrMalformed and ErrAlgorithm, and
// ErrCertificate if the token carries certificates without the signer's.
func Parse(token []byte) (*Token, error) {
	cms, err := parseSignedData(token)
	if err != nil {
		return nil, err
	}
	info, err := parseStampInfo(cms.content)
	if err != nil {
		return nil, err
	}
	t := &Token{
		Time: info.time, Accuracy: info.accuracy, Ordered: info.ordering, Serial: info.serial, Policy: info.policy,
		Hash: info.imprint.hash, Imprint: info.imprint.digest, nonce: info.nonce, tsa: info.tsa, cms: cms,
	}
	if len(cms.certificates) > 0 {
		if t.Signer, err = t.findSigner(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// findSigner returns the certificate that the signed attributes name, if the
// unsigned names agree.
func (t *Token) findSigner() (*smx509.Certificate, error) {
	signer := t.cms.signer
	ids := signer.attributes.certificates
	for _, data := range t.cms.certificates {
		if !bytes.Equal(ids[0].sum(data), ids[0].hash) {
			continue
		}
		cert, err := pki.ParseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
		}
		if signer.keyID != nil && !bytes.Equal(signer.keyID, cert.SubjectKeyId) ||
			signer.keyID == nil && !names(cert, signer.issuer, signer.serial) {
			return nil, fmt.Errorf("%w: sid names another certificate than the signed attribute", ErrCertificate)
		}
		for _, id := range ids {
			if !bytes.Equal(id.sum(data), id.hash) || id.issuer != nil && !names(cert, id.issuer, id.serial) {
				return nil, fmt.Errorf("%w: the signed attributes do not agree on the certificate", ErrCertificate)
			}
		}
		return cert, nil
	}
	return nil, fmt.Errorf("%w: the token does not carry the certificate that its signed attribute names", ErrCertificate)
}

// names reports whether a certificate has this issuer and serial number.
func names(cert *smx509.Certificate, issuer, serial []byte) bool {
	return bytes.Equal(cert.RawIssuer, issuer) && cert.SerialNumber.Cmp(new(big.Int).SetBytes(serial)) == 0
}

// Verify reads a token and checks that it is a timestamp of data, signed by a
// certificate that trust accepts for timestamps at the token's own time
// (RFC 3161 §2.2, §2.3; RFC 5652 §5.6; RFC 5816). The token must carry the
// signer's certificate. Errors, in the order of the checks: ErrMalformed,
// ErrAlgorithm, ErrCertificate (which one), ErrSignature, ErrMismatch (other
// data), ErrCertificate (trust).
//
// A certificate or authority that was revoked after the token's time spoils the
// token unless it was revoked as superseded, for a change of affiliation or
// because the authority ceased: a key that leaked can sign for any time
// (RFC 3161 §4 no. 1). A revocation without a reason counts as a leak.
func Verify(token, data []byte, trust *pki.Trust) (*Token, error) {
	t, err := Parse(token)
	if err != nil {
		return nil, err
	}
	if t.Signer == nil {
		return nil, fmt.Errorf("%w: the token carries none; request it with certReq", ErrCertificate)
	}
	signer := t.cms.signer
	if subtle.ConstantTimeCompare(signer.digest.Sum(t.cms.content), signer.attributes.messageDigest) != 1 {
		return nil, fmt.Errorf("%w: messageDigest is not the digest of TSTInfo", ErrSignature)
	}
	if err := verifySignature(t.Signer.PublicKey, signer.scheme, signer.digest, signer.attributes.raw, signer.signature); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(t.Hash.Sum(data), t.Imprint) != 1 {
		return nil, fmt.Errorf("%w: %v of the data is not the token's imprint", ErrMismatch, t.Hash)
	}
	if t.tsa != nil && !isNameOf(t.tsa, t.Signer) {
		return nil, fmt.Errorf("%w: tsa is not a name of it", ErrCertificate)
	}
	if err := t.checkTrust(trust); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return t, nil
}

func (t *Token) checkTrust(trust *pki.Trust) error {
	if trust == nil {
		return errors.New("no trusted roots")
	}
	var extra [][]byte
	for _, data := range t.cms.certificates {
		if !bytes.Equal(data, t.Signer.Raw) {
			extra = append(extra, data)
		}
	}
	result := trust.Check(t.Signer.Raw, extra, t.Time, pki.UsageTimestamp)
	if err := result.Err(); err != nil || result.RevokedAt.IsZero() {
		return err
	}
	switch result.RevokedFor {
	case pki.AffiliationChanged, pki.Superseded, pki.CessationOfOperation:
		return nil
	default:
		return fmt.Errorf("%w: at %s, for %v, which spoils earlier timestamps too", pki.ErrRevoked,
			result.RevokedAt.UTC().Format(time.RFC3339), result.RevokedFor)
	}
}

// isNameOf reports whether a GeneralName is the certificate's subject or one of
// its alternative names, as RFC 3161 §2.4.2 wants of the field tsa.
func isNameOf(name []byte, cert *smx509.Certificate) bool {
	in := cryptobyte.String(name)
	var directory cryptobyte.String
	if in.ReadASN1(&directory, contextSet(4)) && bytes.Equal(directory, cert.RawSubject) {
		return true
	}
	for _, e := range cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		list, _ := readWhole(e.Value, der.SEQUENCE, pki.MaxCertificate)
		for !list.Empty() {
			var element cryptobyte.String
			var tag der.Tag
			if !list.ReadAnyASN1Element(&element, &tag) {
				return false
			}
			if bytes.Equal(element, name) {
				return true
			}
		}
	}
	return false
}
