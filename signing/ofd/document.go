package ofd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

// entryPoint is where every OFD file begins.
const entryPoint = "OFD.xml"

// Document reads OFD.xml, Document.xml and the resources, once. A file with
// several documents or versions is refused: nobody could say which one a clerk
// has seen.
func (p *Package) Document() (*Document, error) {
	p.mu.Lock()
	d := p.document
	p.mu.Unlock()
	if d != nil {
		return d, nil
	}
	d, err := p.readDocument()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document = d
	return d, nil
}

func (p *Package) readDocument() (*Document, error) {
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	d := &Document{Templates: map[ID]PageRef{}, Annotations: map[ID][]string{}, Resources: newResources()}
	if d.Info, err = readInfo(body); err != nil {
		return nil, err
	}
	if d.Root, err = location(body, "DocRoot", entryPoint); err != nil {
		return nil, err
	}
	if d.Root == "" {
		return nil, fmt.Errorf("%w: OFD.xml has no DocRoot", ErrDocument)
	}
	if d.Signatures, err = location(body, "Signatures", entryPoint); err != nil {
		return nil, err
	}
	root, err := p.parse(d.Root)
	if err != nil {
		return nil, err
	}
	for _, read := range []func(*xmltree.Node, *Document) error{p.readCommon, readPages, p.readAnnotations, p.readAttachments} {
		if err := read(root, d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// body returns the one DocBody of OFD.xml.
func (p *Package) body() (*xmltree.Node, error) {
	root, err := p.parse(entryPoint)
	if err != nil {
		return nil, err
	}
	body, err := only(root, "DocBody")
	if err != nil {
		return nil, err
	}
	if root.Name != "OFD" || body == nil || len(body.Children("Versions")) != 0 {
		return nil, fmt.Errorf("%w: OFD.xml must have one DocBody without Versions", ErrDocument)
	}
	return body, nil
}

// location returns the path that the only child of that name holds, empty if absent.
func location(n *xmltree.Node, name, from string) (string, error) {
	loc, err := text(n, name)
	if err != nil || loc == "" {
		return "", err
	}
	return resolve(from, "", loc)
}

func readInfo(body *xmltree.Node) (Info, error) {
	var info Info
	n, err := only(body, "DocInfo")
	if err != nil || n == nil {
		return info, err
	}
	var created string
	for name, to := range map[string]*string{
		"DocID": &info.DocID, "Title": &info.Title, "Author": &info.Author, "Creator": &info.Creator, "CreationDate": &created,
	} {
		if *to, err = text(n, name); err != nil {
			return info, err
		}
	}
	if len(created) >= len(time.DateOnly) {
		info.Created, _ = time.Parse(time.DateOnly, created[:len(time.DateOnly)])
	}
	list, err := only(n, "CustomDatas")
	if err != nil || list == nil {
		return info, err
	}
	for _, c := range list.Children("CustomData") {
		name, _ := c.Attr("Name")
		info.Custom = append(info.Custom, CustomData{Name: name, Value: strings.TrimSpace(c.Text)})
	}
	return info, nil
}

// CustomData returns the value of that name in the file's metadata, e.g. "ZZBS",
// if it is there exactly once.
func (p *Package) CustomData(name string) (string, bool) {
	d, err := p.Document()
	if err != nil {
		return "", false
	}
	value, times := "", 0
	for _, c := range d.Info.Custom {
		if c.Name == name {
			value = c.Value
			times++
		}
	}
	if times != 1 {
		return "", false
	}
	return value, true
}

func (p *Package) readCommon(root *xmltree.Node, d *Document) error {
	common, err := only(root, "CommonData")
	if err != nil {
		return err
	}
	if common == nil {
		return fmt.Errorf("%w: %s has no CommonData", ErrDocument, d.Root)
	}
	if d.Area, err = readArea(common.Child("PageArea"), Box{0, 0, 210, 297}); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range slices.Concat(common.Children("PublicRes"), common.Children("DocumentRes")) {
		file, err := resolve(d.Root, "", n.Text)
		if err != nil {
			return err
		}
		if seen[file] {
			continue
		}
		seen[file] = true
		res, err := p.parse(file)
		if d.lacks(err, file) {
			continue
		}
		if err != nil {
			return err
		}
		if err := d.Resources.read(res, file); err != nil {
			return err
		}
	}
	for _, n := range common.Children("TemplatePage") {
		ref, err := readPageRef(n, d.Root)
		if err != nil {
			return err
		}
		if ref.ZOrder, _ = n.Attr("ZOrder"); ref.ZOrder == "" {
			ref.ZOrder = "Background"
		}
		d.Templates[ref.ID] = ref
	}
	return nil
}

// readArea reads the paper's size of a CT_PageArea.
func readArea(area *xmltree.Node, absent Box) (Box, error) {
	if area == nil {
		return absent, nil
	}
	s, err := text(area, "PhysicalBox")
	if err != nil || s == "" {
		return absent, err
	}
	box, err := parseBox(s)
	if err == nil && (box.Width < 1 || box.Height < 1 || box.Width > 10_000 || box.Height > 10_000) {
		err = fmt.Errorf("%w: a page of %g mm × %g mm", ErrDocument, box.Width, box.Height)
	}
	return box, err
}

func readPageRef(n *xmltree.Node, from string) (PageRef, error) {
	id, err := idAttr(n, "ID")
	if err != nil {
		return PageRef{}, err
	}
	loc, _ := n.Attr("BaseLoc")
	file, err := resolve(from, "", loc)
	return PageRef{ID: id, Path: file}, err
}

func readPages(root *xmltree.Node, d *Document) error {
	pages, err := only(root, "Pages")
	if err != nil {
		return err
	}
	if pages == nil {
		return fmt.Errorf("%w: %s has no Pages", ErrDocument, d.Root)
	}
	seen := map[ID]bool{}
	for _, n := range pages.Children("Page") {
		ref, err := readPageRef(n, d.Root)
		if err != nil {
			return err
		}
		if ref.ID == 0 || seen[ref.ID] {
			return fmt.Errorf("%w: two pages have the ID %d, or one has none", ErrDocument, ref.ID)
		}
		seen[ref.ID] = true
		d.Pages = append(d.Pages, ref)
	}
	if len(d.Pages) == 0 {
		return fmt.Errorf("%w: no pages", ErrDocument)
	}
	return nil
}

// lacks reports whether err is that the part is missing, and notes it: what does
// not need the part is shown all the same.
func (d *Document) lacks(err error, part string) bool {
	if !errors.Is(err, ErrNotFound) {
		return false
	}
	d.Notes = AddNote(d.Notes, Note{Code: NotePartMissing, Subject: part})
	return true
}

func (p *Package) readAnnotations(root *xmltree.Node, d *Document) error {
	file, err := location(root, "Annotations", d.Root)
	if err != nil || file == "" {
		return err
	}
	list, err := p.parse(file)
	if d.lacks(err, file) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range list.Children("Page") {
		id, err := idAttr(n, "PageID")
		if err != nil {
			return err
		}
		for _, loc := range n.Children("FileLoc") {
			part, err := resolve(file, "", loc.Text)
			if err != nil {
				return err
			}
			d.Annotations[id] = append(d.Annotations[id], part)
		}
	}
	return nil
}

func (p *Package) readAttachments(root *xmltree.Node, d *Document) error {
	file, err := location(root, "Attachments", d.Root)
	if err != nil || file == "" {
		return err
	}
	list, err := p.parse(file)
	if d.lacks(err, file) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range list.Children("Attachment") {
		a := Attachment{}
		a.Name, _ = n.Attr("Name")
		a.Format, _ = n.Attr("Format")
		if a.Path, err = location(n, "FileLoc", file); err != nil {
			return err
		}
		d.Attachments = append(d.Attachments, a)
	}
	return nil
}
