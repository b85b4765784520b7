package render

import "errors"

var (
	// ErrLimit reports a page that is too large or too intricate to paint.
	ErrLimit = errors.New("render: page too large")
	// ErrOptions reports a resolution or face that nothing can be painted with.
	ErrOptions = errors.New("render: unusable options")
)
