// Package render paints the pages of OFD files (GB/T 33190-2016): as SVG for a
// browser, as PNG for everything else. It lets a window clerk see what was
// signed without an OFD reader.
//
// Text is drawn with the fonts embedded in the file; where there is none, or
// it cannot be read, with the face given. All text becomes outlines: the
// result needs no fonts and loads nothing. Seal pictures come from the
// signatures (GB/T 38540) and go over the page like ink, so that print below
// them stays readable.
//
// Painting verifies nothing. Show a picture together with the report of
// ofd.Verify, or leave the seals out.
//
// Invariants:
//   - Files are foreign: pixels, outlines, pictures and the work done are
//     bounded, and a file beyond a bound is ErrLimit.
//   - Nothing of the file but numbers and decoded pictures gets into the SVG:
//     no text, no links, no scripts.
//   - The same page gives the same bytes.
//
// Nothing is left out in silence: notes (ofd.Note) name what is not painted as
// its maker meant it, with the object. Pictures of JBIG2, TIFF and JPEG 2000 are
// not drawn; gradients and patterns are drawn in their first colour; the opacity
// of a group applies to each of its objects.
//
// As with the common readers, the boundary of an object places it and does not
// cut it off: many files have boundaries that are too tight. A seal that is an
// OFD file is painted at 300 dots per inch.
package render
