package county

import "errors"

// The errors of this package.
var (
	// ErrNotReady is returned by [Load] while the county of a folder does not serve.
	ErrNotReady = errors.New("county: not ready")
	// ErrBusy is returned by [County.Serve] when another process serves the folder.
	ErrBusy = errors.New("county: folder in use")
	// ErrDatabase means that the market regulation's database could not be set up, started or kept running.
	ErrDatabase = errors.New("county: database of market regulation")
)
