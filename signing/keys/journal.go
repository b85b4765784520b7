package keys

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onewindow/onewindow/signing/durable"
)

// JournalFile is the name of the journal in its folder.
const JournalFile = "uses.jsonl"

const (
	// maxRecord bounds a line of the journal in bytes: MaxBatch entries of the
	// longest use fit even if every character of it must be escaped.
	maxRecord = 8 << 20
	// maxOutcome bounds the text of an error in the journal, in bytes.
	maxOutcome = 256
)

// How a use ended. Unknown is written when a journal is opened for the uses
// that were under way when the process before it died.
const (
	outcomeDone    = "done"
	outcomeFailed  = "failed"
	outcomeUnknown = "unknown"
)

// Journal is a use log without a database: an append-only file, one JSON
// object a line. Each line carries the SHA-256 of the line before it, so that
// a line changed, removed or inserted later is noticed unless all lines after
// it are written anew; a checkpoint of the last line kept elsewhere closes
// that gap too. It is safe for concurrent use: callers that wait for the disk
// at the same time share one write to it.
type Journal struct {
	file, lock  *os.File
	now         func() time.Time
	interrupted []Entry

	mu      sync.Mutex
	synced  sync.Cond // on mu, after each attempt to reach the disk.
	syncing bool
	size    int64  // bytes written.
	records int    // lines written.
	durable int    // lines on disk.
	prev    string // digest of the last line.
	open    map[int]struct{}
	failure error // once set, nothing is written any more.
	closed  bool
}

// record is one line. It has either Intent or Concludes and Outcome.
type record struct {
	Number    int       `json:"n"`
	Prev      string    `json:"prev"`
	Time      time.Time `json:"time"`
	Intent    []Entry   `json:"intent,omitempty"`
	Concludes int       `json:"concludes,omitempty"`
	Outcome   string    `json:"outcome,omitempty"`
	Error     string    `json:"error,omitempty"`
}

// OpenJournal opens the journal in dir, or begins one. It reads the whole file:
// a last line without its end, which is what a crash leaves, is cut off (its
// intent was never confirmed, so no key was used for it); any other fault is
// ErrJournal with the number of the line, and nothing is changed. Intents
// without an outcome get the outcome "unknown"; Interrupted lists them.
func OpenJournal(dir string, now func() time.Time) (*Journal, error) {
	if err := durable.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("create folder of the use log: %w", err)
	}
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, fmt.Errorf("use log: %w", err)
	}
	path := filepath.Join(dir, JournalFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open use log: %w", err), lock.Close())
	}
	j := &Journal{file: file, lock: lock, now: now, open: map[int]struct{}{}}
	j.synced.L = &j.mu
	if err := j.resume(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("use log %s: %w", path, err), file.Close(), lock.Close())
	}
	return j, nil
}

func (j *Journal) resume(dir string) error {
	chain := newChain(true)
	err := chain.read(j.file)
	if err != nil && !errors.Is(err, errTorn) {
		return err
	}
	if err != nil {
		if err := j.file.Truncate(chain.size); err != nil {
			return fmt.Errorf("cut the torn last line: %w", err)
		}
	}
	j.size, j.records, j.prev = chain.size, chain.records, chain.prev
	ids := make([]int, 0, len(chain.open))
	for id := range chain.open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		j.interrupted = append(j.interrupted, chain.open[id]...)
		if _, err := j.append(record{Concludes: id, Outcome: outcomeUnknown}); err != nil {
			return err
		}
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.durable = j.records
	return durable.SyncDir(dir)
}

// Interrupted returns the uses whose outcome was not known when the journal
// was opened: a signature may or may not have been made, but none was handed
// out through this package after its outcome failed to be written.
func (j *Journal) Interrupted() []Entry { return slices.Clone(j.interrupted) }

// Intend writes the entries as one record and returns its number when it is on
// disk. After a failure of the disk it returns ErrClosed until the journal is
// opened again.
func (j *Journal) Intend(ctx context.Context, entries []Entry) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(entries) == 0 {
		return 0, fmt.Errorf("%w: an intent without entries", ErrInvalid)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	number, err := j.append(record{Intent: entries})
	if err != nil {
		return 0, err
	}
	j.open[number] = struct{}{}
	return uint64(number), j.wait(number) //nolint:gosec // counts from 1
}

// Conclude writes how the use with that number ended. It does not wait for the
// disk: if the machine fails first, the use counts as one whose outcome is not
// known. An unknown or concluded number is ErrInvalid.
func (j *Journal) Conclude(_ context.Context, id uint64, outcome error) error {
	number := int(id) //nolint:gosec // one that does not fit is not open
	rec := record{Concludes: number, Outcome: outcomeDone}
	if outcome != nil {
		rec.Outcome, rec.Error = outcomeFailed, strings.ToValidUTF8(cut(outcome.Error(), maxOutcome), "")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.open[number]; !ok {
		return fmt.Errorf("%w: use %d is not under way", ErrInvalid, id)
	}
	if _, err := j.append(rec); err != nil {
		return err
	}
	delete(j.open, number)
	return nil
}

// Close writes everything to disk and closes the file. Calls under way or
// later return ErrClosed.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.syncing {
		j.synced.Wait()
	}
	if j.closed {
		return nil
	}
	err := j.failure
	if err == nil {
		err = j.file.Sync()
	}
	j.closed, j.failure = true, cmp.Or(j.failure, os.ErrClosed)
	return errors.Join(err, j.file.Close(), j.lock.Close())
}

// append writes one line to the file, not yet to the disk. j.mu is held.
func (j *Journal) append(rec record) (int, error) {
	if j.failure != nil {
		return 0, fmt.Errorf("%w: use log: %w", ErrClosed, j.failure)
	}
	rec.Number, rec.Prev, rec.Time = j.records+1, j.prev, j.now().UTC().Round(0)
	line, err := encodeRecord(rec)
	if err != nil {
		return 0, err
	}
	if len(line) > maxRecord {
		return 0, fmt.Errorf("%w: a record of %d bytes for the use log, limit %d", ErrInvalid, len(line), maxRecord)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		// A full disk may have taken a part; without it the log can go on
		// when there is room again.
		if cutErr := j.file.Truncate(j.size); cutErr != nil {
			j.failure = errors.Join(err, cutErr)
		}
		return 0, fmt.Errorf("write use log: %w", err)
	}
	j.size += int64(len(line)) + 1
	j.records++
	j.prev = digestLine(line)
	return rec.Number, nil
}

// wait returns when the record is on disk. The first who finds nobody at it
// takes everything written so far to the disk, for all who wait; j.mu is held
// except during that time.
func (j *Journal) wait(number int) error {
	for j.durable < number && j.failure == nil {
		if j.syncing {
			j.synced.Wait()
			continue
		}
		j.syncing = true
		upTo := j.records
		j.mu.Unlock()
		err := j.file.Sync()
		j.mu.Lock()
		j.syncing = false
		if err != nil {
			// What the system still had to write may be lost now, and a second
			// attempt would not say so.
			j.failure = err
		} else {
			j.durable = upTo
		}
		j.synced.Broadcast()
	}
	if j.durable < number {
		return fmt.Errorf("%w: use log: %w", ErrClosed, j.failure)
	}
	return nil
}

// VerifyJournal reads a journal from its first line and returns how many
// records it has. A fault is ErrJournal with the number of the line; a last
// line without its end is one too, since a log that was closed has none.
func VerifyJournal(r io.Reader) (records int, err error) {
	chain := newChain(false)
	err = chain.read(r)
	return chain.records, err
}

// errTorn reports a last line without its end. The chain before it is whole.
var errTorn = fmt.Errorf("%w: the last line has no end", ErrJournal)

// chain is what is known of a journal after some of its lines.
type chain struct {
	size    int64
	records int
	prev    string
	open    map[int][]Entry
	entries bool // keep those of open intents, which a foreign file could fill memory with.
}

func newChain(entries bool) chain {
	return chain{prev: digestLine(nil), open: map[int][]Entry{}, entries: entries}
}

func (c *chain) read(r io.Reader) error {
	reader := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		part, err := reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxRecord+1:
			return fmt.Errorf("%w: line %d is longer than %d bytes", ErrJournal, c.records+1, maxRecord)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: line %d", errTorn, c.records+1)
		case err != nil:
			return fmt.Errorf("read use log: %w", err)
		}
		if err := c.add(line[:len(line)-1]); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrJournal, c.records+1, err)
		}
		c.size += int64(len(line))
		line = line[:0]
	}
}

func (c *chain) add(line []byte) error {
	rec, err := decodeRecord(line)
	if err != nil {
		return err
	}
	if rec.Number != c.records+1 {
		return fmt.Errorf("has number %d", rec.Number)
	}
	if rec.Prev != c.prev {
		return errors.New("does not follow the line before it; one of the two was changed")
	}
	if rec.Concludes != 0 {
		if _, ok := c.open[rec.Concludes]; !ok {
			return fmt.Errorf("concludes use %d, which is not under way", rec.Concludes)
		}
		delete(c.open, rec.Concludes)
	} else if c.open[rec.Number] = nil; c.entries {
		c.open[rec.Number] = rec.Intent
	}
	c.records++
	c.prev = digestLine(line)
	return nil
}

func encodeRecord(rec record) ([]byte, error) {
	line, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode record of the use log: %w", err)
	}
	return line, nil
}

// decodeRecord accepts only the bytes that encodeRecord gives, so that a line
// has one reading.
func decodeRecord(line []byte) (record, error) {
	var rec record
	if err := json.Unmarshal(line, &rec); err != nil {
		return record{}, fmt.Errorf("not a record: %w", err)
	}
	again, err := encodeRecord(rec)
	if err != nil || !bytes.Equal(again, line) {
		return record{}, errors.Join(errors.New("not a record in the form it was written"), err)
	}
	concludes := slices.Contains([]string{outcomeDone, outcomeFailed, outcomeUnknown}, rec.Outcome) && rec.Concludes != 0
	intends := len(rec.Intent) > 0 && cmp.Or(rec.Outcome, rec.Error) == "" && rec.Concludes == 0
	if !intends && (!concludes || len(rec.Intent) > 0) {
		return record{}, errors.New("neither an intent nor an outcome")
	}
	return rec, nil
}

func digestLine(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

func cut(s string, limit int) string { return s[:min(len(s), limit)] }
