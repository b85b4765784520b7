package ses_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/pki"
)

// world is a CA, a maker of seals and a signer, with SM2 keys. Its
// certificates are written by smx509 alone, as another authority's are.
type world struct {
	root, maker, signer             crypto.Signer
	rootCert, makerCert, signerCert []byte
}

const (
	signs           = x509.KeyUsageDigitalSignature
	keyEncipherment = x509.KeyUsageKeyEncipherment
	forCA           = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
)

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{root: newKey(tb), maker: newKey(tb), signer: newKey(tb)}
	w.rootCert = w.certify(tb, w.root, "根", forCA)
	w.makerCert = w.certify(tb, w.maker, "制章人", signs)
	w.signerCert = w.certify(tb, w.signer, "签章人", signs|x509.KeyUsageContentCommitment)
	return w
}

func (w *world) certify(tb testing.TB, key crypto.Signer, name string, usage x509.KeyUsage, purposes ...x509.ExtKeyUsage) []byte {
	tb.Helper()
	return w.certifyFor(tb, key, name, usage, made.AddDate(-1, 0, 0), ends.AddDate(0, 0, 1), purposes...)
}

func (w *world) certifyFor(tb testing.TB, key crypto.Signer, name string, usage x509.KeyUsage, from, until time.Time, purposes ...x509.ExtKeyUsage) []byte {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		KeyUsage: usage, ExtKeyUsage: purposes, BasicConstraintsValid: true, IsCA: usage == forCA, SubjectKeyId: []byte(name),
	}
	parent := template
	if usage != forCA {
		parent = readCert(tb, w.rootCert).ToX509()
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Public(), w.root)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func readCert(tb testing.TB, der []byte) *smx509.Certificate {
	tb.Helper()
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func (w *world) trust(tb testing.TB, crls ...[]byte) *pki.Trust {
	tb.Helper()
	t, err := pki.NewTrust(pki.TrustConfig{Roots: [][]byte{w.rootCert}, CRLs: crls})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// crl revokes one certificate.
func (w *world) crl(tb testing.TB, cert []byte, at time.Time, reason pki.Reason) []byte {
	tb.Helper()
	entry := x509.RevocationListEntry{SerialNumber: readCert(tb, cert).SerialNumber, RevocationTime: at, ReasonCode: int(reason)}
	der, err := smx509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: made, NextUpdate: ends, RevokedCertificateEntries: []x509.RevocationListEntry{entry},
	}, readCert(tb, w.rootCert), w.root)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}
