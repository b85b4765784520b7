package xmltree_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

var limits = xmltree.Limits{Bytes: 1 << 20, Depth: 16, Nodes: 1000}

func TestParseReadsWhatOFDProducersWrite(t *testing.T) {
	const in = "\ufeff<?xml version=\"1.0\" encoding='utf-8' standalone=\"no\"?>\r\n<!-- a -->\n" +
		`<o:OFD xmlns:o="urn:ofd" xmlns="urn:other" Version="1.0" o:V="2 &quot;&#x41;&#66;"><o:Doc><o:T>甲&lt;<![CDATA[<乙&amp;]]>&#20025;` + "\r\n" +
		`</o:T> <T a='x` + "\t" + `y'/></o:Doc><T xmlns="">z</T></o:OFD> <!--b-->`
	root, err := xmltree.Parse([]byte(in), limits)
	if err != nil {
		t.Fatal(err)
	}
	if root.Space != "urn:ofd" || root.Name != "OFD" || len(root.Attrs) != 2 {
		t.Fatalf("root: %+v", root)
	}
	if v, ok := root.Attr("Version"); !ok || v != "1.0" {
		t.Errorf("Version: %q", v)
	}
	if _, ok := root.Attr("V"); ok {
		t.Error("an attribute with a namespace was found without one")
	}
	if a := root.Attrs[1]; a.Space != "urn:ofd" || a.Value != `2 "AB` {
		t.Errorf("attribute: %+v", a)
	}
	doc := root.Child("Doc")
	if doc == nil || len(doc.Nodes) != 2 || doc.Text != "" {
		t.Fatalf("Doc: %+v", doc)
	}
	if got := doc.Child("T").Text; got != "甲<<乙&amp;丹\n" {
		t.Errorf("text: %q", got)
	}
	if v, _ := doc.Nodes[1].Attr("a"); doc.Nodes[1].Space != "urn:other" || v != "x y" {
		t.Errorf("T: %+v", doc.Nodes[1])
	}
	if len(root.Children("T")) != 0 || root.Nodes[1].Space != "" || root.Nodes[1].Text != "z" {
		t.Errorf("the default namespace was not undone: %+v", root.Nodes[1])
	}
}

func TestParseRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":               "",
		"text alone":            "x",
		"two roots":             "<a/><b/>",
		"trailing text":         "<a/>x",
		"not closed":            "<a><b></a>",
		"other name":            "<a></b>",
		"name continued":        "<a></ab>",
		"other prefix":          `<p:a xmlns:p="u" xmlns:q="u"></q:a>`,
		"DTD":                   `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`,
		"entity":                "<a>&x;</a>",
		"bare ampersand":        "<a>x & y</a>",
		"reference to NUL":      "<a>&#0;</a>",
		"reference, underscore": "<a>&#x_41;</a>",
		"reference too large":   "<a>&#x110000;</a>",
		"control character":     "<a>\x01</a>",
		"not UTF-8":             "<a>\xff</a>",
		"UTF-16":                `<?xml version="1.0" encoding="UTF-16"?><a/>`,
		"XML 1.1":               `<?xml version="1.1"?><a/>`,
		"late declaration":      ` <?xml version="1.0"?><a/>`,
		"instruction":           "<a><?php x?></a>",
		"duplicate attribute":   `<a x="1" x="1"/>`,
		"duplicate by prefix":   `<a xmlns:p="u" xmlns:q="u" p:x="1" q:x="1"/>`,
		"unbound prefix":        "<p:a/>",
		"unbound attribute":     `<a p:x="1"/>`,
		"prefix declared twice": `<a xmlns:p="u" xmlns:p="v"/>`,
		"prefix to nothing":     `<a xmlns:p=""/>`,
		"xmlns redeclared":      `<a xmlns:xmlns="u"/>`,
		"less-than in value":    `<a x="<"/>`,
		"no quotation marks":    "<a x=1/>",
		"attributes run on":     `<a x="1"y="2"/>`,
		"double hyphen":         "<!-- -- --><a/>",
		"CDATA end in text":     "<a>]]></a>",
		"CDATA at top":          "<![CDATA[]]><a/>",
		"name outside ASCII":    "<甲/>",
	} {
		if n, err := xmltree.Parse([]byte(in), limits); !errors.Is(err, xmltree.ErrSyntax) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	for name, in := range map[string]string{
		"depth":      strings.Repeat("<a>", 17) + strings.Repeat("</a>", 17),
		"nodes":      "<a>" + strings.Repeat("<b/>", 1000) + "</a>",
		"size":       "<a>" + strings.Repeat(" ", 1<<20) + "</a>",
		"attributes": "<a" + strings.Repeat(` x="1"`, 65) + "/>",
	} {
		if n, err := xmltree.Parse([]byte(in), limits); !errors.Is(err, xmltree.ErrLimit) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
}

// Text in a million pieces must not be copied a million times: were it so,
// this test would run for hours and end by go test's own limit.
func TestParseIsLinear(t *testing.T) {
	in := "<a>" + strings.Repeat("x<!---->", 1<<20) + "</a>"
	start := time.Now()
	root, err := xmltree.Parse([]byte(in), xmltree.Limits{Bytes: 1 << 24, Depth: 2, Nodes: 10})
	if err != nil || len(root.Text) != 1<<20 {
		t.Fatal(err)
	}
	t.Logf("%d bytes in %v", len(in), time.Since(start))
}

// FuzzParse compares with encoding/xml: what Parse accepts, encoding/xml
// accepts too and reads as the same tree.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`<?xml version="1.0" encoding="UTF-8"?><ofd:OFD xmlns:ofd="http://www.ofdspec.org/2016" Version="1.0"><ofd:DocBody><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot></ofd:DocBody></ofd:OFD>`,
		"<a xmlns='u'><b x=\"1&#10;2\" y='\r\n'>t<![CDATA[c]]>&amp;</b><!-- c --><b xmlns=''/></a>",
		`<p:a xmlns:p="u" p:x="1" x="2"> <q:b xmlns:q="v"/> text </p:a>`,
		`<!DOCTYPE a><a/>`, `<a xml:lang="zh"/>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := xmltree.Parse(data, limits)
		if err != nil {
			return
		}
		want, err := standard(data)
		if err != nil {
			t.Fatalf("encoding/xml refuses %q: %v", data, err)
		}
		compare(t, got, want)
	})
}

// standard reads with encoding/xml.
func standard(data []byte) (*xmltree.Node, error) {
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var root *xmltree.Node
	var open []*xmltree.Node
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &xmltree.Node{Space: tok.Name.Space, Name: tok.Name.Local}
			for _, a := range tok.Attr {
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					n.Attrs = append(n.Attrs, xmltree.Attr{Space: a.Name.Space, Name: a.Name.Local, Value: a.Value})
				}
			}
			if len(open) > 0 {
				parent := open[len(open)-1]
				parent.Nodes = append(parent.Nodes, n)
			} else {
				root = n
			}
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Text += string(tok)
			}
		}
	}
}

func compare(t *testing.T, got, want *xmltree.Node) {
	t.Helper()
	// Attributes are normalised (XML 1.0 §3.3.3), names of name spaces too, which encoding/xml leaves out.
	flat := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	if flat.Replace(got.Space) != flat.Replace(want.Space) || got.Name != want.Name || len(got.Attrs) != len(want.Attrs) || len(got.Nodes) != len(want.Nodes) {
		t.Fatalf("got %+v, encoding/xml %+v", got, want)
	}
	if got.Text != want.Text && (got.Text != "" || strings.Trim(want.Text, " \t\r\n") != "") {
		t.Fatalf("text %q, encoding/xml %q", got.Text, want.Text)
	}
	for i, a := range got.Attrs {
		b := want.Attrs[i]
		if flat.Replace(a.Space) != flat.Replace(b.Space) || a.Name != b.Name || flat.Replace(a.Value) != flat.Replace(b.Value) {
			t.Fatalf("attribute %+v, encoding/xml %+v", a, b)
		}
	}
	for i := range got.Nodes {
		compare(t, got.Nodes[i], want.Nodes[i])
	}
}
