package typeface

import (
	"encoding/binary"
	"fmt"
	"os"
	"unicode/utf16"
)

// maxFontBytes bounds a font file. Noto Serif SC with 31,000 glyphs has 15 MB.
const maxFontBytes = 64 << 20

// maxFamilyName bounds a family name, in UTF-16 units.
const maxFamilyName = 64

// Face is one TrueType font. It is immutable and safe for concurrent use.
type Face struct {
	tables     map[string][]byte
	unitsPerEm float64
	glyphs     int // number of glyphs
	metrics    int // number of full entries in hmtx
	longLoca   bool
	ascent     float64
	descent    float64
	family     string
	characters charmap
}

// Glyph is one character of a text, set in a face.
type Glyph struct {
	// Rune is the character.
	Rune rune
	// ID is the glyph's number in the face (not in a subset of it).
	ID uint16
	// Advance is the distance to the next glyph's origin, in em.
	Advance float64
}

// Load reads the font file at path. It takes the time of reading the file; the
// bytes stay in memory.
func Load(path string) (*Face, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFontMissing, err)
	}
	if info.Size() > maxFontBytes {
		return nil, fmt.Errorf("%w: %s has %d bytes; at most %d are read", ErrLimit, path, info.Size(), maxFontBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("typeface: read %s: %w", path, err)
	}
	face, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return face, nil
}

// Parse reads a TrueType font (ISO/IEC 14496-22 with glyf outlines). The
// tables that only a text engine needs may be absent, as in fonts cut down for
// one document. The face keeps data, which must not change afterwards.
func Parse(data []byte) (*Face, error) {
	if len(data) > maxFontBytes {
		return nil, fmt.Errorf("%w: %d bytes; at most %d are read", ErrLimit, len(data), maxFontBytes)
	}
	tables, err := readDirectory(data)
	if err != nil {
		return nil, err
	}
	f := &Face{tables: tables}
	if err := f.readHead(); err != nil {
		return nil, err
	}
	if err := f.readMetrics(); err != nil {
		return nil, err
	}
	if err := f.checkLoca(); err != nil {
		return nil, err
	}
	if f.characters, err = readCharmap(tables["cmap"], f.glyphs); err != nil {
		return nil, err
	}
	f.family = familyName(tables["name"])
	return f, nil
}

// readDirectory slices the file into its tables.
func readDirectory(data []byte) (map[string][]byte, error) {
	if len(data) < 12 {
		return nil, fmt.Errorf("%w: %d bytes are no font", ErrMalformed, len(data))
	}
	switch version := binary.BigEndian.Uint32(data); version {
	case 0x00010000, 0x74727565: // 1.0, "true"
	default:
		return nil, fmt.Errorf("%w: the file starts with %#08x; only TrueType outlines are read", ErrUnsupported, version)
	}
	count := int(binary.BigEndian.Uint16(data[4:]))
	if count > 128 || len(data) < 12+16*count {
		return nil, fmt.Errorf("%w: directory of %d tables", ErrMalformed, count)
	}
	tables := make(map[string][]byte, count)
	for i := range count {
		entry := data[12+16*i:]
		tag := string(entry[:4])
		offset, length := uint64(binary.BigEndian.Uint32(entry[8:])), uint64(binary.BigEndian.Uint32(entry[12:]))
		if offset+length > uint64(len(data)) {
			return nil, fmt.Errorf("%w: table %q lies outside the file", ErrMalformed, tag)
		}
		if _, twice := tables[tag]; twice {
			return nil, fmt.Errorf("%w: two tables %q", ErrMalformed, tag)
		}
		tables[tag] = data[offset : offset+length : offset+length]
	}
	return tables, nil
}

// table returns a table that must be there with at least size bytes.
func (f *Face) table(tag string, size int) ([]byte, error) {
	table, ok := f.tables[tag]
	if !ok {
		return nil, fmt.Errorf("%w: no table %q", ErrMalformed, tag)
	}
	if len(table) < size {
		return nil, fmt.Errorf("%w: table %q has %d bytes; %d are needed", ErrMalformed, tag, len(table), size)
	}
	return table, nil
}

func (f *Face) readHead() error {
	head, err := f.table("head", 54)
	if err != nil {
		return err
	}
	units := binary.BigEndian.Uint16(head[18:])
	if units < 16 || units > 16384 {
		return fmt.Errorf("%w: %d units per em", ErrMalformed, units)
	}
	f.unitsPerEm = float64(units)
	format := binary.BigEndian.Uint16(head[50:])
	if format > 1 {
		return fmt.Errorf("%w: loca format %d", ErrMalformed, format)
	}
	f.longLoca = format == 1
	maxp, err := f.table("maxp", 6)
	if err != nil {
		return err
	}
	f.glyphs = int(binary.BigEndian.Uint16(maxp[4:]))
	if f.glyphs == 0 {
		return fmt.Errorf("%w: no glyphs", ErrMalformed)
	}
	return nil
}

func (f *Face) readMetrics() error {
	hhea, err := f.table("hhea", 36)
	if err != nil {
		return err
	}
	f.ascent = float64(signed(hhea[4:])) / f.unitsPerEm
	f.descent = float64(signed(hhea[6:])) / f.unitsPerEm
	f.metrics = int(binary.BigEndian.Uint16(hhea[34:]))
	if f.metrics == 0 || f.metrics > f.glyphs {
		return fmt.Errorf("%w: %d advances for %d glyphs", ErrMalformed, f.metrics, f.glyphs)
	}
	// The side bearings after the last full entry are missing in some fonts.
	_, err = f.table("hmtx", 4*f.metrics)
	return err
}

// checkLoca makes sure that each glyph's bytes lie inside glyf, so that
// looking one up later cannot fail.
func (f *Face) checkLoca() error {
	size := 2
	if f.longLoca {
		size = 4
	}
	if _, err := f.table("loca", size*(f.glyphs+1)); err != nil {
		return err
	}
	glyf, err := f.table("glyf", 0)
	if err != nil {
		return err
	}
	before := uint32(0)
	for i := range f.glyphs + 1 {
		at := f.location(i)
		if at < before || uint64(at) > uint64(len(glyf)) {
			return fmt.Errorf("%w: glyph %d lies outside its table", ErrMalformed, i)
		}
		before = at
	}
	return nil
}

func (f *Face) location(i int) uint32 {
	loca := f.tables["loca"]
	if f.longLoca {
		return binary.BigEndian.Uint32(loca[4*i:])
	}
	return 2 * uint32(binary.BigEndian.Uint16(loca[2*i:]))
}

// glyphData returns a glyph's entry in glyf; empty for a glyph without ink. id
// must be below f.glyphs.
func (f *Face) glyphData(id uint16) []byte {
	return f.tables["glyf"][f.location(int(id)):f.location(int(id)+1)]
}

// Family returns the family name in the font, "" if there is none.
func (f *Face) Family() string { return f.family }

// Ascent returns how far the face reaches above the baseline, in em.
func (f *Face) Ascent() float64 { return f.ascent }

// Descent returns how far the face reaches below the baseline, in em; it is
// negative.
func (f *Face) Descent() float64 { return f.descent }

// Index returns the number of the glyph for a character, 0 if there is none.
func (f *Face) Index(r rune) uint16 { return f.characters.find(r) }

// Advance returns the distance from a glyph's origin to the next one's, in em.
// It is 0 for a number that the face does not have.
func (f *Face) Advance(id uint16) float64 {
	if int(id) >= f.glyphs {
		return 0
	}
	return float64(f.advanceUnits(id)) / f.unitsPerEm
}

func (f *Face) advanceUnits(id uint16) uint16 {
	i := min(int(id), f.metrics-1) // the last advance holds for all that follow
	return binary.BigEndian.Uint16(f.tables["hmtx"][4*i:])
}

// bearing returns a glyph's left side bearing in font units.
func (f *Face) bearing(id uint16) int16 {
	at := 4*int(id) + 2
	if int(id) >= f.metrics {
		at = 4*f.metrics + 2*(int(id)-f.metrics)
	}
	if hmtx := f.tables["hmtx"]; at+2 <= len(hmtx) {
		return signed(hmtx[at:])
	}
	return 0
}

// Glyphs sets a text: one glyph per character, in order. ErrMissingGlyph names
// the first character that the face does not have; control characters are
// among them.
func (f *Face) Glyphs(text string) ([]Glyph, error) {
	glyphs := make([]Glyph, 0, len(text)/2+1)
	for i, r := range text {
		id := f.Index(r)
		if id == 0 {
			return nil, missing(r, i)
		}
		glyphs = append(glyphs, Glyph{Rune: r, ID: id, Advance: f.Advance(id)})
	}
	return glyphs, nil
}

func missing(r rune, at int) error {
	return fmt.Errorf("%w: %q (U+%04X) at byte %d; use a font that has it", ErrMissingGlyph, r, r, at)
}

// familyName reads the English family name for Windows, the one entry that
// every font has; "" if the table is absent or damaged.
func familyName(name []byte) string {
	if len(name) < 6 {
		return ""
	}
	count, storage := int(binary.BigEndian.Uint16(name[2:])), int(binary.BigEndian.Uint16(name[4:]))
	for i := range count {
		if len(name) < 6+12*(i+1) {
			return ""
		}
		record := name[6+12*i:]
		platform, language, id := binary.BigEndian.Uint16(record), binary.BigEndian.Uint16(record[4:]), binary.BigEndian.Uint16(record[6:])
		if platform != 3 || language != 0x0409 || id != 1 {
			continue
		}
		length, at := int(binary.BigEndian.Uint16(record[8:])), storage+int(binary.BigEndian.Uint16(record[10:]))
		if length > 2*maxFamilyName || at+length > len(name) {
			return ""
		}
		units := make([]uint16, length/2)
		for j := range units {
			units[j] = binary.BigEndian.Uint16(name[at+2*j:])
		}
		return string(utf16.Decode(units))
	}
	return ""
}

func signed(b []byte) int16 {
	return int16(binary.BigEndian.Uint16(b)) //nolint:gosec // the same 16 bits, read as two's complement
}
