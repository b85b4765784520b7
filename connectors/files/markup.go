package files

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

const (
	maxDepth      = 64
	maxAttributes = 256
	// maxToken is the size of a tag, or of a text without tags within.
	maxToken = connectors.MaxRowBytes + 4<<10
)

// markup gives the tokens of an XML file within limits: nothing that is
// longer than a row may be, no depth without end, no document type and thus
// no entities of its own.
type markup struct {
	in    *source8
	xml   *xml.Decoder
	depth int
}

func newMarkup(in io.Reader) (*markup, error) {
	text, err := newSource8(in)
	if err != nil {
		return nil, err
	}
	m := &markup{in: text, xml: xml.NewDecoder(text)}
	m.xml.CharsetReader = func(string, io.Reader) (io.Reader, error) { return text, nil } // it is decoded already
	return m, nil
}

// token returns the next token, valid until the next call; io.EOF behind the end of the outermost element.
func (m *markup) token() (xml.Token, error) {
	m.in.mark()
	token, err := m.xml.Token()
	var syntax *xml.SyntaxError
	switch {
	case m.in.failed != nil:
		return nil, m.in.failed
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.As(err, &syntax) && strings.Contains(syntax.Msg, "unexpected EOF"):
		return nil, short("it ends in the middle (line %d)", syntax.Line)
	case errors.As(err, &syntax) && strings.Contains(syntax.Msg, "invalid character entity"):
		return nil, forbidden("line %d uses an entity that XML does not define", syntax.Line)
	case err != nil:
		return nil, broken("it is not well-formed XML: %s", err)
	}
	switch t := token.(type) {
	case xml.Directive:
		line, _ := m.xml.InputPos()
		return nil, forbidden("it has a document type (<!DOCTYPE …>, line %d), which may define entities; it must be written without", line)
	case xml.StartElement:
		if m.depth++; m.depth > maxDepth {
			return nil, forbidden("its elements are nested deeper than %d", maxDepth)
		}
		if len(t.Attr) > maxAttributes {
			return nil, forbidden("an element has %d attributes, more than %d", len(t.Attr), maxAttributes)
		}
	case xml.EndElement:
		m.depth--
	}
	return token, nil
}

// source8 decodes XML to UTF-8 while it is read. It works in pieces that end
// with ">", a byte which is never part of another character in any charset, and can
// therefore tell which bytes a row had.
type source8 struct {
	in      io.Reader
	raw     []byte // read and not decoded yet
	eof     bool
	charset *charset.Decoder
	decoded []byte // and not handed on yet
	buffer  []byte

	used   int // bytes handed on since the last token
	failed error

	// piece is what the decoded bytes were made of; row are the pieces before it, back to the one in
	// which the token or the row that is being read began.
	piece, row []byte
	bad, lost  bool // something in piece, in row, was not of the charset
	long       bool // row is beyond the limit, and only its head is kept
	keep       bool // in a row
}

func newSource8(in io.Reader) (*source8, error) {
	s := &source8{in: in}
	for len(s.raw) < 512 && !s.eof {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	if bytes.HasPrefix(s.raw, []byte("\xff\xfe")) || bytes.HasPrefix(s.raw, []byte("\xfe\xff")) {
		return nil, broken("it is text in UTF-16; save it as UTF-8")
	}
	text, marked := trimBOM(s.raw)
	s.raw = text
	name := charset.UTF8
	if declared := declaredEncoding(text[:min(512, len(text))]); declared != "" && !marked {
		var known bool
		if name, known = charset.OfLabel(declared); !known {
			return nil, broken("it says that it is written in %q; known are UTF-8, GB2312, GBK, GB18030, Big5 and ISO-8859-1", declared)
		}
	}
	var err error
	s.charset, err = charset.New(name)
	return s, err
}

// declaredEncoding returns the encoding of <?xml version="1.0" encoding="…"?>.
func declaredEncoding(head []byte) string {
	declaration, _, found := bytes.Cut(head, []byte("?>"))
	if !found || !bytes.HasPrefix(declaration, []byte("<?xml")) {
		return ""
	}
	_, rest, found := bytes.Cut(declaration, []byte("encoding"))
	rest = bytes.TrimLeft(rest, " \t\r\n=")
	if !found || len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	name, _, _ := bytes.Cut(rest[1:], rest[:1])
	return string(name)
}

func (s *source8) fill() error {
	const step = 64 << 10
	if cap(s.raw)-len(s.raw) < step {
		s.raw = append(make([]byte, 0, len(s.raw)+2*step), s.raw...)
	}
	n, err := s.in.Read(s.raw[len(s.raw) : len(s.raw)+step])
	s.raw = s.raw[:len(s.raw)+n]
	if errors.Is(err, io.EOF) {
		s.eof = true
		return nil
	}
	return err
}

// ReadByte is what [xml.Decoder] reads with, so that it never reads ahead of its token.
func (s *source8) ReadByte() (byte, error) {
	if len(s.decoded) == 0 {
		if err := s.advance(); err != nil {
			if !errors.Is(err, io.EOF) {
				s.failed = err
			}
			return 0, err
		}
	}
	if s.used++; s.used > maxToken {
		s.failed = tooLarge("a tag or text is longer than %d bytes", maxToken)
		return 0, s.failed
	}
	b := s.decoded[0]
	s.decoded = s.decoded[1:]
	return b, nil
}

func (s *source8) Read(p []byte) (int, error) {
	b, err := s.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// advance decodes the next piece.
func (s *source8) advance() error {
	end, searched := -1, 0
	for {
		if i := bytes.IndexByte(s.raw[searched:], '>'); i >= 0 {
			end = searched + i + 1
			break
		}
		searched = len(s.raw)
		if s.eof {
			end = len(s.raw)
			break
		}
		if searched > maxToken {
			return tooLarge("a tag or text is longer than %d bytes", maxToken)
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
	if end == 0 {
		return io.EOF
	}
	s.record()
	s.piece, s.raw = append(s.piece[:0], s.raw[:end]...), s.raw[end:]
	var valid bool
	s.buffer, valid = s.charset.Decode(s.buffer[:0], s.piece)
	s.decoded, s.bad = s.buffer, !valid
	return nil
}

func (s *source8) record() {
	s.lost = s.lost || s.bad
	if len(s.row)+len(s.piece) > connectors.MaxRowBytes {
		s.long = true
		s.row = append(s.row, s.piece[:max(0, min(len(s.piece), connectors.RowHead-len(s.row)))]...)
		return
	}
	s.row = append(s.row, s.piece...)
}

// mark says that a token begins.
func (s *source8) mark() {
	s.used = 0
	if s.keep {
		return
	}
	s.row, s.lost, s.long = s.row[:0], false, false
	if len(s.decoded) == 0 {
		s.piece, s.bad = s.piece[:0], false
	}
}

// begin says that the token just read is the first of a row.
func (s *source8) begin() { s.keep = true }

// end returns the row, which the token just read has ended.
func (s *source8) end() (row []byte, long, lost bool) {
	s.record()
	s.keep = false
	row = s.row
	if i := bytes.IndexByte(row, '<'); i > 0 {
		row = row[i:] // what stood between the rows
	}
	return row, s.long, s.lost
}
