package message

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func entry(code string) string {
	return `{"` + code + `": {"zh": "端口 {port} 被占用", "en": "port {port} is taken", "hint_zh": "换一个", "hint_en": "use another"}}`
}

func TestRenderFillsArgumentsInBothLanguages(t *testing.T) {
	c, err := Parse([]byte(entry("cli.PORT")))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		l              Language
		m              Message
		sentence, hint string
	}{
		{Chinese, New("cli.PORT", "port", "8080"), "端口 8080 被占用", "换一个"},
		{English, New("cli.PORT", "port", "{port}"), "port {port} is taken", "use another"},
		{English, New("cli.PORT"), "port {port} is taken", "use another"},
		{English, New("cli.NONE"), "cli.NONE", ""},
	} {
		if sentence, hint := c.Render(tt.l, tt.m); sentence != tt.sentence || hint != tt.hint {
			t.Errorf("%s %v: %q, %q", tt.l, tt.m, sentence, hint)
		}
	}
	if got := c.Placeholders("cli.PORT"); !reflect.DeepEqual(got, []string{"port"}) {
		t.Errorf("placeholders %v", got)
	}
}

func TestFaultyCatalogueIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"not an object":     `[]`,
		"empty":             ``,
		"cut":               `{"cli.A": {"zh": "甲", "en": "a"}`,
		"unknown member":    `{"cli.A": {"zh": "甲", "en": "a", "fr": "a"}}`,
		"code twice":        `{"cli.A": {"zh": "甲", "en": "a"}, "cli.A": {"zh": "甲", "en": "a"}}`,
		"no English":        `{"cli.A": {"zh": "甲", "en": " "}}`,
		"no Chinese":        `{"cli.A": {"zh": "", "en": "a"}}`,
		"English twice":     `{"cli.A": {"zh": "a", "en": "a"}}`,
		"Chinese twice":     `{"cli.A": {"zh": "甲", "en": "甲"}}`,
		"half a hint":       `{"cli.A": {"zh": "甲", "en": "a", "hint_zh": "甲"}}`,
		"other placeholder": `{"cli.A": {"zh": "甲 {a}", "en": "a {b}"}}`,
		"lost placeholder":  `{"cli.A": {"zh": "甲", "en": "a", "hint_zh": "甲", "hint_en": "a {b}"}}`,
		"too long":          `{"cli.A": {"zh": "甲", "en": "` + strings.Repeat("a", maxSentence+1) + `"}}`,
		"wrong code":        entry("PORT"),
		"something follows": entry("cli.PORT") + "{}",
		"too large":         strings.Repeat(" ", maxFile+1),
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrCatalog) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMergeRefusesACodeOfTwoPackages(t *testing.T) {
	a, err := Parse([]byte(entry("cli.A")))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse([]byte(entry("cli.B")))
	if err != nil {
		t.Fatal(err)
	}
	if both, err := Merge(a, b); err != nil || !reflect.DeepEqual(both.Codes(), []string{"cli.A", "cli.B"}) {
		t.Errorf("%v, %v", both.Codes(), err)
	}
	if _, err := Merge(a, b, a); !errors.Is(err, ErrCatalog) {
		t.Errorf("a code of two packages: %v", err)
	}
	text, err := a.MarshalJSON()
	if again, parseErr := Parse(text); err != nil || parseErr != nil || !reflect.DeepEqual(again, a) {
		t.Errorf("%s: %v, %v", text, err, parseErr)
	}
}

func TestLanguageIsChosenByQuality(t *testing.T) {
	for _, tt := range []struct {
		accept   string
		fallback Language
		want     Language
	}{
		{"zh-CN,zh;q=0.9,en;q=0.8", English, Chinese},
		{"en-US,en;q=0.5", Chinese, English},
		{"zh;q=0.1, en;q=0.7", Chinese, English},
		{"fr, de;q=0.9, en;q=0.1", Chinese, English},
		{"en;q=0, zh", English, Chinese},
		{"fr", Chinese, Chinese},
		{"*", English, English},
		{"zh-Hant-TW", English, Chinese},
		{"", Chinese, Chinese},
		{";;;=", English, English},
	} {
		if got := Choose([]string{tt.accept}, tt.fallback); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.accept, got, tt.want)
		}
	}
	if got := Choose(nil, English); got != English {
		t.Errorf("no header: %s", got)
	}
}

func FuzzParseAndRender(f *testing.F) {
	f.Add([]byte(entry("cli.A")), "zh;q=0.1, en")
	f.Fuzz(func(t *testing.T, data []byte, accept string) {
		l := Choose([]string{accept}, Chinese)
		c, err := Parse(data)
		if err != nil {
			return
		}
		for _, code := range c.Codes() {
			if sentence, _ := c.Render(l, New(code)); sentence == "" {
				t.Errorf("%s renders as nothing", code)
			}
		}
	})
}
