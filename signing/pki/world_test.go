package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// epoch is the tests' now.
var epoch = time.Date(2026, 1, 15, 8, 0, 0, 0, time.UTC)

func newKey(tb testing.TB, k kind) crypto.Signer {
	tb.Helper()
	var key crypto.Signer
	var err error
	switch k {
	case kindSM2:
		key, err = sm2.GenerateKey(rand.Reader)
	case kindP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case kindP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case kindEd25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		tb.Fatalf("kind %d", k)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// world is a root that went offline, an issuing authority and its clock.
type world struct {
	rootKey, key crypto.Signer
	root         []byte
	top, ca      *Authority
	now          time.Time
}

func (w *world) clock() time.Time { return w.now }

func newWorld(tb testing.TB, k kind) *world {
	tb.Helper()
	w := &world{rootKey: newKey(tb, k), key: newKey(tb, k), now: epoch}
	var err error
	if w.root, err = NewRoot(w.rootKey, Subject{Country: "CN", Organization: "某市政务服务数据管理局", CommonName: "某市根证书"}, 20*year, w.now.Add(-year)); err != nil {
		tb.Fatal(err)
	}
	w.top = open(tb, Config{Dir: tb.TempDir(), Certificate: w.root, Signer: w.rootKey, Now: w.clock})
	issuing, err := w.top.IssueCA(tb.Context(), Request{
		Public: w.key.Public(), Subject: Subject{Country: "CN", Organization: "某市政务服务数据管理局", CommonName: "某市签发证书"},
		NotBefore: w.now.Add(-year), Validity: 10 * year,
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.ca = open(tb, Config{Dir: tb.TempDir(), Certificate: issuing, Chain: [][]byte{w.root}, Signer: w.key, CRLURL: "http://ca.example.cn/list.crl", Now: w.clock})
	return w
}

func open(tb testing.TB, c Config) *Authority {
	tb.Helper()
	a, err := OpenAuthority(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

func (w *world) issue(tb testing.TB, usage Usage, public crypto.PublicKey) []byte {
	tb.Helper()
	r := Request{
		Public: public, Usage: usage, Validity: year,
		Subject: Subject{Country: "CN", Province: "湖南省", Organization: "某县行政审批局", OrganizationID: "11430000006122244L", CommonName: "某县行政审批局电子印章"},
	}
	if usage == UsageServer {
		r.DNSNames = []string{"hub.example.cn"}
	}
	cert, err := w.ca.Issue(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func (w *world) lists(tb testing.TB) [][]byte {
	tb.Helper()
	var lists [][]byte
	for _, a := range []*Authority{w.top, w.ca} {
		list, err := a.CRL(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		lists = append(lists, list)
	}
	return lists
}

func newTrust(tb testing.TB, c TrustConfig) *Trust {
	tb.Helper()
	trust, err := NewTrust(c)
	if err != nil {
		tb.Fatal(err)
	}
	return trust
}

func mustParse(tb testing.TB, data []byte) *smx509.Certificate {
	tb.Helper()
	cert, err := ParseCertificate(data)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// forge signs whatever the template says, as no Authority would.
func forge(tb testing.TB, edit func(*x509.Certificate), parent []byte, by crypto.Signer, public crypto.PublicKey) []byte {
	tb.Helper()
	keyID, err := keyIdentifier(public)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711), NotBefore: epoch.Add(-day), NotAfter: epoch.Add(year), SubjectKeyId: keyID,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, MaxPathLen: -1,
	}
	template.Subject.CommonName = "forged"
	if edit != nil {
		edit(template)
	}
	issuer := template
	if parent != nil {
		above, err := smx509.ParseCertificate(parent)
		if err != nil {
			tb.Fatal(err)
		}
		issuer = above.ToX509()
	}
	cert, err := smx509.CreateCertificate(rand.Reader, template, issuer, public, by)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func asCA(c *x509.Certificate) {
	c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	c.Subject.CommonName = "forged CA"
}
