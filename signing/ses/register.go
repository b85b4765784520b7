package ses

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onewindow/onewindow/signing/durable"
)

// State is what the register says of a seal.
type State string

// The states of a seal. Revoked is final.
const (
	StateActive    State = "active"
	StateSuspended State = "suspended"
	StateRevoked   State = "revoked"
)

// Event is one change of a seal's state; the first is its registration.
type Event struct {
	Time   time.Time `json:"time"`
	State  State     `json:"state"` // after the change
	Reason string    `json:"reason,omitempty"`
	Who    string    `json:"who,omitempty"`
}

// Entry is a registered seal with its history, oldest first.
type Entry struct {
	Seal    *Seal
	State   State
	History []Event

	digest string // SM3 of the seal, hexadecimal
}

// Register keeps the seals of this hub in a folder: which there are, and
// whether each may be used. A change that was answered without an error is on
// disk. Its methods may be called at once; a second process is refused.
type Register struct {
	dir  string
	now  func() time.Time
	lock *os.File

	mu      sync.RWMutex
	entries []Entry // in the order of registration
	closed  bool
}

// OpenRegister opens the folder, making it if it is absent, and reads every
// seal in it. A file that is missing or changed fails the opening with
// ErrDamaged and its name, a folder that is open elsewhere with
// durable.ErrBusy. A seal file that no record names is left from a crash before
// its registration was answered, and is ignored.
func OpenRegister(dir string, now func() time.Time) (*Register, error) {
	for _, d := range []string{dir, filepath.Join(dir, sealFolder)} {
		if err := durable.MakeDir(d); err != nil {
			return nil, fmt.Errorf("ses: register: %w", err)
		}
	}
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, fmt.Errorf("ses: register: %w", err)
	}
	entries, err := readRegister(dir)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &Register{dir: dir, now: now, lock: lock, entries: entries}, nil
}

// Close gives the folder free.
func (r *Register) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.lock.Close()
}

// Add registers a seal, active. Its maker's signature must match; whether the
// maker is to be trusted is Check's question. Adding the same bytes again
// answers with the entry there is, so that a caller may repeat; other bytes
// under a number in use are ErrState.
func (r *Register) Add(ctx context.Context, der []byte) (Entry, error) {
	seal, err := ParseSeal(der)
	if err != nil {
		return Entry{}, err
	}
	if !isID(seal.ID) {
		return Entry{}, fmt.Errorf("%w: seal number %.64q cannot be a file name", ErrSpec, seal.ID)
	}
	if err := seal.verifyMaker(); err != nil {
		return Entry{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(ctx); err != nil {
		return Entry{}, err
	}
	// Two numbers that differ in case would be one file on some systems.
	same := func(e Entry) bool { return strings.EqualFold(e.Seal.ID, seal.ID) }
	if i := slices.IndexFunc(r.entries, same); i >= 0 {
		if bytes.Equal(r.entries[i].Seal.Raw, seal.Raw) {
			return r.entries[i].clone(), nil
		}
		return Entry{}, fmt.Errorf("%w: another seal is registered as %s", ErrState, r.entries[i].Seal.ID)
	}
	if err := writeSeal(r.dir, seal); err != nil {
		return Entry{}, err
	}
	entry := Entry{
		Seal: seal, State: StateActive, digest: digestOf(seal.Raw),
		History: []Event{{Time: r.now().UTC(), State: StateActive}},
	}
	if err := r.store(append(slices.Clone(r.entries), entry)); err != nil {
		return Entry{}, err
	}
	return entry.clone(), nil
}

// Suspend stops the use of an active seal until Resume.
func (r *Register) Suspend(ctx context.Context, id, reason, who string) error {
	return r.change(ctx, id, StateSuspended, reason, who)
}

// Resume ends a suspension.
func (r *Register) Resume(ctx context.Context, id, reason, who string) error {
	return r.change(ctx, id, StateActive, reason, who)
}

// Revoke ends the use of a seal for good. What was sealed before stays valid.
func (r *Register) Revoke(ctx context.Context, id, reason, who string) error {
	return r.change(ctx, id, StateRevoked, reason, who)
}

func (r *Register) change(ctx context.Context, id string, to State, reason, who string) error {
	for _, s := range []string{reason, who} {
		if !isText(s, unicode.MaxRune) || utf8.RuneCountInString(s) > 256 {
			return fmt.Errorf("%w: a change needs a reason and who made it, each 1 to 256 characters", ErrSpec)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(ctx); err != nil {
		return err
	}
	i := r.index(id)
	if i < 0 {
		return fmt.Errorf("%w: %.64q", ErrNotFound, id)
	}
	from := r.entries[i].State
	if !from.mayBecome(to) {
		return fmt.Errorf("%w: %s is %s and cannot become %s", ErrState, id, from, to)
	}
	history := r.entries[i].History
	event := Event{Time: r.now().UTC(), State: to, Reason: reason, Who: who}
	if last := history[len(history)-1].Time; event.Time.Before(last) {
		event.Time = last // the clock went back; the order of the history did not
	}
	next := slices.Clone(r.entries)
	next[i].State, next[i].History = to, append(slices.Clone(history), event)
	return r.store(next)
}

func (s State) mayBecome(to State) bool {
	switch s {
	case StateActive:
		return to == StateSuspended || to == StateRevoked
	case StateSuspended:
		return to == StateActive || to == StateRevoked
	case StateRevoked:
	}
	return false
}

// store writes the entries and takes them over only when they are on disk.
func (r *Register) store(entries []Entry) error {
	if err := writeManifest(r.dir, entries); err != nil {
		return err
	}
	r.entries = entries
	return nil
}

func (r *Register) usable(ctx context.Context) error {
	if r.closed {
		return fmt.Errorf("%w: closed", ErrDamaged)
	}
	return ctx.Err()
}

func (r *Register) index(id string) int {
	return slices.IndexFunc(r.entries, func(e Entry) bool { return e.Seal.ID == id })
}

// List returns every seal in the order of registration.
func (r *Register) List() []Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Entry, len(r.entries))
	for i, e := range r.entries {
		all[i] = e.clone()
	}
	return all
}

// Get returns the seal of a number, or ErrNotFound.
func (r *Register) Get(id string) (Entry, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := r.index(id)
	if i < 0 {
		return Entry{}, fmt.Errorf("%w: %.64q", ErrNotFound, id)
	}
	return r.entries[i].clone(), nil
}

// Status returns the state that a seal had at a time, or ErrNotFound. Before
// its registration nothing was held against it: the answer is StateActive. It
// fits Options.SealStatus.
func (r *Register) Status(id string, at time.Time) (State, error) {
	entry, err := r.Get(id)
	if err != nil {
		return "", err
	}
	state := StateActive
	for _, e := range entry.History {
		if !e.Time.After(at) {
			state = e.State
		}
	}
	return state, nil
}

// clone keeps callers from each other's history; a Seal is never changed.
func (e Entry) clone() Entry {
	e.History = slices.Clone(e.History)
	return e
}
