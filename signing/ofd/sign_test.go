package ofd_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ses"
)

func TestSignRefuses(t *testing.T) {
	w := newWorld(t)
	file := page(t, foodLicense())
	stamp := func([]byte) ([]byte, error) { return []byte("token"), nil }
	for name, c := range map[string]struct {
		change func(s *ofd.SignSpec)
		signer int
		want   error
	}{
		"no place":             {func(s *ofd.SignSpec) { s.Stamps = nil }, 0, ofd.ErrDraft},
		"no such page":         {func(s *ofd.SignSpec) { s.Stamps[0].Page = 1 }, 0, ofd.ErrDraft},
		"page before first":    {func(s *ofd.SignSpec) { s.Stamps[0].Page = -1 }, 0, ofd.ErrDraft},
		"off the page":         {func(s *ofd.SignSpec) { s.Stamps[0].Box.X = 190 }, 0, ofd.ErrDraft},
		"other size":           {func(s *ofd.SignSpec) { s.Stamps[0].Box.Width = 50 }, 0, ofd.ErrDraft},
		"nothing to see":       {func(s *ofd.SignSpec) { s.Stamps[0].Clip = &ofd.Box{} }, 0, ofd.ErrDraft},
		"no seal":              {func(s *ofd.SignSpec) { s.Seal = []byte{0x30, 0} }, 0, ofd.ErrSigner},
		"not in the seal":      {func(*ofd.SignSpec) {}, 1, ses.ErrNotListed},
		"after the seal":       {func(s *ofd.SignSpec) { s.Time = signedAt.AddDate(2, 0, 0) }, 0, ses.ErrPeriod},
		"plain with a place":   {func(s *ofd.SignSpec) { s.Seal = nil }, 0, ofd.ErrSigner},
		"plain with a stamp":   {func(s *ofd.SignSpec) { s.Seal, s.Stamps = nil, nil }, 0, ofd.ErrSigner},
		"plain, another's key": {func(s *ofd.SignSpec) { s.Seal, s.Stamps = nil, nil }, 1, ofd.ErrSigner},
	} {
		spec := ofd.SignSpec{Seal: w.signers[0].seal, Stamps: []ofd.Stamp{ofd.SealPlace(42, 42)}, Time: signedAt}
		c.change(&spec)
		use := stamp
		if name == "plain, another's key" {
			use = nil
		}
		key, cert := w.signers[c.signer].key, w.signers[c.signer].cert
		if use == nil {
			key = w.signers[0].key
		}
		if _, err := ofd.Sign(file, spec, key, cert, use); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ofd.Sign([]byte("x"), ofd.SignSpec{}, w.signers[0].key, w.signers[0].cert, nil); !errors.Is(err, ofd.ErrContainer) {
		t.Errorf("no file: %v", err)
	}
}

// A plain signature is judged like a seal, as far as it goes.
func TestPlainSignatures(t *testing.T) {
	w := newWorld(t)
	file := page(t, foodLicense())
	plain, err := ofd.Sign(file, ofd.SignSpec{Time: signedAt}, w.signers[0].key, w.signers[0].cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ofd.Sign(file, ofd.SignSpec{Time: signedAt.AddDate(9, 0, 0)}, w.signers[0].key, w.signers[0].cert, nil); !errors.Is(err, ofd.ErrSigner) {
		t.Errorf("signed after the certificate: %v", err)
	}
	other, err := ofd.Sign(page(t, ofd.License{Title: "证", Number: "1", IssuerName: "局"}), ofd.SignSpec{Time: signedAt}, w.signers[0].key, w.signers[0].cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, cut := unpack(t, plain), unpack(t, plain)
	wrapped.put(sign0+"SignedValue.dat", unpack(t, other).data[sign0+"SignedValue.dat"])
	value := cut.data[sign0+"SignedValue.dat"]
	value[len(value)-1] ^= 1
	for name, c := range map[string]struct {
		file    []byte
		options ofd.Options
		failed  []string
	}{
		"holds":         {plain, ofd.Options{Trust: w.trust, Now: signedAt}, nil},
		"nobody trusts": {plain, ofd.Options{Now: signedAt}, []string{ses.StepSignerCertificate}},
		"foreign trust": {plain, ofd.Options{Trust: newWorld(t).trust, Now: signedAt}, []string{ses.StepSignerCertificate}},
		"future":        {plain, ofd.Options{Trust: w.trust, Now: signedAt.Add(-time.Hour)}, []string{ses.StepSigningTime}},
		"another file":  {wrapped.pack(t), ofd.Options{Trust: w.trust, Now: signedAt}, []string{ofd.StepDataHash}},
		"value changed": {cut.pack(t), ofd.Options{Trust: w.trust, Now: signedAt}, []string{ses.StepSignerSignature}},
	} {
		r, err := ofd.Verify(c.file, c.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := steps(r, ses.Failed); !slices.Equal(got, c.failed) {
			explain(t, r)
			t.Errorf("%s: failed %q", name, got)
		}
	}
}

// Entries that are there stay byte for byte, compressed as they were.
func TestSignCopiesEntriesAsTheyAre(t *testing.T) {
	w := newWorld(t)
	before := unpack(t, page(t, foodLicense())).pack(t) // written by archive/zip
	after := w.seal(t, w.seal(t, before, 0, nil), 1, nil)
	raw := func(file []byte) map[string][]byte {
		r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string][]byte{}
		for _, f := range r.File {
			body, err := f.OpenRaw()
			if err != nil {
				t.Fatal(err)
			}
			if all[f.Name], err = io.ReadAll(body); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	old, now := raw(before), raw(after)
	for name, data := range old {
		if !bytes.Equal(now[name], data) && name != "OFD.xml" {
			t.Errorf("%s has changed", name)
		}
	}
	if len(now) != len(old)+7 {
		t.Errorf("%d entries, then %d", len(old), len(now))
	}
	if r := w.verify(t, after); r.Verdict != ofd.Valid {
		explain(t, r)
	}
}

// Producers write OFD.xml in their own ways.
func TestSignExtendsForeignFiles(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change func(s string) string
		want   error
	}{
		"default namespace": {func(s string) string {
			return strings.NewReplacer("xmlns:ofd=", "xmlns=", "ofd:", "").Replace(s)
		}, nil},
		"other prefix": {func(s string) string {
			return strings.NewReplacer("xmlns:ofd=", "xmlns:x=", "ofd:", "x:").Replace(s)
		}, nil},
		"spaces": {func(s string) string { return strings.ReplaceAll(s, "</ofd:DocBody>", "</ofd:DocBody\n>") }, nil},
		"comment": {func(s string) string {
			return strings.ReplaceAll(s, "<ofd:DocBody>", "<!-- </ofd:DocBody> --><ofd:DocBody>")
		}, nil},
		"misleading":      {func(s string) string { return s + "<!-- </ofd:DocBody> -->" }, ofd.ErrDocument},
		"byte order mark": {func(s string) string { return "\ufeff" + s }, nil},
	} {
		b := unpack(t, page(t, foodLicense()))
		b.put("OFD.xml", []byte(c.change(string(b.data["OFD.xml"]))))
		spec := ofd.SignSpec{Seal: w.signers[0].seal, Stamps: []ofd.Stamp{ofd.SealPlace(42, 42)}, Time: signedAt}
		sealed, err := ofd.Sign(b.pack(t), spec, w.signers[0].key, w.signers[0].cert, nil)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && w.verify(t, sealed).Verdict != ofd.Valid {
			t.Errorf("%s: does not verify", name)
		}
	}
}

// A timestamp is asked for over the signature, and judged as Options say.
func TestTimestampsAndRegister(t *testing.T) {
	w := newWorld(t)
	var over []byte
	spec := ofd.SignSpec{Seal: w.signers[0].seal, Stamps: []ofd.Stamp{ofd.SealPlace(42, 42)}, Time: signedAt}
	sealed, err := ofd.Sign(page(t, foodLicense()), spec, w.signers[0].key, w.signers[0].cert, func(signature []byte) ([]byte, error) {
		over = signature
		return []byte{0x30, 0}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	good := func(token, signature []byte) (time.Time, error) {
		if !bytes.Equal(signature, over) || !bytes.Equal(token, []byte{0x30, 0}) {
			return time.Time{}, errors.New("another signature")
		}
		return signedAt, nil
	}
	for name, c := range map[string]struct {
		options ofd.Options
		failed  []string
	}{
		"holds": {ofd.Options{Timestamp: good}, nil},
		"bad timestamp": {ofd.Options{Timestamp: func(_, _ []byte) (time.Time, error) {
			return time.Time{}, errors.New("no")
		}}, []string{ses.StepTimestamp}},
		"seal revoked": {ofd.Options{Timestamp: good, SealStatus: func(string, time.Time) (ses.State, error) {
			return ses.StateRevoked, nil
		}}, []string{ses.StepSealStatus}},
		"signed in the future": {ofd.Options{Timestamp: good, Now: signedAt.Add(-time.Hour)}, []string{ses.StepSigningTime}},
	} {
		c.options.Trust = w.trust
		if c.options.Now.IsZero() {
			c.options.Now = signedAt
		}
		r, err := ofd.Verify(sealed, c.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := steps(r, ses.Failed); !slices.Equal(got, c.failed) {
			explain(t, r)
			t.Errorf("%s: failed %q", name, got)
		}
	}
}
