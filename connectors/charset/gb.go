package charset

import (
	"bytes"
	"unicode/utf8"
)

// golang.org/x/text decodes the characters of GB 18030 that every edition
// agrees on. It has none of the two-byte codes that stand for private-use
// characters, takes 0x80 and wrong digits, and follows no edition in nineteen
// four-byte codes. This file makes it GB 18030-2022.

// run is a row of consecutive two-byte codes and the character of the first.
type run struct {
	first, last uint16
	char        rune
}

// runs are two-byte codes outside the user-defined areas. The 2022 edition
// took 18 of them, and the 2005 edition A8BC, from private use to characters of their own.
func runs() []run {
	return []run{
		{0xa2ab, 0xa2b0, 0xe766},
		{0xa2e4, 0xa2e4, 0xe76d},
		{0xa2ef, 0xa2f0, 0xe76e},
		{0xa2fd, 0xa2fe, 0xe770},
		{0xa4f4, 0xa4fe, 0xe772},
		{0xa5f7, 0xa5fe, 0xe77d},
		{0xa6b9, 0xa6c0, 0xe785},
		{0xa6d9, 0xa6d9, 0xfe10},
		{0xa6da, 0xa6da, 0xfe12},
		{0xa6db, 0xa6db, 0xfe11},
		{0xa6dc, 0xa6df, 0xfe13},
		{0xa6ec, 0xa6ed, 0xfe17},
		{0xa6f3, 0xa6f3, 0xfe19},
		{0xa6f6, 0xa6fe, 0xe797},
		{0xa7c2, 0xa7d0, 0xe7a0},
		{0xa7f2, 0xa7fe, 0xe7af},
		{0xa896, 0xa8a0, 0xe7bc},
		{0xa8bc, 0xa8bc, 0x1e3f},
		{0xa8c1, 0xa8c4, 0xe7c9},
		{0xa8ea, 0xa8fe, 0xe7cd},
		{0xa958, 0xa958, 0xe7e2},
		{0xa95b, 0xa95b, 0xe7e3},
		{0xa95d, 0xa95f, 0xe7e4},
		{0xa997, 0xa9a3, 0xe7f4},
		{0xa9f0, 0xa9fe, 0xe801},
		{0xd7fa, 0xd7fe, 0xe810},
		{0xfe51, 0xfe53, 0xe816},
		{0xfe59, 0xfe59, 0x9fb4},
		{0xfe61, 0xfe61, 0x9fb5},
		{0xfe66, 0xfe67, 0x9fb6},
		{0xfe6c, 0xfe6c, 0xe831},
		{0xfe6d, 0xfe6d, 0x9fb8},
		{0xfe76, 0xfe76, 0xe83b},
		{0xfe7e, 0xfe7e, 0x9fb9},
		{0xfe90, 0xfe90, 0x9fba},
		{0xfe91, 0xfe91, 0xe855},
		{0xfea0, 0xfea0, 0x9fbb},
	}
}

// twoBytes returns the character of a two-byte code that x/text does not know, or U+FFFD.
func twoBytes(lead, trail byte) rune {
	row := rune(lead)
	switch {
	case lead >= 0xaa && lead <= 0xaf && trail >= 0xa1 && trail <= 0xfe: // user-defined area 1
		return 0xe000 + (row-0xaa)*94 + rune(trail) - 0xa1
	case lead >= 0xf8 && lead <= 0xfe && trail >= 0xa1 && trail <= 0xfe: // user-defined area 2
		return 0xe234 + (row-0xf8)*94 + rune(trail) - 0xa1
	case lead >= 0xa1 && lead <= 0xa7 && trail >= 0x40 && trail <= 0xa0 && trail != 0x7f: // user-defined area 3
		column := rune(trail) - 0x40
		if trail > 0x7f {
			column--
		}
		return 0xe4c6 + (row-0xa1)*96 + column
	}
	code := uint16(lead)<<8 | uint16(trail)
	for _, r := range runs() {
		if code >= r.first && code <= r.last {
			return r.char + rune(code-r.first)
		}
	}
	return utf8.RuneError
}

// fourBytes returns the character of a four-byte code that x/text decodes
// otherwise: what the two-byte codes gave up has its place there.
func fourBytes(code []byte) (r rune, own bool) {
	const ( // of the linear order of four-byte codes
		vertical = 0x03*12600 + 0x01*1260 + 0x01*10 + 0x06 // 84318236
		parts    = 0x01*12600 + 0x05*1260 + 0x0f*10 + 0x07 // 82359037
		small    = 0x00*12600 + 0x05*1260 + 0x73*10 + 0x07 // 8135F437
	)
	n := int(code[0]-0x81)*12600 + int(code[1]-0x30)*1260 + int(code[2]-0x81)*10 + int(code[3]-0x30)
	switch {
	case n == small:
		return 0xe7c7, true
	case n >= vertical && n < vertical+10:
		return []rune{0xe78d, 0xe78f, 0xe78e, 0xe790, 0xe791, 0xe792, 0xe793, 0xe794, 0xe795, 0xe796}[n-vertical], true //nolint:gosec // within the bounds just checked
	case n >= parts && n < parts+8:
		return []rune{0xe81e, 0xe826, 0xe82b, 0xe82c, 0xe832, 0xe843, 0xe854, 0xe864}[n-parts], true //nolint:gosec // within the bounds just checked
	}
	return 0, false
}

func (c *Decoder) gb() bool { return c.name == GBK || c.name == GB18030 }

// own says whether src holds GB 18030 that x/text would decode to something
// else than the standard says, without saying so.
func (c *Decoder) own(src []byte) bool {
	if bytes.Contains(src, []byte("\xa3\xa0")) && c.gb() {
		return true // a user-defined character (U+E5E5) that x/text takes for a space
	}
	if c.name != GB18030 {
		return false
	}
	for i := 0; i < len(src); {
		size, valid := c.size(src[i:])
		if !valid {
			return true
		}
		if size == 4 {
			if _, own := fourBytes(src[i:]); own {
				return true
			}
		}
		i += size
	}
	return false
}

// size returns the length of the first code in src and whether it is
// built as one; of an invalid one, how many bytes it is taken to have: a byte
// below 0x40 may be a delimiter and is never part of it.
func (c *Decoder) size(src []byte) (n int, valid bool) {
	lead := src[0]
	switch {
	case lead < 0x80:
		return 1, true
	case lead == 0x80:
		return 1, c.name == GBK // the euro sign of code page 936
	case lead == 0xff || len(src) < 2:
		return 1, false
	}
	digit := func(b byte) bool { return b >= '0' && b <= '9' }
	switch second := src[1]; {
	case second >= 0x40 && second != 0x7f && second != 0xff:
		return 2, true
	case c.name == GB18030 && digit(second) && len(src) >= 4 && src[2] >= 0x81 && src[2] <= 0xfe && digit(src[3]):
		return 4, true
	}
	return 1, false
}

// characters decodes src one code after the other.
func (c *Decoder) characters(dst, src []byte) []byte {
	for len(src) > 0 {
		n, valid := c.size(src)
		code := src[:n]
		src = src[n:]
		switch {
		case !valid:
			dst = append(dst, lost...)
			continue
		case n == 1 && code[0] < 0x80:
			dst = append(dst, code[0])
			continue
		case n == 4:
			if r, own := fourBytes(code); own {
				dst = utf8.AppendRune(dst, r)
				continue
			}
		}
		start := len(dst)
		dst = c.transform(dst, code)
		if n == 2 && (string(dst[start:]) == lost || string(code) == "\xa3\xa0") {
			dst = utf8.AppendRune(dst[:start], twoBytes(code[0], code[1]))
		}
	}
	return dst
}
