package analytics

import "errors"

var (
	// ErrUnavailable means that ClickHouse does not answer, or that its tables cannot be made.
	ErrUnavailable = errors.New("analytics: ClickHouse unavailable")
	// ErrInvalid means that a question makes no sense as it was put; nothing was asked.
	ErrInvalid = errors.New("analytics: invalid argument")
	// ErrConflict means that another sink works on the same partition with the same state database.
	ErrConflict = errors.New("analytics: another sink is at work")
	// ErrLogChanged means that the log no longer holds what an open intent was made from.
	ErrLogChanged = errors.New("analytics: log changed")
	// ErrInconsistent means that ClickHouse holds a part of what one insert should have stored.
	ErrInconsistent = errors.New("analytics: stored rows are inconsistent")
)
