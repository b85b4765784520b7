package charset_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors/charset"
)

// table has the character of every code of a charset that is valid by itself.
func table(t testing.TB, name string) map[string]rune {
	t.Helper()
	c, err := charset.New(name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]rune{}
	add := func(code ...byte) {
		if text, valid := c.Decode(nil, code); valid && utf8.RuneCount(text) == 1 {
			all[string(code)], _ = utf8.DecodeRune(text)
		}
	}
	for a := 0x80; a <= 0xff; a++ {
		add(byte(a))
		for b := 0x40; b <= 0xff; b++ {
			add(byte(a), byte(b))
		}
	}
	if name == charset.GB18030 {
		for n := range 126 * 12600 {
			add(byte(0x81+n/12600), byte('0'+n/1260%10), byte(0x81+n/10%126), byte('0'+n%10))
		}
	}
	return all
}

// java has the same of a charset of Java.
func java(t *testing.T, name string) map[string]rune {
	t.Helper()
	program, err := exec.LookPath("java")
	if err != nil {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal("Java is required")
		}
		t.Skip("Java is not installed")
	}
	var stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), program, "testdata/Tables.java", name)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("java: %v\n%s", err, stderr.String())
	}
	all := map[string]rune{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		code, char, _ := strings.Cut(lines.Text(), " ")
		raw, err := hex.DecodeString(code)
		n, errChar := strconv.ParseUint(char, 16, 32)
		if err != nil || errChar != nil {
			t.Fatalf("java wrote %q", lines.Text())
		}
		all[string(raw)] = rune(n)
	}
	return all
}

// TestGB18030 compares every code with Java's GB 18030-2022: 23,940 of two bytes and 1,587,600 of four.
func TestGB18030(t *testing.T) {
	want := java(t, "GB18030")
	if want["\xfe\x59"] != 0x9fb4 {
		t.Skipf("this Java has an older edition of GB 18030 (FE59 is U+%04X)", want["\xfe\x59"])
	}
	compare(t, table(t, charset.GB18030), want, nil)
}

// TestGBK compares every code with Java's code page 936. They differ in what
// Unicode took up after the code page was made, where Java gives private-use characters.
func TestGBK(t *testing.T) {
	gb18030 := table(t, charset.GB18030)
	got := table(t, charset.GBK)
	want, taken := java(t, "x-mswin-936"), map[string]rune{"\x80": '€'}
	for code, char := range want {
		if _, private := charset.PrivateUse(string(char)); private && char != got[code] {
			taken[code] = gb18030[code]
		}
	}
	if len(taken) != 1+100 {
		t.Errorf("%d codes differ from code page 936", len(taken)-1)
	}
	compare(t, got, want, taken)
}

func compare(t *testing.T, got, want, instead map[string]rune) {
	t.Helper()
	for code, char := range instead {
		want[code] = char
	}
	differ := 0
	for code, char := range want {
		if got[code] != char && char != utf8.RuneError { // U+FFFD has a code too; it is never valid here
			if differ++; differ < 20 {
				t.Errorf("%X is U+%04X; want U+%04X", code, got[code], char)
			}
		}
	}
	for code, char := range got {
		if _, ok := want[code]; !ok {
			if differ++; differ < 20 {
				t.Errorf("%X is U+%04X; want it invalid", code, char)
			}
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d codes differ", differ, len(want))
	}
}

// TestGB18030Edition names what the 2022 edition changed: the two-byte codes
// of 18 characters, and the four-byte codes they had, which stand for what the two-byte codes gave up.
func TestGB18030Edition(t *testing.T) {
	for _, c := range []struct {
		twoBytes, fourBytes string
		char, private       rune
	}{
		{"a6d9", "84318236", 0xfe10, 0xe78d},
		{"a6da", "84318238", 0xfe12, 0xe78e},
		{"a6db", "84318237", 0xfe11, 0xe78f},
		{"a6dc", "84318239", 0xfe13, 0xe790},
		{"a6dd", "84318330", 0xfe14, 0xe791},
		{"a6de", "84318331", 0xfe15, 0xe792},
		{"a6df", "84318332", 0xfe16, 0xe793},
		{"a6ec", "84318333", 0xfe17, 0xe794},
		{"a6ed", "84318334", 0xfe18, 0xe795},
		{"a6f3", "84318335", 0xfe19, 0xe796},
		{"fe59", "82359037", 0x9fb4, 0xe81e},
		{"fe61", "82359038", 0x9fb5, 0xe826},
		{"fe66", "82359039", 0x9fb6, 0xe82b},
		{"fe67", "82359130", 0x9fb7, 0xe82c},
		{"fe6d", "82359131", 0x9fb8, 0xe832},
		{"fe7e", "82359132", 0x9fb9, 0xe843},
		{"fe90", "82359133", 0x9fba, 0xe854},
		{"fea0", "82359134", 0x9fbb, 0xe864},
		{"a8bc", "8135f437", 0x1e3f, 0xe7c7}, // since 2005
		{"fe51", "95329031", 0xe816, 0x20087},
		{"fe52", "95329033", 0xe817, 0x20089}, // left as they were
	} {
		decoder, err := charset.New(charset.GB18030)
		if err != nil {
			t.Fatal(err)
		}
		code, err := hex.DecodeString("c4e3" + c.twoBytes + c.fourBytes + "41")
		if err != nil {
			t.Fatal(err)
		}
		want := "你" + string(c.char) + string(c.private) + "A"
		if got, valid := decoder.Decode(nil, code); !valid || string(got) != want {
			t.Errorf("%s and %s: %+q; want %+q", c.twoBytes, c.fourBytes, got, want)
		}
	}
}

// TestBijective checks that no two codes have the same character, so that the bytes of any text can be told from it.
func TestBijective(t *testing.T) {
	for name, size := range map[string]int{charset.GB18030: 23_940 + 39_420 - 1 + 1_048_576, charset.GBK: 1 + 23_940} {
		codes, all := map[rune]string{}, table(t, name)
		for code, char := range all {
			if other, twice := codes[char]; twice && (name != charset.GBK || char != '€') { // 80 and A2E3 are both the euro sign in GBK
				t.Errorf("%s: U+%04X is %X and %X", name, char, code, other)
			}
			codes[char] = code
		}
		if got := len(all); got != size {
			t.Errorf("%s has %d codes; want %d", name, got, size)
		}
	}
}

// TestBig5 compares all two-byte codes with the digest of the table of iconv-lite 0.7.
func TestBig5(t *testing.T) {
	c, err := charset.New(charset.Big5)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for a := 0x81; a <= 0xfe; a++ {
		for b := 0x40; b <= 0xfe; b++ {
			if text, valid := c.Decode(nil, []byte{byte(a), byte(b)}); valid && text[len(text)-1] >= utf8.RuneSelf {
				fmt.Fprintf(h, "%02x%02x %s\n", a, b, text)
			}
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != big5Digest {
		t.Errorf("the table has the digest %s; want %s", got, big5Digest)
	}
}

func TestStrict(t *testing.T) {
	for _, c := range []struct {
		charset, text, want string // want is empty for invalid
	}{
		{charset.UTF8, "你\U00020087\ue000", "你\U00020087\ue000"},
		{charset.UTF8, "lost \ufffd", ""},
		{charset.UTF8, "\xed\xa0\x80", ""},
		{charset.GBK, "\x80 \xa2\xe3", "€ €"},
		{charset.GBK, "\xaa\xa1\xaf\xfe\xf8\xa1\xfe\xfe\xa1\x40\xa7\xa0", "\ue000\ue233\ue234\ue4c5\ue4c6\ue765"},
		{charset.GBK, "\xfe\x59", "\u9fb4"},
		{charset.GBK, "\xff", ""},
		{charset.GBK, "\xc4", ""},
		{charset.GBK, "\xd5\x5c\xba\x7c", "誠簗"},
		{charset.GBK, "\x82\x30\x84\x35", ""},
		{charset.GB18030, "\x80", ""},
		{charset.GB18030, "\xaa\xa1", "\ue000"},
		{charset.GB18030, "\x82\x30\x84\x35\x95\x32\x82\x36", "㓆𠀀"},
		{charset.GB18030, "\x82\x3a\x81\x30", ""},
		{charset.GB18030, "\x84\x31\xa4\x37", ""}, // U+FFFD
		{charset.GB18030, "\x84\x31\xa5\x30", ""}, // between the planes
		{charset.Latin1, "\x80\xe9", "€é"},
		{charset.Latin1, "\x81", ""},
		{charset.Big5, "\xa4\xa4\x88\x62", "中Ê̄"},
		{charset.Big5, "\xa4", ""},
	} {
		decoder, err := charset.New(c.charset)
		if err != nil {
			t.Fatal(err)
		}
		got, valid := decoder.Decode(nil, []byte(c.text))
		if valid != (c.want != "") || valid && string(got) != c.want {
			t.Errorf("%s %X: %q, %t; want %q", c.charset, c.text, got, valid, c.want)
		}
	}
}

func TestPrivateUse(t *testing.T) {
	if r, found := charset.PrivateUse("张\ue81e三"); !found || r != 0xe81e {
		t.Errorf("%U, %t", r, found)
	}
	if r, found := charset.PrivateUse("\U000f0000"); !found || r != 0xf0000 {
		t.Errorf("%U, %t", r, found)
	}
	if _, found := charset.PrivateUse("张\u9fb4\U00020087三"); found {
		t.Error("characters of Unicode are told to be private")
	}
}

const big5Digest = "fb25c838ac48ed5f1afa49791b8de9e3285433bd33a5af3b403bbdf433fd5d25"
