package charset_test

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors/charset"
)

// FuzzDecode checks that decoding gives valid UTF-8, keeps what was there, and leaves valid UTF-8 as it is.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"你好", "\xc4\xe3\xba\xc3", "\x82\x30\x84\x35", "\x82\x3a\x81\x30", "\xd5\x5c\xff", "\x84\x31\xa4\x37"} {
		f.Add([]byte(seed))
	}
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
			if name == charset.UTF8 && !bytes.Equal(text[1:], src) {
				t.Fatalf("UTF-8 %q became %q", src, text[1:])
			}
		}
	})
}
