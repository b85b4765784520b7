package typeface

import "errors"

var (
	// ErrFontMissing reports that no font file was found.
	ErrFontMissing = errors.New("typeface: font file not found")
	// ErrMalformed reports a font that breaks its own format.
	ErrMalformed = errors.New("typeface: malformed font")
	// ErrUnsupported reports a font, or a glyph, of a kind that is not read:
	// PostScript outlines, collections, compressed fonts, glyphs placed by
	// matching points.
	ErrUnsupported = errors.New("typeface: unsupported font")
	// ErrLimit reports a font or glyph beyond the limits of this package.
	ErrLimit = errors.New("typeface: font too large")
	// ErrMissingGlyph reports a character that the font cannot show.
	ErrMissingGlyph = errors.New("typeface: no glyph for the character")
)
