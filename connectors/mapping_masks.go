package connectors

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/emmansun/gmsm/sm3"
)

const (
	minSaltBytes = 16
	maxSaltBytes = 4096
)

// masker masks texts of one tag. It is used by one goroutine.
type masker struct {
	Mask
	mac hash.Hash // of method Hash
	sum []byte
}

// newMaskers makes a masker of each tag and reads the secrets. Errors are [Fault]s.
func newMaskers(masks map[string]Mask) (map[string]*masker, error) {
	maskers := make(map[string]*masker, len(masks))
	for tag, mask := range masks {
		m := &masker{Mask: mask}
		maskers[tag] = m
		if mask.Method != Hash {
			continue
		}
		salt, err := readSalt(mask.SaltFile)
		if err != nil {
			return nil, err
		}
		newHash := sha256.New
		if mask.Hash == "sm3" {
			newHash = sm3.New
		}
		m.mac = hmac.New(newHash, salt)
	}
	return maskers, nil
}

func readSalt(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Refused(FaultSecret, err, "the file with the secret for masking cannot be read")
	}
	defer func() { _ = f.Close() }()
	salt, err := io.ReadAll(io.LimitReader(f, maxSaltBytes+1))
	if err != nil {
		return nil, Refused(FaultSecret, err, "the file with the secret for masking cannot be read")
	}
	salt = bytes.TrimRight(salt, "\r\n")
	if len(salt) < minSaltBytes || len(salt) > maxSaltBytes {
		return nil, Refused(FaultSecret, nil, "the file %s must hold a secret of %d to %d bytes, chosen at random", path, minSaltBytes, maxSaltBytes)
	}
	return salt, nil
}

// mask returns what text is shown as, and whether anything is.
func (m *masker) mask(text string) (string, bool) {
	switch m.Method {
	case Redact:
		return "***", true
	case Hash:
		m.mac.Reset()
		m.mac.Write([]byte(text))
		m.sum = m.mac.Sum(m.sum[:0])
		return hex.EncodeToString(m.sum), true
	case KeepLast:
		hidden := utf8.RuneCountInString(text) - m.Keep
		if hidden <= 0 { // nothing may be left of a short text
			return strings.Repeat("*", hidden+m.Keep), true
		}
		kept, _ := cutAt(text, int64(hidden))
		return strings.Repeat("*", hidden) + text[kept:], true
	case Drop:
	}
	return "", false
}

// columnMasks returns the masker of each column that goes into a field with a
// tag, the strictest if there are several.
func columnMasks(m Mapping, columns []string, maskers map[string]*masker) []*masker {
	strictness := []MaskMethod{Drop, Redact, Hash, KeepLast}
	masks := make([]*masker, len(columns))
	for _, f := range m.Fields {
		mk := maskers[f.Tag]
		if mk == nil {
			continue
		}
		for _, column := range f.columns() {
			i := slices.Index(columns, column)
			if old := masks[i]; old == nil || slices.Index(strictness, mk.Method) < slices.Index(strictness, old.Method) {
				masks[i] = mk
			}
		}
	}
	return masks
}

// blind returns a function that makes a text unrecognizable and keeps
// different texts different. It has the secret of a mask of method hash, or
// one that is forgotten with the mapper.
func blind(maskers map[string]*masker) func(string) string {
	mac := hmac.New(sha256.New, []byte(rand.Text()))
	for _, tag := range slices.Sorted(maps.Keys(maskers)) {
		if maskers[tag].mac != nil {
			mac = maskers[tag].mac
			break
		}
	}
	return func(text string) string {
		mac.Reset()
		mac.Write([]byte(text))
		return hex.EncodeToString(mac.Sum(nil)[:12])
	}
}

// origin returns where the row lies, without the texts of its key that are masked elsewhere.
func (m *mapper) origin(row Row) string {
	origin := row.Origin
	for _, key := range row.Key {
		if key != "" && m.masked(row, key) {
			origin = strings.ReplaceAll(origin, key, m.blind(key))
		}
	}
	return origin
}

// masked says whether text is that of a masked column, or may be.
func (m *mapper) masked(row Row, text string) bool {
	if len(row.Values) != m.columns {
		return true
	}
	for i, mk := range m.masks {
		if mk != nil && strings.TrimSpace(row.Values[i].Text) == strings.TrimSpace(text) {
			return true
		}
	}
	return false
}

// raw returns the row as it may be kept when it is rejected: with masks, a
// JSON object of the columns that the mapping reads.
func (m *mapper) raw(row Row) []byte {
	if len(row.Values) != m.columns {
		return fmt.Appendf(nil, `{"withheld":"the row could not be taken apart, and some of its columns are masked","bytes":%d}`, len(row.Raw))
	}
	values := slices.Clone(row.Values)
	for i, mk := range m.masks {
		text := strings.TrimSpace(values[i].Text)
		if mk == nil || values[i].Null || text == "" {
			continue
		}
		shown, ok := mk.mask(text)
		values[i] = Value{Text: shown, Null: !ok}
	}
	return RawJSON(nil, m.names, values)
}
