// Package xmltree reads the XML of OFD files so that a byte string has exactly
// one reading. It takes the XML 1.0 of data: elements, attributes, text, CDATA,
// comments, the five predefined entities and character references, namespaces.
// It refuses what data does not need and what readers disagree about: document
// types, entities of one's own, processing instructions, names outside ASCII,
// unbound prefixes, duplicate attributes, anything that is not UTF-8.
//
// Memory and time are linear in the size of the text, and bounded by Limits.
// Every error wraps ErrSyntax or ErrLimit and names the byte offset.
package xmltree

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var (
	// ErrSyntax reports text that is not XML of the accepted form.
	ErrSyntax = errors.New("xmltree: not acceptable XML")
	// ErrLimit reports XML beyond the limits.
	ErrLimit = errors.New("xmltree: too large")
)

// Limits bound what Parse reads.
type Limits struct {
	// Bytes is the size of the text.
	Bytes int
	// Depth is how deep elements nest; the root has depth 1.
	Depth int
	// Nodes is how many elements and attributes there are in all.
	Nodes int
}

// Node is one element.
type Node struct {
	// Space is the namespace's URI, empty for none.
	Space string
	// Name is the local name.
	Name string
	// Attrs are the attributes in order, without namespace declarations.
	Attrs []Attr
	// Nodes are the child elements in order.
	Nodes []*Node
	// Text is all character data directly within the element.
	Text string
}

// Attr is one attribute.
type Attr struct {
	// Space is the namespace's URI, empty for an attribute without prefix.
	Space string
	// Name is the local name.
	Name string
	// Value is the value with references resolved and white space normalised to spaces.
	Value string
}

// Attr returns the value of the attribute of that name without a namespace.
func (n *Node) Attr(name string) (string, bool) {
	for i := range n.Attrs {
		if a := &n.Attrs[i]; a.Name == name && a.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

// Child returns the first child element of that name in n's own namespace, or nil.
func (n *Node) Child(name string) *Node {
	for _, c := range n.Nodes {
		if c.Name == name && c.Space == n.Space {
			return c
		}
	}
	return nil
}

// Children returns the child elements of that name in n's own namespace.
func (n *Node) Children(name string) []*Node {
	var list []*Node
	for _, c := range n.Nodes {
		if c.Name == name && c.Space == n.Space {
			list = append(list, c)
		}
	}
	return list
}

// Parse reads one XML document.
func Parse(data []byte, limits Limits) (*Node, error) {
	if len(data) > limits.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrLimit, len(data), limits.Bytes)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	p := parser{text: strings.TrimPrefix(string(data), "\ufeff"), limits: limits}
	root, err := p.document()
	if err != nil {
		return nil, fmt.Errorf("%w at byte %d", err, p.pos)
	}
	return root, nil
}

type parser struct {
	text   string
	pos    int
	limits Limits
	nodes  int
	// bound are the namespace declarations in force, innermost last.
	bound []binding
}

type binding struct{ prefix, uri string }

const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
}

func (p *parser) document() (*Node, error) {
	if err := p.declaration(); err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	if !p.at("<") {
		return nil, syntax("no element")
	}
	root, err := p.element(1)
	if err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	if p.pos != len(p.text) {
		return nil, syntax("something follows the document")
	}
	return root, nil
}

func (p *parser) at(s string) bool { return strings.HasPrefix(p.text[p.pos:], s) }

func (p *parser) take(s string) bool {
	if !p.at(s) {
		return false
	}
	p.pos += len(s)
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func (p *parser) space() bool {
	start := p.pos
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

// declaration reads <?xml version="1.0" encoding="UTF-8" standalone="…"?>.
func (p *parser) declaration() error {
	if !p.take("<?xml") {
		return nil
	}
	for i, name := range []string{"version", "encoding", "standalone"} {
		spaced := p.space()
		if !p.at(name) {
			if i == 0 {
				return syntax("the XML declaration states no version")
			}
			continue
		}
		if !spaced {
			return syntax("white space is missing in the XML declaration")
		}
		p.pos += len(name)
		p.space()
		if !p.take("=") {
			return syntax("no = in the XML declaration")
		}
		p.space()
		value, err := p.quoted()
		if err != nil {
			return err
		}
		switch {
		case name == "version" && value != "1.0":
			return syntax("version %.20q", value)
		case name == "encoding" && !strings.EqualFold(value, "UTF-8"):
			return syntax("encoding %.20q: only UTF-8 is read", value)
		case name == "standalone" && value != "yes" && value != "no":
			return syntax("standalone %.20q", value)
		}
	}
	p.space()
	if !p.take("?>") {
		return syntax("the XML declaration does not end")
	}
	return nil
}

// misc skips white space and comments.
func (p *parser) misc() error {
	for {
		p.space()
		if !p.at("<!--") {
			return nil
		}
		if err := p.comment(); err != nil {
			return err
		}
	}
}

func (p *parser) comment() error {
	body := p.pos + len("<!--")
	end := strings.Index(p.text[body:], "--")
	if end < 0 || !strings.HasPrefix(p.text[body+end:], "-->") {
		return syntax("a comment does not end or holds --")
	}
	if err := checkChars(p.text[body : body+end]); err != nil {
		return err
	}
	p.pos = body + end + len("-->")
	return nil
}

// quoted returns the raw text between a pair of quotation marks.
func (p *parser) quoted() (string, error) {
	if p.pos >= len(p.text) || p.text[p.pos] != '"' && p.text[p.pos] != '\'' {
		return "", syntax("no quotation mark")
	}
	end := strings.IndexByte(p.text[p.pos+1:], p.text[p.pos])
	if end < 0 {
		return "", syntax("a quotation does not end")
	}
	raw := p.text[p.pos+1 : p.pos+1+end]
	p.pos += end + 2
	return raw, nil
}

func isNameStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

func (p *parser) ncname() (string, error) {
	start := p.pos
	if start >= len(p.text) || !isNameStart(p.text[start]) {
		return "", syntax("no ASCII name")
	}
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if !isNameStart(c) && c != '-' && c != '.' && (c < '0' || c > '9') {
			break
		}
		p.pos++
	}
	return p.text[start:p.pos], nil
}

// name reads prefix:local or local.
func (p *parser) name() (prefix, local string, err error) {
	if local, err = p.ncname(); err != nil || !p.take(":") {
		return "", local, err
	}
	prefix = local
	local, err = p.ncname()
	return prefix, local, err
}

func (p *parser) resolve(prefix string) (string, error) {
	for i := len(p.bound) - 1; i >= 0; i-- {
		if p.bound[i].prefix == prefix {
			return p.bound[i].uri, nil
		}
	}
	switch prefix {
	case "":
		return "", nil
	case "xml":
		return xmlNamespace, nil
	}
	return "", syntax("prefix %.40q is not bound", prefix)
}

func (p *parser) count() error {
	if p.nodes++; p.nodes > p.limits.Nodes {
		return fmt.Errorf("%w: more than %d elements and attributes", ErrLimit, p.limits.Nodes)
	}
	return nil
}

// element reads an element from its "<".
func (p *parser) element(depth int) (*Node, error) {
	if depth > p.limits.Depth {
		return nil, fmt.Errorf("%w: elements are nested deeper than %d", ErrLimit, p.limits.Depth)
	}
	if err := p.count(); err != nil {
		return nil, err
	}
	p.pos++ // "<"
	open := p.pos
	prefix, local, err := p.name()
	if err != nil {
		return nil, err
	}
	qualified := p.text[open:p.pos]
	n := &Node{Name: local}
	outer := len(p.bound)
	empty, err := p.attributes(n)
	if err != nil {
		return nil, err
	}
	if n.Space, err = p.resolve(prefix); err != nil {
		return nil, err
	}
	if prefix == "xmlns" {
		return nil, syntax("an element with the prefix xmlns")
	}
	if !empty {
		if err := p.content(n, depth); err != nil {
			return nil, err
		}
		if !p.take(qualified) {
			return nil, syntax("<%.40s> is closed by another name", qualified)
		}
		p.space()
		if !p.take(">") {
			return nil, syntax("an end tag does not end")
		}
	}
	p.bound = p.bound[:outer]
	return n, nil
}

// attributes reads up to and including ">" or "/>" and binds the namespaces
// declared before it resolves the attributes' own.
func (p *parser) attributes(n *Node) (empty bool, err error) {
	for {
		spaced := p.space()
		switch {
		case p.take("/>"):
			return true, p.finish(n)
		case p.take(">"):
			return false, p.finish(n)
		case !spaced:
			return false, syntax("white space is missing in a tag")
		}
		if err := p.count(); err != nil {
			return false, err
		}
		if len(n.Attrs) == maxAttributes {
			return false, fmt.Errorf("%w: more than %d attributes", ErrLimit, maxAttributes)
		}
		prefix, local, err := p.name()
		if err != nil {
			return false, err
		}
		p.space()
		if !p.take("=") {
			return false, syntax("attribute %.40s has no value", local)
		}
		p.space()
		raw, err := p.quoted()
		if err != nil {
			return false, err
		}
		if strings.Contains(raw, "<") {
			return false, syntax("< in attribute %.40s", local)
		}
		value, err := expand(raw, true)
		if err != nil {
			return false, err
		}
		n.Attrs = append(n.Attrs, Attr{Space: prefix, Name: local, Value: value})
	}
}

// finish turns prefixes into namespaces and takes the declarations out.
func (p *parser) finish(n *Node) error {
	outer, kept := len(p.bound), n.Attrs[:0:len(n.Attrs)]
	for _, a := range n.Attrs {
		switch {
		case a.Space == "" && a.Name == "xmlns":
			a.Name = ""
		case a.Space == "xmlns" && a.Value == "":
			return syntax("prefix %.40q is bound to nothing", a.Name)
		case a.Space == "xmlns":
		default:
			kept = append(kept, a)
			continue
		}
		if a.Name == "xml" || a.Name == "xmlns" || a.Value == xmlNamespace {
			return syntax("a reserved prefix or namespace is declared")
		}
		for _, b := range p.bound[outer:] {
			if b.prefix == a.Name {
				return syntax("prefix %.40q is declared twice", a.Name)
			}
		}
		if len(p.bound) == maxAttributes {
			return fmt.Errorf("%w: more than %d namespaces in force", ErrLimit, maxAttributes)
		}
		p.bound = append(p.bound, binding{a.Name, a.Value})
	}
	n.Attrs = kept
	for i := range kept {
		a := &kept[i]
		if a.Space != "" {
			uri, err := p.resolve(a.Space)
			if err != nil {
				return err
			}
			a.Space = uri
		}
		for j := range i {
			if kept[j].Name == a.Name && kept[j].Space == a.Space {
				return syntax("attribute %.40s appears twice", a.Name)
			}
		}
	}
	return nil
}

// maxAttributes is how many attributes an element has at most, and how many
// namespaces are in force in one place. It keeps the search for duplicates cheap.
const maxAttributes = 64

// content reads up to and including "</".
func (p *parser) content(n *Node, depth int) error {
	var data text
	for {
		end := strings.IndexByte(p.text[p.pos:], '<')
		if end < 0 {
			return syntax("<%.40s> is not closed", n.Name)
		}
		if raw := p.text[p.pos : p.pos+end]; raw != "" {
			if strings.Contains(raw, "]]>") {
				return syntax("]]> in text")
			}
			piece, err := expand(raw, false)
			if err != nil {
				return err
			}
			data.add(piece)
			p.pos += end
		}
		switch {
		case p.take("</"):
			n.Text = data.in(n)
			return nil
		case p.at("<!--"):
			if err := p.comment(); err != nil {
				return err
			}
		case p.take("<![CDATA["):
			end := strings.Index(p.text[p.pos:], "]]>")
			if end < 0 {
				return syntax("a CDATA section does not end")
			}
			raw := p.text[p.pos : p.pos+end]
			if err := checkChars(raw); err != nil {
				return err
			}
			data.add(lineEnds(raw))
			p.pos += end + len("]]>")
		case p.at("<!"), p.at("<?"):
			return syntax("declarations and processing instructions are not read")
		default:
			child, err := p.element(depth + 1)
			if err != nil {
				return err
			}
			n.Nodes = append(n.Nodes, child)
		}
	}
}
