package jsondoc

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ErrDocument is wrapped by [Marshal] when a field that must hold a JSON
// document holds something else.
var ErrDocument = errors.New("jsondoc: not a JSON document")

// Each is the step of a path that stands for every element of an array.
const Each = "*"

// Unmarshal decodes data into m. The documents lie at path, a list of JSON
// member names with at most one [Each]; for every one that is there and not
// null, set is called with the index of its array element (0 without Each)
// and its text, which set may keep.
//
// Errors wrap [ErrSyntax] or are protojson's.
func Unmarshal(data []byte, m proto.Message, set func(index int, doc []byte), path ...string) error {
	kept := bytes.Clone(data)
	type found struct{ index, start, end int }
	var docs []found
	// What is left to protojson has an empty string for each document.
	var rest []byte
	done := 0
	s := &scanner{data: kept}
	err := s.walk(path, 0, func(index, start, end int) error {
		doc := kept[start:end]
		if len(doc) == 1 || string(doc) == "null" {
			return nil // a lone digit cannot be blanked, and protojson refuses it
		}
		if !utf8.Valid(doc) {
			s.pos = start
			return s.fault("a document that is not UTF-8")
		}
		rest = append(append(rest, kept[done:start]...), `""`...)
		done = end
		docs = append(docs, found{index, start, end})
		return nil
	})
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(append(rest, kept[done:]...), m); err != nil {
		// Once more in the caller's layout, so that the position in the error is the caller's.
		for _, d := range docs {
			blank(kept[d.start:d.end])
		}
		return protojson.Unmarshal(kept, m)
	}
	for _, d := range docs {
		set(d.index, kept[d.start:d.end:d.end])
	}
	return nil
}

// Marshal encodes m with its default values. A field at path (see
// [Unmarshal]) appears as the document it holds, and not at all when it is
// empty; an empty element of an array is null.
// It wraps [ErrDocument] when a field holds no document.
func Marshal(m proto.Message, path ...string) ([]byte, error) {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(text))
	done := 0
	s := &scanner{data: text}
	err = s.walk(path, 0, func(_, start, end int) error {
		if empty := end-start == len(`""`); empty && path[len(path)-1] != Each {
			start, end = memberAt(text, start, end)
			out = append(out, text[done:start]...)
			done = end
			return nil
		} else if empty {
			out = append(append(out, text[done:start]...), "null"...)
			done = end
			return nil
		}
		out = append(out, text[done:start]...)
		done = end
		from := len(out)
		var err error
		if out, err = base64.StdEncoding.AppendDecode(out, text[start+1:end-1]); err != nil {
			return fmt.Errorf("%w: %w", ErrDocument, err)
		}
		return check(out[from:])
	})
	if err != nil {
		return nil, err
	}
	return append(out, text[done:]...), nil
}

// memberAt returns the place of the member whose value is at start, with its
// name and one comma.
func memberAt(text []byte, start, end int) (from, to int) {
	name := bytes.LastIndexByte(text[:start], ':')
	quote := bytes.LastIndexByte(text[:name], '"')
	from = bytes.LastIndexByte(text[:quote], '"')
	if before := bytes.TrimRight(text[:from], " "); before[len(before)-1] == ',' {
		return len(before) - 1, end
	}
	after := bytes.TrimLeft(text[end:], " ")
	if len(after) > 0 && after[0] == ',' {
		return from, len(text) - len(after) + 1
	}
	return from, end
}

// walk passes over the next value and calls visit with the place of each
// value at path below it.
func (s *scanner) walk(path []string, index int, visit func(index, start, end int) error) error {
	c := s.peek()
	switch {
	case len(path) == 0:
		start := s.pos
		if err := s.value(1); err != nil {
			return err
		}
		return visit(index, start, s.pos)
	case path[0] == Each && c == '[':
		return s.array(func(i int) error { return s.walk(path[1:], i, visit) })
	case path[0] != Each && c == '{':
		return s.object(func(name []byte) error {
			if string(name) == path[0] {
				return s.walk(path[1:], index, visit)
			}
			return s.value(1)
		})
	}
	return s.value(1) // of another shape: protojson says what is wrong with it
}

// check says whether doc is one JSON document.
func check(doc []byte) error {
	s := &scanner{data: doc}
	if err := s.value(1); err != nil {
		return fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if s.peek() != 0 || s.pos < len(doc) || !utf8.Valid(doc) {
		return fmt.Errorf("%w: more than one value, or not UTF-8", ErrDocument)
	}
	return nil
}

// blank overwrites a value with an empty string, keeping its line breaks.
func blank(value []byte) {
	for i := range value {
		switch {
		case i < 2:
			value[i] = '"'
		case value[i] != '\n':
			value[i] = ' '
		}
	}
}
