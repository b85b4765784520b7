package keys

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// errTorn reports a last line without its end. The chain before it is whole.
var errTorn = fmt.Errorf("%w: the last line has no end", ErrJournal)

// chain is what is known of a journal after some of its lines.
type chain struct {
	size    int64  // bytes of this segment.
	records int    // lines, in all segments.
	prev    string // what the next line must carry.
	last    string // digest of the last line.
	open    map[int][]Entry
	entries bool // keep those of open intents, which a foreign file could fill memory with.
	awaited tail // the last line at a clean shutdown.
	found   bool // that line was there.
}

func newChain(entries bool) chain {
	return chain{prev: digestLine(nil), last: digestLine(nil), open: map[int][]Entry{}, entries: entries}
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
	c.last = digestLine(line)
	c.prev = c.last
	c.meet()
	return nil
}

// meet notes whether the last line is the awaited one.
func (c *chain) meet() {
	if c.records == c.awaited.Number {
		c.found = c.last == c.awaited.Digest
	}
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
