package ofd

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/onewindow/onewindow/signing/ses"
)

const (
	methodSM2SM3 = ses.AlgorithmSM2SM3
	methodSM3    = "1.2.156.10197.1.401"
	// sizeTolerance is how far a stamp's size may be from the seal's, in mm.
	sizeTolerance = 1
)

// SignSpec says how to sign a file.
type SignSpec struct {
	// Seal is the SESeal (GB/T 38540) to be put on, DER. Nil makes a plain digital
	// signature (Type="Sign") without a picture.
	Seal []byte
	// Stamps are the places of the seal's picture, at least one; none for a plain
	// signature.
	Stamps []Stamp
	// Time is the time of signing.
	Time time.Time
	// Close makes every further signature invalidate this one: Signatures.xml is
	// signed too.
	Close bool
}

// Sign adds a signature that covers every part of the file, those of earlier
// signatures included. Entries that are there are copied as they are; only
// OFD.xml (at the first signature) and Signatures.xml are written anew. The
// signer has an SM2 key; cert is its certificate, which the seal must list.
// stamp, if not nil, gets the signature value and returns an RFC 3161 token over it;
// plain signatures take none.
//
// ErrClosed for a file that a signature has closed; ErrDraft for a place that
// is not on its page or not of the seal's size; ErrSigner, and the errors of
// ses.Sign, for what cannot sign. Sign does not verify the signatures that are there:
// Verify does.
func Sign(file []byte, spec SignSpec, signer crypto.Signer, cert []byte, stamp func(signature []byte) (token []byte, err error)) ([]byte, error) {
	p, err := Open(file)
	if err != nil {
		return nil, err
	}
	s := &signing{p: p, spec: spec, written: map[string][]byte{}}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.checkStamps(stamp != nil); err != nil {
		return nil, err
	}
	if err := s.list(); err != nil {
		return nil, err
	}
	if spec.Seal != nil {
		s.write(s.dir+"/Seal.esl", spec.Seal)
	}
	description, err := s.describe()
	if err != nil {
		return nil, err
	}
	digest := sm3.Sum(description)
	var value []byte
	if spec.Seal == nil {
		value, err = signCMS(digest[:], spec.Time, signer, cert)
	} else {
		value, err = ses.Sign(ses.SignSpec{
			Seal: spec.Seal, DataHash: digest[:], Property: "/" + s.path, Time: spec.Time,
		}, signer, cert, stamp)
	}
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", s.path, err)
	}
	s.write(s.path, description)
	s.write(s.dir+"/"+valueName, value)
	return s.container()
}

const valueName = "SignedValue.dat"

// signing is one signature in the making.
type signing struct {
	p    *Package
	spec SignSpec
	doc  *Document
	// signatures is the path of Signatures.xml, dir the new signature's folder,
	// path its Signature.xml.
	signatures, dir, path string
	id                    string
	before                signatureList
	// written are the entries that are new or different, order their order.
	written map[string][]byte
	order   []string
}

func (s *signing) write(name string, data []byte) {
	s.written[name] = data
	s.order = append(s.order, name)
}

// prepare reads what is there, refuses a closed file, and finds the places for
// what is to come.
func (s *signing) prepare() (err error) {
	if s.doc, err = s.p.Document(); err != nil {
		return err
	}
	if s.before, err = s.p.signatureList(s.doc); err != nil {
		return err
	}
	if len(s.before.list) >= maxSignatures {
		return fmt.Errorf("%w: the file has %d signatures", ErrLimit, len(s.before.list))
	}
	for _, l := range s.before.list {
		file, err := s.p.signatureFile(l.Path)
		if err != nil {
			return fmt.Errorf("signature %s: %w", l.ID, err)
		}
		if file.covers(s.doc.Signatures) {
			return fmt.Errorf("%w: by signature %s", ErrClosed, l.ID)
		}
	}
	if s.signatures = s.doc.Signatures; s.signatures == "" {
		s.signatures = path.Join(path.Dir(s.doc.Root), "Signs/Signatures.xml")
		if s.p.byFold[strings.ToLower(s.signatures)] != nil {
			return fmt.Errorf("%w: %s is there, but OFD.xml does not name it", ErrDocument, s.signatures)
		}
	} else if e, err := s.p.find(s.signatures); err == nil {
		s.signatures = e.name
	}
	for n := 0; ; n++ {
		s.dir = path.Join(path.Dir(s.signatures), fmt.Sprintf("Sign_%d", n))
		if !s.p.has(s.dir) {
			break
		}
	}
	s.path = s.dir + "/Signature.xml"
	s.id = s.nextID()
	return nil
}

// has tells whether there is an entry of that name or a folder with entries.
func (p *Package) has(name string) bool {
	name = strings.ToLower(name)
	for fold := range p.byFold {
		if fold == name || strings.HasPrefix(fold, name+"/") {
			return true
		}
	}
	return false
}

// nextID returns an ID of the form s001 above all there are (GB/T 33190 §18.1).
func (s *signing) nextID() string {
	highest := 0
	for _, id := range append([]string{s.before.max}, ids(s.before.list)...) {
		if n, err := strconv.Atoi(strings.TrimLeft(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")); err == nil && n < math.MaxInt32 {
			highest = max(highest, n)
		}
	}
	return fmt.Sprintf("s%03d", highest+1)
}

func ids(list []listed) []string {
	all := make([]string, len(list))
	for i, l := range list {
		all[i] = l.ID
	}
	return all
}

// checkStamps refuses places that a verifier or a reader would stumble over.
func (s *signing) checkStamps(timestamped bool) error {
	if s.spec.Seal == nil {
		if len(s.spec.Stamps) != 0 || timestamped {
			return fmt.Errorf("%w: a plain signature has no picture and takes no timestamp", ErrSigner)
		}
		return nil
	}
	seal, err := ses.ParseSeal(s.spec.Seal)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSigner, err)
	}
	if len(s.spec.Stamps) == 0 || len(s.spec.Stamps) > maxStamps {
		return fmt.Errorf("%w: %d places for the seal", ErrDraft, len(s.spec.Stamps))
	}
	for _, place := range s.spec.Stamps {
		paper, err := s.p.paper(place.Page)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDraft, err)
		}
		if !fits(place.Box, seal.Picture) {
			return fmt.Errorf("%w: the seal is %d mm × %d mm, its place %g mm × %g mm", ErrDraft,
				seal.Picture.Width, seal.Picture.Height, place.Box.Width, place.Box.Height)
		}
		seen := visible(place.Box, place.Clip)
		if !paper.contains(seen) || !place.Box.contains(seen) || seen.Width <= 0 || seen.Height <= 0 {
			return fmt.Errorf("%w: the seal at %v is not within page %d", ErrDraft, seen, place.Page+1)
		}
	}
	return nil
}

func fits(box Box, picture ses.Picture) bool {
	return math.Abs(box.Width-float64(picture.Width)) <= sizeTolerance && math.Abs(box.Height-float64(picture.Height)) <= sizeTolerance
}

// list writes Signatures.xml with the new entry, and names it in OFD.xml.
func (s *signing) list() error {
	kind := "Seal"
	if s.spec.Seal == nil {
		kind = "Sign"
	}
	var m markup
	m.root("Signatures")
	m.leaf("MaxSignId", s.id)
	for _, l := range append(s.before.list, listed{ID: s.id, Kind: kind, Path: s.path}) {
		m.empty("Signature", "ID", l.ID, "Type", l.Kind, "BaseLoc", "/"+l.Path)
	}
	m.close("Signatures")
	if s.doc.Signatures == "" {
		changed, err := s.nameSignatures()
		if err != nil {
			return err
		}
		e, err := s.p.find(entryPoint)
		if err != nil {
			return err
		}
		s.write(e.name, changed)
	}
	s.write(s.signatures, m.Bytes())
	return nil
}

// nameSignatures returns OFD.xml with a Signatures element at the end of its
// DocBody, every other byte being as it was.
func (s *signing) nameSignatures() ([]byte, error) {
	old, err := s.p.Read(entryPoint)
	if err != nil {
		return nil, err
	}
	end := strings.LastIndex(string(old), "DocBody")
	open := strings.LastIndex(string(old[:max(end, 0)]), "</")
	if end < 0 || open < 0 {
		return nil, fmt.Errorf("%w: OFD.xml", ErrDocument)
	}
	prefix := string(old[open+2 : end])
	element := fmt.Sprintf("<%[1]sSignatures>/%[2]s</%[1]sSignatures>", prefix, s.signatures)
	changed := string(old[:open]) + element + string(old[open:])
	// The text may have looked like an end tag in a comment: read it back.
	probe := &Package{byName: map[string]*entry{entryPoint: {name: entryPoint, data: []byte(changed)}}}
	body, err := probe.body()
	if err != nil {
		return nil, err
	}
	if loc, err := location(body, "Signatures", entryPoint); err != nil || loc != s.signatures {
		return nil, fmt.Errorf("%w: OFD.xml cannot be extended: %q %w", ErrDocument, loc, err)
	}
	return []byte(changed), nil
}

// describe writes Signature.xml: the digest of every entry but those that
// cannot be in it.
func (s *signing) describe() ([]byte, error) {
	var m markup
	m.root("Signature")
	m.open("SignedInfo")
	m.empty("Provider", "ProviderName", creator, "Company", creator, "Version", creatorVersion)
	m.leaf("SignatureMethod", methodSM2SM3)
	m.leaf("SignatureDateTime", s.spec.Time.UTC().Format("20060102150405Z"))
	m.open("References", "CheckMethod", methodSM3)
	for _, e := range s.p.entries {
		if _, replaced := s.written[e.name]; replaced || strings.HasSuffix(e.name, "/") {
			continue
		}
		data, err := s.p.Read(e.name)
		if err != nil {
			return nil, err
		}
		m.reference(e.name, data)
	}
	for _, name := range s.order {
		if name != s.signatures || s.spec.Close {
			m.reference(name, s.written[name])
		}
	}
	m.close("References")
	for i, place := range s.spec.Stamps {
		attrs := []string{"ID", fmt.Sprintf("%s_%d", s.id, i+1), "PageRef", s.doc.Pages[place.Page].ID.String(), "Boundary", place.Box.String()}
		if place.Clip != nil {
			attrs = append(attrs, "Clip", place.Clip.String())
		}
		m.empty("StampAnnot", attrs...)
	}
	if s.spec.Seal != nil {
		m.open("Seal")
		m.leaf("BaseLoc", "/"+s.dir+"/Seal.esl")
		m.close("Seal")
	}
	m.close("SignedInfo")
	m.leaf("SignedValue", "/"+s.dir+"/"+valueName)
	m.close("Signature")
	return m.Bytes(), nil
}

func (m *markup) reference(name string, data []byte) {
	digest := sm3.Sum(data)
	m.open("Reference", "FileRef", "/"+name)
	m.leaf("CheckValue", base64.StdEncoding.EncodeToString(digest[:]))
	m.close("Reference")
}

// container writes the file: the old entries, changed ones in their places,
// then the new ones.
func (s *signing) container() ([]byte, error) {
	var z zipWriter
	for _, e := range s.p.entries {
		data, changed := s.written[e.name]
		if !changed {
			z.copy(e)
			continue
		}
		delete(s.written, e.name)
		if err := z.add(e.name, data); err != nil {
			return nil, err
		}
	}
	for _, name := range s.order {
		data, left := s.written[name]
		if !left {
			continue
		}
		if err := z.add(name, data); err != nil {
			return nil, err
		}
	}
	return z.finish()
}

// covers tells whether a signature references a path.
func (f *signatureFile) covers(name string) bool {
	_, ok := f.checks[strings.ToLower(name)]
	return ok
}
