package ses_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
)

var order = []string{
	ses.StepSignerSignature, ses.StepSignatureExtensions, ses.StepSignerListed, ses.StepSigningTime,
	ses.StepSignerCertificate, ses.StepSignerPeriod, ses.StepSignerRevocation,
	ses.StepMakerSignature, ses.StepMakerCertificate, ses.StepMakerPeriod, ses.StepMakerRevocation,
	ses.StepSealPeriod, ses.StepSealPicture, ses.StepSealExtensions, ses.StepSealStatus, ses.StepTimestamp,
}

// later is a verification some time after the signing.
var later = signed.AddDate(0, 6, 0)

// outcome lists the steps that failed or warned, and checks what holds of
// every report.
func outcome(t *testing.T, steps []ses.Step) string {
	t.Helper()
	var notable []string
	for _, s := range steps {
		if s.Detail == "" || (s.Err != nil) != (s.Status == ses.Failed || s.Status == ses.Warned) {
			t.Errorf("step %+v", s)
		}
		switch s.Status {
		case ses.Failed:
			notable = append(notable, s.Name)
		case ses.Warned:
			notable = append(notable, "?"+s.Name)
		case ses.Passed, ses.Skipped:
		default:
			t.Errorf("status %v of %s", s.Status, s.Name)
		}
	}
	return strings.Join(notable, " ")
}

func names(steps []ses.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Name)
	}
	return all
}

func (w *world) wantHolds(t *testing.T, name string, g *ses.Signature) {
	t.Helper()
	if got := outcome(t, g.Check(w.trust(t), ses.Options{Now: later})); got != "" {
		t.Errorf("%s: %s", name, got)
	}
}

func parse(t *testing.T, der []byte) *ses.Signature {
	t.Helper()
	g, err := ses.ParseSignature(der)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestEveryGenerationHolds(t *testing.T) {
	w := newWorld(t)
	for name, der := range samples(t, w) {
		g := parse(t, der)
		steps := g.Check(w.trust(t), ses.Options{Now: later})
		want := ""
		if name == "v1 with a token" { // without a time nothing can be judged by it
			want = strings.Join([]string{order[3], order[4], order[5], order[8], order[9], order[11]}, " ")
		}
		if got := outcome(t, steps); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if !slices.Equal(names(steps), order) {
			t.Errorf("%s: steps %v", name, names(steps))
		}
		steps = g.Seal.Check(w.trust(t), later)
		if got := outcome(t, steps); got != "" || !slices.Equal(names(steps), order[7:14]) {
			t.Errorf("%s: the seal alone: %s %v", name, got, names(steps))
		}
	}
}

// TestEachFaultIsItsOwnStep makes what a forger or a careless clerk would, with
// real keys, and wants the one step that it breaks.
func TestEachFaultIsItsOwnStep(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	with := func(change func(*world)) *world {
		c := *w
		change(&c)
		return &c
	}
	sample := func(w *world, f form) []byte { return f.signature(t, w) }
	v4 := form{version: 4}
	sm2Only := form{version: 4, algorithm: asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301, 1}}
	renewed := with(func(c *world) { c.signerCert = w.certify(t, w.signer, "签章人", signs) })
	forSigner := func(cert []byte) *world { return with(func(c *world) { c.signerCert = cert }) }
	forMaker := func(cert []byte) *world { return with(func(c *world) { c.makerCert = cert }) }
	short := func(from, until time.Time) []byte { return w.certifyFor(t, w.signer, "短", signs, from, until) }
	foreignMaker := with(func(c *world) { c.maker, c.makerCert = other.maker, other.makerCert })
	foreignSigner := with(func(c *world) { c.signer, c.signerCert = other.signer, other.signerCert })
	for name, c := range map[string]struct {
		der  []byte
		want string
	}{
		"signed by another key":       {sample(with(func(c *world) { c.signer = other.signer }), v4), ses.StepSignerSignature},
		"sealed by another maker":     {sample(with(func(c *world) { c.maker = other.maker }), v4), ses.StepMakerSignature},
		"same in 2014":                {sample(with(func(c *world) { c.maker = other.maker }), form{version: 1}), ses.StepMakerSignature},
		"algorithm":                   {sample(w, sm2Only), ses.StepSignerSignature + " " + ses.StepMakerSignature},
		"critical extension":          {sample(w, form{version: 4, extensions: 1, critical: true}), ses.StepSealExtensions},
		"critical in the signature":   {sample(w, form{version: 4, signerExts: true, critical: true}), ses.StepSignatureExtensions},
		"signer's digest":             {sample(w, form{version: 4, digests: "SM3", badHash: true}), ses.StepSignerListed},
		"digest of unknown algorithm": {sample(w, form{version: 4, digests: "SHA1"}), ses.StepSignerListed},
		"renewed certificate":         {resign(t, renewed, w.seal(t)), ses.StepSignerListed},
		"maker of another root":       {sample(foreignMaker, v4), ses.StepMakerCertificate},
		"signer of another root":      {sample(foreignSigner, v4), ses.StepSignerCertificate},
		"encryption certificate":      {sample(forSigner(w.certify(t, w.signer, "加密", keyEncipherment)), v4), ses.StepSignerCertificate},
		"server certificate":          {sample(forSigner(w.certify(t, w.signer, "网站", signs, x509.ExtKeyUsageServerAuth)), v4), ses.StepSignerCertificate},
		"maker with a server's":       {sample(forMaker(w.certify(t, w.maker, "网站", signs, x509.ExtKeyUsageServerAuth)), v4), ses.StepMakerCertificate},
		"signed before certificate":   {sample(forSigner(short(signed.Add(time.Second), ends)), v4), ses.StepSignerPeriod},
		"signed after certificate":    {sample(forSigner(short(made, signed.Add(-time.Second))), v4), ses.StepSignerPeriod},
		"certificate expired since":   {sample(forSigner(short(made, signed.Add(time.Second))), v4), ""},
		"maker expired before":        {sample(forMaker(w.certifyFor(t, w.maker, "短", signs, made, signed.Add(-time.Hour))), v4), ses.StepMakerPeriod},
		"signed before the seal":      {sample(w, form{version: 1, timeInfo: []byte("2026-03-01 07:59:59")}), ses.StepSealPeriod},
		"signed at its first second":  {sample(w, form{version: 1, timeInfo: []byte("2026-03-01 08:00:00")}), ""},
		"signed in the future":        {sample(w, form{version: 1, timeInfo: []byte("2027-01-01 00:00:00")}), ses.StepSigningTime},
		"not a picture":               {sample(w, form{version: 4, picture: []byte("PNG")}), ses.StepSealPicture},
		"zip bomb of a picture":       {sample(w, form{version: 4, picture: stampPNG(t, 2100)}), ses.StepSealPicture},
		"not a certificate":           {sample(forSigner([]byte("certificate")), v4), ses.StepSignerSignature + " " + strings.Join(order[4:7], " ")},
	} {
		if got := outcome(t, parse(t, c.der).Check(w.trust(t), ses.Options{Now: later})); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	steps := parse(t, sample(w, v4)).Check(nil, ses.Options{Now: later})
	if got := outcome(t, steps); got != strings.Join(slices.Concat(order[4:7], order[8:11]), " ") {
		t.Errorf("without trust: %s", got)
	}
}

// resign puts a signature of w's signer around a seal that may not list it.
func resign(t *testing.T, w *world, seal []byte) []byte {
	t.Helper()
	f := form{version: 4}
	der := f.signature(t, w)
	g := parse(t, der)
	tbs := edit(t, g.TBS, g.Seal.Raw, seal)
	return edit(t, edit(t, der, g.TBS, tbs), build(func(b *builder) { b.AddASN1BitString(g.Value) }),
		build(func(b *builder) { b.AddASN1BitString(signSM2(t, w.signer, tbs)) }))
}

// TestTheMakersRuleOfOneGenerationDoesNotServeAnother signs a seal of 2020
// over the bytes that the one of 2014 covers.
func TestTheMakersRuleOfOneGenerationDoesNotServeAnother(t *testing.T) {
	w := newWorld(t)
	f := form{version: 4}
	seal := f.seal(t, w)
	s, err := ses.ParseSeal(seal)
	if err != nil {
		t.Fatal(err)
	}
	info := f.info(t, w)
	wide := build(func(b *builder) {
		seq(b, func(b *builder) {
			b.AddBytes(info)
			b.AddASN1OctetString(w.makerCert)
			b.AddASN1ObjectIdentifier(oidSM2SM3)
		})
	})
	wrong := edit(t, seal, build(func(b *builder) { b.AddASN1BitString(s.Value) }),
		build(func(b *builder) { b.AddASN1BitString(signSM2(t, w.maker, wide)) }))
	if s, err = ses.ParseSeal(wrong); err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, s.Check(w.trust(t), later)); got != ses.StepMakerSignature {
		t.Error(got)
	}
}

func TestRevocationIsJudgedByTime(t *testing.T) {
	w := newWorld(t)
	stamped := parse(t, form{version: 4, timestamp: []byte("token")}.signature(t, w))
	before, after, afterStamp := signed.Add(-time.Hour), signed.Add(time.Hour), signed.Add(3*time.Hour)
	stamp := func([]byte, []byte) (time.Time, error) { return signed.Add(2 * time.Hour), nil }
	signer, maker := ses.StepSignerRevocation, ses.StepMakerRevocation
	for name, c := range map[string]struct {
		cert   []byte
		at     time.Time
		reason pki.Reason
		stamp  func([]byte, []byte) (time.Time, error)
		want   string
	}{
		"signer, before":               {w.signerCert, before, pki.Superseded, stamp, signer},
		"signer, same second":          {w.signerCert, signed, pki.Superseded, nil, signer},
		"signer, after":                {w.signerCert, after, pki.Superseded, nil, "?" + signer},
		"signer, after, key lost":      {w.signerCert, after, pki.KeyCompromise, nil, signer},
		"signer, before the stamp":     {w.signerCert, after, pki.Superseded, stamp, signer},
		"signer, after the stamp":      {w.signerCert, afterStamp, pki.KeyCompromise, stamp, ""},
		"maker, before":                {w.makerCert, before, pki.Unspecified, nil, maker},
		"maker, after":                 {w.makerCert, after, pki.Unspecified, nil, "?" + maker},
		"maker, after, authority lost": {w.makerCert, after, pki.CACompromise, nil, maker},
	} {
		trust := w.trust(t, w.crl(t, c.cert, c.at, c.reason))
		if got := outcome(t, stamped.Check(trust, ses.Options{Now: later, Timestamp: c.stamp})); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	strict, err := pki.NewTrust(pki.TrustConfig{Roots: [][]byte{w.rootCert}, RequireRevocation: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, stamped.Check(strict, ses.Options{Now: later})); got != signer+" "+maker {
		t.Errorf("no lists where they are required: %q", got)
	}
}

func TestTimestampIsHeldAgainstTheSigningTime(t *testing.T) {
	w := newWorld(t)
	g := parse(t, form{version: 5, timestamp: []byte("token")}.signature(t, w))
	at := func(d time.Duration) func(token, signature []byte) (time.Time, error) {
		return func(token, signature []byte) (time.Time, error) {
			if string(token) != "token" || !bytes.Equal(signature, g.Value) {
				t.Error("not the token and the signature")
			}
			return signed.Add(d), nil
		}
	}
	fault := errors.New("unknown authority")
	for name, c := range map[string]struct {
		verify func(token, signature []byte) (time.Time, error)
		want   string
	}{
		"none":         {nil, ""},
		"at once":      {at(time.Second), ""},
		"clocks apart": {at(-4 * time.Minute), ""},
		"earlier":      {at(-6 * time.Minute), ses.StepTimestamp},
		"much later":   {at(25 * time.Hour), "?" + ses.StepTimestamp},
		"refused":      {func([]byte, []byte) (time.Time, error) { return time.Time{}, fault }, ses.StepTimestamp},
	} {
		steps := g.Check(w.trust(t), ses.Options{Now: later, Timestamp: c.verify})
		if got := outcome(t, steps); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if name == "refused" && !errors.Is(steps[len(steps)-1].Err, fault) {
			t.Error(steps[len(steps)-1].Err)
		}
	}
}

func TestSealStatusComesFromTheRegister(t *testing.T) {
	w := newWorld(t)
	r := openRegister(t, t.TempDir())
	g := parse(t, w.sign(t, w.seal(t), nil)) // a minute before the register's first event
	check := func(g *ses.Signature, now time.Time) string {
		return outcome(t, g.Check(w.trust(t), ses.Options{Now: now, SealStatus: r.Status}))
	}
	if got := check(g, later); got != "" {
		t.Errorf("seal of somebody else: %q", got)
	}
	if _, err := r.Add(t.Context(), g.Seal.Raw); err != nil {
		t.Fatal(err)
	}
	if err := r.Suspend(t.Context(), g.Seal.ID, "因", "人"); err != nil {
		t.Fatal(err)
	}
	if got := check(g, later); got != "?"+ses.StepSealStatus {
		t.Errorf("suspended since: %q", got)
	}
	if got := check(g, signed); got != "" {
		t.Errorf("asked before that: %q", got)
	}
	spec := ses.SignSpec{Seal: g.Seal.Raw, DataHash: hash[:], Property: property, Time: signed.Add(time.Hour)}
	der, err := ses.Sign(spec, w.signer, w.signerCert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := check(parse(t, der), later); got != ses.StepSealStatus {
		t.Errorf("used while suspended: %q", got)
	}
	broken := func(string, time.Time) (ses.State, error) { return "", errors.New("no answer") }
	if got := outcome(t, g.Check(w.trust(t), ses.Options{Now: later, SealStatus: broken})); got != ses.StepSealStatus {
		t.Errorf("no answer: %q", got)
	}
}
