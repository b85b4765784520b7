package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onewindow/onewindow/signing/durable"
)

// JournalFile is the name of the journal's current segment in its folder.
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

// Journal is a use log without a database: append-only files, one JSON object a
// line. Each line carries the SHA-256 of the line before it. A segment that has
// reached its bound is closed with a signed head (see head), and a clean
// shutdown signs the last line, so that opening reads one segment only.
// The package comment says what is not noticed. It is safe for concurrent use:
// callers that wait for the disk at the same time share one write to it.
type Journal struct {
	dir         string
	lock        *os.File
	now         func() time.Time
	interrupted []Entry
	maxLines    int
	maxBytes    int64

	mu      sync.Mutex
	synced  sync.Cond // on mu, after each attempt to reach the disk.
	syncing bool
	file    *os.File // the current segment.
	archive archive
	size    int64  // bytes of the current segment.
	records int    // lines written, in all segments.
	durable int    // lines on disk.
	prev    string // what the next line carries: the digest of the last line or head.
	last    string // digest of the last line.
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

// OpenJournal opens the journal in dir, or begins one. It verifies the heads of
// the closed segments and reads the current segment whole. A last line without
// its end, which is what a crash leaves, is cut off: its intent was never
// confirmed, so no key was used for it. A segment that a crash left half closed
// is closed. ErrPassphrase reports a wrong passphrase; any other fault is
// ErrJournal with the file, and nothing is changed. Intents without an outcome
// get the outcome "unknown"; Interrupted lists them.
func OpenJournal(dir string, passphrase []byte, now func() time.Time) (*Journal, error) {
	return openJournal(dir, passphrase, now, standardKDF())
}

func openJournal(dir string, passphrase []byte, now func() time.Time, params kdf) (*Journal, error) {
	if err := durable.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("create folder of the use log: %w", err)
	}
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, fmt.Errorf("use log: %w", err)
	}
	j := &Journal{dir: dir, lock: lock, now: now, open: map[int]struct{}{}, maxLines: maxSegmentLines, maxBytes: maxSegmentBytes}
	j.synced.L = &j.mu
	err = j.resume(passphrase, params)
	if err == nil {
		return j, nil
	}
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
	}
	return nil, errors.Join(fmt.Errorf("use log %s: %w", dir, err), lock.Close())
}

func (j *Journal) resume(passphrase []byte, params kdf) error {
	key, err := openLogKey(j.dir, passphrase)
	if err != nil {
		return err
	}
	archive, unclosed, err := readArchive(j.dir, key)
	if err != nil {
		return err
	}
	if unclosed {
		if err := archive.finishClosing(); err != nil {
			return err
		}
	}
	current, torn, err := archive.readCurrent()
	if err != nil {
		return err
	}
	if key == nil {
		if archive.key, err = makeLogKey(j.dir, passphrase, params); err != nil {
			return err
		}
	}
	j.archive = archive
	if j.file, err = os.OpenFile(filepath.Join(j.dir, JournalFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	if torn {
		if err := j.file.Truncate(current.size); err != nil {
			return fmt.Errorf("cut the torn last line: %w", err)
		}
	}
	j.size, j.records, j.prev, j.last = current.size, current.records, current.prev, current.last
	if err := j.concludeUnknown(current.open); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.durable = j.records
	return durable.SyncDir(j.dir)
}

// concludeUnknown gives the intents that a crash left their outcome.
func (j *Journal) concludeUnknown(open map[int][]Entry) error {
	ids := slices.Sorted(maps.Keys(open))
	if err := j.archive.recall(open); err != nil {
		return err
	}
	for _, id := range ids {
		j.interrupted = append(j.interrupted, open[id]...)
		if _, err := j.append(record{Concludes: id, Outcome: outcomeUnknown}); err != nil {
			return err
		}
	}
	return nil
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
	if err := j.makeRoom(); err != nil {
		return 0, err
	}
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

// Close writes everything to disk with a signed note of the last line, and
// closes the file. Calls under way or later return ErrClosed.
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
		if err = j.file.Sync(); err == nil {
			err = j.archive.writeTail(tail{Number: j.records, Digest: j.last})
		}
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
	j.last = digestLine(line)
	j.prev = j.last
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

// makeRoom closes the current segment if it has reached its bound. The caller
// holds j.mu. Only intents do it, so that an outcome is never refused for it.
func (j *Journal) makeRoom() error {
	for j.failure == nil && (j.records-j.archive.lastClosed() >= j.maxLines || j.size >= j.maxBytes) {
		if j.syncing {
			j.synced.Wait()
			continue
		}
		if err := j.closeSegment(); err != nil {
			return fmt.Errorf("close segment of the use log: %w", err)
		}
	}
	return nil
}

// closeSegment renames the current segment, writes its head and begins the next.
// After a crash between these steps, OpenJournal does the rest.
func (j *Journal) closeSegment() error {
	if err := j.file.Sync(); err != nil {
		j.failure = err
		return err
	}
	j.durable = j.records
	j.synced.Broadcast()
	h := head{Last: j.records, Bytes: j.size, Digest: j.last, Open: slices.Sorted(maps.Keys(j.open))}
	current := filepath.Join(j.dir, JournalFile)
	if err := os.Rename(current, filepath.Join(j.dir, segmentName(j.archive.lastClosed()+1))); err != nil {
		return err
	}
	err := durable.SyncDir(j.dir)
	if err == nil {
		err = j.archive.add(h)
	}
	if err != nil {
		// A full disk must not end the log: it goes on in the same segment,
		// unless the head may have been written all the same.
		if backErr := j.archive.renameBack(); backErr != nil {
			j.failure = errors.Join(err, backErr)
		}
		return err
	}
	next, err := os.OpenFile(current, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err == nil {
		err = errors.Join(j.file.Close(), durable.SyncDir(j.dir))
		j.file, j.size, j.prev = next, 0, j.archive.digest
	}
	j.failure = err
	return err
}
