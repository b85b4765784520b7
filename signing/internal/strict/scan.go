package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// scanner takes JSON apart that json.Valid has passed: the grammar is
// encoding/json's, here only values are found. It does so in a fraction of the
// time and garbage of json.Decoder's tokens.
type scanner struct {
	data []byte
	at   int
}

// next skips white space and returns the byte that follows, without taking it.
func (s *scanner) next() byte {
	for {
		switch b := s.data[s.at]; b {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return b
		}
	}
}

func (s *scanner) value(depth int) (any, error) {
	switch s.next() {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		return s.text()
	case 't':
		s.at += len("true")
		return true, nil
	case 'f':
		s.at += len("false")
		return false, nil
	case 'n':
		s.at += len("null")
		return nil, nil // null is a value
	}
	begin := s.at
	for s.at < len(s.data) && strings.IndexByte("+-.0123456789Ee", s.data[s.at]) >= 0 {
		s.at++
	}
	return json.Number(s.data[begin:s.at]), nil
}

func (s *scanner) object(depth int) (any, error) {
	if depth >= MaxDepth {
		return nil, fmt.Errorf("JSON is nested deeper than %d", MaxDepth)
	}
	s.at++ // the opening brace
	obj := map[string]any{}
	for s.next() != '}' {
		if s.data[s.at] == ',' {
			s.at++
			s.next()
		}
		name, err := s.text()
		if err != nil {
			return nil, err
		}
		if _, dup := obj[name]; dup {
			return nil, fmt.Errorf("JSON member %.40q appears twice", name)
		}
		s.next()
		s.at++ // the colon
		if obj[name], err = s.value(depth + 1); err != nil {
			return nil, err
		}
	}
	s.at++
	return obj, nil
}

func (s *scanner) array(depth int) (any, error) {
	if depth >= MaxDepth {
		return nil, fmt.Errorf("JSON is nested deeper than %d", MaxDepth)
	}
	s.at++ // the opening bracket
	list := []any{}
	for s.next() != ']' {
		if s.data[s.at] == ',' {
			s.at++
		}
		v, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	s.at++
	return list, nil
}

// text reads a string, from its opening to its closing quote.
func (s *scanner) text() (string, error) {
	s.at++
	begin := s.at
	for {
		switch s.data[s.at] {
		case '"':
			s.at++
			return string(s.data[begin : s.at-1]), nil
		case '\\':
			return s.escaped(begin - 1)
		}
		s.at++
	}
}

// escaped reads a string with escapes in it, whose quote is at begin.
func (s *scanner) escaped(begin int) (string, error) {
	var high bool // the last thing was the first half of a surrogate pair
	for s.data[s.at] != '"' {
		var unit rune // of UTF-16, if written as an escape
		step := 1
		if s.data[s.at] == '\\' {
			step = 2
			if s.data[s.at+1] == 'u' {
				n, err := strconv.ParseUint(string(s.data[s.at+2:s.at+6]), 16, 16)
				if err != nil {
					return "", err
				}
				unit, step = rune(n), 6
			}
		}
		low := 0xdc00 <= unit && unit <= 0xdfff
		if high != low {
			return "", errors.New("JSON string holds half a surrogate pair")
		}
		high = utf16.IsSurrogate(unit) && !low
		s.at += step
	}
	if high {
		return "", errors.New("JSON string holds half a surrogate pair")
	}
	s.at++
	var text string
	err := json.Unmarshal(s.data[begin:s.at], &text)
	return text, err
}
