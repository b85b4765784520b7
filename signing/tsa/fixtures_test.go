package tsa

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/pki"
)

// noon is the clock of these tests.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

var testPolicy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}

// world is a root, an issuing authority below it and a timestamp authority.
type world struct {
	root      []byte
	issuing   *pki.Authority
	signer    crypto.Signer
	chain     [][]byte // leaf, issuing, root
	authority *Authority
	trust     *pki.Trust
	now       time.Time // the clock of the certification authorities
}

func newKey(tb testing.TB, algorithm string) crypto.Signer {
	tb.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case "SM2":
		key, err = sm2.GenerateKey(rand.Reader)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newWorld(tb testing.TB, algorithm string) *world {
	tb.Helper()
	const year = 365 * 24 * time.Hour
	began := noon().Add(-24 * time.Hour)
	rootKey, issuingKey := newKey(tb, algorithm), newKey(tb, algorithm)
	w := &world{signer: newKey(tb, algorithm), now: began}
	now := func() time.Time { return w.now }
	var err error
	if w.root, err = pki.NewRoot(rootKey, pki.Subject{Country: "CN", CommonName: "某省根"}, 20*year, began); err != nil {
		tb.Fatal(err)
	}
	root, err := pki.OpenAuthority(pki.Config{Dir: tb.TempDir(), Certificate: w.root, Signer: rootKey, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	issuing, err := root.IssueCA(tb.Context(), pki.Request{
		Public: issuingKey.Public(), Usage: pki.UsageCA, Validity: 10 * year, Subject: pki.Subject{CommonName: "某县签发"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.issuing, err = pki.OpenAuthority(pki.Config{Dir: tb.TempDir(), Certificate: issuing, Chain: [][]byte{w.root}, Signer: issuingKey, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	w.chain = [][]byte{w.certify(tb, w.signer.Public(), pki.UsageTimestamp), issuing, w.root}
	w.authority, err = New(Config{Signer: w.signer, Chain: w.chain, Policy: testPolicy, Accuracy: 1500 * time.Millisecond, Now: noon})
	if err != nil {
		tb.Fatal(err)
	}
	w.trust = newTrust(tb, pki.TrustConfig{Roots: [][]byte{w.root}})
	return w
}

func (w *world) certify(tb testing.TB, public crypto.PublicKey, usage pki.Usage) []byte {
	tb.Helper()
	cert, err := w.issuing.Issue(tb.Context(), pki.Request{
		Public: public, Usage: usage, Validity: 5 * 365 * 24 * time.Hour, Subject: pki.Subject{Country: "CN", CommonName: "时间戳服务"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func newTrust(tb testing.TB, config pki.TrustConfig) *pki.Trust {
	tb.Helper()
	trust, err := pki.NewTrust(config)
	if err != nil {
		tb.Fatal(err)
	}
	return trust
}

func (w *world) stamp(tb testing.TB, data []byte) []byte {
	tb.Helper()
	token, err := w.authority.Stamp(tb.Context(), data)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func mustEncode(tb testing.TB, r request) []byte {
	tb.Helper()
	data, err := r.encode()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// node is one DER element: the tests take messages apart with it, change a
// place and put them together with the right lengths.
type node struct {
	tag      byte
	children []*node // of a constructed element
	content  []byte  // of a primitive one
}

// parseNodes reads all elements of data; what is within OCTET STRINGs stays.
func parseNodes(tb testing.TB, data []byte) []*node {
	tb.Helper()
	var nodes []*node
	for in := cryptobyte.String(data); !in.Empty(); {
		var content cryptobyte.String
		var tag der.Tag
		if !in.ReadAnyASN1(&content, &tag) {
			tb.Fatalf("not DER: %x", data)
		}
		n := &node{tag: byte(tag), content: bytes.Clone(content)}
		if tag&0x20 != 0 {
			n.children, n.content = parseNodes(tb, content), nil
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func parseNode(tb testing.TB, data []byte) *node { return parseNodes(tb, data)[0] }

func (n *node) encode(tb testing.TB) []byte {
	tb.Helper()
	var b cryptobyte.Builder
	b.AddASN1(der.Tag(n.tag), func(b *cryptobyte.Builder) {
		b.AddBytes(n.content)
		for _, c := range n.children {
			b.AddBytes(c.encode(tb))
		}
	})
	data, err := b.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// at follows a path of child numbers; −1 is the last.
func (n *node) at(path ...int) *node {
	for _, i := range path {
		if i < 0 {
			i += len(n.children)
		}
		n = n.children[i]
	}
	return n
}

func (n *node) add(children ...*node) { n.children = append(n.children, children...) }

func primitive(tag byte, content ...byte) *node {
	return &node{tag: tag, content: bytes.Clone(content)}
}

func oidNode(tb testing.TB, oid asn1.ObjectIdentifier) *node {
	tb.Helper()
	data, err := asn1.Marshal(oid)
	if err != nil {
		tb.Fatal(err)
	}
	return parseNode(tb, data)
}

// Places in a token, down from ContentInfo → [0] → SignedData.
func signedDataOf(token *node) *node { return token.at(1, 0) }
func signerOf(token *node) *node     { return signedDataOf(token).at(-1, 0) }
func attributesOf(token *node) *node { return signerOf(token).at(3) }

func contentOf(token *node) *node { return signedDataOf(token).at(2, 1, 0) }

// attribute returns the value of a signed attribute.
func attribute(tb testing.TB, token *node, oid asn1.ObjectIdentifier) *node {
	tb.Helper()
	for _, a := range attributesOf(token).children {
		if bytes.Equal(a.at(0).content, oidNode(tb, oid).content) {
			return a.at(1)
		}
	}
	tb.Fatalf("no attribute %v", oid)
	return nil
}

// resign sets messageDigest, sorts the attributes if asked to and signs them, as a dishonest
// or careless authority with a good key would.
func (w *world) resign(tb testing.TB, token *node, sorted bool) []byte {
	tb.Helper()
	scheme := w.authority.signer.scheme
	set := attributesOf(token)
	for _, a := range set.children {
		if bytes.Equal(a.at(0).content, oidNode(tb, oidMessageDigest).content) {
			a.at(1, 0).content = scheme.hash.Sum(contentOf(token).content)
		}
	}
	if sorted {
		var members [][]byte
		for _, a := range set.children {
			members = append(members, a.encode(tb))
		}
		sortSet(members)
		set.children = parseNodes(tb, bytes.Join(members, nil))
	}
	signed := *set
	signed.tag = 0x31
	signature, err := sign(w.signer, scheme, signed.encode(tb))
	if err != nil {
		tb.Fatal(err)
	}
	signerOf(token).at(5).content = signature
	return token.encode(tb)
}
