package connectors

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors/charset"
)

func TestRejectedBytesAreAlsoTextInTheirCharset(t *testing.T) {
	texts := &rawTexts{decoders: map[string]*charset.Decoder{}, sources: map[string]defined{
		"a/gbk":   {Definition: Definition{Files: &Files{Charset: charset.GBK}}},
		"a/big5":  {Definition: Definition{SQL: &SQL{Charset: charset.Big5}}},
		"a/log":   {Definition: Definition{Log: &Log{Charset: charset.Latin1}}},
		"a/topic": {Definition: Definition{Topic: &Topic{Charset: charset.GB18030}}},
		"a/utf8":  {Definition: Definition{Files: &Files{Charset: charset.UTF8}}},
		"a/http":  {Definition: Definition{HTTP: &HTTP{}}},
	}}
	for _, tt := range []struct{ name, source, raw, want string }{
		{"UTF-8 from any source", "a/gbk", "张三,1", "张三,1"},
		{"GBK", "a/gbk", "\xd5\xc5\xc8\xfd,1", "张三,1"},
		{"Big5", "a/big5", "\xb1i\xa4T", "張三"},
		{"Latin-1", "a/log", "caf\xe9", "café"},
		{"GB 18030 in a topic", "a/topic", "\xd5\xc5", "张"},
		{"GBK in a file of UTF-8", "a/utf8", "\xd5\xc5\xc8\xfd", "张三"},
		{"one broken byte in UTF-8", "a/utf8", "张\xff三", "张\ufffd三"},
		{"a broken byte in GBK", "a/gbk", "\xd5\xc5\xff", "张\ufffd"},
		{"a source that is gone", "a/gone", "\xd5\xc5", "张"},
		{"an API", "a/http", "{}", "{}"},
		{"bytes that are no text", "a/gbk", "\x00\x01\xff", ""},
		{"nothing", "a/gbk", "", ""},
	} {
		if got := texts.of(tt.source, []byte(tt.raw)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, unit := range []string{"a", "张", "\xd5\xc5"} {
		got := texts.of("a/gbk", []byte(strings.Repeat(unit, 20_000)))
		if n := utf8.RuneCountInString(got); !utf8.ValidString(got) || n != maxRawText+1 || !strings.HasSuffix(got, "…") {
			t.Errorf("a long row of %q: %d characters", unit, n)
		}
	}
}
