package county

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is a user of the operating system; the zero value is the one that
// this process runs as.
type account struct {
	name     string
	uid, gid uint32
	other    bool
}

// databaseAccount is the account for PostgreSQL, which refuses to run as root:
// postgres or nobody then, otherwise our own. ok is false if there is none.
func databaseAccount() (a account, ok bool) {
	if os.Geteuid() != 0 {
		return account{}, true
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if uerr == nil && gerr == nil {
			return account{name: name, uid: uint32(uid), gid: uint32(gid), other: true}, true
		}
	}
	return account{}, false
}

// apply makes a command run as the account, out of reach of the terminal's
// signals, and end when the thread that started it ends: with this process.
func (a account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

// own gives a file or folder to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// owns says whether path is a folder, not a link to one, of the account.
func (a account) owns(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	uid := uint32(os.Geteuid()) //nolint:gosec // user ids fit
	if a.other {
		uid = a.uid
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uid
}

// reaches says whether the account may enter every folder on the way to path.
func (a account) reaches(path string) bool {
	if !a.other {
		return true
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		needed := os.FileMode(0o001)
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == a.uid {
			needed = 0o100
		} else if ok && stat.Gid == a.gid {
			needed = 0o010
		}
		if info.Mode()&needed == 0 {
			return false
		}
		parent := filepath.Dir(path)
		if parent == path {
			return true
		}
		path = parent
	}
}

// lockFolder keeps other processes from serving dir until the file is closed
// or this process ends.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("county: lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s is served by another process; stop that one or name another folder", ErrBusy, dir), file.Close())
	}
	return file, nil
}
