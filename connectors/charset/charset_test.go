package charset_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors/charset"
)

// FuzzDecode checks that decoding gives valid UTF-8, keeps what was there, leaves valid UTF-8 as it is, and
// that no text comes from two sequences of bytes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"你好", "\xc4\xe3\xba\xc3", "\x82\x30\x84\x35", "\x82\x3a\x81\x30", "\xd5\x5c\xff", "\x84\x31\xa4\x37", "\xa3\xa0\xaa\xa1\xfe\x59", "\x84\x31\x82\x36\x80"} {
		f.Add([]byte(seed))
	}
	codes := map[string]map[rune]string{charset.GBK: inverse(f, charset.GBK), charset.GB18030: inverse(f, charset.GB18030), charset.Latin1: inverse(f, charset.Latin1)}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, name := range []string{charset.GBK, charset.GB18030, charset.Big5, charset.Latin1, charset.UTF8} {
			c, err := charset.New(name)
			if err != nil {
				t.Fatal(err)
			}
			text, valid := c.Decode([]byte("x"), src)
			if text[0] != 'x' || !utf8.Valid(text) {
				t.Fatalf("%s %q decoded as %q", name, src, text)
			}
			if !valid {
				continue
			}
			if again, ok := c.Decode(nil, src); !ok || !bytes.Equal(again, text[1:]) {
				t.Fatalf("%s %q decoded as %q and then as %q", name, src, text[1:], again)
			}
			euro := name == charset.GBK && bytes.Contains(text, []byte("€")) // it has two codes
			if back, ok := encode(codes[name], text[1:]); ok && !euro && back != string(src) {
				t.Fatalf("%s %X decoded as %q, which is %X", name, src, text[1:], back)
			}
			if name == charset.UTF8 && !bytes.Equal(text[1:], src) {
				t.Fatalf("UTF-8 %q became %q", src, text[1:])
			}
		}
	})
}

// inverse has the code of each character.
func inverse(f *testing.F, name string) map[rune]string {
	codes := map[rune]string{}
	for code, char := range table(f, name) {
		if len(codes[char]) == 0 || len(code) > 1 { // of 80 and A2E3 in GBK
			codes[char] = code
		}
	}
	return codes
}

// encode returns the bytes of a text, if the charset is one of those with codes.
func encode(codes map[rune]string, text []byte) (string, bool) {
	var b strings.Builder
	for _, char := range string(text) {
		code := codes[char]
		if char < utf8.RuneSelf {
			code = string(char)
		}
		b.WriteString(code)
	}
	return b.String(), codes != nil
}

// TestLabels finds charsets by the names that others have for them, in any case, and no others.
func TestLabels(t *testing.T) {
	for label, want := range map[string]string{
		"GB2312": charset.GBK, "gb_2312-80": charset.GBK, "cp936": charset.GBK, "x-gbk": charset.GBK, "GBK": charset.GBK, "EUC-CN": charset.GBK,
		"UTF8": charset.UTF8, " utf-8-sig ": charset.UTF8, "Big5-HKSCS": charset.Big5, "GB18030": charset.GB18030, "Windows-1252": charset.Latin1,
		"": "", "utf-16": "", "hz-gb-2312": "", "iso-8859-15": "", "gbk2": "",
	} {
		if got, known := charset.OfLabel(label); got != want || known != (want != "") {
			t.Errorf("%q is %q, %t; want %q", label, got, known, want)
		}
	}
	seen := map[string]bool{}
	for _, label := range charset.Labels() {
		if _, known := charset.OfLabel(strings.ToUpper(label)); !known || seen[label] {
			t.Errorf("%q is known: %t, or is listed twice", label, known)
		}
		seen[label] = true
	}
	for _, name := range charset.Names() {
		if got, _ := charset.OfLabel(name); got != name {
			t.Errorf("%q is %q", name, got)
		}
	}
}
