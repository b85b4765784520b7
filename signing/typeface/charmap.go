package typeface

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// charmap maps characters to glyphs: runs in rising order that do not overlap.
type charmap []run

// run maps the characters first..last to glyph and those that follow it.
type run struct {
	first, last rune
	glyph       uint16
}

func (m charmap) find(r rune) uint16 {
	i, found := slices.BinarySearchFunc(m, r, func(run run, r rune) int {
		switch {
		case run.last < r:
			return -1
		case run.first > r:
			return 1
		}
		return 0
	})
	if !found {
		return 0
	}
	return m[i].glyph + uint16(r-m[i].first) //nolint:gosec // readers keep last-first+glyph below 65536
}

// add appends one mapping, which must be above all before it. Glyph 0 and
// glyphs that the font does not have mean that the character is missing.
func (m charmap) add(r rune, glyph, glyphs int) charmap {
	if glyph <= 0 || glyph >= glyphs {
		return m
	}
	if n := len(m); n > 0 && m[n-1].last == r-1 && int(m[n-1].glyph)+int(r-m[n-1].first) == glyph {
		m[n-1].last = r
		return m
	}
	return append(m, run{first: r, last: r, glyph: uint16(glyph)}) //nolint:gosec // below glyphs, which was read from 16 bits
}

// readCharmap reads the best Unicode table of cmap. A font without one has an
// empty map: its glyphs can be used by number only.
func readCharmap(cmap []byte, glyphs int) (charmap, error) {
	if len(cmap) == 0 {
		return nil, nil
	}
	if len(cmap) < 4 {
		return nil, fmt.Errorf("%w: table \"cmap\" has %d bytes", ErrMalformed, len(cmap))
	}
	count := int(binary.BigEndian.Uint16(cmap[2:]))
	if len(cmap) < 4+8*count {
		return nil, fmt.Errorf("%w: table \"cmap\" has %d bytes for %d encodings", ErrMalformed, len(cmap), count)
	}
	best, bestRank := []byte(nil), 0
	for i := range count {
		record := cmap[4+8*i:]
		offset := binary.BigEndian.Uint32(record[4:])
		if uint64(offset)+4 > uint64(len(cmap)) {
			return nil, fmt.Errorf("%w: encoding %d of cmap lies outside its table", ErrMalformed, i)
		}
		table := cmap[offset:]
		rank := rankEncoding(binary.BigEndian.Uint16(record), binary.BigEndian.Uint16(record[2:]), binary.BigEndian.Uint16(table))
		if rank > bestRank {
			best, bestRank = table, rank
		}
	}
	switch {
	case bestRank == 0:
		return nil, nil
	case bestRank == rankFull:
		return readFormat12(best, glyphs)
	case binary.BigEndian.Uint16(best) == 6:
		return readFormat6(best, glyphs)
	default:
		return readFormat4(best, glyphs)
	}
}

const rankFull = 3

// rankEncoding prefers all of Unicode to its first plane; 0 is not read.
func rankEncoding(platform, encoding, format uint16) int {
	switch {
	case platform == 3 && encoding == 10 && format == 12, platform == 0 && (encoding == 4 || encoding == 6) && format == 12:
		return rankFull
	case platform == 3 && encoding == 1 && (format == 4 || format == 6):
		return 2
	case platform == 0 && encoding <= 4 && (format == 4 || format == 6):
		return 1
	}
	return 0
}

// readFormat12 reads groups of characters (32 bits each).
func readFormat12(b []byte, glyphs int) (charmap, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("%w: character map of %d bytes", ErrMalformed, len(b))
	}
	count := int64(binary.BigEndian.Uint32(b[12:]))
	if count > int64(len(b)-16)/12 {
		return nil, fmt.Errorf("%w: character map of %d groups in %d bytes", ErrMalformed, count, len(b))
	}
	m := make(charmap, 0, count)
	next := uint32(0)
	for range count {
		group := b[16+12*len(m):]
		first, last, glyph := binary.BigEndian.Uint32(group), binary.BigEndian.Uint32(group[4:]), binary.BigEndian.Uint32(group[8:])
		if first < next || last < first || last > 0x10FFFF {
			return nil, fmt.Errorf("%w: character map: group U+%04X..U+%04X", ErrMalformed, first, last)
		}
		if uint64(glyph)+uint64(last-first) >= uint64(glyphs) { //nolint:gosec // glyphs is positive
			return nil, fmt.Errorf("%w: character map: group U+%04X..U+%04X has no glyphs", ErrMalformed, first, last)
		}
		next = last + 1
		m = append(m, run{first: rune(first), last: rune(last), glyph: uint16(glyph)}) //nolint:gosec // bounded above
	}
	return m, nil
}

// readFormat4 reads segments of the first plane. They must rise, so that the
// work is bounded by the plane's 65536 characters.
func readFormat4(b []byte, glyphs int) (charmap, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("%w: character map of %d bytes", ErrMalformed, len(b))
	}
	size := int(binary.BigEndian.Uint16(b[6:])) &^ 1 // of each of the four arrays
	if len(b) < 16+4*size {
		return nil, fmt.Errorf("%w: character map of %d segments in %d bytes", ErrMalformed, size/2, len(b))
	}
	ends, starts, deltas, offsets := b[14:], b[16+size:], b[16+2*size:], b[16+3*size:]
	var m charmap
	next := 0
	for i := 0; i < size; i += 2 {
		start, end := int(binary.BigEndian.Uint16(starts[i:])), int(binary.BigEndian.Uint16(ends[i:]))
		if start < next || end < start {
			return nil, fmt.Errorf("%w: character map: segment U+%04X..U+%04X", ErrMalformed, start, end)
		}
		next = end + 1
		delta, offset := int(binary.BigEndian.Uint16(deltas[i:])), int(binary.BigEndian.Uint16(offsets[i:]))
		for c := start; c <= end && c != 0xFFFF; c++ {
			glyph := c
			if offset != 0 {
				at := i + offset + 2*(c-start) // from the offset's own place
				if at+2 > len(offsets) {
					return nil, fmt.Errorf("%w: character map: U+%04X has no glyph", ErrMalformed, c)
				}
				if glyph = int(binary.BigEndian.Uint16(offsets[at:])); glyph == 0 {
					continue
				}
			}
			m = m.add(rune(c), (glyph+delta)&0xFFFF, glyphs) //nolint:gosec // first plane
		}
	}
	return m, nil
}

// readFormat6 reads one dense range of the first plane.
func readFormat6(b []byte, glyphs int) (charmap, error) {
	if len(b) < 10 {
		return nil, fmt.Errorf("%w: character map of %d bytes", ErrMalformed, len(b))
	}
	first, count := int(binary.BigEndian.Uint16(b[6:])), int(binary.BigEndian.Uint16(b[8:]))
	if len(b) < 10+2*count || first+count > 0x10000 {
		return nil, fmt.Errorf("%w: character map of %d characters in %d bytes", ErrMalformed, count, len(b))
	}
	var m charmap
	for i := range count {
		m = m.add(rune(first+i), int(binary.BigEndian.Uint16(b[10+2*i:])), glyphs) //nolint:gosec // first plane
	}
	return m, nil
}
