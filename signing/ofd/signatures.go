package ofd

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
	"github.com/onewindow/onewindow/signing/ses"
)

const (
	// maxSignatures is how many signatures a file has.
	maxSignatures = 256
	// maxStamps is how many places one signature's picture is shown at.
	maxStamps = 2000
)

// listed is a signature as Signatures.xml lists it.
type listed struct {
	ID string
	// Kind is "Seal" or "Sign".
	Kind string
	// Path is that of its Signature.xml.
	Path string
}

// signatureList is Signatures.xml.
type signatureList struct {
	max  string
	list []listed
}

// signatureList reads Signatures.xml. A file without one has an empty list.
func (p *Package) signatureList(d *Document) (signatureList, error) {
	var l signatureList
	if d.Signatures == "" {
		return l, nil
	}
	root, err := p.parse(d.Signatures)
	if err != nil {
		return l, err
	}
	if root.Name != "Signatures" {
		return l, fmt.Errorf("%w: %s holds %s", ErrDocument, d.Signatures, root.Name)
	}
	if l.max, err = text(root, "MaxSignId"); err != nil {
		return l, err
	}
	nodes := root.Children("Signature")
	if len(nodes) > maxSignatures {
		return l, fmt.Errorf("%w: %d signatures", ErrLimit, len(nodes))
	}
	ids, paths := map[string]bool{}, map[string]bool{}
	for _, n := range nodes {
		s := listed{}
		s.ID, _ = n.Attr("ID")
		if s.Kind, _ = n.Attr("Type"); s.Kind == "" {
			s.Kind = "Seal"
		}
		loc, _ := n.Attr("BaseLoc")
		if s.Path, err = resolve(d.Signatures, "", loc); err != nil {
			return l, err
		}
		if s.ID == "" || len(s.ID) > 64 || ids[s.ID] || paths[strings.ToLower(s.Path)] {
			return l, fmt.Errorf("%w: two signatures share the ID %.20q or their place", ErrDocument, s.ID)
		}
		ids[s.ID], paths[strings.ToLower(s.Path)] = true, true
		l.list = append(l.list, s)
	}
	return l, nil
}

// signatureFile is a Signature.xml.
type signatureFile struct {
	path        string
	raw         []byte
	method      string
	time        string
	checkMethod string
	references  []reference
	checks      map[string]bool // the paths referenced, in lower case
	stamps      []stampAnnot
	seal, value string // paths; seal may be empty
	producer    string
}

// reference is what one part must be.
type reference struct {
	path  string
	check []byte
}

// stampAnnot is where a seal's picture is shown.
type stampAnnot struct {
	id   string
	page ID
	box  Box
	clip *Box
}

// signatureFile reads a Signature.xml by names; producers differ in the order of
// elements.
func (p *Package) signatureFile(file string) (*signatureFile, error) {
	raw, err := p.Read(file)
	if err != nil {
		return nil, err
	}
	root, err := parseXML(file, raw)
	if err != nil {
		return nil, err
	}
	info, err := only(root, "SignedInfo")
	if err != nil {
		return nil, err
	}
	if root.Name != "Signature" || info == nil {
		return nil, fmt.Errorf("%w: %s has no SignedInfo", ErrDocument, file)
	}
	s := &signatureFile{path: file, raw: raw}
	if s.method, err = text(info, "SignatureMethod"); err != nil {
		return nil, err
	}
	if s.time, err = text(info, "SignatureDateTime"); err != nil {
		return nil, err
	}
	if provider := info.Child("Provider"); provider != nil {
		s.producer, _ = provider.Attr("ProviderName")
	}
	if err := s.readReferences(info); err != nil {
		return nil, err
	}
	if err := s.readStamps(info); err != nil {
		return nil, err
	}
	seal, err := only(info, "Seal")
	if err != nil {
		return nil, err
	}
	if seal != nil {
		if s.seal, err = location(seal, "BaseLoc", file); err != nil {
			return nil, err
		}
	}
	if s.value, err = location(root, "SignedValue", file); err != nil {
		return nil, err
	}
	if s.value == "" {
		return nil, fmt.Errorf("%w: %s names no SignedValue", ErrDocument, file)
	}
	return s, nil
}

func (s *signatureFile) readReferences(info *xmltree.Node) error {
	list, err := only(info, "References")
	if err != nil {
		return err
	}
	if list == nil {
		return fmt.Errorf("%w: %s has no References", ErrDocument, s.path)
	}
	s.checkMethod, _ = list.Attr("CheckMethod")
	s.checks = map[string]bool{}
	for _, n := range list.Children("Reference") {
		loc, _ := n.Attr("FileRef")
		file, err := resolve(s.path, "", loc)
		if err != nil {
			return err
		}
		value, err := text(n, "CheckValue")
		if err != nil {
			return err
		}
		check, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(value), ""))
		if err != nil {
			return fmt.Errorf("%w: the CheckValue of %s", ErrDocument, file)
		}
		fold := strings.ToLower(file)
		if s.checks[fold] {
			return fmt.Errorf("%w: %s is referenced twice in %s", ErrDocument, file, s.path)
		}
		s.checks[fold] = true
		s.references = append(s.references, reference{path: file, check: check})
	}
	return nil
}

func (s *signatureFile) readStamps(info *xmltree.Node) error {
	nodes := info.Children("StampAnnot")
	if len(nodes) > maxStamps {
		return fmt.Errorf("%w: %d places of one seal", ErrLimit, len(nodes))
	}
	for _, n := range nodes {
		a := stampAnnot{}
		a.id, _ = n.Attr("ID")
		var err error
		if a.page, err = idAttr(n, "PageRef"); err != nil {
			return err
		}
		boundary, _ := n.Attr("Boundary")
		if a.box, err = parseBox(boundary); err != nil {
			return err
		}
		if c, ok := n.Attr("Clip"); ok && strings.TrimSpace(c) != "" {
			clip, err := parseBox(c)
			if err != nil {
				return err
			}
			a.clip = &clip
		}
		s.stamps = append(s.stamps, a)
	}
	return nil
}

// SealPicture is the picture of a seal at its place on a page.
type SealPicture struct {
	// Signature is the signature's ID.
	Signature string
	// Page counts from 0.
	Page int
	// Box is where the whole picture goes. Clip, relative to Box, is the part
	// that shows; nil is all of it.
	Box  Box
	Clip *Box
	// Picture is as the seal holds it.
	Picture ses.Picture
}

// SealPictures returns what a reader draws over the pages, in the order of
// Signatures.xml. It verifies nothing: Verify does. A plain signature has no
// picture; the notes name what has one that cannot be shown.
func (p *Package) SealPictures() (list []SealPicture, notes []Note, err error) {
	d, err := p.Document()
	if err != nil {
		return nil, nil, err
	}
	l, err := p.signatureList(d)
	if err != nil {
		return nil, []Note{{Code: NoteSealList, Subject: plain(d.Signatures)}}, nil //nolint:nilerr // what else the file holds is shown
	}
	index := map[ID]int{}
	for i, ref := range d.Pages {
		index[ref.ID] = i
	}
	for _, entry := range l.list {
		if entry.Kind == "Sign" {
			continue
		}
		s := p.readSignature(entry)
		if s.seal == nil {
			notes = AddNote(notes, Note{Code: NoteSealUnreadable, Subject: entry.Path})
			continue
		}
		for _, a := range s.file.stamps {
			page, ok := index[a.page]
			if !ok {
				notes = AddNote(notes, Note{Code: NoteSealPage, Subject: entry.Path})
				continue
			}
			list = append(list, SealPicture{Signature: entry.ID, Page: page, Box: a.box, Clip: a.clip, Picture: s.seal.Seal.Picture})
		}
	}
	return list, notes, nil
}
