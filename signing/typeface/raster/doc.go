// Package raster turns paths into pixels: Fill says how much of each pixel a
// shape covers, Stroke turns a line into the shape that a pen leaves.
//
// Coordinates are pixels, x to the right, y down; pixel (0, 0) covers the
// square from (0, 0) to (1, 1). Coverage is the exact area, so that two shapes
// that share an edge leave no seam.
//
// Bounds: Fill works in bands of rows and needs a few megabytes whatever the
// size of the picture; its time grows with the area of the shape inside the
// given bounds and with its number of lines, and it says how much that was.
// Coordinates that are no numbers, or lie unreasonably far away, are moved to
// the rim. Stroke refuses lines of too many pieces with ErrLimit. Nothing
// panics, whatever the path.
package raster
