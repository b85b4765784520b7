//go:build !unix

package bus

import (
	"errors"
	"os"
)

// lockFolder refuses: without a lock that ends with the process, two processes could destroy one log.
func lockFolder(string) (*os.File, error) {
	return nil, errors.New("bus: the embedded broker needs a Unix system; use kafka:// here")
}
