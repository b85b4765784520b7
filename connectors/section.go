package connectors

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/onewindow/onewindow/connectors/charset"
)

// faults gathers what is wrong with a document. The YAML library's own strict
// decoder stops at the first fault; people mend files faster when they see all.
type faults struct {
	found []error
	// schema, if not nil, records what the readers would read instead of reading it.
	schema *recorder
}

func (f *faults) add(node ast.Node, where, format string, args ...any) {
	line := 0
	if node != nil && node.GetToken() != nil && node.GetToken().Position != nil {
		line = node.GetToken().Position.Line
	}
	if where == "" {
		where = "document"
	}
	f.found = append(f.found, fmt.Errorf("line %d: %s: %s", line, where, fmt.Sprintf(format, args...)))
}

func (f *faults) err() error {
	if len(f.found) == 0 {
		return nil
	}
	return fmt.Errorf("%w:\n%w", ErrDefinition, errors.Join(f.found...))
}

// section is a YAML mapping whose members are read by type. A member that is
// missing or of another type is a fault and reads as the zero value.
type section struct {
	*faults
	node    ast.Node
	where   string
	members map[string]ast.Node
}

// newSection reports the members of node that are not allowed or come twice.
func newSection(f *faults, node ast.Node, where string, allowed ...string) section {
	s := section{faults: f, node: node, where: where, members: map[string]ast.Node{}}
	if f.schema != nil {
		return s
	}
	mapping, ok := node.(ast.MapNode)
	if !ok {
		f.add(node, where, "must be a mapping")
		return s
	}
	for it := mapping.MapRange(); it.Next(); {
		key, ok := plainText(it.Key())
		switch _, twice := s.members[key]; {
		case !ok:
			f.add(it.Key(), where, "member names must be plain text")
		case twice:
			f.add(it.Key(), s.path(key), "is given twice")
		default:
			s.members[key] = it.Value()
		}
	}
	if allowed != nil {
		s.allow(allowed...)
	}
	return s
}

func (s section) allow(names ...string) {
	if s.schema != nil {
		return
	}
	unknown := make([]string, 0, len(s.members))
	for name := range s.members {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		s.add(s.members[name], s.path(name), "is unknown; known are %s", strings.Join(names, ", "))
	}
}

func (s section) path(name string) string {
	if s.where == "" {
		return name
	}
	return s.where + "." + name
}

func (s section) fault(name, format string, args ...any) {
	if s.schema != nil {
		return
	}
	node := s.members[name]
	if node == nil {
		node = s.node
	}
	s.add(node, s.path(name), format, args...)
}

// member returns the node of a member that is present and not null.
func (s section) member(name string, required bool) ast.Node {
	node := s.members[name]
	if node != nil && node.Type() == ast.NullType {
		node = nil
	}
	if node == nil && required {
		s.fault(name, "is missing")
	}
	return node
}

// section returns a function that enters the member as a mapping.
func (s section) section(name string, required bool) (enter func() section, present bool) {
	if s.schema.note(s.path(name), required, property{kind: "object"}) {
		return func() section { return newSection(s.faults, nil, s.path(name)) }, true
	}
	node := s.member(name, required)
	return func() section { return newSection(s.faults, node, s.path(name)) }, node != nil
}

// list reads a list that must have an element.
func (s section) list(name string) []ast.Node {
	if s.schema.note(s.path(name), true, property{kind: "array"}) {
		return []ast.Node{nil}
	}
	node := s.member(name, true)
	if node == nil {
		return nil
	}
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		s.fault(name, "must be a list")
		return nil
	}
	if len(sequence.Values) == 0 {
		s.fault(name, "is empty")
	}
	return sequence.Values
}

func (s section) text(name string, required bool) string {
	if s.schema.note(s.path(name), required, property{kind: "string"}) {
		return ""
	}
	node := s.member(name, required)
	if node == nil {
		return ""
	}
	text, ok := plainText(node)
	if !ok {
		s.fault(name, "must be text; put it in quotes")
	} else if text == "" && required {
		s.fault(name, "is empty")
	}
	return text
}

// neededTexts is texts of a member that must be there; its reader says what is missing, the schema that it is required.
func (s section) neededTexts(name string) []string {
	if s.schema.note(s.path(name), true, property{kind: "texts"}) {
		return nil
	}
	return s.texts(name)
}

// texts reads a list of texts, or one text alone.
func (s section) texts(name string) []string {
	if s.schema.note(s.path(name), false, property{kind: "texts"}) {
		return nil
	}
	node := s.member(name, false)
	if node == nil {
		return nil
	}
	nodes := []ast.Node{node}
	if sequence, ok := node.(*ast.SequenceNode); ok {
		nodes = sequence.Values
	}
	var texts []string
	for _, node := range nodes {
		text, ok := plainText(node)
		switch {
		case !ok || text == "":
			s.fault(name, "must be text or a list of texts")
		case slices.Contains(texts, text):
			s.fault(name, "has %q twice", text)
		}
		texts = append(texts, text)
	}
	return texts
}

func (s section) file(name, dir string, required bool) string {
	if text := s.text(name, required); text != "" {
		return resolve(dir, text)
	}
	return ""
}

// oneOf reads a text that must be one of choices; without a fallback it is required.
func (s section) oneOf(name, fallback string, choices ...string) string {
	if s.schema.note(s.path(name), fallback == "", property{kind: "string", choices: choices, fallback: fallback}) {
		return fallback
	}
	text := s.text(name, fallback == "")
	switch {
	case slices.Contains(choices, text):
		return text
	case text != "":
		s.fault(name, "%q is not one of %s", text, strings.Join(choices, ", "))
	}
	return fallback
}

// charset reads the member charset by any label of a charset, and returns its name; the fallback may be another word.
func (s section) charset(fallback string) string {
	const member = "charset"
	names := charset.Names()
	if !slices.Contains(names, fallback) {
		names = append([]string{fallback}, names...)
	}
	if s.schema.note(s.path(member), false, property{kind: "charset", choices: names, fallback: fallback}) {
		return fallback
	}
	text := s.text(member, false)
	if text == "" || text == fallback {
		return fallback
	}
	name, known := charset.OfLabel(text)
	if !known {
		s.fault(member, "%q is not one of %s", text, strings.Join(names, ", "))
	}
	return name
}

func (s section) integer(name string, fallback, low, high int) int {
	if s.schema.note(s.path(name), false, property{kind: "integer", low: low, high: high, fallback: fallback}) {
		return fallback
	}
	node := s.member(name, false)
	if node == nil {
		return fallback
	}
	n, err := strconv.Atoi(scalarText(node))
	if _, ok := node.(*ast.IntegerNode); !ok || err != nil || n < low || n > high {
		s.fault(name, "must be a whole number from %d to %d", low, high)
	}
	return n
}

func (s section) duration(name string, fallback, low, high time.Duration) time.Duration {
	if s.schema.note(s.path(name), false, property{kind: "duration", fallback: fallback.String()}) {
		return fallback
	}
	text := s.text(name, false)
	if text == "" {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < low || d > high {
		s.fault(name, "%q must be a duration such as \"5s\", from %s to %s", text, low, high)
	}
	return d
}

func (s section) boolean(name string) bool {
	if s.schema.note(s.path(name), false, property{kind: "boolean", fallback: false}) {
		return false
	}
	node := s.member(name, false)
	if node == nil {
		return false
	}
	b, ok := node.(*ast.BoolNode)
	if !ok {
		s.fault(name, "must be true or false")
		return false
	}
	return b.Value
}

// plainText returns the text of a string node. Anchors, aliases and tags are not plain text.
func plainText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func scalarText(node ast.Node) string {
	if node.GetToken() == nil {
		return ""
	}
	return node.GetToken().Value
}
