package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
)

// TestMoments judges one certificate at different times: the parts of the
// result must fail apart from each other.
func TestMoments(t *testing.T) {
	w := newWorld(t, kindSM2)
	cert := w.issue(t, UsageSeal, newKey(t, kindSM2).Public()) // epoch to epoch + 1 year
	lost := epoch.Add(30 * day)
	w.now = epoch.Add(40 * day)
	if err := w.ca.Revoke(t.Context(), mustParse(t, cert).SerialNumber, KeyCompromise, lost); err != nil {
		t.Fatal(err)
	}
	trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}, CRLs: w.lists(t), RequireRevocation: true})
	for name, c := range map[string]struct {
		at                        time.Time
		chain, period, revocation error
	}{
		"before its time":      {epoch.Add(-time.Second), nil, ErrPeriod, nil},
		"first second":         {epoch, nil, nil, nil},
		"before revocation":    {lost.Add(-time.Second), nil, nil, nil},
		"at revocation":        {lost, nil, nil, ErrRevoked},
		"after revocation":     {lost.Add(day), nil, nil, ErrRevoked},
		"list out of date":     {w.now.Add(30 * day), nil, nil, ErrRevoked},
		"last second":          {epoch.Add(year), nil, nil, ErrRevoked},
		"expired":              {epoch.Add(year + time.Second), nil, ErrPeriod, ErrRevoked},
		"authority expired":    {epoch.Add(10 * year), ErrPeriod, ErrPeriod, ErrRevoked},
		"root expired":         {epoch.Add(20 * year), ErrPeriod, ErrPeriod, ErrRevoked},
		"before the authority": {epoch.Add(-2 * year), ErrPeriod, ErrPeriod, nil},
	} {
		r := trust.Check(cert, w.ca.Chain(), c.at, UsageSeal)
		if !errors.Is(r.Chain, c.chain) || !errors.Is(r.Period, c.period) || !errors.Is(r.Revocation, c.revocation) || r.Usage != nil {
			t.Errorf("%s: chain %v, usage %v, period %v, revocation %v", name, r.Chain, r.Usage, r.Period, r.Revocation)
		}
		if !r.RevokedAt.Equal(lost) || r.RevokedFor != KeyCompromise {
			t.Errorf("%s: revoked at %v for %v", name, r.RevokedAt, r.RevokedFor)
		}
	}
}

func TestRevocationKnowledge(t *testing.T) {
	w := newWorld(t, kindP256)
	cert := w.issue(t, UsageSeal, newKey(t, kindP256).Public())
	old := w.lists(t)
	stranger := newWorld(t, kindP256)
	check := func(at time.Time, required bool, lists ...[]byte) error {
		t.Helper()
		trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}, Intermediates: [][]byte{w.ca.Certificate()}, CRLs: lists, RequireRevocation: required})
		return trust.Check(cert, nil, at, UsageSeal).Revocation
	}
	unknown := ErrRevocationUnknown
	for name, c := range map[string]struct{ got, want error }{
		"no list":               {check(w.now, true), unknown},
		"no list, not required": {check(w.now, false), nil},
		"both lists":            {check(w.now, true, old...), nil},
		"root's list missing":   {check(w.now, true, old[1]), unknown},
		"strangers' lists":      {check(w.now, true, stranger.lists(t)...), unknown},
		"last moment":           {check(w.now.Add(listLife), true, old...), nil},
		"stale":                 {check(w.now.Add(listLife+time.Second), true, old...), unknown},
		"stale, not required":   {check(w.now.Add(listLife+time.Second), false, old...), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	// Without a list nothing was checked, and the result says so.
	for name, c := range map[string]struct {
		at    time.Time
		lists [][]byte
		want  bool
	}{
		"no list":          {w.now, nil, false},
		"both lists":       {w.now, old, true},
		"stale":            {w.now.Add(listLife + time.Second), old, false},
		"strangers' lists": {w.now, stranger.lists(t), false},
	} {
		trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}, Intermediates: [][]byte{w.ca.Certificate()}, CRLs: c.lists})
		if got := trust.Check(cert, nil, c.at, UsageSeal).Listed; got != c.want {
			t.Errorf("%s: listed %v", name, got)
		}
	}
	// A revoked authority takes everything below it along.
	w.now = w.now.Add(time.Hour)
	if err := w.top.Revoke(t.Context(), mustParse(t, w.ca.Certificate()).SerialNumber, CACompromise, w.now); err != nil {
		t.Fatal(err)
	}
	now := w.lists(t)
	if err := check(w.now, false, append(old, now...)...); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked authority, old lists first: %v", err)
	}
	if err := check(w.now, true, append(now, old...)...); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked authority, new lists first: %v", err)
	}
	if err := check(w.now.Add(-time.Minute), true, now...); err != nil {
		t.Errorf("before the authority was revoked: %v", err)
	}
}

// signList signs a revocation list as no Authority would.
func signList(tb testing.TB, edit func(*x509.RevocationList), issuer []byte, by crypto.Signer) []byte {
	tb.Helper()
	template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: epoch.Add(-time.Hour), NextUpdate: epoch.Add(day)}
	if edit != nil {
		edit(template)
	}
	list, err := smx509.CreateRevocationList(rand.Reader, template, mustParse(tb, issuer), by)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

// TestListScope reads lists that speak of some certificates only.
func TestListScope(t *testing.T) {
	w := newWorld(t, kindP256)
	cert := w.issue(t, UsageSeal, newKey(t, kindP256).Public()) // points to http://ca.example.cn/list.crl
	uri := func(s string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(s)}
	}
	type point struct {
		FullName []asn1.RawValue `asn1:"tag:0"`
	}
	type scopeExtension struct {
		Point       point          `asn1:"optional,tag:0"`
		Users       bool           `asn1:"optional,tag:1"`
		Authorities bool           `asn1:"optional,tag:2"`
		Reasons     asn1.BitString `asn1:"optional,tag:3"`
		Indirect    bool           `asn1:"optional,tag:4"`
		Attributes  bool           `asn1:"optional,tag:5"`
	}
	here := point{[]asn1.RawValue{uri("http://ca.example.cn/list.crl")}}
	there := point{[]asn1.RawValue{uri("http://ca.example.cn/list2.crl")}}
	for name, c := range map[string]struct {
		scope   scopeExtension
		refused bool
		want    error
	}{
		"this point":       {scopeExtension{Point: here}, false, nil},
		"another point":    {scopeExtension{Point: there}, false, ErrRevocationUnknown},
		"users":            {scopeExtension{Users: true}, false, nil},
		"users, here":      {scopeExtension{Point: here, Users: true}, false, nil},
		"authorities":      {scopeExtension{Authorities: true}, false, ErrRevocationUnknown},
		"some reasons":     {scopeExtension{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}}, true, nil},
		"indirect":         {scopeExtension{Indirect: true}, true, nil},
		"attribute":        {scopeExtension{Attributes: true}, true, nil},
		"users and others": {scopeExtension{Users: true, Authorities: true}, true, nil},
	} {
		value, err := asn1.Marshal(c.scope)
		if err != nil {
			t.Fatal(err)
		}
		list := signList(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oidListScope, Critical: true, Value: value}}
		}, w.ca.Certificate(), w.key)
		trust, err := NewTrust(TrustConfig{Roots: [][]byte{w.root, w.ca.Certificate()}, CRLs: [][]byte{list}, RequireRevocation: true})
		if c.refused {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v, want it refused", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r := trust.Check(cert, nil, epoch, UsageSeal); !errors.Is(r.Revocation, c.want) {
			t.Errorf("%s: %v, want %v", name, r.Revocation, c.want)
		}
	}
}

// TestExpiredOnList asks about certificates that expired before the list.
func TestExpiredOnList(t *testing.T) {
	w := newWorld(t, kindP256)
	cert := w.issue(t, UsageSeal, newKey(t, kindP256).Public())
	later := func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = epoch.Add(2*year), epoch.Add(2*year+day) }
	bare := signList(t, later, w.ca.Certificate(), w.key)
	w.now = epoch.Add(2 * year)
	for name, c := range map[string]struct {
		list []byte
		want error
	}{
		"may have been dropped": {bare, ErrRevocationUnknown},
		"kept for good":         {w.lists(t)[1], nil},
	} {
		trust := newTrust(t, TrustConfig{Roots: [][]byte{w.ca.Certificate()}, CRLs: [][]byte{c.list}, RequireRevocation: true})
		if r := trust.Check(cert, nil, epoch.Add(day), UsageSeal); !errors.Is(r.Err(), c.want) {
			t.Errorf("%s: %v, want %v", name, r.Err(), c.want)
		}
	}
}

// TestHostileChains builds chains that must not hold.
func TestHostileChains(t *testing.T) {
	w := newWorld(t, kindP256)
	other := newWorld(t, kindP256)
	leafKey, caKey := newKey(t, kindP256), newKey(t, kindP256)
	seal := w.issue(t, UsageSeal, caKey.Public())
	constrained := func(edit func(*x509.Certificate)) []byte {
		return forge(t, func(c *x509.Certificate) { asCA(c); edit(c) }, w.root, w.rootKey, caKey.Public())
	}
	below := func(ca []byte, edit func(*x509.Certificate)) [][]byte {
		return [][]byte{forge(t, edit, ca, caKey, leafKey.Public()), ca}
	}
	host := func(name string, ip net.IP) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses, c.ExtKeyUsage = []string{name}, []net.IP{ip}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}
	}
	critical := func(id ...int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: id, Critical: true, Value: []byte{5, 0}}}
		}
	}
	_, tenNet, _ := net.ParseCIDR("10.0.0.0/8")
	county := constrained(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains, c.PermittedIPRanges = true, []string{"county.example.cn"}, []*net.IPNet{tenNet}
	})
	// A stolen name: the subject and key identifier of the authority, another key.
	twin := mustParse(t, w.ca.Certificate())
	impostor := forge(t, func(c *x509.Certificate) {
		asCA(c)
		c.RawSubject, c.SubjectKeyId = twin.RawSubject, twin.SubjectKeyId
	}, nil, caKey, caKey.Public())

	for name, c := range map[string]struct {
		certs [][]byte // leaf first
		usage Usage
		want  error
	}{
		"good host":                     {below(county, host("a.county.example.cn", net.IPv4(10, 1, 2, 3))), UsageServer, nil},
		"host not permitted":            {below(county, host("a.city.example.cn", net.IPv4(10, 1, 2, 3))), UsageServer, ErrChain},
		"address not permitted":         {below(county, host("a.county.example.cn", net.IPv4(11, 1, 2, 3))), UsageServer, ErrChain},
		"constraints not critical":      {below(constrained(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"county.example.cn"} }), nil), UsageSeal, ErrChain},
		"unknown critical in leaf":      {below(constrained(func(*x509.Certificate) {}), critical(1, 2, 3)), UsageSeal, ErrChain},
		"unknown critical in authority": {below(constrained(critical(1, 2, 3)), nil), UsageSeal, ErrChain},
		"policies required": {below(constrained(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}}
		}), nil), UsageSeal, ErrChain},
		"issuer is no authority":         {below(seal, nil), UsageSeal, ErrChain},
		"issuer may not sign":            {below(constrained(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), nil), UsageSeal, ErrChain},
		"issuer limited to other use":    {below(constrained(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), nil), UsageSeal, ErrUsage},
		"unknown root":                   {append([][]byte{other.issue(t, UsageSeal, leafKey.Public())}, other.ca.Chain()...), UsageSeal, ErrChain},
		"self-signed":                    {[][]byte{forge(t, nil, nil, leafKey, leafKey.Public())}, UsageSeal, ErrChain},
		"impostor":                       {below(impostor, nil), UsageSeal, ErrChain},
		"impostor with real authority":   {append(below(impostor, nil), w.ca.Chain()...), UsageSeal, ErrChain},
		"authority not sent":             {[][]byte{seal}, UsageSeal, ErrChain},
		"damaged certificate sent along": {[][]byte{seal, w.ca.Certificate(), w.root[:50]}, UsageSeal, ErrMalformed},
		"too many sent along":            {append([][]byte{seal}, make([][]byte, maxSent+1)...), UsageSeal, ErrMalformed},
		"noise sent along":               {append([][]byte{seal, seal, other.root, impostor}, w.ca.Chain()...), UsageSeal, nil},
		"no certificate":                 {[][]byte{nil}, UsageSeal, ErrMalformed},
	} {
		trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}})
		for range 2 { // found, then remembered
			r := trust.Check(c.certs[0], c.certs[1:], epoch, c.usage)
			if !errors.Is(r.Err(), c.want) {
				t.Errorf("%s: %v, want %v", name, r.Err(), c.want)
			}
		}
	}
}

// TestForeignAlgorithm signs with a scheme that is not the key's own: the SM2
// curve would do for ECDSA arithmetic.
func TestForeignAlgorithm(t *testing.T) {
	for _, k := range []kind{kindSM2, kindP256} {
		w := newWorld(t, k)
		cert := w.issue(t, UsageSeal, newKey(t, k).Public())
		swapped := smx509.SM2WithSM3
		if k == kindSM2 {
			swapped = x509.ECDSAWithSHA256
		}
		if usesKey(swapped, mustParse(t, w.root)) || !usesKey(mustParse(t, cert).SignatureAlgorithm, mustParse(t, w.root)) {
			t.Errorf("kind %d: algorithms are not tied to keys", k)
		}
		p := path{certs: []*smx509.Certificate{mustParse(t, cert), mustParse(t, w.ca.Certificate())}}
		if err := p.check(); err != nil {
			t.Errorf("kind %d: %v", k, err)
		}
		p.certs[0].SignatureAlgorithm = swapped
		if err := p.check(); !errors.Is(err, ErrKey) {
			t.Errorf("kind %d signed with %v: %v", k, swapped, err)
		}
	}
}

func TestNewTrustRefuses(t *testing.T) {
	w := newWorld(t, kindP256)
	leaf := w.issue(t, UsageSeal, newKey(t, kindP256).Public())
	damaged := append([]byte(nil), w.root...)
	damaged[len(damaged)-1] ^= 1
	next := signList(t, func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	}, w.ca.Certificate(), w.key)
	for name, c := range map[string]struct {
		config TrustConfig
		want   error
	}{
		"leaf as root":         {TrustConfig{Roots: [][]byte{leaf}}, ErrChain},
		"leaf as intermediate": {TrustConfig{Intermediates: [][]byte{leaf}}, ErrChain},
		"damaged root":         {TrustConfig{Roots: [][]byte{damaged}}, ErrChain},
		"no root":              {TrustConfig{Roots: [][]byte{{}}}, ErrMalformed},
		"delta list":           {TrustConfig{CRLs: [][]byte{next}}, ErrMalformed},
		"certificate as list":  {TrustConfig{CRLs: [][]byte{leaf}}, ErrMalformed},
	} {
		if _, err := NewTrust(c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestConcurrentChecks fills the memory beyond its size from many goroutines.
func TestConcurrentChecks(t *testing.T) {
	w := newWorld(t, kindP256)
	trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}, CRLs: w.lists(t), RequireRevocation: true})
	key := newKey(t, kindP256)
	good, bad := w.issue(t, UsageSeal, key.Public()), w.issue(t, UsageClient, key.Public())
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 100 {
				// A certificate more sent along makes another entry.
				extra := append(w.ca.Chain(), [][]byte{good, bad}[j%2])
				for range i%2 + j%3 {
					extra = append(extra, w.root)
				}
				if err := trust.Check(good, extra, epoch, UsageSeal).Err(); err != nil {
					t.Error(err)
				}
				if r := trust.Check(bad, extra, epoch, UsageSeal); !errors.Is(r.Usage, ErrUsage) || r.Chain != nil {
					t.Error(r.Err())
				}
			}
		})
	}
	group.Wait()
}

// TestTrustKeepsItsOwnBytes overwrites everything that Trust was given.
func TestTrustKeepsItsOwnBytes(t *testing.T) {
	w := newWorld(t, kindSM2)
	cert, chain := w.issue(t, UsageSeal, newKey(t, kindSM2).Public()), w.ca.Chain()
	given := append(w.lists(t), bytes.Clone(w.root), bytes.Clone(cert), bytes.Clone(chain[0]))
	trust := newTrust(t, TrustConfig{Roots: given[2:3], CRLs: given[:2], RequireRevocation: true})
	trust.Check(given[3], given[4:], epoch, UsageSeal)
	for _, data := range given {
		clear(data)
	}
	for _, extra := range [][][]byte{chain[:1], chain} { // remembered, then new
		r := trust.Check(cert, extra, epoch, UsageSeal)
		if err := r.Err(); err != nil || !bytes.Equal(r.Path[0].Raw, cert) || !bytes.Equal(r.Path[2].Raw, w.root) {
			t.Errorf("%d sent along: %v", len(extra), err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m, kept := newMemory(), &found{}
	key := func(i int) [32]byte { return memoryKey(nil, [][]byte{big.NewInt(int64(i)).Bytes()}) }
	m.put(key(0), kept)
	for i := 1; i < 5*memorySize; i++ {
		m.put(key(i), &found{})
		if m.get(key(0)) != kept { // asked often enough, it stays
			t.Fatalf("forgotten after %d others", i)
		}
	}
	if n := len(m.young) + len(m.old); n > 2*memorySize {
		t.Errorf("%d entries", n)
	}
	if m.get(key(1)) != nil {
		t.Error("what nobody asked for was kept")
	}
	if memoryKey([]byte("ab"), nil) == memoryKey([]byte("a"), [][]byte{[]byte("b")}) {
		t.Error("two questions with one key")
	}
}
