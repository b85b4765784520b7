package connectors

import (
	"fmt"
	"strings"
)

const (
	// maxYAMLDepth is how deep a document may be nested.
	maxYAMLDepth = 64
	// maxYAMLAliases is how many aliases a document may have: so few double five times at most.
	maxYAMLAliases = 10
	// maxYAMLOneLine is how many block sequences may begin on one line ("- - - x").
	maxYAMLOneLine = 16
)

// BoundYAML refuses a YAML document that would cost far more than its size to
// read: deep nesting, and aliases, which double what they stand for. It reads
// the text once and keeps nothing. Where an indicator begins a value it is
// taken as one, so that texts with brackets within are no nesting.
func BoundYAML(text []byte) error {
	var quote byte // the quote that is open
	depth, line, dashes, aliases, indents := 0, 1, 0, 0, []int{}
	begins := true // whether a value may begin here
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\n' {
			line++
			dashes = 0
			if quote == 0 {
				begins = true
				if indents = indent(indents, text[i+1:]); len(indents)+depth > maxYAMLDepth {
					return fmt.Errorf("line %d: nested more than %d deep", line, maxYAMLDepth)
				}
			}
			continue
		}
		switch {
		case quote != 0:
			switch {
			case quote == '"' && c == '\\':
				i++
			case c == quote && quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
				i++
			case c == quote:
				quote = 0
			}
		case c == ' ' || c == '\t' || c == '\r':
		case c == '#' && (i == 0 || strings.IndexByte(" \t\n", text[i-1]) >= 0):
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case begins && (c == '"' || c == '\''):
			quote, begins = c, false
		case begins && c == '*' && i+1 < len(text) && strings.IndexByte(" \t\r\n", text[i+1]) < 0:
			if aliases++; aliases > maxYAMLAliases {
				return fmt.Errorf("line %d: more than %d aliases (*name); write the values out", line, maxYAMLAliases)
			}
		case begins && (c == '[' || c == '{'):
			if depth++; depth > maxYAMLDepth {
				return fmt.Errorf("line %d: nested more than %d deep", line, maxYAMLDepth)
			}
		case depth > 0 && (c == ']' || c == '}'):
			depth--
			begins = false
		case (c == '-' || c == '?') && begins && i+1 < len(text) && strings.IndexByte(" \t\r\n", text[i+1]) >= 0:
			if dashes++; dashes > maxYAMLOneLine {
				return fmt.Errorf("line %d: more than %d lists begin on one line", line, maxYAMLOneLine)
			}
		default:
			begins = c == ':' || c == ',' && depth > 0
		}
	}
	return nil
}

// indent keeps the indentations that a line is nested in. Blank lines and comments change nothing.
func indent(open []int, rest []byte) []int {
	n := 0
	for n < len(rest) && rest[n] == ' ' {
		n++
	}
	if n == len(rest) || rest[n] == '\n' || rest[n] == '\r' || rest[n] == '#' {
		return open
	}
	for len(open) > 0 && open[len(open)-1] >= n {
		open = open[:len(open)-1]
	}
	return append(open, n)
}
