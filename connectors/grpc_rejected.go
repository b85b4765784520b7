package connectors

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

// maxRawText is how many characters of a rejected row are shown as text.
const maxRawText = 4096

// mayNarrow refuses filters that the caller has no right to, or that can match
// nothing: a source of another department, and a resource or rule that does
// not exist.
func (a *api) mayNarrow(ctx context.Context, req *connectorsv1.ListRejectedRequest) error {
	source := req.GetSource()
	if source != "" && !access.MayActFor(ctx, department(source)) {
		return fmt.Errorf("%w: %s belongs to department %s", ErrForbidden, source, department(source))
	}
	if rule := req.GetRule(); rule != "" && !slices.Contains(exchange.Rules(), rule) {
		return invalidf("there is no rule %.40q; use one of %s", rule, strings.Join(exchange.Rules(), ", "))
	}
	if req.GetResource() != "" {
		if _, err := a.runner.cfg.Publisher.Examine(ctx, req.GetResource(), nil); err != nil {
			return err
		}
	}
	return nil
}

// mustExist refuses a source by which nothing was found and that nothing is
// known of: neither a definition, nor a department's own pushes.
func (a *api) mustExist(ctx context.Context, source string) error {
	if source == "" || strings.HasSuffix(source, "/push") {
		return nil
	}
	_, err := a.runner.definition(ctx, source)
	return err
}

// rawTexts shows the bytes of rejected rows as text.
type rawTexts struct {
	sources  map[string]defined
	decoders map[string]*charset.Decoder
}

// newRawTexts prepares the texts of a page. Without the definitions the
// charsets are guessed, which is better than no page.
func (a *api) newRawTexts(ctx context.Context) *rawTexts {
	sources, err := a.runner.definitions(ctx)
	if err != nil {
		sources = nil
	}
	return &rawTexts{sources: sources, decoders: map[string]*charset.Decoder{}}
}

// of returns the text of a source's row: at most maxRawText characters, with
// U+FFFD for bytes that are not of its charset, or nothing if the bytes are no
// text at all.
func (t *rawTexts) of(source string, raw []byte) string {
	cut := raw[:min(len(raw), maxRawText*utf8.UTFMax)]
	if bytes.IndexByte(cut, 0) >= 0 {
		return ""
	}
	text := bytes.ToValidUTF8(cut, nil)
	if !utf8.Valid(raw) {
		text = t.decode(charsetOf(t.sources[source].Definition), cut)
	}
	return shorten(string(text), len(cut) < len(raw))
}

// decode reads text of a charset. Rows of sources that are in UTF-8, or do not
// say, are often those of old systems, which are in GB 18030.
func (t *rawTexts) decode(name string, raw []byte) []byte {
	guess := name == "" || name == charset.UTF8
	if guess {
		name = charset.GB18030
	}
	if t.decoders[name] == nil {
		decoder, err := charset.New(name)
		if err != nil {
			return nil
		}
		t.decoders[name] = decoder
	}
	text, valid := t.decoders[name].Decode(nil, raw)
	if guess && !valid {
		return bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	return text
}

// shorten cuts a text to maxRawText characters and marks that it was cut.
func shorten(text string, cut bool) string {
	count := 0
	for i := range text {
		if count == maxRawText {
			return text[:i] + "…"
		}
		count++
	}
	if cut {
		text += "…"
	}
	return text
}

// charsetOf is the charset in which a source's rows are written, if its
// definition says.
func charsetOf(def Definition) string {
	switch {
	case def.Files != nil:
		return def.Files.Charset
	case def.Topic != nil:
		return def.Topic.Charset
	case def.SQL != nil:
		return def.SQL.Charset
	case def.Log != nil:
		return def.Log.Charset
	}
	return ""
}
