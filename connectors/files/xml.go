package files

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
)

// xmlRows is [rowReader] for XML: every element of one name is a row, its
// attributes and child elements are the columns. Prefixes mean nothing.
type xmlRows struct {
	*reading
	markup *markup
	count  int64
	any    bool // there was an element
	useful bool // a row with one of the columns, or one that is rejected
	root   string
	words  bool // the root holds text outside elements, as a message does
	inner  bool // the root holds elements
}

func openXML(in io.ReaderAt, size int64, r *reading) (*xmlRows, error) {
	section := io.NewSectionReader(in, 0, size)
	var head [512]byte
	n, err := section.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if what := looksLike(head[:n]); what != "" && what != "XML" {
		return nil, broken("it is %s", what)
	}
	m, err := newMarkup(section)
	if err != nil {
		return nil, err
	}
	return &xmlRows{reading: r, markup: m}, nil
}

func (x *xmlRows) next() (connectors.Row, error) {
	for {
		token, err := x.markup.token()
		if errors.Is(err, io.EOF) && !x.any {
			return connectors.Row{}, short("it holds no element")
		}
		if errors.Is(err, io.EOF) {
			if wrong := x.fault(); wrong != nil {
				return connectors.Row{}, wrong
			}
		}
		if err != nil {
			return connectors.Row{}, err
		}
		if text, ok := token.(xml.CharData); ok {
			x.words = x.words || x.any && len(bytes.TrimSpace(text)) > 0
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if x.inner = x.any; !x.any {
			x.root = start.Name.Local
		}
		x.any = true
		if start.Name.Local == x.cfg.Element {
			row, err := x.row(start)
			x.useful = x.useful || row.Rejection != nil || slices.ContainsFunc(row.Values, func(v connectors.Value) bool { return !v.Null })
			return row, err
		}
	}
}

// fault is why a document of which no row was made cannot be one of rows.
func (x *xmlRows) fault() error {
	switch {
	case x.useful:
	case x.count > 0:
		return broken("none of its elements %q has one of %s", x.cfg.Element, quoteList(x.columns))
	case x.words && !x.inner, slices.Contains([]string{"html", "error", "errors", "exception", "fault"}, strings.ToLower(x.root)):
		return broken("it is the message of an error, or a web page: it has no element %q, and its first element is %.40q", x.cfg.Element, x.root)
	}
	return nil
}

// row reads one element with all that is in it.
func (x *xmlRows) row(start xml.StartElement) (connectors.Row, error) {
	x.markup.in.begin()
	x.count++
	origin := x.name + ":" + strconv.FormatInt(x.count, 10)
	e := newElement(x.columns)
	for _, a := range start.Attr {
		if !declaration(a) {
			e.set(a.Name.Local, connectors.Value{Text: a.Value})
		}
	}
	for len(e.open) > 0 || !e.closed {
		token, err := x.markup.token()
		if errors.Is(err, io.EOF) {
			return connectors.Row{}, short("it ends in the middle of a row")
		}
		if err != nil {
			return connectors.Row{}, err
		}
		if x.markup.in.long {
			e.drop()
		}
		e.take(token)
	}
	raw, long, lost := x.markup.in.end()
	switch {
	case long:
		return rejected(origin, raw[:min(len(raw), connectors.RowHead)], exchange.RuleMalformed, "",
			"the row is longer than %d bytes; only its first %d are kept", connectors.MaxRowBytes, connectors.RowHead), nil
	case lost || e.lost != "":
		return rejected(origin, raw, exchange.RuleEncoding, e.lost, "%s", notOf(x.markup.in.charset)), nil
	case e.double != "":
		return rejected(origin, raw, exchange.RuleMalformed, e.double, "the row has the column %q twice", e.double), nil
	}
	return connectors.Row{Raw: append([]byte{}, raw...), Origin: origin, Values: e.values}, nil
}

// declaration says whether an attribute is about XML rather than data.
func declaration(a xml.Attr) bool {
	return a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" || a.Name.Space == "xml" || strings.HasSuffix(a.Name.Space, "/XMLSchema-instance")
}

// element gathers the columns of a row. The text of an element within a child is a column "child/within".
type element struct {
	columns []string
	values  []connectors.Value
	seen    []bool
	longest int // name of a column
	open    []level
	closed  bool
	double  string // a wanted column that came twice
	lost    string // a wanted column with a character that was lost
}

// level is an element within the row that is not closed yet.
type level struct {
	path   string // empty if it is longer than the name of any column
	text   []byte
	null   bool
	parent bool // has elements, so that its own text is only layout
}

func newElement(columns []string) *element {
	e := &element{columns: columns, values: make([]connectors.Value, len(columns)), seen: make([]bool, len(columns))}
	for i := range e.values {
		e.values[i].Null = true
		e.longest = max(e.longest, len(columns[i]))
	}
	return e
}

func (e *element) take(token xml.Token) {
	switch t := token.(type) {
	case xml.StartElement:
		path := t.Name.Local
		if n := len(e.open); n > 0 {
			above := &e.open[n-1]
			above.parent = true
			if above.path == "" || len(above.path)+1+len(path) > e.longest {
				path = "" // so that a long name is not copied for each of its children
			} else {
				path = above.path + "/" + path
			}
		}
		next := level{path: path}
		for _, a := range t.Attr {
			next.null = next.null || a.Name.Local == "nil" && strings.HasSuffix(a.Name.Space, "/XMLSchema-instance") && (a.Value == "true" || a.Value == "1")
		}
		e.open = append(e.open, next)
	case xml.CharData:
		if n := len(e.open); n > 0 {
			e.open[n-1].text = append(e.open[n-1].text, t...)
		}
	case xml.EndElement:
		n := len(e.open)
		if n == 0 {
			e.closed = true
			return
		}
		last := &e.open[n-1]
		if !last.parent && last.path != "" {
			e.set(last.path, connectors.Value{Text: string(last.text), Null: last.null})
		}
		e.open = e.open[:n-1]
	}
}

// drop forgets the texts of a row that is too long anyway.
func (e *element) drop() {
	for i := range e.open {
		e.open[i].text = nil
	}
}

func (e *element) set(name string, v connectors.Value) {
	i := slices.Index(e.columns, name)
	if i < 0 {
		return
	}
	if e.seen[i] {
		e.double = name
	}
	if strings.Contains(v.Text, "\ufffd") {
		e.lost = name
	}
	if v.Null {
		v.Text = ""
	}
	e.values[i], e.seen[i] = v, true
}
