package files

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/onewindow/onewindow/connectors"
)

const (
	dialWait = 15 * time.Second
	// answerWait is how long one answer of the server may take, if the definition does not say.
	answerWait = 30 * time.Second
	maxSecret  = 64 << 10
)

// remote is a folder behind SFTP: one connection, which is closed when an
// answer takes too long.
type remote struct {
	dir    string
	wait   time.Duration
	conn   net.Conn
	ssh    *ssh.Client
	client *sftp.Client
}

// dialSFTP connects and goes no further than to a server with the pinned key.
func dialSFTP(ctx context.Context, cfg *connectors.Files, wait time.Duration) (folder, error) {
	if wait <= 0 {
		wait = answerWait
	}
	config, pinned, err := sshConfig(cfg.SFTP)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: dialWait}).DialContext(ctx, "tcp", cfg.SFTP.Address)
	if err != nil {
		return nil, connectors.Away(connectors.FaultUnreachable, err, "the SFTP server %s cannot be reached", cfg.SFTP.Address)
	}
	r := &remote{dir: cfg.Dir, wait: wait, conn: conn}
	defer r.during(ctx)()
	err = r.limited(func() error {
		c, channels, requests, err := ssh.NewClientConn(conn, cfg.SFTP.Address, config)
		if err != nil {
			return err
		}
		r.ssh = ssh.NewClient(c, channels, requests)
		r.client, err = sftp.NewClient(r.ssh)
		return err
	})
	if err != nil {
		_ = r.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fault := handshakeFault(cfg.SFTP, pinned, err)
		if connectors.CodeOf(fault) == connectors.FaultUnreachable {
			fault = connectors.Mistaken(ctx, fault, cfg.SFTP.Address, connectors.AnswersSSH, "sftp.address")
		}
		return nil, fault
	}
	return r, nil
}

// wrongKeyError is a server with another key than the pinned one.
type wrongKeyError struct{ got string }

func (e *wrongKeyError) Error() string { return "its key has the fingerprint " + e.got }

func handshakeFault(cfg *connectors.SFTP, pinned []ssh.PublicKey, err error) error {
	var wrong *wrongKeyError
	switch {
	case errors.As(err, &wrong):
		fingerprints := make([]string, len(pinned))
		for i, key := range pinned {
			fingerprints[i] = ssh.FingerprintSHA256(key)
		}
		return connectors.Refused(connectors.FaultCredentials, nil, "the SFTP server %s has a key with the fingerprint %s, but host_key_file has %s; "+
			"somebody may stand between, or the server got a new key: ask its administrator before you change the file",
			cfg.Address, wrong.got, strings.Join(fingerprints, " and "))
	case strings.Contains(err.Error(), "unable to authenticate"): // the library has no error value for it
		return connectors.Refused(connectors.FaultCredentials, nil, "the SFTP server %s does not let the user %q in; check the user, and the key or the password", cfg.Address, cfg.User)
	case strings.Contains(err.Error(), "subsystem request failed"):
		return connectors.Refused(connectors.FaultRight, err, "the server %s lets the user %q in, but offers no SFTP", cfg.Address, cfg.User)
	}
	return connectors.Away(connectors.FaultUnreachable, err, "the SFTP server %s does not answer as it should", cfg.Address)
}

func sshConfig(cfg *connectors.SFTP) (config *ssh.ClientConfig, pinned []ssh.PublicKey, err error) {
	pinned, err = hostKeys(cfg.HostKeyFile)
	if err != nil {
		return nil, nil, err
	}
	config = &ssh.ClientConfig{
		User: cfg.User, HostKeyAlgorithms: algorithms(pinned),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if slices.ContainsFunc(pinned, func(p ssh.PublicKey) bool { return bytes.Equal(p.Marshal(), key.Marshal()) }) {
				return nil
			}
			return &wrongKeyError{got: ssh.FingerprintSHA256(key)}
		},
	}
	if cfg.KeyFile != "" {
		text, err := secret(cfg.KeyFile)
		if err != nil {
			return nil, nil, err
		}
		signer, err := ssh.ParsePrivateKey(text)
		var locked *ssh.PassphraseMissingError
		switch {
		case errors.As(err, &locked):
			return nil, nil, connectors.Refused(connectors.FaultSecret, nil, "the key in %q has a passphrase; give a key without one, in a file that only this program may read", cfg.KeyFile)
		case err != nil:
			return nil, nil, connectors.Refused(connectors.FaultSecret, nil, "%q holds no private key as ssh-keygen writes it", cfg.KeyFile)
		}
		config.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
		return config, pinned, nil
	}
	text, err := secret(cfg.PasswordFile)
	if err != nil {
		return nil, nil, err
	}
	password := strings.TrimRight(string(text), "\r\n")
	config.Auth = []ssh.AuthMethod{ssh.Password(password), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range answers {
			answers[i] = password
		}
		return answers, nil
	})}
	return config, pinned, nil
}

// algorithms puts those of the pinned keys first, so that a server with several keys shows the pinned one.
func algorithms(pinned []ssh.PublicKey) []string {
	var first []string
	for _, key := range pinned {
		if key.Type() == ssh.KeyAlgoRSA {
			first = append(first, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		first = append(first, key.Type())
	}
	for _, other := range ssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(first, other) {
			first = append(first, other)
		}
	}
	return first
}

// hostKeys reads lines of a known_hosts file, as ssh-keyscan writes them, or of a .pub file.
func hostKeys(name string) ([]ssh.PublicKey, error) {
	text, err := secret(name)
	if err != nil {
		return nil, err
	}
	var keys []ssh.PublicKey
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == '@' {
			continue
		}
		if key, _, _, _, err := ssh.ParseAuthorizedKey(line); err == nil {
			keys = append(keys, key)
			continue
		}
		if _, _, key, _, _, err := ssh.ParseKnownHosts(line); err == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, connectors.Refused(connectors.FaultSecret, nil, "%q holds no public key of the server; ssh-keyscan writes it", name)
	}
	return keys, nil
}

func secret(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxSecret {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	if err != nil {
		return nil, connectors.Refused(connectors.FaultSecret, err, "the file %q cannot be read", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, connectors.Refused(connectors.FaultSecret, err, "the file %q cannot be read", name)
	}
	return text, nil
}

// limited closes the connection if op takes longer than one answer may.
func (r *remote) limited(op func() error) error {
	timer := time.AfterFunc(r.wait, func() { _ = r.conn.Close() })
	err := op()
	if !timer.Stop() {
		return fmt.Errorf("no answer within %s: %w", r.wait, errors.Join(os.ErrDeadlineExceeded, err))
	}
	return err
}

func (r *remote) list(dir string) (infos []fs.FileInfo, err error) {
	err = r.limited(func() error {
		infos, err = r.client.ReadDir(path.Join(r.dir, dir))
		return err
	})
	return infos, err
}

func (r *remote) stat(name string) (info fs.FileInfo, err error) {
	err = r.limited(func() error {
		info, err = r.client.Lstat(path.Join(r.dir, name))
		return err
	})
	return info, err
}

func (r *remote) open(name string) (file, error) {
	opened := &remoteFile{remote: r}
	err := r.limited(func() (err error) {
		if opened.file, err = r.client.Open(path.Join(r.dir, name)); err != nil {
			return err
		}
		info, err := opened.file.Stat()
		if err = cmp.Or(err, plain(info)); err != nil {
			return errors.Join(err, opened.file.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func (r *remote) rename(from, to string) error {
	return r.limited(func() error {
		from, to := path.Join(r.dir, from), path.Join(r.dir, to)
		if err := r.client.MkdirAll(path.Dir(to)); err != nil {
			return noFolder(path.Dir(to), err)
		}
		if _, err := r.client.Lstat(to); err == nil { // some servers would replace it
			return fmt.Errorf("%q: %w", to, fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return r.client.Rename(from, to)
	})
}

func (r *remote) during(ctx context.Context) func() {
	stop := context.AfterFunc(ctx, func() { _ = r.conn.Close() })
	return func() { stop() }
}

// Close closes the connection first, since a dead one would not take a farewell.
func (r *remote) Close() error {
	_ = r.conn.Close()
	if r.client != nil {
		_ = r.client.Close()
	}
	if r.ssh != nil {
		_ = r.ssh.Close()
	}
	return nil
}

// remoteFile is a file of a remote folder, read in ranges.
type remoteFile struct {
	remote *remote
	file   *sftp.File
}

func (f *remoteFile) ReadAt(b []byte, offset int64) (n int, err error) {
	err = f.remote.limited(func() error {
		n, err = f.file.ReadAt(b, offset)
		return err
	})
	return n, err
}

// Close gives the handle back; there is nothing to lose if the server does not hear it.
func (f *remoteFile) Close() error {
	_ = f.remote.limited(f.file.Close)
	return nil
}
