package files

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

// Limits of an Excel file. Sheets are read as a stream; only the shared texts
// are held in memory.
const (
	maxParts        = 10_000
	maxDirectory    = 4 << 20
	maxPart         = 2 << 30 // unzipped
	maxUnzipped     = 4 << 30
	maxRatio        = 250      // of unzipped to zipped,
	ratioFrom       = 16 << 20 // in parts of this size and more
	maxSharedBytes  = 48 << 20
	maxSharedTexts  = 4_000_000
	maxNames        = 1 << 20 // bytes of the names of sheets, and of parts that relate to each other
	maxStyles       = 65_536
	maxExcelColumns = 16_384
	maxMerges       = 200_000
)

// workbook is an Excel file (Office Open XML). It is read with the standard
// library alone: excelize keeps the whole archive in memory, and while it
// streams it tells neither the stored text of a number nor whether it is a date.
type workbook struct {
	medium   *medium
	parts    map[string]*zip.File
	date1904 bool
	sheet    string // the part of the sheet
	dates    []dateFormat
	// shared texts stand one after the other; the n-th ends at ends[n].
	shared []byte
	ends   []uint32
}

func openWorkbook(in *medium, size int64, sheet string) (*workbook, error) {
	if err := checkArchive(in, size); err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(in, size)
	if err != nil {
		return nil, broken("it is no Excel file (.xlsx), or a damaged one: %s", err)
	}
	w := &workbook{medium: in, parts: map[string]*zip.File{}}
	if len(archive.File) > maxParts {
		return nil, tooLarge("the archive has %d parts; at most %d are read", len(archive.File), maxParts)
	}
	var total uint64
	for _, f := range archive.File {
		total += f.UncompressedSize64
		switch {
		case f.UncompressedSize64 > maxPart || total > maxUnzipped || total < f.UncompressedSize64:
			return nil, tooLarge("unzipped, it would have more than %d bytes, or its part %.100q more than %d", int64(maxUnzipped), f.Name, int64(maxPart))
		case f.UncompressedSize64 >= ratioFrom && f.UncompressedSize64/maxRatio > f.CompressedSize64:
			return nil, tooLarge("its part %.100q would become %d times larger when it is unzipped, as in an archive made to do harm", f.Name, f.UncompressedSize64/max(1, f.CompressedSize64))
		case f.Flags&1 != 0:
			return nil, broken("it is encrypted")
		}
		w.parts[strings.ToLower(strings.TrimPrefix(f.Name, "/"))] = f
	}
	if err := w.readWorkbook(sheet); err != nil {
		return nil, err
	}
	return w, nil
}

// checkArchive looks at the end of a zip archive before anything is made of
// what it says: a directory of a million parts would fill the memory.
func checkArchive(in *medium, size int64) error {
	head, tail := make([]byte, min(size, 512)), make([]byte, min(size, 22+1<<16))
	if _, err := in.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		if what := looksLike(head); what != "" {
			return broken("it is %s", what)
		}
		if len(head) < 4 {
			return short("it has %d bytes", size)
		}
		return broken("it is no Excel file (.xlsx): it does not begin like a zip archive")
	}
	if _, err := in.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if i < 0 || len(tail)-i < 22 {
		return short("the directory at the end of the archive is missing")
	}
	end, at := tail[i:], size-int64(len(tail)-i)
	records := binary.LittleEndian.Uint16(end[10:])
	length, offset := int64(binary.LittleEndian.Uint32(end[12:])), int64(binary.LittleEndian.Uint32(end[16:]))
	locator := make([]byte, min(20, at))
	if _, err := in.ReadAt(locator, at-int64(len(locator))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if records == 0xffff || length == 0xffff || offset == 0xffffffff || bytes.HasPrefix(locator, []byte("PK\x06\x07")) { // where the directory is would be said elsewhere
		return tooLarge("it is an archive of the kind for more than 4 GB or 65,534 parts (ZIP64)")
	}
	if length > maxDirectory || size-(at-length) > maxDirectory+1<<17 || size-offset > maxDirectory+1<<17 {
		return tooLarge("the directory of the archive is larger than %d bytes", maxDirectory)
	}
	return nil
}

// part opens a part; nil if there is none.
func (w *workbook) part(name string) (*markup, error) {
	f := w.parts[strings.ToLower(name)]
	if f == nil {
		return nil, nil
	}
	in, err := f.Open()
	if err != nil {
		return nil, broken("its part %.100q cannot be unzipped: %s", name, err)
	}
	return newMarkup(&partReader{in: io.LimitReader(in, maxPart), name: name, medium: w.medium})
}

// partReader tells damage in the archive from errors of the disk.
type partReader struct {
	in     io.Reader
	name   string
	medium *medium
}

func (p *partReader) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		if p.medium.err != nil {
			return n, p.medium.err
		}
		return n, broken("its part %.100q is damaged: %s", p.name, err)
	}
	return n, err
}

// mentions reports whether the bytes of a part hold a word, which costs far less than to read it as XML; of a part
// in UTF-16 it is taken for granted.
func (w *workbook) mentions(name, word string) (bool, error) {
	f := w.parts[strings.ToLower(name)]
	if f == nil {
		return false, nil
	}
	part, err := f.Open()
	if err != nil {
		return false, broken("its part %.100q cannot be unzipped: %s", name, err)
	}
	in := &partReader{in: io.LimitReader(part, maxPart), name: name, medium: w.medium}
	buffer, kept := make([]byte, 64<<10), 0
	for first := true; ; first = false {
		n, err := in.Read(buffer[kept:])
		now := buffer[:kept+n]
		if bytes.Contains(now, []byte(word)) || first && (bytes.HasPrefix(now, []byte("\xff\xfe")) || bytes.HasPrefix(now, []byte("\xfe\xff"))) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(buffer, now[max(0, len(now)-len(word)):])
	}
}

// each calls use with the elements of a part, outermost first.
func (w *workbook) each(name string, use func(m *markup, e xml.StartElement) error) error {
	m, err := w.part(name)
	if m == nil || err != nil {
		return err
	}
	for {
		token, err := m.token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok {
			if err := use(m, start); err != nil {
				return err
			}
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && (a.Name.Space == "" || name == "id") {
			return a.Value
		}
	}
	return ""
}

// relations returns the targets of a part by their ids, and the one whose type ends with kind.
func (w *workbook) relations(of, kind string) (targets map[string]string, first string, err error) {
	targets = map[string]string{}
	size := 0
	dir, name := path.Split(of)
	err = w.each(dir+"_rels/"+name+".rels", func(_ *markup, e xml.StartElement) error {
		if e.Name.Local != "Relationship" {
			return nil
		}
		target := attribute(e, "Target")
		if rest, absolute := strings.CutPrefix(target, "/"); absolute {
			target = rest
		} else {
			target = path.Join(dir, target)
		}
		targets[attribute(e, "Id")] = target
		if size += len(target) + len(attribute(e, "Id")); size > maxNames || len(targets) > maxParts {
			return tooLarge("its part %.100q relates to more than %d others", of, maxParts)
		}
		if strings.HasSuffix(attribute(e, "Type"), "/"+kind) && first == "" {
			first = target
		}
		return nil
	})
	return targets, first, err
}

// readWorkbook finds the sheet and reads the styles and the shared texts.
func (w *workbook) readWorkbook(sheet string) error {
	_, book, err := w.relations("", "officeDocument")
	if err != nil {
		return err
	}
	if book == "" || w.parts[strings.ToLower(book)] == nil {
		return broken("it is a zip archive, but no Excel file (.xlsx)")
	}
	var names []string
	size := 0
	id, found := "", false
	err = w.each(book, func(_ *markup, e xml.StartElement) error {
		switch e.Name.Local {
		case "workbookPr":
			w.date1904 = isTrue(attribute(e, "date1904"))
		case "sheet":
			name := attribute(e, "name")
			if names = append(names, name); !found && (sheet == "" || name == sheet) {
				id, found = attribute(e, "id"), true
			}
			if size += len(name); size > maxNames || len(names) > maxParts {
				return tooLarge("it has more than %d sheets", maxParts)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !found {
		return &formatError{code: connectors.FaultTable, text: "it has no sheet " + strconv.Quote(sheet) + "; it has " + quoteList(names)}
	}
	targets, styles, err := w.relations(book, "styles")
	if err != nil {
		return err
	}
	if w.sheet = targets[id]; w.parts[strings.ToLower(w.sheet)] == nil {
		return broken("its sheet %q is missing", sheet)
	}
	if err := w.readStyles(styles); err != nil {
		return err
	}
	_, texts, err := w.relations(book, "sharedStrings")
	if err != nil {
		return err
	}
	return w.readShared(texts)
}

func isTrue(text string) bool { return text == "1" || text == "true" }

// readStyles finds out which formats of cells are dates.
func (w *workbook) readStyles(part string) error {
	own := map[int]dateFormat{}
	inCells := false
	return w.each(part, func(_ *markup, e xml.StartElement) error {
		if len(own) > maxStyles || len(w.dates) > maxStyles {
			return tooLarge("it has more than %d styles", maxStyles)
		}
		switch e.Name.Local {
		case "numFmt":
			if id, err := strconv.Atoi(attribute(e, "numFmtId")); err == nil {
				own[id] = parseDateFormat(attribute(e, "formatCode"))
			}
		case "cellXfs", "cellStyleXfs", "dxfs", "cellStyles":
			inCells = e.Name.Local == "cellXfs"
		case "xf":
			if !inCells {
				return nil
			}
			id, _ := strconv.Atoi(attribute(e, "numFmtId"))
			format, ok := own[id]
			if !ok {
				format = builtInFormat(id)
			}
			w.dates = append(w.dates, format)
		}
		return nil
	})
}

// readShared reads the texts that cells refer to by number.
func (w *workbook) readShared(part string) error {
	return w.each(part, func(m *markup, e xml.StartElement) error {
		if e.Name.Local != "si" {
			return nil
		}
		text, err := richText(m, "si")
		if err != nil {
			return err
		}
		w.shared = append(w.shared, text...)
		w.ends = append(w.ends, uint32(len(w.shared))) //nolint:gosec // bounded next
		if len(w.shared) > maxSharedBytes || len(w.ends) > maxSharedTexts {
			return tooLarge("its cells hold more than %d different texts or %d bytes of them; split it, or save it as CSV", maxSharedTexts, maxSharedBytes)
		}
		return nil
	})
}

func (w *workbook) sharedText(reference string) (string, error) {
	n, err := strconv.Atoi(strings.TrimSpace(reference))
	if err != nil || n < 0 || n >= len(w.ends) {
		return "", broken("a cell refers to the shared text %.20q, of which there are %d", reference, len(w.ends))
	}
	start := uint32(0)
	if n > 0 {
		start = w.ends[n-1]
	}
	return string(w.shared[start:w.ends[n]]), nil
}

// richText reads the texts up to the end of an element, without readings (ruby).
func richText(m *markup, until string) (string, error) {
	var b []byte
	depth := []string{until}
	for len(depth) > 0 {
		token, err := m.token()
		if err != nil {
			return "", endsInside(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth = append(depth, t.Name.Local)
		case xml.EndElement:
			depth = depth[:len(depth)-1]
		case xml.CharData:
			if depth[len(depth)-1] == "t" && !slices.Contains(depth, "rPh") && len(b) <= connectors.MaxRowBytes {
				b = append(b, t...)
			}
		}
	}
	return unescape(string(b)), nil
}

func endsInside(err error) error {
	if errors.Is(err, io.EOF) {
		return short("a part ends in the middle")
	}
	return err
}

// unescape resolves _xHHHH_, which is how Excel writes characters that XML cannot have.
func unescape(text string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, "_x")
		if i < 0 || len(text) < i+7 {
			break
		}
		n, err := strconv.ParseUint(text[i+2:i+6], 16, 16)
		if err != nil || text[i+6] != '_' || n >= 0xd800 && n < 0xe000 {
			b.WriteString(text[:i+2])
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		b.WriteRune(rune(n))
		text = text[i+7:]
	}
	if b.Len() == 0 {
		return text
	}
	return b.String() + text
}
