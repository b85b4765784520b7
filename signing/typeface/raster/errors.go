package raster

import "errors"

// ErrLimit reports a path of too many pieces.
var ErrLimit = errors.New("raster: path too long")
