package ofd_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ses"
)

// seal puts the i-th signer's seal on a file.
func (w *world) seal(tb testing.TB, file []byte, i int, change func(*ofd.SignSpec)) []byte {
	tb.Helper()
	spec := ofd.SignSpec{Seal: w.signers[i].seal, Stamps: []ofd.Stamp{ofd.SealPlace(42, 42)}, Time: signedAt}
	if change != nil {
		change(&spec)
	}
	sealed, err := ofd.Sign(file, spec, w.signers[i].key, w.signers[i].cert, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

func (w *world) verify(tb testing.TB, file []byte) *ofd.Report {
	tb.Helper()
	report, err := ofd.Verify(file, ofd.Options{Trust: w.trust, Now: signedAt})
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// steps returns the names of all steps of that status, each once.
func steps(r *ofd.Report, status ses.Status) []string {
	var list []string
	all := slices.Clone(r.Steps)
	for _, s := range r.Signatures {
		all = append(all, s.Steps...)
	}
	for _, s := range all {
		if s.Status == status && !slices.Contains(list, s.Name) {
			list = append(list, s.Name)
		}
	}
	return list
}

func explain(tb testing.TB, r *ofd.Report) {
	tb.Helper()
	for _, s := range r.Steps {
		tb.Logf("%-32s %-8v %s (%v)", s.Name, s.Status, s.Detail, s.Err)
	}
	for _, g := range r.Signatures {
		for _, s := range g.Steps {
			tb.Logf("%s %-32s %-8v %s (%v)", g.ID, s.Name, s.Status, s.Detail, s.Err)
		}
	}
}

func TestSealedFilesHold(t *testing.T) {
	w := newWorld(t)
	file := page(t, foodLicense())
	if r := w.verify(t, file); r.Verdict != ofd.Unsigned || r.Signed || len(r.Unsigned) == 0 {
		t.Fatalf("an unsigned file: %+v", r)
	}
	one := w.seal(t, file, 0, nil)
	two := w.seal(t, one, 1, func(s *ofd.SignSpec) { s.Close, s.Stamps[0].Box.X = true, 40 })
	plain, err := ofd.Sign(one, ofd.SignSpec{Time: signedAt}, w.signers[1].key, w.signers[1].cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file  []byte
		kinds []string
	}{
		"one seal": {one, []string{"Seal"}}, "two seals": {two, []string{"Seal", "Seal"}}, "seal and signature": {plain, []string{"Seal", "Sign"}},
	} {
		r := w.verify(t, c.file)
		if r.Verdict != ofd.Valid || len(r.Signatures) != len(c.kinds) || len(r.Unsigned) != 0 || len(steps(r, ses.Warned)) != 0 {
			explain(t, r)
			t.Fatalf("%s: %s, uncovered %v", name, r.Verdict, r.Unsigned)
		}
		for i, s := range r.Signatures {
			if s.Kind != c.kinds[i] || s.Signer == "" || !s.Time.Equal(signedAt) || s.Producer != "Onewindow" {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
	if _, err := ofd.Sign(two, ofd.SignSpec{Time: signedAt}, w.signers[0].key, w.signers[0].cert, nil); !errors.Is(err, ofd.ErrClosed) {
		t.Fatalf("a closed file was signed: %v", err)
	}
	p, err := ofd.Open(one)
	if err != nil {
		t.Fatal(err)
	}
	pictures, notes, err := p.SealPictures()
	if err != nil || len(notes) != 0 || len(pictures) != 1 || pictures[0].Page != 0 || pictures[0].Box != ofd.SealPlace(42, 42).Box || pictures[0].Picture.Width != 42 {
		t.Fatalf("pictures: %+v, %v", pictures, err)
	}
	if number, ok := p.CustomData("ZZBS"); !ok || number != foodLicense().Number {
		t.Fatalf("ZZBS: %q", number)
	}
}
