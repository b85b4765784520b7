package ses

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/emmansun/gmsm/sm3"

	"github.com/onewindow/onewindow/signing/durable"
	"github.com/onewindow/onewindow/signing/internal/strict"
)

// The folder of a register:
//
//	register.json     which seals there are, their digests and histories
//	seals/<esID>.esl  the seals, as they were added
//	lock
//
// A seal's file is on disk before register.json names it, and is never written
// again once it does.
const (
	manifestName    = "register.json"
	sealFolder      = "seals"
	manifestVersion = 1
	maxManifest     = 64 << 20
)

type manifest struct {
	Version int              `json:"version"`
	Seals   []manifestRecord `json:"seals"`
}

type manifestRecord struct {
	ID      string  `json:"id"`
	SM3     string  `json:"sm3"` // of the file, hexadecimal
	History []Event `json:"history"`
}

func digestOf(der []byte) string {
	digest := sm3.Sum(der)
	return hex.EncodeToString(digest[:])
}

func sealFile(id string) string { return id + ".esl" }

func writeSeal(dir string, s *Seal) error {
	if err := durable.WriteFile(filepath.Join(dir, sealFolder), sealFile(s.ID), s.Raw); err != nil {
		return fmt.Errorf("ses: register: %w", err)
	}
	return nil
}

func writeManifest(dir string, entries []Entry) error {
	m := manifest{Version: manifestVersion, Seals: make([]manifestRecord, len(entries))}
	for i, e := range entries {
		m.Seals[i] = manifestRecord{ID: e.Seal.ID, SM3: e.digest, History: e.History}
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("ses: register: %w", err)
	}
	if err := durable.WriteFile(dir, manifestName, data); err != nil {
		return fmt.Errorf("ses: register: %w", err)
	}
	return nil
}

func readRegister(dir string) ([]Entry, error) {
	data, err := readFile(filepath.Join(dir, manifestName), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ses: register: %w", err)
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, manifestName, err)
	}
	entries := make([]Entry, len(m.Seals))
	for i, record := range m.Seals {
		seal, err := readSealFile(dir, record)
		if err != nil {
			return nil, err
		}
		entries[i] = Entry{
			Seal: seal, State: record.History[len(record.History)-1].State, History: record.History, digest: record.SM3,
		}
	}
	return entries, nil
}

func readSealFile(dir string, record manifestRecord) (*Seal, error) {
	name := filepath.Join(sealFolder, sealFile(record.ID))
	der, err := readFile(filepath.Join(dir, name), maxSeal)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	if digestOf(der) != record.SM3 {
		return nil, fmt.Errorf("%w: %s is not the file that was registered", ErrDamaged, name)
	}
	seal, err := ParseSeal(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	if seal.ID != record.ID {
		return nil, fmt.Errorf("%w: %s holds the seal %s", ErrDamaged, name, seal.ID)
	}
	return seal, nil
}

// parseManifest reads register.json and holds it to what writeManifest and
// the rules of Register can have written.
func parseManifest(data []byte) (*manifest, error) {
	if _, err := strict.Object(data); err != nil { // encoding/json keeps the last of two members
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	m := &manifest{}
	if err := decoder.Decode(m); err != nil {
		return nil, err
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("version %d; this program knows %d", m.Version, manifestVersion)
	}
	seen := map[string]bool{}
	for _, record := range m.Seals {
		if !isID(record.ID) || seen[strings.ToLower(record.ID)] {
			return nil, fmt.Errorf("seal number %.64q", record.ID)
		}
		seen[strings.ToLower(record.ID)] = true
		if err := checkHistory(record.History); err != nil {
			return nil, fmt.Errorf("history of %s: %w", record.ID, err)
		}
	}
	return m, nil
}

func checkHistory(history []Event) error {
	if len(history) == 0 || history[0].State != StateActive {
		return errors.New("does not begin with the registration")
	}
	for i, event := range history[1:] {
		if !history[i].State.mayBecome(event.State) || event.Time.Before(history[i].Time) {
			return fmt.Errorf("event %d cannot follow the one before", i+2)
		}
	}
	return nil
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return data, nil
}
