package connectors

import "errors"

// The errors of this package. The first four are the protocol between a
// [Source] and the [Runner].
var (
	// ErrCaughtUp is returned by Read when there is nothing new now; the source stays open.
	ErrCaughtUp = errors.New("connectors: caught up")
	// ErrNotConnected means that the source does not answer, or not completely; it may by itself later.
	ErrNotConnected = errors.New("connectors: source does not answer")
	// ErrRefused means that the source answers, but not as its definition says; somebody must act.
	ErrRefused = errors.New("connectors: source and definition disagree")
	// ErrPosition means that the saved position is not one of this source.
	ErrPosition = errors.New("connectors: position of another source")
	// ErrDefinition is wrapped by [ParseDefinitions].
	ErrDefinition = errors.New("connectors: invalid definition")
	// ErrConflict means that another process saved a position of the same source.
	ErrConflict = errors.New("connectors: source is read by two processes")
)
