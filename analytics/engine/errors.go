package engine

import "errors"

var (
	// ErrLibraryMissing means that libchdb was not found or cannot be loaded.
	ErrLibraryMissing = errors.New("engine: libchdb is missing")
	// ErrInUse means that another engine, in this process or another, has the data folder open.
	ErrInUse = errors.New("engine: data folder is in use")
	// ErrOpen means that libchdb refused the folder or its configuration.
	ErrOpen = errors.New("engine: libchdb did not open")
	// ErrClosed means that the engine was closed.
	ErrClosed = errors.New("engine: closed")
)
