package jsonrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors/charset"
)

// maxRows bounds the rows of an answer, some of which may be as short as a digit.
const maxRows = 200_000

// Document is an answer that holds rows.
type Document struct {
	body    []byte
	decoder *charset.Decoder
	// mask is body with each letter beyond ASCII replaced, byte for byte, by letters that mean nothing to JSON:
	// the second byte of a Chinese character may look like a backslash or a bracket.
	mask  []byte
	start int
}

// ErrNotJSON means that a text is no JSON at all.
var ErrNotJSON = errors.New("not JSON")

// NewDocument checks that body, in the character set of decoder, is one JSON value; otherwise the error wraps
// [ErrNotJSON]. The document refers to body.
func NewDocument(body []byte, decoder *charset.Decoder) (*Document, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	d := &Document{body: body, decoder: decoder, mask: body}
	if decoder.Name() != charset.UTF8 {
		d.mask = masked(body, decoder.Name() != charset.Latin1)
	}
	d.start = space(d.mask, 0)
	if d.start < len(d.mask) && d.mask[d.start] == '<' {
		return nil, fmt.Errorf("%w: it is a web page; is it a login page, or is a proxy in between?", ErrNotJSON)
	}
	if !json.Valid(d.mask) {
		err := json.Unmarshal(d.mask, new(struct{}))
		return nil, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	return d, nil
}

// masked replaces single bytes beyond ASCII and, if there are such, letters of two bytes (GBK, Big5) and of
// four (GB 18030).
func masked(body []byte, wide bool) []byte {
	mask := bytes.Clone(body)
	for i := 0; i < len(mask); i++ {
		lead := mask[i]
		if lead < 0x80 {
			continue
		}
		mask[i] = 'x'
		if !wide || lead == 0x80 || lead == 0xff || i+1 == len(mask) {
			continue
		}
		if second := mask[i+1]; second >= 0x40 && second != 0x7f && second != 0xff {
			i++
			mask[i] = 'x'
		}
		// Of a letter of four bytes, the second and the fourth are digits, which may stay.
	}
	return mask
}

// Array returns the elements of the array at path, as their own bytes: "." is the document itself, "a.b" the
// member b of the member a.
func (d *Document) Array(path string) ([][]byte, error) {
	at := d.start
	if path != "." {
		start, _, found, err := d.find(path)
		switch {
		case err != nil:
			return nil, err
		case !found:
			return nil, fmt.Errorf("the answer has no member %q%s", path, d.names())
		}
		at = start
	}
	if d.mask[at] != '[' {
		if path == "." {
			return nil, fmt.Errorf("the answer is not an array%s", d.names())
		}
		return nil, fmt.Errorf("the member %q of the answer is not an array", path)
	}
	var list [][]byte
	for from, to := range elements(d.mask, at) {
		if len(list) == maxRows {
			return nil, fmt.Errorf("the answer has more than %d rows; ask for fewer with size", maxRows)
		}
		list = append(list, d.body[from:to:to])
	}
	return list, nil
}

// Scalar returns the text of the string, number or boolean at path; it is empty if the member is missing or null.
func (d *Document) Scalar(path string) (string, error) {
	start, end, found, err := d.find(path)
	if err != nil || !found {
		return "", err
	}
	if c := d.mask[start]; c == '{' || c == '[' {
		return "", fmt.Errorf("the member %q of the answer is neither text nor a number", path)
	}
	text, valid := d.decoder.Decode(nil, d.body[start:end])
	value, ok := scalar(text)
	if !valid || !ok {
		return "", fmt.Errorf("the member %q of the answer holds bytes that are not of the character set %s", path, d.decoder.Name())
	}
	return value.Text, nil
}

// find goes to the member at path.
func (d *Document) find(path string) (start, end int, found bool, err error) {
	start = d.start
	for name := range strings.SplitSeq(path, ".") {
		if d.mask[start] != '{' {
			return 0, 0, false, nil
		}
		found = false
		at := start
		for m := range members(d.mask, at) {
			if d.name(m) != name {
				continue
			}
			if found {
				return 0, 0, false, fmt.Errorf("the answer has the member %q twice", name)
			}
			start, end, found = m.value, m.end, true
		}
		if !found {
			return 0, 0, false, nil
		}
	}
	return start, end, true, nil
}

// name is the name of a member; what is not of the character set has no name that anybody asks for.
func (d *Document) name(m member) string {
	text, _ := d.decoder.Decode(nil, d.body[m.name:m.nameEnd])
	value, _ := scalar(text)
	return value.Text
}

// names lists the members of the document, for messages.
func (d *Document) names() string {
	if d.mask[d.start] != '{' {
		return "; it is not an object"
	}
	var names []string
	for m := range members(d.mask, d.start) {
		// Digits may be a person's number.
		if name := d.name(m); len(names) < 10 && len(name) <= 64 && !strings.ContainsAny(name, "0123456789") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	for i, name := range names {
		names[i] = strconv.Quote(name)
	}
	return "; it has " + strings.Join(names, ", ")
}
