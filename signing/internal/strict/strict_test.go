package strict

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeRefusesAmbiguity(t *testing.T) {
	for name, in := range map[string]string{
		"duplicate":             `{"a":1,"a":2}`,
		"duplicate by escape":   `{"alg":1,"\u0061lg":2}`,
		"duplicate deep inside": `[{"x":{"a":1,"b":2,"a":3}}]`,
		"two values":            `{} {}`,
		"trailing comma":        `[1,]`,
		"bare word":             `{a:1}`,
		"high surrogate alone":  `"\ud83d"`,
		"low surrogate alone":   `"\ude00"`,
		"surrogates turned":     `{"\ude00\ud83d":1}`,
		"two high surrogates":   `"\ud83d\ud83d\ude00"`,
		"text inside a pair":    `"\ud83dx\ude00"`,
		"not UTF-8":             "\"\xff\"",
		"empty":                 ``,
		"too deep":              strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
	} {
		if v, err := Decode([]byte(in)); err == nil {
			t.Errorf("%s: accepted as %v", name, v)
		}
	}
	if _, err := Object([]byte(`[]`)); err == nil {
		t.Error("Object accepted an array")
	}
}

func TestDecodeKeepsEveryDigit(t *testing.T) {
	const in = `{"a":[1,2.50,-1E+400,12345678901234567890],"b":null,"c":"<张三&>","d":[true,false,{}],"e":"\\\"\n😀"}`
	v, err := Decode([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := Encode(v)
	if err != nil || string(out) != in {
		t.Fatalf("got %s, %v; want %s", out, err, in)
	}
	deepest := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	if _, err := Decode([]byte(deepest)); err != nil {
		t.Fatalf("depth %d: %v", MaxDepth, err)
	}
}

func TestBase64URLIsCanonical(t *testing.T) {
	for _, bad := range []string{"QQ==", "QR", "Q", "Q\nQ", "QQ\r", "+/8", "Q Q", "QQ="} {
		if b, err := Base64URL(bad); err == nil {
			t.Errorf("%q accepted as %x", bad, b)
		}
	}
	if b, err := Base64URL("QQ"); err != nil || string(b) != "A" {
		t.Fatalf("QQ: %q, %v", b, err)
	}
}

// FuzzDecode compares with encoding/json: whatever Decode accepts must be
// valid JSON with the same meaning, and survive another round.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}],"c":"\u0061"}`, `[]`, `"x"`, ` { "a" : [ ] , "\ud83d\ude00\\\"" : true } `, `"\ud800"`, `{"a":1,"a":1}`, `-0.1e+5`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode(data)
		if err != nil {
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %q: %v", data, err)
		}
		if !reflect.DeepEqual(v, want) {
			t.Fatalf("%q: got %#v, want %#v", data, v, want)
		}
	})
}
