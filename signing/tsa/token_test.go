package tsa

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
)

// A token that was changed somewhere and put together again with right
// lengths; signed again where the fault is in what is signed.
func TestVerifyRefusesForgeries(t *testing.T) {
	data := []byte("data")
	w := newWorld(t, "P-256")
	good := w.stamp(t, data)
	other, err := newWorld(t, "P-256").authority.Stamp(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	falseTag := primitive(1, 0)
	content := func(change func(info *node)) func(*node) {
		return func(n *node) {
			info := parseNode(t, contentOf(n).content)
			change(info)
			contentOf(n).content = info.encode(t)
		}
	}
	type forgery struct {
		change func(n *node)
		signed bool // by the authority's key, after the change
		want   error
	}
	for name, c := range map[string]forgery{
		"content changed":             {content(func(i *node) { i.at(1).content[1] ^= 1 }), false, ErrSignature},
		"signature changed":           {func(n *node) { signerOf(n).at(5).content[10] ^= 1 }, false, ErrSignature},
		"signature of nothing":        {func(n *node) { signerOf(n).at(5).content = nil }, false, ErrSignature},
		"another's signer":            {func(n *node) { signedDataOf(n).at(-1).children[0] = signerOf(parseNode(t, other)) }, false, ErrCertificate},
		"another's certificate":       {func(n *node) { signedDataOf(n).at(3).children = parseNodes(t, w.chain[1]) }, false, ErrCertificate},
		"two signers":                 {func(n *node) { signedDataOf(n).at(-1).add(signerOf(parseNode(t, good))) }, false, ErrMalformed},
		"no signer":                   {func(n *node) { signedDataOf(n).at(-1).children = nil }, false, ErrMalformed},
		"empty certificates":          {func(n *node) { signedDataOf(n).at(3).children = nil }, false, ErrMalformed},
		"certificate twice":           {func(n *node) { signedDataOf(n).at(3).add(signedDataOf(n).at(3, 0)) }, false, ErrMalformed},
		"revocation lists":            {func(n *node) { s := signedDataOf(n); s.children = slices.Insert(s.children, 4, primitive(0xa1)) }, false, ErrMalformed},
		"unsigned attributes":         {func(n *node) { signerOf(n).add(primitive(0xa1)) }, false, ErrMalformed},
		"SignedData version 1":        {func(n *node) { signedDataOf(n).at(0).content = []byte{1} }, false, ErrMalformed},
		"signer version 3":            {func(n *node) { signerOf(n).at(0).content = []byte{3} }, false, ErrMalformed},
		"two digest algorithms":       {func(n *node) { signedDataOf(n).at(1).add(signedDataOf(n).at(1, 0)) }, false, ErrMalformed},
		"other digest algorithm":      {func(n *node) { signedDataOf(n).at(1, 0, 0).content = oidNode(t, oidSHA512).content }, false, ErrMalformed},
		"unknown digest algorithm":    {func(n *node) { signedDataOf(n).at(1, 0, 0).content = []byte{0x2a, 3} }, false, ErrAlgorithm},
		"SM2 with a key on P-256":     {func(n *node) { signerOf(n).at(4, 0).content = oidNode(t, oidSM2Sign).content }, false, ErrAlgorithm},
		"SHA-384 in the algorithm":    {func(n *node) { signerOf(n).at(4, 0).content = oidNode(t, oidECDSAWithSHA384).content }, false, ErrAlgorithm},
		"SHA-1 in the algorithm":      {func(n *node) { signerOf(n).at(4, 0).content = []byte("\x2a\x86\x48\xce\x3d\x04\x01") }, false, ErrAlgorithm},
		"content type of SignedData":  {func(n *node) { signedDataOf(n).at(2, 0).content = oidNode(t, oidSignedData).content }, false, ErrMalformed},
		"content type of token":       {func(n *node) { n.at(0).content = oidNode(t, oidTSTInfo).content }, false, ErrMalformed},
		"member after ContentInfo":    {func(n *node) { n.add(primitive(5)) }, false, ErrMalformed},
		"member after SignedData":     {func(n *node) { n.at(1).add(primitive(5)) }, false, ErrMalformed},
		"member after signerInfos":    {func(n *node) { signedDataOf(n).add(primitive(5)) }, false, ErrMalformed},
		"sid of another":              {func(n *node) { signerOf(n).at(1, 1).content[3] ^= 1 }, false, ErrCertificate},
		"sid with a key identifier":   {func(n *node) { s := signerOf(n); s.at(0).content = []byte{3}; s.children[1] = primitive(0x80, 1, 2) }, false, ErrCertificate},
		"attributes out of order":     {func(n *node) { slices.Reverse(attributesOf(n).children) }, true, ErrMalformed},
		"signing certificate changed": {func(n *node) { attribute(t, n, oidSigningCertificateV2).at(0, 0, 0, 0).content[0] ^= 1 }, true, ErrCertificate},
		"no signing certificate": {func(n *node) {
			a := attributesOf(n)
			a.children = slices.DeleteFunc(a.children, func(m *node) bool { return bytes.Equal(m.at(0).content, oidNode(t, oidSigningCertificateV2).content) })
		}, true, ErrMalformed},
		"signing certificate empty": {func(n *node) { attribute(t, n, oidSigningCertificateV2).at(0, 0).children = nil }, true, ErrMalformed},
		"content type attribute":    {func(n *node) { attribute(t, n, oidContentType).at(0).content = oidNode(t, oidSignedData).content }, true, ErrMalformed},
		"attribute with two values": {func(n *node) { a := attribute(t, n, oidMessageDigest); a.add(a.at(0)) }, true, ErrMalformed},
		"attribute without a value": {func(n *node) {
			a := attributesOf(n)
			a.add(&node{tag: 0x30, children: []*node{oidNode(t, oidSHA256), {tag: 0x31}}})
		}, true, ErrMalformed},
		"attribute twice": {func(n *node) {
			a := attributesOf(n)
			again := parseNode(t, a.at(0).encode(t))
			again.at(1, 0).content = oidNode(t, oidSignedData).content
			a.add(again)
		}, true, ErrMalformed},
		"TSTInfo version 2":      {content(func(i *node) { i.at(0).content = []byte{2} }), true, ErrMalformed},
		"serial number negative": {content(func(i *node) { i.at(3).content = []byte{0x80} }), true, ErrMalformed},
		"serial number padded":   {content(func(i *node) { i.at(3).content = []byte{0, 1} }), true, ErrMalformed},
		"serial number long":     {content(func(i *node) { i.at(3).content = bytes.Repeat([]byte{1}, 21) }), true, ErrMalformed},
		"time with an offset":    {content(func(i *node) { i.at(4).content = []byte("20260304120000+0000") }), true, ErrMalformed},
		"time without seconds":   {content(func(i *node) { i.at(4).content = []byte("202603041200Z") }), true, ErrMalformed},
		"time with zeros":        {content(func(i *node) { i.at(4).content = []byte("20260304120000.10Z") }), true, ErrMalformed},
		"time with comma":        {content(func(i *node) { i.at(4).content = []byte("20260304120000,1Z") }), true, ErrMalformed},
		"time with 10 digits":    {content(func(i *node) { i.at(4).content = []byte("20260304120000.0000000001Z") }), true, ErrMalformed},
		"30 February":            {content(func(i *node) { i.at(4).content = []byte("20260230120000Z") }), true, ErrMalformed},
		"UTCTime":                {content(func(i *node) { i.children[4] = primitive(0x17, []byte("260304120000Z")...) }), true, ErrMalformed},
		"accuracy of 1000 ms":    {content(func(i *node) { i.at(5, 1).content = []byte{3, 0xe8} }), true, ErrMalformed},
		"accuracy negative":      {content(func(i *node) { i.at(5, 0).content = []byte{0xff} }), true, ErrMalformed},
		"ordering FALSE":         {content(func(i *node) { i.add(falseTag) }), true, ErrMalformed},
		"tsa is another":         {content(func(i *node) { i.add(&node{tag: 0xa0, children: []*node{primitive(0x86, []byte("urn:x")...)}}) }), true, ErrCertificate},
		"tsa with two names":     {content(func(i *node) { i.add(&node{tag: 0xa0, children: []*node{primitive(0x86), primitive(0x86)}}) }), true, ErrMalformed},
		"critical extension":     {content(func(i *node) { i.add(extensions(t, "\x30\x09\x06\x02\x2a\x03\x01\x01\xff\x04\x00")) }), true, ErrMalformed},
		"extension twice": {content(func(i *node) {
			i.add(extensions(t, "\x30\x06\x06\x02\x2a\x03\x04\x00\x30\x06\x06\x02\x2a\x03\x04\x00"))
		}), true, ErrMalformed},
		"no extensions":           {content(func(i *node) { i.add(extensions(t, "")) }), true, ErrMalformed},
		"member after extensions": {content(func(i *node) { i.add(extensions(t, "\x30\x06\x06\x02\x2a\x03\x04\x00"), primitive(5)) }), true, ErrMalformed},
		"imprint of another hash": {content(func(i *node) { i.at(2, 0, 0).content = oidNode(t, oidSM3).content }), true, ErrMismatch},
	} {
		token := parseNode(t, good)
		c.change(token)
		forged := token.encode(t)
		if c.signed {
			forged = w.resign(t, token, name != "attributes out of order")
		}
		if got, err := Verify(forged, data, w.trust); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, c.want)
		}
	}
	if _, err := Verify(append(slices.Clone(good), 0), data, w.trust); !errors.Is(err, ErrMalformed) {
		t.Errorf("trailing byte: %v", err)
	}
	if _, err := Verify(good, []byte("other"), w.trust); !errors.Is(err, ErrMismatch) {
		t.Errorf("other data: %v, want ErrMismatch", err)
	}
}

func extensions(tb testing.TB, list string) *node {
	tb.Helper()
	return &node{tag: 0xa1, children: parseNodes(tb, []byte(list))}
}

// What other authorities write and this one does not must be read.
func TestVerifyReadsOptionalParts(t *testing.T) {
	w := newWorld(t, "SM2")
	data := []byte("data")
	leaf := w.authority.leaf
	token := parseNode(t, w.stamp(t, data))
	info := parseNode(t, contentOf(token).content)
	info.at(4).content = []byte("20260304120000.123456789Z")
	info.at(5).children = []*node{primitive(0x81, 7)}
	info.add(primitive(1, 0xff), primitive(2, 0x80),
		&node{tag: 0xa0, children: []*node{{tag: 0xa4, children: []*node{parseNode(t, leaf.RawSubject)}}}},
		extensions(t, "\x30\x06\x06\x02\x2a\x03\x04\x00"))
	contentOf(token).content = info.encode(t)
	token.at(0).content = oidNode(t, oidSignedData).content              // RFC 5652 instead of GB/T 35275
	signerOf(token).at(4, 0).content = oidNode(t, oidSM2WithSM3).content // as Bouncy Castle has it
	signerOf(token).at(4).add(primitive(5))
	signerOf(token).at(0).content = []byte{3}
	signerOf(token).children[1] = primitive(0x80, leaf.SubjectKeyId...)
	attributesOf(token).add(&node{tag: 0x30, children: []*node{oidNode(t, oidSHA256), {tag: 0x31, children: []*node{primitive(5)}}}})

	got, err := Verify(w.resign(t, token, true), data, w.trust)
	if err != nil {
		t.Fatal(err)
	}
	if want := noon().Add(123456789); !got.Time.Equal(want) || got.Accuracy != 7*time.Microsecond || !got.Ordered || !bytes.Equal(got.nonce, []byte{0x80}) {
		t.Errorf("token %+v, want time %v", got, want)
	}
}

func TestVerifyAsksTrust(t *testing.T) {
	data := []byte("data")
	for name, c := range map[string]struct {
		reason pki.Reason
		after  time.Duration // revocation, from the token's time; 0: none
		want   error
	}{
		"good":                  {want: nil},
		"revoked before":        {pki.Superseded, -time.Hour, pki.ErrRevoked},
		"superseded afterwards": {pki.Superseded, time.Hour, nil},
		"ceased afterwards":     {pki.CessationOfOperation, time.Hour, nil},
		"leaked afterwards":     {pki.KeyCompromise, time.Hour, pki.ErrRevoked},
		"no reason, afterwards": {pki.Unspecified, time.Hour, pki.ErrRevoked},
	} {
		w := newWorld(t, "P-256")
		token := w.stamp(t, data)
		if c.after != 0 {
			w.now = noon().Add(2 * time.Hour)
			if err := w.issuing.Revoke(t.Context(), w.authority.leaf.SerialNumber, c.reason, noon().Add(c.after)); err != nil {
				t.Fatal(err)
			}
		}
		crl, err := w.issuing.CRL(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trust := newTrust(t, pki.TrustConfig{Roots: [][]byte{w.root}, CRLs: [][]byte{crl}})
		if _, err := Verify(token, data, trust); !errors.Is(err, c.want) || err != nil && !errors.Is(err, ErrCertificate) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	w := newWorld(t, "SM2")
	token := w.stamp(t, data)
	stranger := newTrust(t, pki.TrustConfig{Roots: [][]byte{newWorld(t, "SM2").root}})
	for name, trust := range map[string]*pki.Trust{"another's root": stranger, "no trust": nil} {
		if _, err := Verify(token, data, trust); !errors.Is(err, ErrCertificate) {
			t.Errorf("%s: %v, want ErrCertificate", name, err)
		}
	}
	early, err := New(Config{Signer: w.signer, Chain: w.chain, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	early.leaf.NotBefore = time.Time{} // an authority that does not look at its own certificate
	early.now = func() time.Time { return noon().AddDate(-1, 0, 0) }
	if token, err = early.Stamp(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(token, data, w.trust); !errors.Is(err, pki.ErrPeriod) {
		t.Errorf("before the certificate: %v, want ErrPeriod", err)
	}
}

// A token with a byte changed is refused, unless the byte is in a certificate
// above the signer's that the trusted roots do not need.
func TestRandomChanges(t *testing.T) {
	const rounds = 8000
	data := []byte("data")
	random := rand.New(rand.NewPCG(3161, 5816))
	for _, algorithm := range []string{"P-256", "SM2"} {
		w := newWorld(t, algorithm)
		token := w.stamp(t, data)
		want, err := Verify(token, data, w.trust)
		if err != nil {
			t.Fatal(err)
		}
		for range rounds {
			changed := slices.Clone(token)
			place := random.IntN(len(changed))
			changed[place] ^= byte(1 + random.IntN(255))
			got, err := Verify(changed, data, w.trust)
			if err != nil {
				continue
			}
			if !bytes.Equal(got.cms.content, want.cms.content) || !bytes.Equal(got.cms.signer.attributes.raw, want.cms.signer.attributes.raw) ||
				!bytes.Equal(got.Signer.Raw, want.Signer.Raw) || got.Time != want.Time {
				t.Fatalf("%s: accepted with byte %d of %d changed to %#x: %+v", algorithm, place, len(token), changed[place], got)
			}
		}
	}
}

func FuzzToken(f *testing.F) {
	for _, algorithm := range []string{"P-256", "SM2"} {
		w := newWorld(f, algorithm)
		f.Add(w.stamp(f, nil))
	}
	w := newWorld(f, "P-256")
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := Parse(data)
		if err != nil {
			return
		}
		if !bytes.Contains(data, token.cms.content) || len(token.Imprint) != len(token.Hash.Sum(nil)) {
			t.Errorf("token is not what was read: %+v", token)
		}
		if _, err := Verify(data, nil, w.trust); err == nil {
			t.Error("a token by nobody is trusted")
		}
	})
}

func FuzzRequest(f *testing.F) {
	w := newWorld(f, "P-256")
	f.Add(mustEncode(f, request{imprint: imprint{SM3, SM3.Sum(nil)}, policy: testPolicy, nonce: newNonce(), certReq: true}))
	f.Add(mustEncode(f, request{imprint: imprint{SHA512, SHA512.Sum(nil)}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		reply, err := w.authority.Reply(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseRequest(data)
		if _, refused := parseReply(reply); errors.Is(refused, ErrMalformed) || err != nil && refused == nil {
			t.Errorf("reply %x: %v", reply, refused)
		}
		if err == nil && !r.extensions && !bytes.Equal(mustEncode(t, r), data) && !bytes.Contains(data, []byte{5, 0}) {
			t.Errorf("%x has a second reading %+v", data, r)
		}
	})
}

func FuzzReply(f *testing.F) {
	w := newWorld(f, "P-256")
	for _, why := range []*rejection{nil, {badAlg, "no"}, {systemFailure, "不行"}} {
		token := []byte(nil)
		if why == nil {
			token = w.stamp(f, nil)
		}
		reply, err := encodeReply(token, why)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := parseReply(data)
		if (err == nil) != (len(token) > 0) {
			t.Errorf("token %x, %v", token, err)
		}
	})
}
