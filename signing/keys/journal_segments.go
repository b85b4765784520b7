package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/onewindow/onewindow/signing/durable"
)

// A segment is closed at the first of these bounds. They keep the one segment
// that opening reads to about a quarter of a second: 20,000 ordinary lines are
// 5 MB. A log of ten million uses, two lines each, then has a thousand heads.
const (
	maxSegmentLines = 20_000
	maxSegmentBytes = 8 << 20
)

const (
	headsFile = "heads.jsonl"
	tailFile  = "tail.json"
	maxHeads  = 256 << 20 // more than six thousand million uses
	maxTail   = 1 << 10
)

// head closes a segment: one line of heads.jsonl, signed with the key of the
// log. The first line of the next segment carries the digest of this line.
type head struct {
	First     int    `json:"first"`
	Last      int    `json:"last"`
	Bytes     int64  `json:"bytes"`
	Digest    string `json:"digest"`         // of the segment's last line.
	Prev      string `json:"prev"`           // digest of the head before.
	Open      []int  `json:"open,omitempty"` // uses under way, which later segments conclude.
	Signature []byte `json:"signature,omitempty"`
}

// tail is the signed note of a clean shutdown: the log may not be shorter.
type tail struct {
	Number    int    `json:"n"`
	Digest    string `json:"digest"` // of the line with that number.
	Signature []byte `json:"signature,omitempty"`
}

func segmentName(first int) string { return fmt.Sprintf("uses-%012d.jsonl", first) }

// archive is what the heads and the tail note of a journal say.
type archive struct {
	dir    string
	key    *logKey // nil in a log of an older version, which has neither.
	data   []byte  // heads.jsonl.
	heads  []head
	digest string // of the last head.
	tail   tail
}

// readArchive verifies the heads and the tail note, and that each closed
// segment has its size. Unclosed reports a segment that has its new name and no
// head yet, as a crash leaves it.
func readArchive(dir string, key *logKey) (a archive, unclosed bool, err error) {
	a = archive{dir: dir, key: key, digest: digestLine(nil), tail: tail{Digest: digestLine(nil)}}
	if a.data, err = readBounded(filepath.Join(dir, headsFile), maxHeads); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a, false, err
	}
	if err := a.readHeads(); err != nil {
		return a, false, err
	}
	if err := a.readTail(); err != nil {
		return a, false, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "uses-*.jsonl"))
	if err != nil {
		return a, false, err
	}
	if key == nil && len(a.heads)+len(names) > 0 {
		return a, false, fmt.Errorf("%w: %s is missing; restore the folder from a backup", ErrJournal, logKeyFile)
	}
	for _, name := range names[min(len(a.heads), len(names)):] {
		_, err := os.Stat(filepath.Join(dir, JournalFile))
		if unclosed || filepath.Base(name) != segmentName(a.lastClosed()+1) || !errors.Is(err, fs.ErrNotExist) {
			return a, false, fmt.Errorf("%w: %s has no head in %s; restore the folder from a backup", ErrJournal, filepath.Base(name), headsFile)
		}
		unclosed = true
	}
	return a, unclosed, nil
}

func (a *archive) readHeads() error {
	if len(a.data) > 0 && !bytes.HasSuffix(a.data, []byte("\n")) {
		return fmt.Errorf("%w: %s was cut; restore it from a backup", ErrJournal, headsFile)
	}
	for line := range bytes.Lines(a.data) {
		line = line[:len(line)-1]
		where := fmt.Sprintf("%s line %d", headsFile, len(a.heads)+1)
		var h head
		if err := decodeSigned(line, &h); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrJournal, where, err)
		}
		if h.First != a.lastClosed()+1 || h.Last < h.First || h.Prev != a.digest {
			return fmt.Errorf("%w: %s does not follow the head before it; restore the folder from a backup", ErrJournal, where)
		}
		if err := a.key.verify(h.unsigned(), h.Signature); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrJournal, where, err)
		}
		name := segmentName(h.First)
		switch info, err := os.Stat(filepath.Join(a.dir, name)); {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: segment %s is missing; restore it from a backup", ErrJournal, name)
		case err != nil:
			return err
		case info.Size() != h.Bytes:
			return fmt.Errorf("%w: segment %s has %d bytes, its head says %d; restore it from a backup", ErrJournal, name, info.Size(), h.Bytes)
		}
		a.heads, a.digest = append(a.heads, h), digestLine(line)
	}
	return nil
}

func (a *archive) readTail() error {
	data, err := readBounded(filepath.Join(a.dir, tailFile), maxTail)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = decodeSigned(data, &a.tail)
	if err == nil {
		err = a.key.verify(a.tail.unsigned(), a.tail.Signature)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrJournal, tailFile, err)
	}
	return nil
}

func (a *archive) writeTail(t tail) (err error) {
	if t.Signature, err = a.key.sign(t.unsigned()); err != nil {
		return err
	}
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return durable.WriteFile(a.dir, tailFile, data)
}

// lastClosed is the number of the last line of the last closed segment.
func (a *archive) lastClosed() int {
	if len(a.heads) == 0 {
		return 0
	}
	return a.heads[len(a.heads)-1].Last
}

// before is the chain as it is before segment i, counted from 0.
func (a *archive) before(i int) chain {
	c := newChain(true)
	c.awaited = a.tail
	if i > 0 {
		h := a.heads[i-1]
		c.records, c.last, c.prev = h.Last, h.Digest, a.digest
		if i < len(a.heads) {
			c.prev = a.heads[i].Prev
		}
		for _, id := range h.Open {
			c.open[id] = nil
		}
	}
	c.meet()
	return c
}

// readSegment reads the file as segment i.
func (a *archive) readSegment(i int, name string) (chain, error) {
	c := a.before(i)
	file, err := os.Open(filepath.Join(a.dir, name))
	if err != nil {
		return c, err
	}
	err = errors.Join(c.read(file), file.Close())
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return c, err
}

// readCurrent reads the current segment. Without one, it is empty: a crash may
// come after a segment was closed. The tail note must agree.
func (a *archive) readCurrent() (c chain, torn bool, err error) {
	c, err = a.readSegment(len(a.heads), JournalFile)
	torn = errors.Is(err, errTorn)
	if err != nil && !torn && !errors.Is(err, fs.ErrNotExist) {
		return c, false, err
	}
	if a.tail.Number >= a.lastClosed() && !c.found {
		return c, false, fmt.Errorf("%w: %s ends with line %d, but at the last shutdown line %d was another or was there; restore the folder from a backup",
			ErrJournal, JournalFile, c.records, a.tail.Number)
	}
	return c, torn, nil
}

// finishClosing writes the head of a segment that a crash left without one.
func (a *archive) finishClosing() error {
	c, err := a.readSegment(len(a.heads), segmentName(a.lastClosed()+1))
	if err != nil {
		return err
	}
	if c.records == a.lastClosed() {
		return fmt.Errorf("%w: segment %s is empty; restore it from a backup", ErrJournal, segmentName(a.lastClosed()+1))
	}
	h := head{Last: c.records, Bytes: c.size, Digest: c.last}
	for id := range c.open {
		h.Open = append(h.Open, id)
	}
	slices.Sort(h.Open)
	return a.add(h)
}

// renameBack makes the segment that was to be closed the current one again. It
// is refused if the new head may be on disk.
func (a *archive) renameBack() error {
	data, err := readBounded(filepath.Join(a.dir, headsFile), maxHeads)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(data, a.data) {
		return errors.New("a head may have been written; open the log again")
	}
	if err := os.Rename(filepath.Join(a.dir, segmentName(a.lastClosed()+1)), filepath.Join(a.dir, JournalFile)); err != nil {
		return err
	}
	return durable.SyncDir(a.dir)
}

// add signs the next head and writes it to disk. The file is small, and
// replaced as a whole, so that a crash leaves no part of a head.
func (a *archive) add(h head) (err error) {
	h.First, h.Prev = a.lastClosed()+1, a.digest
	if h.Signature, err = a.key.sign(h.unsigned()); err != nil {
		return err
	}
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	data := slices.Concat(a.data, line, []byte("\n"))
	if err := durable.WriteFile(a.dir, headsFile, data); err != nil {
		return err
	}
	a.data, a.heads, a.digest = data, append(a.heads, h), digestLine(line)
	return nil
}

// recall fills in the entries of open intents that closed segments have. Only
// a crash with a use under way across a bound makes it read one.
func (a *archive) recall(open map[int][]Entry) error {
	for i, h := range a.heads {
		inside := func(id int) bool { return h.First <= id && id <= h.Last }
		var ids []int
		for id := range open {
			if inside(id) {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		c, err := a.readSegment(i, segmentName(h.First))
		if err != nil {
			return err
		}
		for _, id := range ids {
			open[id] = c.open[id]
		}
	}
	return nil
}

func (h head) unsigned() []byte {
	h.Signature = nil
	return signedText("head", h)
}

func (t tail) unsigned() []byte {
	t.Signature = nil
	return signedText("tail", t)
}

// signedText is what a signature is over; label keeps heads and notes apart.
func signedText(label string, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers and strings only
	}
	return append([]byte("onewindow use log "+label+"\n"), data...)
}

// decodeSigned accepts only the bytes that were written, so that a line has one
// reading.
func decodeSigned(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("it is damaged; restore it from a backup: %w", err)
	}
	if again, err := json.Marshal(v); err != nil || !bytes.Equal(again, data) {
		return errors.New("it is not in the form it was written; restore it from a backup")
	}
	return nil
}

// Audit is what AuditJournal has verified. Kept elsewhere, it proves later that
// nothing of the log was changed or cut.
type Audit struct {
	Records  int    // lines of all segments.
	Closed   int    // closed segments.
	Last     string // SHA-256 of the last line, without its end, in hexadecimal.
	LogKeyID string // the key that signs heads; empty in a log of an older version.
}

// AuditJournal verifies every line of the journal in dir, one segment after the
// other. It needs no passphrase: whoever calls it compares LogKeyID with what an
// earlier audit returned. While a hub writes the log, the last line may not be
// whole yet.
func AuditJournal(dir string) (Audit, error) {
	key, err := readLogKey(dir)
	if err != nil {
		return Audit{}, err
	}
	a, unclosed, err := readArchive(dir, key)
	if err != nil {
		return Audit{}, err
	}
	if unclosed {
		return Audit{}, fmt.Errorf("%w: a segment is being closed; start the hub, which finishes it, or ask again", ErrJournal)
	}
	for i, h := range a.heads {
		c, err := a.readSegment(i, segmentName(h.First))
		if err != nil {
			return Audit{}, err
		}
		open := make([]int, 0, len(c.open))
		for id := range c.open {
			open = append(open, id)
		}
		slices.Sort(open)
		inside := h.First <= a.tail.Number && a.tail.Number <= h.Last
		if c.records != h.Last || c.size != h.Bytes || c.last != h.Digest || !slices.Equal(open, h.Open) || inside && !c.found {
			return Audit{}, fmt.Errorf("%w: segment %s is not the one its head or %s describes; restore it from a backup", ErrJournal, segmentName(h.First), tailFile)
		}
	}
	c, torn, err := a.readCurrent()
	if err == nil && torn {
		err = fmt.Errorf("%s: %w", JournalFile, errTorn)
	}
	audit := Audit{Records: c.records, Closed: len(a.heads), Last: c.last}
	if key != nil {
		audit.LogKeyID = key.id
	}
	return audit, err
}
