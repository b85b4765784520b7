package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/analytics"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/signing/durable"
)

// resetCommand gives up one store of an installation on purpose, so that the
// next start makes it again. Nothing is deleted: what is left of the store is
// moved aside.
func resetCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("reset", `give up one store of a stopped hub, so that the next start makes it again

  reset engine|state|topics|signing   what is left of it is moved aside, nothing is deleted`)
	file := flags.String("config", "", "configuration file (YAML) of the hub")
	data := flags.String("data", "data", "data folder of the hub, without a configuration file")
	stores, err := parseAnywhere(flags, args)
	if err != nil {
		return err
	}
	cfg := defaultConfig()
	cfg.Data = *data
	if *file != "" {
		if cfg, err = loadConfig(*file); err != nil {
			return err
		}
	}
	if len(stores) != 1 || !slices.Contains(cfg.embeddedStores(), stores[0]) {
		return wrongUsage(nil, "cli.RESET_STORE", "data", cfg.Data, "stores", strings.Join(cfg.embeddedStores(), ", "))
	}
	store := stores[0]
	aside, err := reset(ctx, cfg, store, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is given up: %s\nWhat was left of it: %s\n", store, cost(store), aside)
	return nil
}

// reset gives up a store and returns where what was left of it lies. The
// positions that speak of the engine go first: a kill before the end leaves
// rows that come again, which are stored once.
func reset(ctx context.Context, cfg Config, store string, now time.Time) (string, error) {
	release, err := holdStores(cfg)
	if err != nil {
		return "", err
	}
	defer release()
	if store == storeEngine {
		if err := forgetPositions(ctx, cfg); err != nil {
			return "", err
		}
	}
	in := installation{file: filepath.Join(cfg.Data, installationFile)}
	text, err := os.ReadFile(in.file)
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return "", fmt.Errorf("%w: start the hub once before, or name the right folder with --data", err)
	}
	in.Stores = slices.DeleteFunc(in.Stores, func(s string) bool { return s == store })
	if err := in.write(); err != nil {
		return "", err
	}
	aside := filepath.Join(cfg.Data, "lost-"+store+"-"+now.UTC().Format("20060102T150405Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", err
	}
	path := cfg.storePath(store)
	names := []string{path}
	switch store {
	case storeState:
		names = append(names, path+"-wal", path+"-shm")
	case storeSigning:
		if cfg.PassphraseFile == "" {
			names = append(names, filepath.Join(cfg.Data, "keys.passphrase"))
		}
	}
	for _, name := range names {
		if err := os.Rename(name, filepath.Join(aside, filepath.Base(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, durable.SyncDir(cfg.Data)
}

// holdStores makes sure that no hub runs on the folder.
func holdStores(cfg Config) (release func(), err error) {
	var locks []*os.File
	release = func() {
		for _, lock := range locks {
			_ = lock.Close() // the lock ends with the process at the latest
		}
	}
	for _, dir := range []string{cfg.storePath(storeTopics), filepath.Join(cfg.storePath(storeSigning), "keys")} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		lock, err := durable.Lock(dir)
		if err != nil {
			release()
			return nil, fmt.Errorf("stop the hub first: %w", err)
		}
		locks = append(locks, lock)
	}
	return release, nil
}

// forgetPositions has the topics and the sources read again.
func forgetPositions(ctx context.Context, cfg Config) (err error) {
	if cfg.Database == embedded && !cfg.present(storeState) {
		return nil // it has no positions either
	}
	db, err := sqldb.Open(ctx, cfg.databaseURL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := analytics.Forget(ctx, db); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `DELETE FROM connector_sources`)
	return err
}
