//go:build !unix

package durable

import (
	"errors"
	"os"
)

// Lock refuses: without a lock that ends with its process, two processes could
// overwrite each other's files.
func Lock(string) (*os.File, error) {
	return nil, errors.New("durable: needs a Unix system")
}
