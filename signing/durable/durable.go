// Package durable writes files that survive a crash: whole or absent, and on
// disk when the call returns.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrBusy reports a folder that another process holds.
var ErrBusy = errors.New("durable: folder is in use")

// WriteFile puts data, mode 0600, at dir/name, replacing what was there. After
// a crash the file holds the old bytes or the new ones, never a part; when
// WriteFile returns nil the new ones are on disk.
func WriteFile(dir, name string, data []byte) (err error) {
	tmp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return SyncDir(dir)
}

// Remove deletes dir/name durably. A file that is not there is no error.
func Remove(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return SyncDir(dir)
}

// MakeDir creates dir, mode 0700, and its parents if they are absent. Its own
// name is on disk when it returns nil.
func MakeDir(dir string) error {
	switch _, err := os.Stat(dir); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
