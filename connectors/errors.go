package connectors

import (
	"errors"
	"fmt"
)

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
	// ErrUnknownSource is a name that no definition has.
	ErrUnknownSource = errors.New("connectors: unknown source")
	// ErrFixed is a definition from the configuration's file, which the API does not change.
	ErrFixed = errors.New("connectors: defined in the configuration file")
	// ErrNothingOffered means that no columns wait to be accepted.
	ErrNothingOffered = errors.New("connectors: no columns wait to be accepted")
	// ErrInvalid is a request that breaks a rule of its own form.
	ErrInvalid = errors.New("connectors: invalid request")
	// ErrForbidden is a caller who may not act for the department of a source.
	ErrForbidden = errors.New("connectors: not allowed")
)

// invalidf wraps [ErrInvalid].
func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
