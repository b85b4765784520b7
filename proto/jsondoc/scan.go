package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrSyntax is wrapped when a text is not JSON, or is nested too deeply.
var ErrSyntax = errors.New("jsondoc: syntax error")

// maxDepth bounds the nesting of a document.
const maxDepth = 100

// scanner checks the grammar of RFC 8259 over data without building values.
type scanner struct {
	data []byte
	pos  int
}

// fault is an error that says where in the text pos is.
func (s *scanner) fault(what string) error {
	before := s.data[:min(s.pos, len(s.data))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%w (line %d:%d): %s", ErrSyntax, line, column, what)
}

// unexpected is the fault of a text that ends early or goes on wrongly.
func (s *scanner) unexpected(want string) error {
	if s.pos >= len(s.data) {
		return s.fault("the text ends where " + want + " is expected")
	}
	return s.fault(want + " is expected here")
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos >= len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// value passes over one JSON value that lies within depth-1 objects and arrays.
func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case depth > maxDepth && (c == '{' || c == '['):
		return s.fault(fmt.Sprintf("nested more than %d levels deep", maxDepth))
	case c == '"':
		_, err := s.text()
		return err
	case c == '{':
		return s.object(func([]byte) error { return s.value(depth + 1) })
	case c == '[':
		return s.array(func(int) error { return s.value(depth + 1) })
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.unexpected("a JSON value")
}

// object passes over an object; member is called with each name, quotes and
// escapes undone, and passes over the value.
func (s *scanner) object(member func(name []byte) error) error {
	s.pos++ // the brace
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.unexpected("a member name in double quotes")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.unexpected("a colon")
		}
		s.pos++
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.unexpected("a comma or the closing brace")
		}
	}
}

// array passes over an array; element is called with each index and passes
// over the value.
func (s *scanner) array(element func(index int) error) error {
	s.pos++ // the bracket
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for index := 0; ; index++ {
		if err := element(index); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.unexpected("a comma or the closing bracket")
		}
	}
}

// text passes over a string and returns its contents, escapes undone.
func (s *scanner) text() ([]byte, error) {
	start := s.pos
	escaped := false
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			if !escaped {
				return s.data[start+1 : s.pos-1], nil
			}
			var unquoted string
			if err := json.Unmarshal(s.data[start:s.pos], &unquoted); err != nil {
				s.pos = start
				return nil, s.fault("a string with a wrong escape")
			}
			return []byte(unquoted), nil
		case c == '\\':
			escaped = true
			s.pos++
		case c < ' ':
			return nil, s.fault("a control character within a string")
		}
	}
	return nil, s.unexpected("the closing quote")
}

func (s *scanner) number() error {
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos < len(s.data) && (s.data[s.pos] == 'e' || s.data[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected("a digit")
	}
	return nil
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.unexpected("a JSON value")
	}
	s.pos += len(word)
	return nil
}
