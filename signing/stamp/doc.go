// Package stamp draws the picture of a round official seal (公章): a ring, the
// owner's name along the upper arc, a star, and where wanted a line such as
// 行政审批专用章 below the star and the seal's 13-digit number along the lower
// arc. Sizes follow the State Council's rules for seals (国发〔1999〕25号) and
// the practice of seal makers.
//
// The picture holds outlines only, no fonts: it looks the same everywhere. It
// comes twice, as SVG for pages and print, and as PNG, red on a transparent
// ground, for the seal itself (GB/T 38540, esPicture).
//
// Invariants: the same seal drawn with the same face has the same bytes;
// nothing is drawn outside the ring. Characters get narrower and smaller as
// names get longer, as on engraved seals.
//
// Failure: a seal that cannot be drawn is ErrSpec, saying which field and why;
// a character that the face does not have is typeface.ErrMissingGlyph.
package stamp
