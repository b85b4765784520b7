package typeface

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"
)

// maxSubset bounds the characters of one subset. A licence has a few hundred,
// and a character map of format 4 has room for 8,189 that stand apart.
const maxSubset = 8000

// Subset returns a TrueType font that holds the given characters (in any
// order, repeated or not), their glyphs and the face's metrics and family
// name, for embedding in a document. Readers find the glyphs by its character
// map. ErrMissingGlyph names a character that the face does not have.
//
// Layout features (kerning, vertical forms) are left out: documents place each
// glyph themselves.
func (f *Face) Subset(characters []rune) ([]byte, error) {
	runes := slices.Clone(characters)
	slices.Sort(runes)
	runes = slices.Compact(runes)
	if len(runes) > maxSubset {
		return nil, fmt.Errorf("%w: %d different characters in one document", ErrLimit, len(runes))
	}
	s := subset{face: f, numbers: map[uint16]uint16{0: 0}, glyphs: []uint16{0}}
	var characterMap charmap
	for _, r := range runes {
		id := f.Index(r)
		if id == 0 {
			return nil, missing(r, 0)
		}
		characterMap = characterMap.add(r, int(s.number(id)), 1<<16)
	}
	glyf, loca, err := s.outlines()
	if err != nil {
		return nil, err
	}
	return assemble(s.tables(glyf, loca, characterMap, runes)), nil
}

// subset numbers the chosen glyphs anew.
type subset struct {
	face    *Face
	numbers map[uint16]uint16 // old number to new
	glyphs  []uint16          // new number to old
}

// number returns the new number of an old glyph, taking it in if need be.
func (s *subset) number(old uint16) uint16 {
	number, ok := s.numbers[old]
	if !ok {
		number = uint16(len(s.glyphs)) //nolint:gosec // outlines refuses more than 65535
		s.numbers[old] = number
		s.glyphs = append(s.glyphs, old)
	}
	return number
}

// outlines copies the glyphs' bytes. Components are taken in behind the
// glyphs that use them, so the list grows while it is walked.
func (s *subset) outlines() (glyf []byte, loca []uint32, err error) {
	for i := 0; i < len(s.glyphs); i++ {
		if i == 1<<16-1 {
			return nil, nil, fmt.Errorf("%w: more than 65535 glyphs", ErrLimit)
		}
		loca = append(loca, uint32(len(glyf))) //nolint:gosec // a part of a file below 64 MiB
		data := s.face.glyphData(s.glyphs[i])
		start := len(glyf)
		glyf = append(glyf, data...)
		for len(glyf)%4 != 0 {
			glyf = append(glyf, 0)
		}
		if len(data) < 10 || signed(data) >= 0 {
			continue
		}
		err := eachComponent(data[10:], func(c component) error {
			if int(c.glyph) >= s.face.glyphs {
				return fmt.Errorf("%w: component %d of glyph %d does not exist", ErrMalformed, c.glyph, s.glyphs[i])
			}
			binary.BigEndian.PutUint16(glyf[start+10+c.at:], s.number(c.glyph))
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return glyf, append(loca, uint32(len(glyf))), nil //nolint:gosec // a part of a file below 64 MiB
}

// tables makes the tables of the new font.
func (s *subset) tables(glyf []byte, loca []uint32, characterMap charmap, runes []rune) map[string][]byte {
	f, count := s.face, uint16(len(s.glyphs)) //nolint:gosec // outlines refuses more than 65535
	locations := make([]byte, 0, 4*len(loca))
	for _, at := range loca {
		locations = binary.BigEndian.AppendUint32(locations, at)
	}
	hmtx := make([]byte, 0, 4*len(s.glyphs))
	for _, old := range s.glyphs {
		hmtx = binary.BigEndian.AppendUint16(hmtx, f.advanceUnits(old))
		hmtx = binary.BigEndian.AppendUint16(hmtx, uint16(f.bearing(old))) //nolint:gosec // the same 16 bits
	}
	head := slices.Clone(f.tables["head"][:54])
	binary.BigEndian.PutUint16(head[50:], 1) // long locations
	hhea := slices.Clone(f.tables["hhea"][:36])
	binary.BigEndian.PutUint16(hhea[34:], count)
	maxp := slices.Clone(f.tables["maxp"])
	binary.BigEndian.PutUint16(maxp[4:], count)
	post := binary.BigEndian.AppendUint32(nil, 0x00030000) // no glyph names
	post = append(post, make([]byte, 28)...)
	if old := f.tables["post"]; len(old) >= 32 {
		copy(post[4:], old[4:32])
	}
	tables := map[string][]byte{
		"cmap": writeCharmap(characterMap), "glyf": glyf, "head": head, "hhea": hhea, "hmtx": hmtx,
		"loca": locations, "maxp": maxp, "name": writeNames(f.family), "post": post,
	}
	if os2 := f.tables["OS/2"]; len(os2) >= 78 && len(runes) > 0 {
		os2 = slices.Clone(os2)
		binary.BigEndian.PutUint16(os2[64:], uint16(min(runes[0], 0xFFFF)))            //nolint:gosec // bounded
		binary.BigEndian.PutUint16(os2[66:], uint16(min(runes[len(runes)-1], 0xFFFF))) //nolint:gosec // bounded
		tables["OS/2"] = os2
	}
	for _, tag := range []string{"cvt ", "fpgm", "prep"} { // what the glyphs' hinting programs call
		if table, ok := f.tables[tag]; ok {
			tables[tag] = table
		}
	}
	return tables
}

// writeCharmap writes format 4, which every reader knows, and format 12, which
// has the characters beyond the first plane as well.
func writeCharmap(m charmap) []byte {
	var plane charmap
	for _, r := range m {
		if r.first < 0xFFFF {
			r.last = min(r.last, 0xFFFE)
			plane = append(plane, r)
		}
	}
	short, full := writeFormat4(plane), writeFormat12(m)
	b := []byte{0, 0, 0, 3}
	for _, e := range []struct {
		platform, encoding uint16
		offset             int
	}{{0, 3, 28}, {3, 1, 28}, {3, 10, 28 + len(short)}} {
		b = binary.BigEndian.AppendUint16(b, e.platform)
		b = binary.BigEndian.AppendUint16(b, e.encoding)
		b = binary.BigEndian.AppendUint32(b, uint32(e.offset)) //nolint:gosec // a short table
	}
	return append(append(b, short...), full...)
}

// writeFormat4 writes one segment per run, then the segment that the format
// ends with.
func writeFormat4(m charmap) []byte {
	m = append(slices.Clone(m), run{first: 0xFFFF, last: 0xFFFF, glyph: 0})
	segments := uint16(len(m)) //nolint:gosec // at most maxSubset+1
	power, exponent := uint16(1), uint16(0)
	for power*2 <= segments {
		power, exponent = power*2, exponent+1
	}
	var b []byte
	put := func(values ...uint16) {
		for _, v := range values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
	}
	put(4, 16+8*segments, 0, 2*segments, 2*power, exponent, 2*(segments-power))
	for _, r := range m {
		put(uint16(r.last)) //nolint:gosec // first plane
	}
	put(0)
	for _, r := range m {
		put(uint16(r.first)) //nolint:gosec // first plane
	}
	for _, r := range m {
		put(r.glyph - uint16(r.first)) //nolint:gosec // modulo 65536, as the format says
	}
	for range m {
		put(0)
	}
	return b
}

func writeFormat12(m charmap) []byte {
	b := []byte{0, 12, 0, 0}
	for _, v := range []int{16 + 12*len(m), 0, len(m)} {
		b = binary.BigEndian.AppendUint32(b, uint32(v)) //nolint:gosec // a short table
	}
	for _, r := range m {
		b = binary.BigEndian.AppendUint32(b, uint32(r.first)) //nolint:gosec // a character
		b = binary.BigEndian.AppendUint32(b, uint32(r.last))  //nolint:gosec // a character
		b = binary.BigEndian.AppendUint32(b, uint32(r.glyph))
	}
	return b
}

// writeNames writes the family name as the names that readers ask for.
func writeNames(family string) []byte {
	names := []struct {
		id   uint16
		text string
	}{{1, family}, {2, "Regular"}, {4, family}, {6, postScriptName(family)}}
	header := []byte{0, 0, 0, byte(len(names)), 0, byte(6 + 12*len(names))} //nolint:gosec // four names
	var storage []byte
	for _, name := range names {
		at := len(storage)
		for _, unit := range utf16.Encode([]rune(name.text)) {
			storage = binary.BigEndian.AppendUint16(storage, unit)
		}
		for _, v := range []uint16{3, 1, 0x0409, name.id, uint16(len(storage) - at), uint16(at)} { //nolint:gosec // names of at most 64 characters
			header = binary.BigEndian.AppendUint16(header, v)
		}
	}
	return append(header, storage...)
}

// postScriptName keeps the letters and digits of a name, 63 at most.
func postScriptName(family string) string {
	var b []byte
	for i := 0; i < len(family) && len(b) < 63; i++ {
		if c := family[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b = append(b, c)
		}
	}
	return string(b)
}

// assemble writes the tables as a font file: directory in rising order of the
// tags, tables on multiples of four bytes, checksums.
func assemble(tables map[string][]byte) []byte {
	tags := slices.Sorted(maps.Keys(tables))
	power, exponent := 1, 0
	for power*2 <= len(tags) {
		power, exponent = power*2, exponent+1
	}
	b := []byte{0, 1, 0, 0}
	for _, v := range []int{len(tags), 16 * power, exponent, 16 * (len(tags) - power)} {
		b = binary.BigEndian.AppendUint16(b, uint16(v)) //nolint:gosec // a dozen tables
	}
	b = append(b, make([]byte, 16*len(tags))...)
	var head int
	for i, tag := range tags {
		at, table := len(b), tables[tag]
		b = append(b, table...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		if tag == "head" {
			head = at
			clear(b[at+8 : at+12]) // the whole file's checksum, below
		}
		entry := b[12+16*i:]
		copy(entry, tag)
		binary.BigEndian.PutUint32(entry[4:], checksum(b[at:]))
		binary.BigEndian.PutUint32(entry[8:], uint32(at))          //nolint:gosec // below 64 MiB
		binary.BigEndian.PutUint32(entry[12:], uint32(len(table))) //nolint:gosec // below 64 MiB
	}
	binary.BigEndian.PutUint32(b[head+8:], 0xB1B0AFBA-checksum(b))
	return b
}

// checksum adds up 32-bit words; b is padded to whole ones.
func checksum(b []byte) uint32 {
	sum := uint32(0)
	for ; len(b) >= 4; b = b[4:] {
		sum += binary.BigEndian.Uint32(b)
	}
	return sum
}
