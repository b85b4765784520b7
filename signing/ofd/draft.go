package ofd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/signing/typeface"
)

const (
	creator        = "Onewindow"
	creatorVersion = "1.0"
	// maxDraft is how many pages, pictures and attachments a draft has at most.
	maxDraft = 1000
)

// Draft is a document to be written.
type Draft struct {
	// DocID is 32 hexadecimal digits, unique to the document. Empty: made from
	// the content, so that the same draft gives the same file.
	DocID         string
	Title, Author string
	Created       time.Time
	Custom        []CustomData
	Pages         []Sheet
	// Pictures are those that Image objects show: Image.Media is the place in
	// this list, from 1.
	Pictures    []Picture
	Attachments []File
}

// Sheet is a page to be written. Texts are set with Typeset, in the face that
// the draft is written with: their Font is not looked at.
type Sheet struct {
	// Box is the paper.
	Box    Box
	Layers []Layer
}

// Picture is a picture to be embedded.
type Picture struct {
	// Format is "PNG" or "JPG".
	Format string
	Data   []byte
}

// File is an attachment: carried along, not shown.
type File struct {
	Name string
	Data []byte
}

// Write returns the draft as an OFD file (GB/T 33190-2016) with the characters
// it uses embedded as one TrueType font. The same draft and face give the same
// bytes. A character that the face lacks is typeface.ErrMissingGlyph; what
// cannot be written otherwise is ErrDraft.
func (d *Draft) Write(face *typeface.Face) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	characters, err := d.characters(face)
	if err != nil {
		return nil, err
	}
	font, err := face.Subset(characters)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	w := &draftWriter{draft: d}
	w.id += ID(1 + len(d.Pictures)) //nolint:gosec // at most maxDraft; the font is 1, the pictures follow
	parts := []part{{"Doc_0/Res/font.ttf", font}}
	for i, picture := range d.Pictures {
		parts = append(parts, part{"Doc_0/Res/" + picture.file(i), picture.Data})
	}
	pages := make([]ID, len(d.Pages))
	for i := range d.Pages {
		content, err := w.page(&d.Pages[i])
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", i+1, err)
		}
		parts = append(parts, part{fmt.Sprintf("Doc_0/Pages/Page_%d/Content.xml", i), content})
		pages[i] = w.next()
	}
	parts = append(parts, w.resources(face)...)
	parts = append(parts, w.attachments()...)
	parts = append(parts, part{"Doc_0/Document.xml", w.document(pages)})
	return w.container(parts)
}

type part struct {
	name string
	data []byte
}

func (p Picture) file(i int) string {
	return fmt.Sprintf("image_%d.%s", i, strings.ToLower(p.Format))
}

func (d *Draft) check() error {
	texts := []string{d.Title, d.Author}
	names := map[string]bool{}
	for _, c := range d.Custom {
		texts = append(texts, c.Name, c.Value)
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("%w: custom data %.40q is there twice or has no name", ErrDraft, c.Name)
		}
		names[c.Name] = true
	}
	for i, a := range d.Attachments {
		texts = append(texts, a.Name)
		if checkName(a.Name, true) != nil || path.Base(a.Name) != a.Name || len(a.Name) > 255 || strings.HasSuffix(a.Name, "/") || strings.EqualFold(a.Name, "Attachments.xml") {
			return fmt.Errorf("%w: attachment %d cannot be called %.40q", ErrDraft, i+1, a.Name)
		}
	}
	for _, s := range texts {
		if !writable(s) {
			return fmt.Errorf("%w: %.40q has a character that XML cannot hold", ErrDraft, s)
		}
	}
	if _, err := hex.DecodeString(d.DocID); err != nil || d.DocID != "" && len(d.DocID) != 32 {
		return fmt.Errorf("%w: the DocID must be 32 hexadecimal digits", ErrDraft)
	}
	if len(d.Pages) == 0 || max(len(d.Pages), len(d.Pictures), len(d.Attachments)) > maxDraft {
		return fmt.Errorf("%w: 1 to %d pages, at most as many pictures and attachments", ErrDraft, maxDraft)
	}
	for i, s := range d.Pages {
		if s.Box.Width < 1 || s.Box.Height < 1 || s.Box.Width > 10_000 || s.Box.Height > 10_000 {
			return fmt.Errorf("%w: page %d is %g mm × %g mm", ErrDraft, i+1, s.Box.Width, s.Box.Height)
		}
	}
	for i, p := range d.Pictures {
		magic := map[string]string{"PNG": "\x89PNG\r\n\x1a\n", "JPG": "\xff\xd8\xff"}[p.Format]
		if magic == "" || !bytes.HasPrefix(p.Data, []byte(magic)) {
			return fmt.Errorf("%w: picture %d is not a %.10q", ErrDraft, i+1, p.Format)
		}
	}
	return nil
}

// characters gathers what the texts need, and names the text that needs what is not there.
func (d *Draft) characters(face *typeface.Face) ([]rune, error) {
	seen := map[rune]bool{}
	var gather func(list []Object) error
	gather = func(list []Object) error {
		for _, o := range list {
			switch o := o.(type) {
			case *Text:
				for _, run := range o.Runs {
					if _, err := face.Glyphs(run.Text); err != nil {
						return fmt.Errorf("text %.60q: %w", run.Text, err)
					}
					for _, r := range run.Text {
						seen[r] = true
					}
				}
			case *Group:
				if err := gather(o.Objects); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for i := range d.Pages {
		for _, layer := range d.Pages[i].Layers {
			if err := gather(layer.Objects); err != nil {
				return nil, err
			}
		}
	}
	list := make([]rune, 0, len(seen))
	for r := range seen {
		list = append(list, r)
	}
	slices.Sort(list)
	return list, nil
}

// draftWriter numbers what it writes.
type draftWriter struct {
	draft *Draft
	id    ID
}

const fontID = 1

func (w *draftWriter) next() ID {
	w.id++
	return w.id
}

func (w *draftWriter) resources(face *typeface.Face) []part {
	family := face.Family()
	if family == "" || !writable(family) {
		family = "embedded"
	}
	var m markup
	m.root("Res", "BaseLoc", "Res")
	m.open("Fonts")
	m.open("Font", "ID", ID(fontID).String(), "FontName", family, "FamilyName", family)
	m.leaf("FontFile", "font.ttf")
	m.close("Font")
	m.close("Fonts")
	m.close("Res")
	parts := []part{{"Doc_0/PublicRes.xml", m.Bytes()}}
	if len(w.draft.Pictures) == 0 {
		return parts
	}
	var media markup
	media.root("Res", "BaseLoc", "Res")
	media.open("MultiMedias")
	for i, p := range w.draft.Pictures {
		media.open("MultiMedia", "ID", pictureID(i+1).String(), "Type", "Image", "Format", p.Format)
		media.leaf("MediaFile", p.file(i))
		media.close("MultiMedia")
	}
	media.close("MultiMedias")
	media.close("Res")
	return append(parts, part{"Doc_0/DocumentRes.xml", media.Bytes()})
}

// pictureID is the ID of the n-th picture, from 1.
func pictureID(n int) ID { return fontID + ID(n) } //nolint:gosec // at most maxDraft

func (w *draftWriter) attachments() []part {
	files := w.draft.Attachments
	if len(files) == 0 {
		return nil
	}
	var m markup
	m.root("Attachments")
	var parts []part
	for i, f := range files {
		// A folder each: two attachments may have names that differ by case.
		file := fmt.Sprintf("%d/%s", i, f.Name)
		format := strings.TrimPrefix(path.Ext(f.Name), ".")
		size := float64(len(f.Data)) / 1024
		m.open("Attachment", "ID", "a"+strconv.Itoa(i), "Name", f.Name, "Format", format, "Size", decimal(size), "Visible", "true")
		m.leaf("FileLoc", file)
		m.close("Attachment")
		parts = append(parts, part{"Doc_0/Attachs/" + file, f.Data})
	}
	m.close("Attachments")
	return append(parts, part{"Doc_0/Attachs/Attachments.xml", m.Bytes()})
}

func (w *draftWriter) document(pages []ID) []byte {
	var m markup
	m.root("Document")
	m.open("CommonData")
	m.leaf("MaxUnitID", w.id.String())
	m.open("PageArea")
	m.leaf("PhysicalBox", w.draft.Pages[0].Box.String())
	m.close("PageArea")
	m.leaf("PublicRes", "PublicRes.xml")
	if len(w.draft.Pictures) > 0 {
		m.leaf("DocumentRes", "DocumentRes.xml")
	}
	m.close("CommonData")
	m.open("Pages")
	for i, id := range pages {
		m.empty("Page", "ID", id.String(), "BaseLoc", fmt.Sprintf("Pages/Page_%d/Content.xml", i))
	}
	m.close("Pages")
	if len(w.draft.Attachments) > 0 {
		m.leaf("Attachments", "Attachs/Attachments.xml")
	}
	m.close("Document")
	return m.Bytes()
}

// container writes OFD.xml, which is the first entry, and the parts.
func (w *draftWriter) container(parts []part) ([]byte, error) {
	d := w.draft
	id := d.DocID
	if id == "" {
		h := sha256.New()
		fmt.Fprintf(h, "%q %q %d %q", d.Title, d.Author, d.Created.Unix(), d.Custom)
		for _, p := range parts {
			sum := sha256.Sum256(p.data)
			fmt.Fprintf(h, "%q %x", p.name, sum)
		}
		id = hex.EncodeToString(h.Sum(nil)[:16])
	}
	var m markup
	m.root("OFD", "Version", "1.1", "DocType", "OFD")
	m.open("DocBody")
	m.open("DocInfo")
	m.leaf("DocID", id)
	m.leaf("Title", d.Title)
	if d.Author != "" {
		m.leaf("Author", d.Author)
	}
	m.leaf("CreationDate", d.Created.Format(time.DateOnly))
	m.leaf("Creator", creator)
	m.leaf("CreatorVersion", creatorVersion)
	if len(d.Custom) > 0 {
		m.open("CustomDatas")
		for _, c := range d.Custom {
			m.leaf("CustomData", c.Value, "Name", c.Name)
		}
		m.close("CustomDatas")
	}
	m.close("DocInfo")
	m.leaf("DocRoot", "Doc_0/Document.xml")
	m.close("DocBody")
	m.close("OFD")
	var z zipWriter
	if err := z.add(entryPoint, m.Bytes()); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := z.add(p.name, p.data); err != nil {
			return nil, err
		}
	}
	return z.finish()
}
