package connectors

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

// parsedMapping reads the YAML of a mapping as the definition of a bulk source has it.
func parsedMapping(t testing.TB, dir, text string) Mapping {
	t.Helper()
	definition := `sources:
  - name: police/people
    resource: police.people
    kind: sql
    sql: {driver: sqlite, dsn_file: x, table: people, key: id, mode: bulk}
    map:
      ` + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
	defs, err := ParseDefinitions([]byte(definition), dir)
	if err != nil {
		t.Fatalf("%s\n%v", definition, err)
	}
	return defs[0].Map
}

// rowOf makes a row out of texts by column; "NULL" and what is left out is null.
func rowOf(m Mapping, texts map[string]string) Row {
	row := Row{Raw: []byte("the raw row"), Origin: "people:17"}
	for _, column := range m.Columns() {
		text, ok := texts[column]
		if !ok || text == "NULL" {
			row.Values = append(row.Values, Value{Null: true})
			continue
		}
		row.Values = append(row.Values, Value{Text: text})
	}
	return row
}

// TestTraps has each trap of data once: what a field makes of a text. The
// payloads are part of record ids, so that their bytes may not change.
func TestTraps(t *testing.T) {
	const uscc, citizen = "11100000000013338W", "11010519491231002X"
	tests := []struct {
		trap, field, text string
		want              string // the payload's members behind the key, or the rule
		finding           string
	}{
		{"decimal keeps its digits", `type: decimal`, "12345678901234567890.1200", `"v":12345678901234567890.1200`, ""},
		{"decimal of Oracle without a leading zero", `type: decimal`, "-.5", `"v":-0.5`, ""},
		{"decimal with exponent", `type: decimal`, "1.10E+5", `"v":1.10E+5`, ""},
		{"decimal beyond float64", `type: decimal`, "0.1000000000000000055511151231257827", `"v":0.1000000000000000055511151231257827`, ""},
		{"decimal that is none", `type: decimal`, "NaN", "SCHEMA", ""},
		{"decimal with thousands", `type: decimal`, "1,234.50", "SCHEMA", ""},
		{"integer beyond 2^53", `type: integer`, "9007199254740993", `"v":9007199254740993`, ""},
		{"integer in full width", `{type: integer, half_width: true}`, "１２", `"v":12`, "FULL_WIDTH"},
		{"time without offset is of the zone", `type: time`, "2025-11-03 08:05:00.123456", `"v":"2025-11-03T08:05:00.123456+08:00"`, ""},
		{"time of UTC", `type: time`, "2025-11-03 00:05:00+00", `"v":"2025-11-03T08:05:00+08:00"`, ""},
		{"time in summer time", `type: time`, "1988-07-01 08:00:00", `"v":"1988-07-01T07:00:00+08:00"`, ""},
		{"time before zones", `type: time`, "1900-01-01 00:00:00", `"v":"1900-01-01T00:00:00+08:00"`, ""},
		{"time with its original", `{type: time, original: v_text}`, " 2025/1/3 8:05 ", `"v":"2025-01-03T08:05:00+08:00","v_text":" 2025/1/3 8:05 "`, ""},
		{"zero date", `type: date`, "0000-00-00", ``, "ZERO_DATE"},
		{"zero date with time", `type: time`, "0000-00-00 00:00:00", ``, "ZERO_DATE"},
		{"zero date with fraction", `type: time`, "0000-00-00 00:00:00.000000", ``, "ZERO_DATE"},
		{"zero date with its original", `{type: date, original: v_text}`, "0000-00-00", `"v_text":"0000-00-00"`, "ZERO_DATE"},
		{"zero date where one is required", `{type: date, required: true}`, "0000-00-00", "MISSING_FIELD", ""},
		{"date without month", `type: date`, "2025-00-00", "SCHEMA", ""},
		{"text that looks like a zero date", `type: string`, "0000-00-00", `"v":"0000-00-00"`, ""},
		{"infinity", `type: time`, "infinity", "SCHEMA", ""},
		{"before the year 1", `type: date`, "0044-03-15 BC", "SCHEMA", ""},
		{"date without a shift", `type: date`, "1582-10-10", `"v":"1582-10-10"`, ""},
		{"date of a time keeps its day", `type: date`, "2025-11-03 00:00:00", `"v":"2025-11-03"`, ""},
		{"date of a time in UTC", `type: date`, "2025-11-02T16:00:00Z", `"v":"2025-11-03"`, ""},
		{"binary in hexadecimal", `type: bytes`, `\x00ff10`, `"v":"AP8Q"`, ""},
		{"binary in Base64", `type: bytes`, `AP8Q`, `"v":"AP8Q"`, ""},
		{"binary that is none", `type: bytes`, `\x0`, "SCHEMA", ""},
		{"Base64 with bits left over", `type: bytes`, `AP8R=`, "SCHEMA", ""},
		{"GBK bytes that nobody decoded", `type: string`, "\xd6\xd0", "ENCODING", ""},
		{"a character of GB18030-2022 beyond GBK", `type: string`, "𠮷", `"v":"𠮷"`, ""},
		{"a character of private use", `type: string`, "\ue5e5", "\"v\":\"\ue5e5\"", ""},
		{"CHAR padding", `type: string`, "A1   ", `"v":"A1"`, ""},
		{"CHAR padding with ideographic spaces", `type: string`, "张三　　", `"v":"张三"`, ""},
		{"spaces that belong to the value", `keep_spaces: true`, "  A 1 ", `"v":"  A 1 "`, ""},
		{"null", `type: string`, "NULL", ``, ""},
		{"null where a value is required", `required: true`, "NULL", "MISSING_FIELD", ""},
		{"blanks where a value is required", `required: true`, " 　 ", "MISSING_FIELD", ""},
		{"citizen number with 18 digits", `check: citizen-number`, citizen, `"v":"11010519491231002X"`, ""},
		{"citizen number with a lower-case x", `check: citizen-number`, strings.ToLower(citizen), `"v":"11010519491231002X"`, ""},
		{"citizen number in full width", `{check: citizen-number, half_width: true}`, "１１０１０５１９４９１２３１００２ｘ", `"v":"11010519491231002X"`, "FULL_WIDTH"},
		{"citizen number with 15 digits", `check: citizen-number`, "110105491231002", `"v":"110105491231002"`, ""},
		{"citizen number with 15 digits and no such day", `check: citizen-number`, "110105490231002", "CHECK_DIGIT", ""},
		{"citizen number with a wrong check character", `check: citizen-number`, "110105194912310021", "CHECK_DIGIT", ""},
		{"USCC", `check: uscc`, uscc, `"v":"11100000000013338W"`, ""},
		{"USCC with a wrong check character", `check: uscc`, "11100000000013338X", "CHECK_DIGIT", ""},
		{"region", `check: region`, "610924", `"v":"610924"`, ""},
		{"region of another form", `check: region`, "61092", "SCHEMA", ""},
		{"mobile number", `check: phone`, "+86 13800138000", `"v":"+86 13800138000"`, ""},
		{"landline number", `check: phone`, "0915-3212345", `"v":"0915-3212345"`, ""},
		{"phone number that is none", `check: phone`, "12345", "SCHEMA", ""},
		{"code", `codes: sex`, "1", `"v":"男"`, ""},
		{"code that is unknown", `codes: sex`, "3", "CODE", ""},
		{"code with padding", `codes: sex`, "2 ", `"v":"女"`, ""},
		{"no code", `codes: sex`, "", ``, ""},
	}
	for _, test := range tests {
		t.Run(test.trap, func(t *testing.T) {
			field := strings.Trim(test.field, "{}")
			m := parsedMapping(t, ".", fmt.Sprintf(`key: [k]
event_time: at
code_lists: {sex: {"1": 男, "2": 女}}
fields:
  - {from: k, to: k}
  - {from: v, to: v, %s}`, field))
			d := mapperOf(t, m).draft(rowOf(m, map[string]string{"k": "7", "at": "2025-11-03", "v": test.text}), time.Time{})
			if d.Rejection != nil {
				if d.Rejection.Rule != test.want || d.Rejection.Field != "/v" || string(d.Raw) != "the raw row" {
					t.Fatalf("%+v of %s; want %s", *d.Rejection, d.Raw, test.want)
				}
				if shown := strings.TrimSpace(test.text); len(shown) > 2 && strings.Contains(d.Rejection.Detail, shown) {
					t.Errorf("the value is in the message: %s", d.Rejection.Detail)
				}
				return
			}
			want := `{"k":"7"`
			if test.want != "" {
				want += "," + test.want
			}
			if want += "}"; string(d.Payload) != want || !json.Valid(d.Payload) {
				t.Errorf("%s; want %s", d.Payload, want)
			}
			if got := strings.Join(d.Findings, ","); got != test.finding {
				t.Errorf("findings %q; want %q", got, test.finding)
			}
		})
	}
}

const personMapping = `
key: [number]
event_time: changed
recorded_time: entered
where: row.status != "test" && !(has(row.region) && row.region.startsWith("99"))
deleted: {column: is_deleted, values: ["1", "Y"]}
code_lists: {sex: {"1": 男, "2": 女}}
masks:
  id: {method: hash, salt_file: salt}
  phone: {method: keep-last}
  address: {method: redact}
  note: {method: drop}
fields:
  - {from: number, to: number, tag: id, check: citizen-number, required: true}
  - {from: sex, to: sex, codes: sex, required: true}
  - {value: "date(row.number.substring(6, 14))", to: born, type: date, required: true}
  - {from: phone, to: phone, tag: phone}
  - {from: address, to: address, tag: address}
  - {from: note, to: note, tag: note, type: integer}
  - {value: 'row["status"].upper() + "-" + row.region.padLeft(6, "0")', to: label}
`

func person() map[string]string {
	return map[string]string{
		"number": "11010519491231002x", "sex": "1", "phone": "13800138000", "address": "长安路17号", "note": "17", "status": "ok ", "region": "6109",
		"is_deleted": "0", "changed": "2025-11-03 08:05:00", "entered": "0000-00-00 00:00:00",
	}
}

// hash of "11010519491231002X" with the salt of the tests, as OpenSSL gives it:
// printf %s 11010519491231002X | openssl dgst -sha256 -hmac 'a secret of the department'.
const hashedNumber = "2dcc5da2175c1521dddd490272ba78441c51993f383dee8ce233d6262a313199"

func personMapper(t testing.TB) (Mapping, *mapper) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "salt"), []byte("a secret of the department\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := parsedMapping(t, dir, personMapping)
	return m, mapperOf(t, m)
}

func TestMasksHideWhatIsTagged(t *testing.T) {
	m, mp := personMapper(t)
	row := rowOf(m, person())
	row.Origin, row.Key = "people:11010519491231002x", []string{"11010519491231002x"}
	d := mp.draft(row, time.Time{})
	const payload = `{"number":"` + hashedNumber + `","sex":"男","born":"1949-12-31","phone":"*******8000","address":"***","label":"OK-006109"}`
	if d.Rejection != nil || string(d.Payload) != payload || d.Key != hashedNumber || d.Raw != nil || !slices.Equal(d.Findings, []string{exchange.FindingZeroDate}) {
		t.Fatalf("%s\nwant %s\n%+v %+v", d.Payload, payload, d, d.Rejection)
	}
	if !d.RecordedTime.IsZero() {
		t.Errorf("recorded at %s", d.RecordedTime)
	}
	if strings.Contains(d.Origin, "1949") || !strings.HasPrefix(d.Origin, "people:") || len(d.Origin) <= len("people:") {
		t.Errorf("origin %q", d.Origin)
	}

	// Rejected rows are kept with the same columns masked, for every way to be rejected.
	clear := []string{"1949", "13800138000", "1380013", "长安路", `"17"`}
	tests := []struct{ column, text, rule, field string }{
		{"sex", "3", exchange.RuleCode, "/sex"},
		{"sex", "", exchange.RuleMissingField, "/sex"},
		{"note", "十七", exchange.RuleSchema, "/note"},
		{"number", "110105194912310021", exchange.RuleCheckDigit, "/number"},
		{"number", "110105491231002", exchange.RuleMapping, "/born"}, // 15 digits: the expression wants 18
		{"number", "", exchange.RuleMissingField, "/number"},
		{"changed", "yesterday", exchange.RuleEventTime, "changed"},
		{"address", "长安路\xff", exchange.RuleEncoding, "/address"},
		{"status", "\xff", exchange.RuleEncoding, "where"},
	}
	for _, test := range tests {
		texts := person()
		texts[test.column] = test.text
		spoiled := rowOf(m, texts)
		spoiled.Origin, spoiled.Key, spoiled.Raw = "people:"+texts["number"], []string{texts["number"]}, []byte(strings.Join(clear, ";"))
		d := mp.draft(spoiled, time.Time{})
		if d.Rejection == nil || d.Rejection.Rule != test.rule || d.Rejection.Field != test.field || d.Payload != nil ||
			!json.Valid(d.Raw) || !strings.Contains(string(d.Raw), `"region":"6109"`) {
			t.Errorf("%+v: %s, %+v", test, d.Raw, d.Rejection)
			continue
		}
		for _, text := range clear {
			if strings.Contains(string(d.Raw)+d.Origin+d.Rejection.Detail, text) {
				t.Errorf("%+v: %q is in %s of %s: %s", test, text, d.Raw, d.Origin, d.Rejection.Detail)
			}
		}
	}
	broken := Row{
		Raw: []byte(strings.Join(clear, ";")), Origin: "people:11010519491231002x", Key: []string{"11010519491231002x"},
		Rejection: &exchange.Rejection{Rule: exchange.RuleEncoding},
	}
	if d := mp.draft(broken, time.Time{}); d.Rejection == nil || strings.Contains(string(d.Raw)+d.Origin, "1949") || !strings.Contains(string(d.Raw), "withheld") {
		t.Errorf("%s of %s, %+v", d.Raw, d.Origin, d.Rejection)
	}
}

func TestMask(t *testing.T) {
	salt := filepath.Join(t.TempDir(), "salt")
	if err := os.WriteFile(salt, []byte("a secret of the department\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		mask Mask
		text string
		want string // empty: nothing is shown
	}{
		{Mask{Method: Drop}, "13800138000", ""},
		{Mask{Method: Redact}, "13800138000", "***"},
		{Mask{Method: KeepLast, Keep: 4}, "13800138000", "*******8000"},
		{Mask{Method: KeepLast, Keep: 1}, "欧阳张三", "***三"},
		{Mask{Method: KeepLast, Keep: 4}, "8000", "****"},
		{Mask{Method: KeepLast, Keep: 4}, "80", "**"},
		// printf %s 13800138000 | openssl dgst -sm3 -hmac 'a secret of the department'
		{Mask{Method: Hash, SaltFile: salt, Hash: "sm3"}, "13800138000", "34599ac1ed5e9c1b44ec5bcd1d2bd35f1ed8da0b48db9f9217a2bdf18ff56e6b"},
	}
	for _, test := range tests {
		maskers, err := newMaskers(map[string]Mask{"t": test.mask})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, shown := maskers["t"].mask(test.text); got != test.want || shown != (test.want != "") {
				t.Errorf("%+v of %s = %q, %t; want %q", test.mask, test.text, got, shown, test.want)
			}
		}
	}
}

func TestRowsThatAreDeletes(t *testing.T) {
	m, mp := personMapper(t)
	changed := time.Date(2025, 11, 3, 0, 5, 0, 0, time.UTC)
	committed := time.Date(2025, 11, 4, 0, 0, 0, 1000, time.UTC)
	tests := []struct {
		name  string
		spoil func(*Row, map[string]string)
		op    exchange.Operation
		at    time.Time
	}{
		{"as it is", func(*Row, map[string]string) {}, exchange.Upsert, changed},
		{"marked", func(_ *Row, p map[string]string) { p["is_deleted"] = "Y " }, exchange.Delete, changed},
		{"marked, and otherwise wrong", func(_ *Row, p map[string]string) { p["is_deleted"], p["sex"], p["note"] = "1", "3", "x" }, exchange.Delete, changed},
		{"outside the filter", func(_ *Row, p map[string]string) { p["status"] = "test" }, exchange.Delete, changed},
		{"outside the filter by region", func(_ *Row, p map[string]string) { p["region"] = "990000" }, exchange.Delete, changed},
		{"no region", func(_ *Row, p map[string]string) { p["region"] = "NULL" }, exchange.Upsert, changed},
		{"told by the source", func(r *Row, p map[string]string) {
			clear(p)
			p["number"] = "11010519491231002X"
			r.Operation, r.ChangedAt = exchange.Delete, committed
		}, exchange.Delete, committed},
	}
	for _, test := range tests {
		texts := person()
		var head Row
		test.spoil(&head, texts)
		row := rowOf(m, texts)
		row.Operation, row.ChangedAt = head.Operation, head.ChangedAt
		d := mp.draft(row, time.Time{})
		if d.Rejection != nil || d.Operation != test.op || d.Key != hashedNumber || !d.EventTime.Equal(test.at) || (d.Payload == nil) != (test.op == exchange.Delete) {
			t.Errorf("%s: %+v, %+v", test.name, d, d.Rejection)
		}
	}
	texts := person()
	texts["number"], texts["is_deleted"] = "NULL", "1"
	if d := mp.draft(rowOf(m, texts), time.Time{}); d.Rejection == nil || d.Rejection.Rule != exchange.RuleKey {
		t.Errorf("a delete without key: %+v", d)
	}
}

func TestEventTimeWithoutColumn(t *testing.T) {
	m := parsedMapping(t, ".", "key: [k]\nfields:\n  - {from: k, to: k}")
	mp := mapperOf(t, m)
	changed, read := time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC), time.Date(2025, 11, 4, 0, 0, 0, 0, time.UTC)
	row := rowOf(m, map[string]string{"k": "1"})
	if d := mp.draft(row, read); !d.EventTime.Equal(read) || d.Rejection != nil {
		t.Errorf("%+v", d)
	}
	row.ChangedAt = changed
	if d := mp.draft(row, read); !d.EventTime.Equal(changed) || d.Rejection != nil {
		t.Errorf("%+v", d)
	}
	row.Operation, row.ChangedAt = exchange.Delete, time.Time{}
	if d := mp.draft(row, read); !d.EventTime.Equal(read) || d.Operation != exchange.Delete || d.Rejection != nil {
		t.Errorf("%+v", d)
	}
}

// TestYears rejects times that have a year of five digits, or none, where payloads show them.
func TestYears(t *testing.T) {
	far := time.FixedZone("", -12*60*60)
	for _, text := range []string{"9999-12-31T23:00:00Z", "9999-12-31T20:00:00-01:00", "0001-01-01T00:00:00+14:00"} {
		if _, ok := parseInstant(text, time.UTC); ok {
			t.Errorf("%s is taken for an instant", text)
		}
		if got, ok := appendInstant(nil, text, time.UTC); ok {
			t.Errorf("%s became %s", text, got)
		}
	}
	if got, ok := appendInstant(nil, "9999-12-31 23:00:00", far); ok {
		t.Errorf("the last hour, far in the west, became %s", got)
	}
	for text, want := range map[string]string{"9999-12-31T15:59:59Z": `"9999-12-31T23:59:59+08:00"`, "0001-01-01 00:00:00+08": `"0001-01-01T00:00:00+08:00"`} {
		if got, ok := appendInstant(nil, text, time.UTC); !ok || string(got) != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
}
