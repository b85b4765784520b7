package pki

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var usages = []Usage{UsageSeal, UsageSealMaker, UsageLicense, UsageTimestamp, UsageServer, UsageClient}

// TestUsageMatrix issues a certificate for each use and asks for each use.
func TestUsageMatrix(t *testing.T) {
	for _, k := range []kind{kindSM2, kindP256, kindP384, kindEd25519} {
		w := newWorld(t, k)
		trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}, CRLs: w.lists(t), RequireRevocation: true})
		for _, issued := range usages {
			cert := w.issue(t, issued, newKey(t, k).Public())
			for _, asked := range append(usages, UsageCA) {
				r := trust.Check(cert, w.ca.Chain(), w.now, asked)
				if r.Chain != nil || r.Period != nil || r.Revocation != nil || len(r.Path) != 3 {
					t.Fatalf("kind %d, %v: %v, path of %d", k, issued, r.Err(), len(r.Path))
				}
				// A maker could seal anyhow; what is bare of purposes fits.
				fits := issued == asked || issued == UsageSealMaker && asked == UsageSeal
				if fits != (r.Usage == nil) || !fits && !errors.Is(r.Usage, ErrUsage) {
					t.Errorf("kind %d: %v asked to be %v: %v", k, issued, asked, r.Usage)
				}
			}
		}
		if r := trust.Check(w.ca.Certificate(), nil, w.now, UsageCA); r.Err() != nil || len(r.Path) != 2 {
			t.Errorf("kind %d: the authority itself: %v", k, r.Err())
		}
		if r := trust.Check(w.root, nil, w.now, UsageCA); r.Err() != nil || len(r.Path) != 1 {
			t.Errorf("kind %d: the root itself: %v", k, r.Err())
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	w := newWorld(t, kindSM2)
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := Request{Public: newKey(t, kindSM2).Public(), Subject: Subject{CommonName: "局"}, Usage: UsageSeal, Validity: year}
	for name, c := range map[string]struct {
		edit func(*Request)
		want error
	}{
		"no usage":              {func(r *Request) { r.Usage = 0 }, ErrProfile},
		"authority by Issue":    {func(r *Request) { r.Usage = UsageCA }, ErrProfile},
		"no key":                {func(r *Request) { r.Public = nil }, ErrKey},
		"RSA key":               {func(r *Request) { r.Public = small.Public() }, ErrKey},
		"P-256 below SM2":       {func(r *Request) { r.Public = newKey(t, kindP256).Public() }, ErrProfile},
		"no name":               {func(r *Request) { r.Subject.CommonName = "" }, ErrProfile},
		"country not a code":    {func(r *Request) { r.Subject.Country = "中国" }, ErrProfile},
		"name of 65 characters": {func(r *Request) { r.Subject.Organization = strings.Repeat("局", 65) }, ErrProfile},
		"name not UTF-8":        {func(r *Request) { r.Subject.Organization = "\xff" }, ErrProfile},
		"name with a NUL":       {func(r *Request) { r.Subject.CommonName = "a\x00b" }, ErrProfile},
		"name turned around":    {func(r *Request) { r.Subject.CommonName = "a\u202eb" }, ErrProfile},
		"no validity":           {func(r *Request) { r.Validity = 0 }, ErrProfile},
		"longer than authority": {func(r *Request) { r.Validity = 10 * year }, ErrProfile},
		"before authority":      {func(r *Request) { r.NotBefore = w.now.Add(-2 * year) }, ErrProfile},
		"seal with a host":      {func(r *Request) { r.DNSNames = []string{"a.cn"} }, ErrProfile},
		"server without a host": {func(r *Request) { r.Usage = UsageServer }, ErrProfile},
		"server, bad host":      {func(r *Request) { r.Usage, r.DNSNames = UsageServer, []string{"a b.cn"} }, ErrProfile},
		"path length of a seal": {func(r *Request) { r.PathLen = 1 }, ErrProfile},
	} {
		r := good
		c.edit(&r)
		if _, err := w.ca.Issue(t.Context(), r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if n := len(w.ca.Issued()); n != 0 {
		t.Errorf("%d certificates were kept", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.ca.Issue(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	r := good
	r.Usage, r.DNSNames, r.IPs = UsageServer, []string{"*.example.cn", "xn--fiqs8s.cn"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	if _, err := w.ca.Issue(t.Context(), r); err != nil {
		t.Errorf("server: %v", err)
	}
}

func TestPathLength(t *testing.T) {
	w := newWorld(t, kindP256)
	r := Request{Public: newKey(t, kindP256).Public(), Subject: Subject{CommonName: "下级"}, Validity: year}
	if _, err := w.ca.IssueCA(t.Context(), r); !errors.Is(err, ErrProfile) {
		t.Errorf("an authority of path length 0 made another: %v", err)
	}
	// It cannot do so by other means either.
	below := newKey(t, kindP256)
	forged := forge(t, asCA, w.ca.Certificate(), w.key, below.Public())
	leaf := forge(t, nil, forged, below, newKey(t, kindP256).Public())
	trust := newTrust(t, TrustConfig{Roots: [][]byte{w.root}})
	if res := trust.Check(leaf, append(w.ca.Chain(), forged), w.now, UsageSeal); !errors.Is(res.Chain, ErrChain) {
		t.Errorf("path too long: %v", res.Err())
	}
	// Three levels, if the root says so.
	middle, low := newKey(t, kindP256), newKey(t, kindP256)
	r.Public, r.PathLen = middle.Public(), 1
	city, err := w.top.IssueCA(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	a := open(t, Config{Dir: t.TempDir(), Certificate: city, Chain: [][]byte{w.root}, Signer: middle, Now: w.clock})
	county, err := a.IssueCA(t.Context(), Request{Public: low.Public(), Subject: Subject{CommonName: "县"}, Validity: day})
	if err != nil {
		t.Fatal(err)
	}
	leaf = forge(t, func(c *x509.Certificate) { c.NotAfter = epoch.Add(time.Hour) }, county, low, newKey(t, kindP256).Public())
	if res := trust.Check(leaf, [][]byte{county, city}, w.now, UsageSeal); res.Chain != nil || len(res.Path) != 4 {
		t.Errorf("three levels: %v", res.Err())
	}
}

// TestRetry repeats requests as a caller does who crashed.
func TestRetry(t *testing.T) {
	w := newWorld(t, kindSM2)
	key := newKey(t, kindSM2)
	r := Request{Public: key.Public(), Subject: Subject{CommonName: "局"}, Usage: UsageSeal, NotBefore: w.now, Validity: year}
	issue := func(r Request) []byte {
		t.Helper()
		cert, err := w.ca.Issue(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := issue(r)
	if !bytes.Equal(issue(r), first) {
		t.Error("a repeated request got another certificate")
	}
	for name, edit := range map[string]func(*Request){
		"usage":    func(r *Request) { r.Usage = UsageSealMaker },
		"subject":  func(r *Request) { r.Subject.CommonName = "另一个局" },
		"validity": func(r *Request) { r.Validity += time.Second },
		"key":      func(r *Request) { r.Public = newKey(t, kindSM2).Public() },
		"start":    func(r *Request) { r.NotBefore = time.Time{} },
	} {
		other := r
		edit(&other)
		if bytes.Equal(issue(other), first) {
			t.Errorf("another %s got the same certificate", name)
		}
	}
	if err := w.ca.Revoke(t.Context(), mustParse(t, first).SerialNumber, Superseded, w.now); err != nil {
		t.Fatal(err)
	}
	second := issue(r)
	if bytes.Equal(second, first) {
		t.Error("the revoked certificate was handed out again")
	}
	if err := w.ca.Revoke(t.Context(), mustParse(t, second).SerialNumber, KeyCompromise, w.now); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ca.Issue(t.Context(), r); !errors.Is(err, ErrKey) {
		t.Errorf("a compromised key: %v", err)
	}
}

// TestRestart closes and opens the folder, with what a crash leaves in it.
func TestRestart(t *testing.T) {
	w := newWorld(t, kindSM2)
	config := Config{Dir: t.TempDir(), Certificate: w.ca.Certificate(), Chain: [][]byte{w.root}, Signer: w.key, Now: w.clock}
	a, err := OpenAuthority(config)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Public: newKey(t, kindSM2).Public(), Subject: Subject{CommonName: "局"}, Usage: UsageSeal, NotBefore: w.now, Validity: year}
	cert, err := a.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	serial := mustParse(t, cert).SerialNumber
	if err := a.Revoke(t.Context(), serial, CessationOfOperation, w.now); err != nil {
		t.Fatal(err)
	}
	list, err := a.CRL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(config); !errors.Is(err, ErrFolder) {
		t.Errorf("a second holder of the folder: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// Killed while a certificate and the revocations were being written.
	for _, name := range []string{"issued/.new-1", ".new-2"} {
		if err := os.WriteFile(filepath.Join(config.Dir, name), cert[:100], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a = open(t, config)
	issued := a.Issued()
	if len(issued) != 1 || !bytes.Equal(issued[0].Certificate, cert) || issued[0].RevokedFor != CessationOfOperation || !issued[0].RevokedAt.Equal(w.now) {
		t.Fatalf("after the restart: %+v", issued)
	}
	again, err := a.CRL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x, y := mustParseList(t, list), mustParseList(t, again)
	if y.number.Cmp(x.number) <= 0 || len(y.entries) != 1 {
		t.Errorf("list %v follows %v, %d entries", y.number, x.number, len(y.entries))
	}
}

func mustParseList(tb testing.TB, data []byte) *revocationList {
	tb.Helper()
	list, err := parseRevocationList(data)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func TestOpenRefuses(t *testing.T) {
	w, other := newWorld(t, kindSM2), newWorld(t, kindSM2)
	key := newKey(t, kindSM2)
	leaf := w.issue(t, UsageSeal, key.Public())
	good := func() Config {
		return Config{Dir: t.TempDir(), Certificate: w.ca.Certificate(), Chain: [][]byte{w.root}, Signer: w.key, Now: w.clock}
	}
	put := func(name string, data []byte) func(*Config) {
		return func(c *Config) {
			if err := os.MkdirAll(filepath.Join(c.Dir, "issued"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(c.Dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	serial := serialName(mustParse(t, leaf).SerialNumber)
	foreign := other.issue(t, UsageSeal, key.Public())
	for name, c := range map[string]struct {
		edit func(*Config)
		want error
	}{
		"another key":               {func(c *Config) { c.Signer = key }, ErrKey},
		"not an authority":          {func(c *Config) { c.Certificate, c.Signer = leaf, key }, ErrChain},
		"chain of others":           {func(c *Config) { c.Chain = [][]byte{other.root} }, ErrChain},
		"no certificate":            {func(c *Config) { c.Certificate = nil }, ErrMalformed},
		"torn certificate":          {put("issued/"+serial+".der", leaf[:len(leaf)-1]), ErrFolder},
		"certificate, wrong name":   {put("issued/01.der", leaf), ErrFolder},
		"certificate of another":    {put("issued/"+serialName(mustParse(t, foreign).SerialNumber)+".der", foreign), ErrFolder},
		"revocations torn":          {put("revoked.json", []byte(`{"number":1,"revoked":[`)), ErrFolder},
		"revocations, name twice":   {put("revoked.json", []byte(`{"number":1,"number":2,"revoked":[]}`)), ErrFolder},
		"revocations, serial twice": {put("revoked.json", []byte(`{"number":1,"revoked":[{"serial":"01","at":"2026-01-01T00:00:00Z","reason":1},{"serial":"01","at":"2026-01-01T00:00:00Z","reason":4}]}`)), ErrFolder},
		"revocations, no reason":    {put("revoked.json", []byte(`{"number":1,"revoked":[{"serial":"01","at":"2026-01-01T00:00:00Z","reason":8}]}`)), ErrFolder},
	} {
		config := good()
		c.edit(&config)
		if a, err := OpenAuthority(config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			if err == nil {
				_ = a.Close()
			}
		}
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t, kindP256)
	cert := mustParse(t, w.issue(t, UsageSeal, newKey(t, kindP256).Public()))
	ctx := t.Context()
	w.now = w.now.Add(day)
	empty, err := w.ca.CRL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := w.ca.CRL(ctx); err != nil || !bytes.Equal(same, empty) {
		t.Errorf("the list changed though nothing was revoked: %v", err)
	}
	unknown := new(big.Int).Add(cert.SerialNumber, big.NewInt(1))
	for _, c := range []struct {
		name   string
		serial *big.Int
		reason Reason
		at     time.Time
		want   error
	}{
		{"unknown serial", unknown, Superseded, w.now, ErrNotFound},
		{"in the future", cert.SerialNumber, Superseded, w.now.Add(time.Second), ErrProfile},
		{"before it began", cert.SerialNumber, Superseded, w.now.Add(-2 * day), ErrProfile},
		{"no reason", cert.SerialNumber, 8, w.now, ErrProfile},
		{"good", cert.SerialNumber, Superseded, w.now, nil},
		{"good, again", cert.SerialNumber, Superseded, w.now, nil},
		{"other reason", cert.SerialNumber, KeyCompromise, w.now, ErrRevoked},
	} {
		if err := w.ca.Revoke(ctx, c.serial, c.reason, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	var last *revocationList
	for i, step := range []time.Duration{0, time.Hour, 4 * day, 8 * day} {
		w.now = w.now.Add(step)
		data, err := w.ca.CRL(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list := mustParseList(t, data)
		if len(list.entries) != 1 || list.nextUpdate.Before(w.now) {
			t.Errorf("step %d: %d entries, next update %v", i, len(list.entries), list.nextUpdate)
		}
		if last != nil && (list.number.Cmp(last.number) > 0) != (step > listLife/2) {
			t.Errorf("step %d: list %v follows %v", i, list.number, last.number)
		}
		last = list
	}
}

func TestIssueConcurrently(t *testing.T) {
	w := newWorld(t, kindP256)
	r := Request{Public: newKey(t, kindP256).Public(), Subject: Subject{CommonName: "局"}, Usage: UsageLicense, NotBefore: w.now, Validity: year}
	certs := make([][]byte, 8)
	var group sync.WaitGroup
	for i := range certs {
		group.Go(func() {
			cert, err := w.ca.Issue(t.Context(), r)
			if err == nil {
				err = w.ca.Revoke(t.Context(), big.NewInt(1), Superseded, w.now)
				if errors.Is(err, ErrNotFound) {
					_, err = w.ca.CRL(t.Context())
				}
			}
			if err != nil {
				t.Error(err)
			}
			certs[i] = cert
		})
	}
	group.Wait()
	for _, cert := range certs {
		if !bytes.Equal(cert, certs[0]) {
			t.Fatal("one request, several certificates")
		}
	}
}
