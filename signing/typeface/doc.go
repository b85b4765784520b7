// Package typeface reads TrueType fonts: it measures text, gives the outlines
// of glyphs and cuts out the few glyphs that a document needs. Licence pages
// embed such a subset, and seal pictures are drawn from outlines, so that both
// look the same wherever they are opened, with no font installed.
//
// Two kinds of font come here: the one that Load opens (Noto Serif SC, which
// `npm ci` puts beside this file; see Find) and fonts embedded in documents of
// other people, which Parse reads as hostile bytes.
//
// Invariants:
//   - Lengths are in em, the size of the font: multiply by the size in
//     millimetres. Glyph coordinates have their origin on the baseline, y up.
//   - Reading is bounded: every offset is checked, a character map or an
//     outline that is larger than a font can sensibly be is refused, and
//     composite glyphs have a budget for all their parts together.
//   - A Face never changes after Parse. All methods may run concurrently.
//   - The same characters give the same subset, byte for byte.
//
// Failure: a font that is not TrueType (PostScript outlines, collections,
// WOFF) is ErrUnsupported, a damaged one ErrMalformed. Nothing panics and
// nothing is read past a table's end. A character without a glyph is
// ErrMissingGlyph with its name: a licence with a box in place of a citizen's
// rare character must not be made.
package typeface
