package ses_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
)

func TestMakeSealAndSignAreReadAsTheyWereSpecified(t *testing.T) {
	w := newWorld(t)
	spec := w.spec(t)
	der := w.seal(t)
	s, err := ses.ParseSeal(der)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version != ses.V4 || s.ID != spec.ID || s.VendorID != "ONEWINDOW" || s.Kind != spec.Kind || s.Name != spec.Name ||
		s.CertificateListType != ses.ListCertificates || s.Algorithm != ses.AlgorithmSM2SM3 {
		t.Errorf("read %+v", s)
	}
	if !s.Created.Equal(made) || !s.ValidFrom.Equal(made) || !s.ValidUntil.Equal(ends) {
		t.Errorf("times %v %v %v", s.Created, s.ValidFrom, s.ValidUntil)
	}
	if s.Picture.Type != "PNG" || s.Picture.Width != 42 || s.Picture.Height != 42 || !bytes.Equal(s.Picture.Data, spec.Picture.Data) {
		t.Errorf("picture %s %d×%d", s.Picture.Type, s.Picture.Width, s.Picture.Height)
	}
	if !bytes.Equal(s.Raw, der) || !bytes.Equal(s.MakerCertificate, w.makerCert) || !slices.EqualFunc(s.Certificates, [][]byte{w.signerCert}, bytes.Equal) {
		t.Error("bytes are not those that went in")
	}

	token := []byte("token")
	var stamped []byte
	der = w.sign(t, der, func(signature []byte) ([]byte, error) { stamped = signature; return token, nil })
	g, err := ses.ParseSignature(der)
	if err != nil {
		t.Fatal(err)
	}
	if g.Version != ses.V4 || !g.Time.Equal(signed) || g.Property != property || g.Algorithm != ses.AlgorithmSM2SM3 {
		t.Errorf("read %+v", g)
	}
	if !bytes.Equal(g.Raw, der) || !bytes.Equal(g.Seal.Raw, s.Raw) || !bytes.Equal(g.DataHash, hash[:]) || !bytes.Equal(g.Certificate, w.signerCert) ||
		!bytes.Equal(g.Timestamp, token) || !bytes.Equal(g.Value, stamped) || !bytes.Contains(der, g.TBS) {
		t.Error("bytes are not those that went in")
	}
}

func TestSealNumbersAreDrawnWhenNotGiven(t *testing.T) {
	w := newWorld(t)
	ids := map[string]bool{}
	for range 2 {
		spec := w.spec(t)
		spec.ID = ""
		der, err := ses.MakeSeal(spec, w.maker, w.makerCert)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ses.ParseSeal(der)
		if err != nil || len(s.ID) != 32 {
			t.Fatalf("number %q, %v", s.ID, err)
		}
		ids[s.ID] = true
	}
	if len(ids) != 2 {
		t.Fatal("one number twice")
	}
}

func TestMakeSealRefuses(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	ca := w.rootCert
	encryption := w.certify(t, newKey(t), "加密", keyEncipherment)
	huge := stampPNG(t, 2100)
	for name, c := range map[string]struct {
		change func(*ses.SealSpec)
		want   error
	}{
		"no name":                   {func(s *ses.SealSpec) { s.Name = "" }, ses.ErrSpec},
		"long name":                 {func(s *ses.SealSpec) { s.Name = strings.Repeat("章", 129) }, ses.ErrSpec},
		"control character":         {func(s *ses.SealSpec) { s.Name = "章\u0000" }, ses.ErrSpec},
		"number with a path":        {func(s *ses.SealSpec) { s.ID = "../x" }, ses.ErrSpec},
		"vendor not ASCII":          {func(s *ses.SealSpec) { s.VendorID = "一" }, ses.ErrSpec},
		"no kind":                   {func(s *ses.SealSpec) { s.Kind = 0 }, ses.ErrSpec},
		"no signer":                 {func(s *ses.SealSpec) { s.Certificates = nil }, ses.ErrSpec},
		"CA as signer":              {func(s *ses.SealSpec) { s.Certificates = [][]byte{ca} }, ses.ErrSpec},
		"encryption half as signer": {func(s *ses.SealSpec) { s.Certificates = [][]byte{encryption} }, ses.ErrSpec},
		"not a certificate":         {func(s *ses.SealSpec) { s.Certificates = [][]byte{{0x30, 0}} }, ses.ErrCertificate},
		"no times":                  {func(s *ses.SealSpec) { s.Created = time.Time{} }, ses.ErrSpec},
		"backward":                  {func(s *ses.SealSpec) { s.ValidFrom, s.ValidUntil = s.ValidUntil, s.ValidFrom }, ses.ErrSpec},
		"outlives the certificate":  {func(s *ses.SealSpec) { s.ValidUntil = ends.AddDate(5, 0, 0) }, ses.ErrSpec},
		"before the certificate":    {func(s *ses.SealSpec) { s.ValidFrom = made.AddDate(-5, 0, 0) }, ses.ErrSpec},
		"made too early":            {func(s *ses.SealSpec) { s.Created = made.AddDate(-5, 0, 0) }, ses.ErrSpec},
		"wrong magic":               {func(s *ses.SealSpec) { s.Picture.Type = "GIF" }, ses.ErrSpec},
		"type not drawn":            {func(s *ses.SealSpec) { s.Picture.Type = "SVG" }, ses.ErrSpec},
		"torn picture":              {func(s *ses.SealSpec) { s.Picture.Data = s.Picture.Data[:60] }, ses.ErrSpec},
		"too many pixels":           {func(s *ses.SealSpec) { s.Picture.Data = huge }, ses.ErrSpec},
		"no size":                   {func(s *ses.SealSpec) { s.Picture.Width = 0 }, ses.ErrSpec},
		"larger than a page":        {func(s *ses.SealSpec) { s.Picture.Height = 201 }, ses.ErrSpec},
	} {
		spec := w.spec(t)
		c.change(&spec)
		if _, err := ses.MakeSeal(spec, w.maker, w.makerCert); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := ses.MakeSeal(w.spec(t), w.maker, other.makerCert); !errors.Is(err, ses.ErrSpec) {
		t.Errorf("another's certificate: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	seal := w.seal(t)
	fault := errors.New("the authority is away")
	for name, c := range map[string]struct {
		change func(*ses.SignSpec)
		want   error
	}{
		"not a seal":         {func(s *ses.SignSpec) { s.Seal = []byte{0x30, 0} }, ses.ErrMalformed},
		"seal of 2014":       {func(s *ses.SignSpec) { s.Seal = form{version: 1}.seal(t, w) }, ses.ErrSpec},
		"other's seal":       {func(s *ses.SignSpec) { s.Seal = other.seal(t) }, ses.ErrNotListed},
		"short digest":       {func(s *ses.SignSpec) { s.DataHash = s.DataHash[:20] }, ses.ErrSpec},
		"property not ASCII": {func(s *ses.SignSpec) { s.Property = "/文档" }, ses.ErrSpec},
		"before the seal":    {func(s *ses.SignSpec) { s.Time = made.Add(-time.Second) }, ses.ErrPeriod},
		"after the seal":     {func(s *ses.SignSpec) { s.Time = ends.Add(time.Second) }, ses.ErrPeriod},
		"no time":            {func(s *ses.SignSpec) { s.Time = time.Time{} }, ses.ErrPeriod},
	} {
		spec := ses.SignSpec{Seal: seal, DataHash: hash[:], Property: property, Time: signed}
		c.change(&spec)
		if _, err := ses.Sign(spec, w.signer, w.signerCert, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	spec := ses.SignSpec{Seal: seal, DataHash: hash[:], Property: property, Time: signed}
	if _, err := ses.Sign(spec, other.signer, w.signerCert, nil); !errors.Is(err, ses.ErrSpec) {
		t.Errorf("another's key: %v", err)
	}
	if _, err := ses.Sign(spec, w.signer, w.signerCert, func([]byte) ([]byte, error) { return nil, fault }); !errors.Is(err, fault) {
		t.Errorf("timestamp: %v", err)
	}
	if _, err := ses.Sign(spec, w.signer, w.signerCert, func([]byte) ([]byte, error) { return nil, nil }); !errors.Is(err, ses.ErrSpec) {
		t.Errorf("empty timestamp: %v", err)
	}
}

// A seal that lists digests instead of certificates is signed with as well.
func TestSignWithADigestList(t *testing.T) {
	w := newWorld(t)
	for _, label := range []string{"SM3", "sm3", "1.2.156.10197.1.401"} {
		w.sign(t, form{version: 4, digests: label}.seal(t, w), nil)
	}
	for name, f := range map[string]form{
		"unknown label": {version: 4, digests: "SHA256"},
		"other digest":  {version: 4, digests: "SM3", badHash: true},
	} {
		spec := ses.SignSpec{Seal: f.seal(t, w), DataHash: hash[:], Property: property, Time: signed}
		if _, err := ses.Sign(spec, w.signer, w.signerCert, nil); !errors.Is(err, ses.ErrNotListed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The profiles of this module's own authority are those that seals ask for.
func TestCertificatesOfOurAuthorityServe(t *testing.T) {
	w := newWorld(t)
	clock := func() time.Time { return made.AddDate(0, -1, 0) }
	root, err := pki.NewRoot(w.root, pki.Subject{CommonName: "测试根"}, 5*365*24*time.Hour, clock())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.OpenAuthority(pki.Config{Dir: t.TempDir(), Certificate: root, Signer: w.root, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer authority.Close() //nolint:errcheck // nothing is written after the last answer
	issue := func(public any, usage pki.Usage) []byte {
		der, err := authority.Issue(t.Context(), pki.Request{
			Public: public, Subject: pki.Subject{CommonName: usage.String()}, Usage: usage, Validity: 3 * 365 * 24 * time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	w.rootCert = root
	w.makerCert, w.signerCert = issue(w.maker.Public(), pki.UsageSealMaker), issue(w.signer.Public(), pki.UsageSeal)
	w.wantHolds(t, "issued by ourselves", parse(t, w.sign(t, w.seal(t), nil)))

	w.signerCert = issue(w.signer.Public(), pki.UsageLicense)
	if _, err := ses.MakeSeal(w.spec(t), w.maker, w.makerCert); !errors.Is(err, ses.ErrSpec) || !errors.Is(err, pki.ErrUsage) {
		t.Errorf("seal for a key of licences: %v", err)
	}
	if _, err := ses.MakeSeal(w.spec(t), w.signer, w.signerCert); !errors.Is(err, ses.ErrSpec) {
		t.Errorf("sealed by a key of licences: %v", err)
	}
}
