package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/signing/durable"
	"github.com/onewindow/onewindow/signing/keys"
)

// The stores of an installation, in the order in which they are opened.
const (
	storeEngine  = "engine"
	storeState   = "state"
	storeTopics  = "topics"
	storeSigning = "signing"
)

// installationFile is the name of the file, in the data folder and in the
// folder of each embedded store, that says what belongs together.
const installationFile = "installation.json"

// errLost reports a store that was there and is gone, or is another's.
var errLost = errors.New("the data of this installation is not complete")

// installation is what belongs together: the stores of one hub. Each store has
// the id, so that a store that is gone, emptied or taken from another
// installation is noticed at the start instead of being made again, empty,
// beside others that are full.
type installation struct {
	ID string `json:"id"`
	// Stores must be there: they were made, and everything that they need with them.
	Stores []string `json:"stores"`

	file    string
	changed bool
}

// openInstallation reads what must be there, and looks for it, before anything
// is opened, since opening would make it again.
func (h *hub) openInstallation() error {
	in := &installation{file: filepath.Join(h.cfg.Data, installationFile)}
	h.installation = in
	text, err := os.ReadFile(in.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return in.begin(h.cfg)
	case err != nil:
		return err
	}
	if err := json.Unmarshal(text, in); err != nil || in.ID == "" {
		return fmt.Errorf("%w: %s is damaged: restore it from a backup", errLost, in.file)
	}
	for _, store := range h.cfg.embeddedStores() {
		if slices.Contains(in.Stores, store) && !h.cfg.present(store) {
			return h.cfg.lost(store)
		}
	}
	return h.cfg.checkPassphrase()
}

// begin makes the id of a new installation, or of one that is older than ids.
// In the second case every store must be there or none.
func (in *installation) begin(cfg Config) error {
	var missing []string
	expected := cfg.embeddedStores()
	for _, store := range expected {
		if !cfg.present(store) {
			missing = append(missing, store)
		}
	}
	if len(missing) > 0 && len(missing) < len(expected) {
		return cfg.lost(missing[0])
	}
	if err := cfg.checkPassphrase(); err != nil {
		return err
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails: crypto/rand aborts instead
	in.ID = hex.EncodeToString(random)
	return in.write()
}

func (in *installation) write() error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Dir(in.file), installationFile, append(text, '\n'))
}

// established notes that a store is made, so that it must be there from now on.
func (in *installation) established(store string) {
	if !slices.Contains(in.Stores, store) {
		in.Stores, in.changed = append(in.Stores, store), true
	}
}

// finish writes what was established. A kill before it leaves stores that are
// there and need not be, which the next start finishes.
func (in *installation) finish() error {
	if !in.changed {
		return nil
	}
	slices.Sort(in.Stores)
	in.changed = false
	return in.write()
}

// identifyState makes sure that the state database is this installation's. The
// first process of several that share a database gives it the id, the others
// take theirs from it.
func (h *hub) identifyState(ctx context.Context) error {
	in := h.installation
	id, err := h.db.Installation(ctx)
	if err != nil {
		return err
	}
	must := slices.Contains(in.Stores, storeState)
	switch {
	case must && id == "":
		return fmt.Errorf("%w: the state database is empty: %s", errLost, h.cfg.remedy(storeState))
	case must && id != in.ID:
		return fmt.Errorf("%w: the state database is another installation's (%s, not %s): set database to this installation's, or data to the other's folder", errLost, id, in.ID)
	}
	if id, err = h.db.Join(ctx, in.ID); err != nil {
		return err
	}
	if id != in.ID {
		in.ID, in.changed = id, true
	}
	in.established(storeState)
	return nil
}

// identifyEngine makes sure that ClickHouse is this installation's, and is not
// empty while the state database says what it has.
func (h *hub) identifyEngine(ctx context.Context) error {
	in := h.installation
	id, err := h.store.Installation(ctx)
	if err != nil {
		return err
	}
	hollow, err := h.store.Hollow(ctx)
	if err != nil {
		return err
	}
	switch {
	case hollow || id == "" && slices.Contains(in.Stores, storeEngine):
		return fmt.Errorf("%w: ClickHouse is empty, and the state database says that rows are stored in it: %s", errLost, h.cfg.remedy(storeEngine))
	case id == "":
		if err := h.store.Join(ctx, in.ID); err != nil {
			return err
		}
	case id != in.ID:
		return fmt.Errorf("%w: ClickHouse has the data of another installation (%s, not %s): set clickhouse and data to what belongs together", errLost, id, in.ID)
	}
	in.established(storeEngine)
	return nil
}

// identifyFolder makes sure that the folder of an embedded store is this
// installation's.
func (h *hub) identifyFolder(store string) error {
	in := h.installation
	dir := h.cfg.storePath(store)
	text, err := os.ReadFile(filepath.Join(dir, installationFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := durable.WriteFile(dir, installationFile, []byte(in.ID+"\n")); err != nil {
			return err
		}
	case err != nil:
		return err
	case strings.TrimSpace(string(text)) != in.ID:
		return fmt.Errorf("%w: %s is another installation's: put back the folder that belongs to %s", errLost, dir, in.file)
	}
	in.established(store)
	return nil
}

// embeddedStores are the stores that this process keeps in its data folder.
func (c Config) embeddedStores() []string {
	engineOnly, signingOnly := len(c.Roles) == 1 && c.has(roleEngine), len(c.Roles) == 1 && c.has(roleSigning)
	var stores []string
	if c.ClickHouse == embedded && !signingOnly {
		stores = append(stores, storeEngine)
	}
	if c.Database == embedded && !engineOnly && !signingOnly {
		stores = append(stores, storeState)
	}
	if c.Topics == embedded && !engineOnly && !signingOnly {
		stores = append(stores, storeTopics)
	}
	if (c.has(roleAPI) || signingOnly) && c.Signing.Address == "" {
		stores = append(stores, storeSigning)
	}
	return stores
}

// storePath is the file or folder of an embedded store.
func (c Config) storePath(store string) string {
	return filepath.Join(c.Data, map[string]string{
		storeEngine: "clickhouse", storeState: "state.db", storeTopics: "topics", storeSigning: "signing",
	}[store])
}

// present reports whether an embedded store has anything.
func (c Config) present(store string) bool {
	path := c.storePath(store)
	switch store {
	case storeState:
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	case storeSigning:
		_, err := os.Stat(filepath.Join(path, "keys", keys.ManifestFile))
		return err == nil
	default:
		entries, err := os.ReadDir(path)
		return err == nil && len(entries) > 0
	}
}

// checkPassphrase makes sure that keys that are sealed can be opened: a new
// passphrase could not.
func (c Config) checkPassphrase() error {
	file := filepath.Join(c.Data, "keys.passphrase")
	if c.PassphraseFile != "" || !slices.Contains(c.embeddedStores(), storeSigning) || !c.present(storeSigning) {
		return nil
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is gone, which opens the signing keys: restore it from a backup, or %s", errLost, file, c.afresh(storeSigning))
	}
	return nil
}

func (c Config) lost(store string) error {
	return fmt.Errorf("%w: %s is gone: %s", errLost, c.storePath(store), c.remedy(store))
}

func (c Config) remedy(store string) string { return "restore it from a backup, or " + c.afresh(store) }

// afresh says how to go on without a store, and what that costs.
func (c Config) afresh(store string) string {
	return fmt.Sprintf("start afresh on purpose with: onewindow reset --data %s %s (%s)", c.Data, store, cost(store))
}

// cost is what is gone for good without a store.
func cost(store string) string {
	return map[string]string{
		storeEngine:  "every source and what the topics still hold is read again; pushed records that the topics no longer hold must be pushed again",
		storeState:   "the catalogue, tokens, definitions by the API and the register of licences are lost: set them up again; stored records stay",
		storeTopics:  "what was acknowledged and not stored yet is lost: push it again, and compare the sources with onewindow connector proof; stored records stay",
		storeSigning: "all keys are made again: licences and seals that were issued verify with a saved copy of the old key set and trust list only",
	}[store]
}
