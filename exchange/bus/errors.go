package bus

import (
	"errors"
	"fmt"
)

var (
	// ErrInUse says that another process (or another Bus) holds the folder of the embedded log.
	ErrInUse = errors.New("bus: folder in use")
	// ErrFull says that the embedded log reached its cap; nothing was written, try again later.
	ErrFull = errors.New("bus: log full")
	// ErrTooLarge says that a message is over the size limit; nothing was written.
	ErrTooLarge = errors.New("bus: message too large")
	// ErrOffsetOutOfRange says that the log does not hold the offset asked for.
	ErrOffsetOutOfRange = errors.New("bus: offset out of range")
	// ErrGap says that records between two offsets are missing from the log.
	ErrGap = errors.New("bus: records missing")
	// ErrUnknownTopic says that the topic or the partition does not exist.
	ErrUnknownTopic = errors.New("bus: unknown topic or partition")
	// ErrUnknown says that a message may or may not have been written.
	ErrUnknown = errors.New("bus: outcome unknown")
	// ErrClosed says that the Bus was closed.
	ErrClosed = errors.New("bus: closed")
)

// GapError carries the offsets that are missing. It matches ErrGap.
type GapError struct {
	Topic     string
	Partition int
	From      int64 // first missing offset
	To        int64 // first offset that is there again
}

// Error says where the gap is and what it means.
func (e *GapError) Error() string {
	return fmt.Sprintf("bus: records missing: %s/%d from offset %d up to, not including, %d; the log was cut, or compacted; read on from %d only after their source was read again",
		e.Topic, e.Partition, e.From, e.To, e.To)
}

// Is matches ErrGap.
func (e *GapError) Is(target error) bool { return target == ErrGap }

// PublishError says what became of each message of one Publish call.
type PublishError struct {
	// Errs has one entry per message: nil if it is stored; an error that matches
	// ErrUnknown if it may be stored; any other error if it is not.
	Errs []error
}

// Error counts the messages that failed and quotes the first reason.
func (e *PublishError) Error() string {
	var failed, unknown int
	var first error
	for _, err := range e.Errs {
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		failed++
		if errors.Is(err, ErrUnknown) {
			unknown++
		}
	}
	return fmt.Sprintf("bus: %d of %d messages not confirmed, %d of them with unknown outcome; first: %v", failed, len(e.Errs), unknown, first)
}

// Unwrap gives the distinct reasons, for errors.Is and errors.As.
func (e *PublishError) Unwrap() []error {
	var out []error
	var last error
	for _, err := range e.Errs {
		if err != nil && err != last { //nolint:errorlint // identity: messages of one batch share one error value
			out = append(out, err)
			last = err
		}
	}
	return out
}
