package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/onewindow/onewindow/connectors"
)

// folder is where the files lie: on this machine or behind SFTP. Names are
// relative to it, with "/" between levels. Nothing is retried; errors that are
// fs.ErrNotExist, fs.ErrPermission and fs.ErrExist can be told apart, all
// others mean that the folder cannot be reached. It is used by one goroutine.
type folder interface {
	// list returns what lies in dir, "." or a name, without following links.
	list(dir string) ([]fs.FileInfo, error)
	// stat says how a file looks now, without following a link.
	stat(name string) (fs.FileInfo, error)
	// open opens a file for reading; it stays readable when it is renamed.
	open(name string) (file, error)
	// rename moves a file to a name that does not exist yet (else fs.ErrExist)
	// and makes the folder of that name if there is none. It is done or not
	// done, never half, once it returned.
	rename(from, to string) error
	// during ends what is under way, and the connection, if ctx ends before release is called.
	during(ctx context.Context) (release func())
	// Close frees the connection; the files are closed by their users.
	Close() error
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.Closer
}

// local is a folder of this machine. It is opened anew for each use, because a
// share that was mounted again is another folder under the same name.
type local struct{ dir string }

func (l local) list(dir string) ([]fs.FileInfo, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (l local) stat(name string) (fs.FileInfo, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.Lstat(name)
}

func (l local) open(name string) (file, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	// A pipe in the place of the file would be waited for.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err = cmp.Or(err, plain(info)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// plain is an error if something is not a file with bytes of its own.
func plain(info fs.FileInfo) error {
	if info != nil && !info.Mode().IsRegular() {
		return fmt.Errorf("it is not a plain file (%s)", info.Mode().Type())
	}
	return nil
}

func (l local) rename(from, to string) error {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if dir := path.Dir(to); dir != "." {
		if err := root.MkdirAll(dir, 0o750); err != nil {
			return noFolder(dir, err)
		}
	}
	if _, err := root.Lstat(to); err == nil { // os.Rename would replace it
		return fmt.Errorf("%q: %w", to, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.Rename(from, to)
}

// noFolder keeps a file in the place of a folder from being taken for a file whose name is taken.
func noFolder(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%q cannot be made a folder: %v", dir, err) //nolint:errorlint // it must not be fs.ErrExist
}

func (local) during(context.Context) func() { return func() {} }
func (local) Close() error                  { return nil }

// connect opens the folder of the definition and sees that it is there.
func (s *source) connect(ctx context.Context) (folder, error) {
	if s.def.Files.SFTP == nil {
		return local{dir: s.def.Files.Dir}, nil
	}
	return dialSFTP(ctx, s.def.Files, s.def.Limits.QueryTime)
}

// folderFault says what is wrong with the folder.
func (s *source) folderFault(err error) error {
	name := s.def.Files.DirName
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return connectors.Away(connectors.FaultTable, err, "there is no folder %q; is the share mounted?", name)
	case errors.Is(err, fs.ErrPermission):
		return connectors.Refused(connectors.FaultRight, err, "folder %q may not be read; give the user of this program the right to read it", name)
	}
	return connectors.Away(connectors.FaultUnreachable, err, "folder %q cannot be read", name)
}

// fileFault says what is wrong with reaching a file, as opposed to what is in it.
func fileFault(name string, err error) error {
	var fault *connectors.Fault
	switch {
	case errors.As(err, &fault), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrPermission):
		return connectors.Refused(connectors.FaultRight, err, "file %q may not be read; give the user of this program the right to read it", name)
	}
	return connectors.Away(connectors.FaultUnreachable, err, "file %q cannot be read", name)
}
