// Package ofd reads, writes, seals and verifies OFD files (GB/T 33190-2016): the
// pages that e-licences (GB/T 36905) come on. Open gives access to a file's parts
// and its pages as a small model; LicensePage and Draft.Write make files; Sign
// puts e-seals (GB/T 38540, package ses) and plain digital signatures
// (GB/T 35275) on them; Verify judges these. Package render draws pages.
//
// Invariants:
//   - A file has one reading. Containers whose directory and local records
//     disagree, with gaps, duplicate names or foreign bytes are refused, and so
//     is XML with document types or entities (package xmltree), and a file of
//     several documents or versions. What producers write differently and what
//     has one reading nevertheless is read, see Open.
//   - What a page's model leaves out it names in notes. A missing resource,
//     template or annotation is a note, a missing page an error.
//   - Everything is bounded: sizes, entries, growth by inflating, nesting,
//     objects of a page, the work that templates and composites cause.
//   - A signature made here covers every entry of the file. A signature is valid
//     only if it covers every entry but its own two, those of signatures made
//     after it, and Signatures.xml of a file left open.
//   - Signing changes no byte of the entries that are there, but for OFD.xml, once,
//     and Signatures.xml.
//   - The same draft and font give the same bytes. Fonts are embedded: a page
//     looks the same everywhere, or is refused (typeface.ErrMissingGlyph).
//
// What no verifier of this format can see: in a file left open to more signatures, that the
// last of them was taken away with all its parts. Sign with Close to prevent it.
//
// Failure: errors wrap those of errors.go, ses or typeface. Verify gives an
// error only for what is no OFD file; a file that does not hold is a report with
// the step that failed. There is no state, no clock but the one handed in, no network;
// a Package may be used by many goroutines.
package ofd
