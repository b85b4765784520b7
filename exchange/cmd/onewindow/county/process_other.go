//go:build !linux

package county

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// account is the user that this process runs as: changing to another, and
// ending children together with this process, is done on Linux only.
type account struct{ name string }

func databaseAccount() (a account, ok bool) { return account{}, os.Geteuid() != 0 }

func (account) apply(*exec.Cmd) {}

func (account) own(string) error { return nil }

func (account) owns(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func (account) reaches(string) bool { return true }

// lockFolder opens the lock file; without flock it keeps nobody out.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("county: lock %s: %w", dir, err)
	}
	return file, nil
}
