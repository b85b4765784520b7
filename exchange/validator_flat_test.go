package exchange

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func validatorOf(t testing.TB, schema string) *validator {
	t.Helper()
	v, err := newValidator(Resource{Name: "market.enterprise", Kind: Register, Schema: []byte(schema)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// everyRule is a flat schema with every rule that flat schemas may have.
const everyRule = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","title":"t","x-owner":"o",
	"required":["text","uscc"],"properties":{
	"text":{"type":"string","minLength":2,"maxLength":4,"description":"d"},
	"uscc":{"type":"string","format":"uscc"},
	"citizen":{"type":["string","null"],"format":"citizen-number"},
	"region":{"format":"region"},
	"date":{"type":"string","format":"date"},
	"time":{"type":"string","format":"date-time"},
	"mail":{"type":"string","format":"email"},
	"other":{"type":"string","format":"of-nobody"},
	"phone":{"type":"string","pattern":"^1[0-9]{10}$"},
	"state":{"enum":["开业","closed",null]},
	"one":{"const":"fixed"},
	"none":{"const":null},
	"amount":{"type":"number","minimum":-0.50,"maximum":100.5},
	"open":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},
	"count":{"type":"integer","minimum":1,"maximum":12345678901234567890},
	"either":{"type":["integer","boolean","string"]},
	"flag":{"type":"boolean"},
	"any":{}
	}%s}`

// values are texts of JSON values that the rules decide about in different ways.
func values() []string {
	return []string{
		`""`, `"a"`, `"ab"`, `"abcd"`, `"abcde"`, `"名称"`, `"名称某某"`, `"名称某某某"`, `"a\n"`, `"a\n\t\\\""`, `"\u4e2d文"`, `"𠮷野"`, "\"a\xff\"", "\"\x01a\"",
		`"` + testUSCC + `"`, `"` + testUSCC[:17] + `A"`, `"` + testCitizen + `"`, `"` + strings.ToLower(testCitizen) + `"`, `"610924"`, `"6109241"`,
		`"2025-11-03"`, `"2024-02-29"`, `"2025-02-29"`, `"0000-01-01"`, `"1582-10-10"`, `"2025-1-3"`, `"2025-11-03T08:05:00+08:00"`, `"2025-11-03T08:05:00.123Z"`,
		`"2025-11-03t08:05:00z"`, `"2025-11-03T23:59:60Z"`, `"2025-11-03T24:00:00Z"`, `"2025-11-03T08:05:00"`, `"2025-11-03T08:05:00.Z"`, `"2025-11-03T08:05:00+8:00"`,
		`"a@example.org"`, `"13800138000"`, `"1380013800"`, `"开业"`, `"closed"`, `"fixed"`,
		`0`, `-0`, `-0.0`, `1`, `1.0`, `0.5`, `-0.5`, `-0.500`, `-0.51`, `100.5`, `100.50000`, `100.500001`, `1e0`, `1E2`, `12345678901234567890`, `12345678901234567891`,
		`0.99999999999999999999`, `1.00000000000000000001`, `01`, `-`, `.5`, `5.`, `1.e1`, `+1`, `true`, `false`, `null`, `tru`, `nul`, `{}`, `[]`, `{"a":1}`, ``,
	}
}

// agree fails the test if the pass over the bytes accepts what the compiled
// schema does not, or if their rejections differ.
func agree(t *testing.T, v *validator, payload string) (accepted bool) {
	t.Helper()
	full := v.checkFully([]byte(payload))
	if v.flat.valid([]byte(payload)) && full != nil {
		t.Fatalf("%s is valid for the pass over the bytes; the schema says %+v", payload, *full)
	}
	if got := v.check([]byte(payload)); !reflect.DeepEqual(got, full) {
		t.Fatalf("%s: %+v; the schema says %+v", payload, got, full)
	}
	return full == nil
}

func TestFlatAgreesWithTheSchema(t *testing.T) {
	var names []string
	var doc struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(fmt.Appendf(nil, everyRule, ""), &doc); err != nil {
		t.Fatal(err)
	}
	for name := range doc.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	names = append(names, "unknown")
	for _, open := range []string{"", `,"additionalProperties":true`, `,"additionalProperties":false`} {
		v := validatorOf(t, fmt.Sprintf(everyRule, open))
		if v.flat == nil {
			t.Fatal("the schema is flat")
		}
		accepted := 0
		for _, name := range names {
			for _, value := range values() {
				rest := fmt.Sprintf(`"uscc":%q`, testUSCC)
				if name != "text" {
					rest += `,"text":"某某"`
				}
				if agree(t, v, fmt.Sprintf(`{%q:%s,%s}`, name, value, rest)) {
					accepted++
				}
				if agree(t, v, fmt.Sprintf(`{%s,%q:%s}`, rest, name, value)) {
					accepted++
				}
			}
		}
		if accepted < 100 {
			t.Errorf("only %d payloads were valid", accepted)
		}
		good := fmt.Sprintf(`{"text":"某某","uscc":%q}`, testUSCC)
		for _, payload := range []string{
			good, "", "{", "}", "{}", "{}{}", " " + good, good + " ", good + "x", good + good, "[" + good + "]", "null", `"{}"`,
			good[:len(good)-1] + ",}", good[:len(good)-1] + `,"text":"x"}`, good[:len(good)-1] + `,"te\u0078t":"x"}`, good[:len(good)-1] + `,"unknown":1,"unknown":2}`,
			`{"text" :"某某","uscc":"x"}`, `{,` + good[1:], `{"":1,` + good[1:], `{"text"`, `{"text":`, `{"text":"`, `{"text":"\`, `{"text":1`, `{"text":-`,
		} {
			agree(t, v, payload)
		}
	}
}

// TestEncoding rejects what is no character, which JSON libraries replace without a word.
func TestEncoding(t *testing.T) {
	v := validatorOf(t, `{"type":"object","properties":{"a":{"type":"string"}}}`)
	for payload, rule := range map[string]string{
		"{\"a\":\"\xc4\xe3\"}": RuleEncoding, "{\"\xff\":1}": RuleEncoding, "{\"b\":[\"\xed\xa0\x80\"]}": RuleEncoding,
		`{"a":"\ud83d"}`: RuleEncoding, `{"a":"\ude00\ud83d"}`: RuleEncoding, `{"b":{"\udc00":1}}`: RuleEncoding, `{"a":"\\\ud83d\n"}`: RuleEncoding,
		`{"a":"\ud83d\ude00"}`: "", `{"a":"\\ud83d"}`: "", `{"a":"\u5f20\ufffd"}`: "", `{"a":"张\""}`: "",
		`{"a":"\ud83d"`: RuleMalformed,
	} {
		got := v.check([]byte(payload))
		if rule == "" && got != nil || rule != "" && (got == nil || got.Rule != rule) {
			t.Errorf("%q: %+v; want %q", payload, got, rule)
		}
	}
}

// TestFlatTakesWhatIsUsual: the fast way would be of no use if payloads went past it.
func TestFlatTakesWhatIsUsual(t *testing.T) {
	v := validatorOf(t, fmt.Sprintf(everyRule, `,"additionalProperties":true`))
	payload := fmt.Appendf(nil, `{"text":"a\"名","uscc":%q,"citizen":%q,"region":"610924","date":"2025-11-03","time":"2025-11-03T08:05:00.5+08:00",`+
		`"other":"x\\y","phone":"13800138000","state":"开业","any":"一二三四五六七八九十一二三四五六七八九十","one":"fixed","none":null,"amount":-0.50,"open":0.5,"count":12345678901234567890,"either":true,"flag":false,`+
		`"unknown":"x","another":null}`, testUSCC, testCitizen)
	if !v.flat.valid(payload) {
		t.Fatalf("%s: %+v", payload, v.checkFully(payload))
	}
	if n := testing.AllocsPerRun(100, func() { v.flat.valid(payload) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if mail := fmt.Appendf(nil, `{"mail":"a@example.org","text":"ab","uscc":%q}`, testUSCC); !v.flat.valid(mail) {
		t.Errorf("%s: %+v", mail, v.checkFully(mail))
	}
}

func TestNotFlat(t *testing.T) {
	const plain = `{"type":"object","properties":{"a":{"type":"string"}}}`
	if validatorOf(t, plain).flat == nil {
		t.Fatal("the plain schema is flat")
	}
	for _, schema := range []string{
		`true`, `{}`, `{"type":"object"}`, `{"properties":{"a":{"type":"string"}}}`,
		`{"type":["object","array"],"properties":{"a":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":true}}`,
		`{"type":"object","properties":{"a":{"type":"array"}}}`,
		`{"type":"object","properties":{"a":{"type":["string","object"]}}}`,
		`{"type":"object","properties":{"a":{"enum":[1,"a"]}}}`,
		`{"type":"object","properties":{"a":{"const":1}}}`,
		`{"type":"object","properties":{"a":{"enum":["a"],"const":"a"}}}`,
		`{"type":"object","properties":{"a":{"minimum":1e3}}}`,
		`{"type":"object","properties":{"a":{"multipleOf":2}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":{"allOf":[{"type":"string"}]}}}`,
		`{"type":"object","properties":{"a":{"properties":{"b":{}}}}}`,
		`{"type":"object","properties":{"a":{"type":"string"}},"required":["b"]}`,
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}}`,
		`{"type":"object","properties":{"a":{"type":"string"}},"patternProperties":{"^b":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":{"type":"string"}},"minProperties":1}`,
		`{"type":"object","properties":{"a":{"type":"string"}},"if":{"required":["a"]},"then":{"required":["b"]}}`,
		`{"type":"object","properties":{"a":{"type":"string"}},"dependentRequired":{"a":["b"]}}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"string"}}}`,
	} {
		if validatorOf(t, schema).flat != nil {
			t.Errorf("%s is taken for flat", schema)
		}
	}
}

func countySchemas(t testing.TB) map[string]*validator {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("cmd", "onewindow", "county", "schemas", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d schemas, %v", len(paths), err)
	}
	validators := map[string]*validator{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		validators[filepath.Base(path)] = validatorOf(t, string(text))
	}
	return validators
}

// TestFlatCounty makes payloads for the county's schemas out of random values.
func TestFlatCounty(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, v := range countySchemas(t) {
		if v.flat == nil {
			t.Errorf("%s is not flat", name)
			continue
		}
		for range 3000 {
			agree(t, v, generate(v.flat, random))
		}
	}
}

// generate writes a payload with mostly the members of a schema, and mostly values of their rules.
func generate(f *flatSchema, random *rand.Rand) string {
	var parts []string
	all := values()
	for name, member := range f.members {
		value := all[random.IntN(len(all))]
		if random.IntN(20) > 0 {
			for range 50 { // look for one that may be allowed
				if _, ok := member.value([]byte(value)); ok {
					break
				}
				value = all[random.IntN(len(all))]
			}
		}
		if random.IntN(30) > 0 {
			parts = append(parts, fmt.Sprintf("%q:%s", name, value))
		}
		if random.IntN(100) == 0 {
			parts = append(parts, fmt.Sprintf("%q:%s", name, all[random.IntN(len(all))]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// TestFlatGenerated checks random payloads against random schemas.
func TestFlatGenerated(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	rules := []string{
		`"type":"string"`, `"type":"number"`, `"type":"integer"`, `"type":["integer","null"]`, `"type":["string","boolean"]`, `"minLength":2`, `"maxLength":3`,
		`"pattern":"^[a-z1]"`, `"pattern":"某$"`, `"format":"date"`, `"format":"date-time"`, `"format":"uscc"`, `"format":"region"`, `"format":"email"`, `"format":"ipv4"`,
		`"enum":["ab","开业",null]`, `"const":"fixed"`, `"minimum":0`, `"maximum":1`, `"exclusiveMinimum":-0.5`, `"exclusiveMaximum":100.5`, `"title":"t"`,
	}
	for range 300 {
		var properties []string
		for i := range 4 {
			member := map[string]string{}
			for range random.IntN(4) {
				rule := rules[random.IntN(len(rules))]
				keyword, _, _ := strings.Cut(strings.Replace(rule, "const", "enum", 1), ":") // both at once are not flat
				member[keyword] = rule
			}
			properties = append(properties, fmt.Sprintf(`"m%d":{%s}`, i, strings.Join(slices.Collect(maps.Values(member)), ",")))
		}
		schema := fmt.Sprintf(`{"type":"object","properties":{%s},"required":["m%d"],"additionalProperties":%t}`,
			strings.Join(properties, ","), random.IntN(4), random.IntN(2) == 0)
		v := validatorOf(t, schema)
		if v.flat == nil {
			t.Fatalf("%s is not flat", schema)
		}
		for range 100 {
			agree(t, v, generate(v.flat, random))
		}
	}
}

func FuzzFlat(f *testing.F) {
	validators := []*validator{validatorOf(f, fmt.Sprintf(everyRule, "")), validatorOf(f, fmt.Sprintf(everyRule, `,"additionalProperties":false`))}
	for _, value := range values() {
		f.Add(false, fmt.Sprintf(`{"text":%s,"uscc":%q,"count":%s}`, value, testUSCC, value))
	}
	f.Add(true, `{"text":"ab","text":"ab"}`)
	f.Fuzz(func(t *testing.T, closed bool, payload string) {
		v := validators[0]
		if closed {
			v = validators[1]
		}
		agree(t, v, payload)
	})
}

// BenchmarkCheck is the schema check of one enterprise of the county, with the
// pass over the bytes and without.
func BenchmarkCheck(b *testing.B) {
	v := countySchemas(b)["enterprise.json"]
	payload := fmt.Appendf(nil, `{"uscc":%q,"name":"紫阳富硒茶合作社","legal_person":"欧阳某某","type":"company","capital":1200000.50,"established":"2019-04-30",`+
		`"region":"610924","address":"安康市紫阳县城关镇长安路社区17号","phone":"13800138000","status":"active"}`, testUSCC)
	for name, check := range map[string]func([]byte) *Rejection{"flat": v.check, "full": v.checkFully} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := check(payload); r != nil {
					b.Fatal(*r)
				}
			}
		})
	}
}
