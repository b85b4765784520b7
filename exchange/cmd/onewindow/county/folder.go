package county

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// writeFile replaces a file as a whole: a reader sees the old one or the new one.
func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return fmt.Errorf("county: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("county: %w", err)
	}
	return nil
}

// settings are what a folder keeps across restarts beside its rows.
type settings struct {
	// Owner is the password of the database's owner, Reader that of the hub's account.
	Owner  string `json:"owner"`
	Reader string `json:"reader"`
	// Token is the bearer token of the HTTP interface.
	Token string `json:"token"`
	// Ports that were used last; the hub's positions belong to addresses.
	MarketPort int `json:"market_port"`
	CivilPort  int `json:"civil_port"`
}

const settingsFile = "settings.json"

// readSettings reads the settings of dir, or makes new ones with random secrets.
func readSettings(dir string) (settings, error) {
	var s settings
	text, err := os.ReadFile(filepath.Join(dir, settingsFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s = settings{Owner: secret(), Reader: secret(), Token: secret()}
		return s, s.save(dir)
	case err != nil:
		return s, fmt.Errorf("county: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("county: %s is damaged; remove the folder %s to begin again: %w", settingsFile, dir, err)
	}
	return s, nil
}

func (s settings) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("county: %w", err)
	}
	return writeFile(filepath.Join(dir, settingsFile), text)
}

func secret() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// listen opens the port that was used last, or another if that is taken.
func listen(port int) (net.Listener, int, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // a local port answers at once
	if err != nil && port != 0 {
		return listen(0)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("county: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, 0, errors.Join(fmt.Errorf("county: %s is not a TCP address", listener.Addr()), listener.Close())
	}
	return listener, address.Port, nil
}

// edition is raised when the same seed gives other rows, so that older folders are built again.
const edition = 1

// mark is written last by whatever loads a system.
func (c *County) mark() string { return fmt.Sprintf("edition %d scale %d", edition, c.options.Scale) }

// marked says whether a folder of files was loaded completely by this edition.
func (c *County) marked(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "loaded"))
	return err == nil && string(text) == c.mark()
}

// rebuild empties a folder of files, has it filled and marks it.
func (c *County) rebuild(dir string, fill func() error) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("county: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("county: %w", err)
	}
	if err := fill(); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "loaded"), []byte(c.mark()))
}

// sourcesOf lists the sources of a system.
func (c *County) sourcesOf(system string) []*source {
	var list []*source
	for _, s := range c.sources {
		if s.system == system {
			list = append(list, s)
		}
	}
	return list
}
