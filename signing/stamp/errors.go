package stamp

import "errors"

// ErrSpec reports a seal that cannot be drawn as asked for.
var ErrSpec = errors.New("stamp: seal cannot be drawn")
