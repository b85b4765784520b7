package ses_test

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/ses"
)

// samples are seal signatures in every form that is read.
func samples(tb testing.TB, w *world) map[string][]byte {
	tb.Helper()
	token := build(func(b *builder) { seq(b, func(b *builder) { b.AddASN1Int64(1) }) })
	forms := map[string]form{
		"v1":                      {version: 1},
		"v1, version 11":          {version: 1, header: 11},
		"v1 in text":              {version: 1, timeInfo: []byte("2026-06-01 16:30:15")},
		"v1 with a token":         {version: 1, timeInfo: token},
		"v1 in octets":            {version: 1, octets: true, general: true},
		"v1 with explicit extras": {version: 1, extensions: 2},
		"v4":                      {version: 4},
		"v4 of digests":           {version: 4, digests: "SM3"},
		"v4 with plain extras":    {version: 4, extensions: 1},
		"v4 with explicit extras": {version: 4, extensions: 2, signerExts: true},
		"v4 stamped":              {version: 4, timestamp: token},
		"v5":                      {version: 5},
		"v5 stamped":              {version: 5, sealStamp: token, timestamp: token, signerExts: true},
	}
	all := map[string][]byte{"made here": w.sign(tb, w.seal(tb), nil)}
	for name, f := range forms {
		all[name] = f.signature(tb, w)
	}
	return all
}

func TestEveryGenerationIsRead(t *testing.T) {
	w := newWorld(t)
	for name, der := range samples(t, w) {
		g, err := ses.ParseSignature(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, err := ses.ParseSeal(g.Seal.Raw)
		if err != nil || s.Version != g.Version || s.ID != g.Seal.ID {
			t.Errorf("%s: the seal alone: %v", name, err)
		}
		timeless := name == "v1 with a token"
		if timeless != (g.TimeToken != nil) || timeless != g.Time.IsZero() || !timeless && !g.Time.Equal(signed) {
			t.Errorf("%s: time %v", name, g.Time)
		}
		if !bytes.Equal(g.DataHash, hash[:]) || g.Property != property || !bytes.Equal(g.Certificate, w.signerCert) || !s.Created.Equal(made) {
			t.Errorf("%s: read %+v", name, g)
		}
		if wantList := name == "v4 of digests"; wantList != (s.CertificateListType == ses.ListDigests) || len(s.Certificates)+len(s.Digests) != 1 {
			t.Errorf("%s: list %d", name, s.CertificateListType)
		}
		if extras := strings.Contains(name, "extras"); extras != (len(s.Extensions) == 1 && string(s.Extensions[0].Value) == "2.1") {
			t.Errorf("%s: extensions %v", name, s.Extensions)
		}
		if stamped := strings.HasSuffix(name, "stamped"); stamped != (g.Timestamp != nil) {
			t.Errorf("%s: timestamp %x", name, g.Timestamp)
		}
	}
}

// edit replaces one occurrence and mends the lengths around it, so that only
// the field itself is wrong.
func edit(t *testing.T, der, from, to []byte) []byte {
	t.Helper()
	if bytes.Equal(der, from) {
		return to
	}
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(der, &v); err != nil || !v.IsCompound {
		t.Fatalf("%x is not inside %x", from, der)
	}
	var content []byte
	done := false
	for rest := v.Bytes; len(rest) > 0; {
		var child asn1.RawValue
		next, err := asn1.Unmarshal(rest, &child)
		if err != nil {
			t.Fatal(err)
		}
		if whole := child.FullBytes; !done && bytes.Contains(whole, from) {
			done = true
			content = append(content, edit(t, whole, from, to)...)
		} else {
			content = append(content, whole...)
		}
		rest = next
	}
	return build(func(b *builder) {
		b.AddASN1(cbasn1.Tag(der[0]), func(b *builder) { b.AddBytes(content) })
	})
}

func element(tag cbasn1.Tag, content string) []byte {
	return build(func(b *builder) { str(b, tag, content) })
}

func TestMalformedIsRefusedWithTheField(t *testing.T) {
	w := newWorld(t)
	v1, v4 := form{version: 1}.signature(t, w), form{version: 4, extensions: 1, signerExts: true}.signature(t, w)
	v5 := form{version: 5, timestamp: []byte{1}}.signature(t, w)
	moment := func(s string) []byte { return element(cbasn1.GeneralizedTime, s) }
	name := element(cbasn1.UTF8String, "测试专用章")
	id := element(cbasn1.IA5String, "50011200000399")
	size := []byte{2, 1, 40}
	created := moment(made.Format("20060102150405Z"))
	dataHash := append([]byte{3, 33, 0}, hash[:]...)
	label := element(cbasn1.IA5String, "ES")
	boolean := []byte{1, 1, 0}
	for what, c := range map[string]struct {
		der, from, to []byte
		field         string
	}{
		"trailing bytes":         {v4, v4, append(bytes.Clone(v4), 0), "end"},
		"empty":                  {v4, v4, nil, "SES_Signature"},
		"indefinite length":      {v4, v4, append([]byte{0x30, 0x80}, append(v4[4:len(v4):len(v4)], 0, 0)...), "SES_Signature"},
		"padded length":          {v4, v4, append([]byte{0x30, 0x83, 0}, v4[2:]...), "SES_Signature"},
		"label":                  {v4, label, element(cbasn1.IA5String, "EZ"), "header.ID"},
		"label of another type":  {v4, label, element(cbasn1.UTF8String, "ES"), "header.ID"},
		"control in the number":  {v4, id, element(cbasn1.IA5String, "5001\n1"), "esID"},
		"number not IA5":         {v4, id, element(cbasn1.IA5String, "5001\xc3\xa9"), "esID"},
		"number empty":           {v4, id, element(cbasn1.IA5String, ""), "esID"},
		"name not UTF-8":         {v4, name, element(cbasn1.UTF8String, "\xff\xfe"), "property.name"},
		"name too long":          {v4, name, element(cbasn1.UTF8String, strings.Repeat("章", 400)), "property.name"},
		"negative size":          {v4, size, []byte{2, 1, 0x80}, "picture.width"},
		"huge size":              {v4, size, []byte{2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0}, "picture.width"},
		"zero size":              {v4, size, []byte{2, 1, 0}, "picture.width"},
		"padded size":            {v4, size, []byte{2, 2, 0, 40}, "picture.width"},
		"time without Z":         {v4, created, moment("20260301000000"), "createDate"},
		"time with a zone":       {v4, created, moment("20260301080000+0800"), "createDate"},
		"time with a fraction":   {v4, created, moment("20260301000000.0Z"), "createDate"},
		"second 60":              {v4, created, moment("20260301000060Z"), "createDate"},
		"day that is not":        {v4, created, moment("20260230000000Z"), "createDate"},
		"UTCTime in v4":          {v4, created, element(cbasn1.UTCTime, "260301000000Z"), "createDate"},
		"unused bits":            {v4, dataHash, append([]byte{3, 33, 1}, hash[:]...), "dataHash"},
		"octets for bits in v4":  {v4, dataHash, append([]byte{4, 32}, hash[:]...), "dataHash"},
		"no digest":              {v4, dataHash, []byte{3, 1, 0}, "dataHash"},
		"boolean of 1":           {v4, boolean, []byte{1, 1, 1}, "critical"},
		"long boolean":           {v4, boolean, []byte{1, 2, 0, 0}, "critical"},
		"list type 3":            {v4, []byte{2, 1, 1}, []byte{2, 1, 3}, "certListType"},
		"digest of another type": {v1, dataHash, append([]byte{12, 32}, hash[:]...), "dataHash"},
		"year 1":                 {v4, created, moment("00010101000000Z"), "createDate"},
		"v5 inside v4":           {v5, []byte{2, 1, 5}, []byte{2, 1, 4}, "version"},
	} {
		_, err := ses.ParseSignature(edit(t, c.der, c.from, c.to))
		if !errors.Is(err, ses.ErrMalformed) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s: %v, want %s", what, err, c.field)
		}
	}
}

func TestShapesOfTwoGenerationsDoNotMix(t *testing.T) {
	w := newWorld(t)
	for name, f := range map[string]form{
		"number 4 in the shape of 2014": {version: 1, header: 4},
		"number 5 in the shape of 2014": {version: 1, header: 5},
		"number 1 in the shape of 2020": {version: 4, header: 1},
		"seal of 5 in a signature of 4": {version: 4, header: 5},
		"seal of 4 in a signature of 5": {version: 5, header: 4},
		"stamped seal of 4":             {version: 4, sealStamp: []byte{1}},
		"stamped signature of 1":        {version: 1, timestamp: []byte{1}},
		"digest list of 1":              {version: 1, digests: "SM3"},
		"time in words":                 {version: 1, timeInfo: []byte("2026-6-1 16:30:15")},
		"time with a tail":              {version: 1, timeInfo: append(element(cbasn1.UTCTime, "260601083015Z"), 0)},
	} {
		if g, err := ses.ParseSignature(f.signature(t, w)); !errors.Is(err, ses.ErrMalformed) {
			t.Errorf("%s: read as %+v, %v", name, g, err)
		}
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	if _, err := ses.ParseSeal(form{version: 4, picture: make([]byte, 1<<20)}.seal(t, w)); err != nil {
		t.Errorf("largest picture: %v", err)
	}
	if _, err := ses.ParseSeal(form{version: 4, picture: make([]byte, 1<<20+1)}.seal(t, w)); !errors.Is(err, ses.ErrMalformed) {
		t.Errorf("larger picture: %v", err)
	}
	entry := build(func(b *builder) { b.AddASN1OctetString(w.signerCert) })
	list := build(func(b *builder) { seq(b, func(b *builder) { b.AddBytes(entry) }) })
	for count, want := range map[int]error{64: nil, 65: ses.ErrMalformed} {
		many := build(func(b *builder) { seq(b, func(b *builder) { b.AddBytes(bytes.Repeat(entry, count)) }) })
		if _, err := ses.ParseSeal(edit(t, w.seal(t), list, many)); !errors.Is(err, want) {
			t.Errorf("%d certificates: %v", count, err)
		}
	}
	if _, err := ses.ParseSeal(make([]byte, 2<<20+1)); !errors.Is(err, ses.ErrMalformed) {
		t.Errorf("too large: %v", err)
	}
}

func FuzzParseSeal(f *testing.F) {
	w := newWorld(f)
	for _, sample := range samples(f, w) {
		if g, err := ses.ParseSignature(sample); err == nil {
			f.Add(g.Seal.Raw)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := ses.ParseSeal(der)
		if err != nil {
			if !errors.Is(err, ses.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(s.Raw, der) || s.ID == "" || s.Picture.Width <= 0 || s.Created.Location() != time.UTC {
			t.Fatalf("%x read as %+v", der, s)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	w := newWorld(f)
	for _, sample := range samples(f, w) {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		g, err := ses.ParseSignature(der)
		if err != nil {
			if !errors.Is(err, ses.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(g.Raw, der) || !bytes.Contains(der, g.TBS) || g.Time.IsZero() != (g.TimeToken != nil) {
			t.Fatalf("%x read as %+v", der, g)
		}
		if _, err := ses.ParseSeal(g.Seal.Raw); err != nil {
			t.Fatalf("the seal of a signature is not read alone: %v", err)
		}
	})
}
