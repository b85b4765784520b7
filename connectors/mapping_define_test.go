package connectors

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestMappingDefinition(t *testing.T) {
	dir := t.TempDir()
	m := parsedMapping(t, dir, personMapping)
	want := []string{"number", "sex", "phone", "address", "note", "status", "region", "changed", "entered", "is_deleted"}
	if got := m.Columns(); !reflect.DeepEqual(got, want) {
		t.Errorf("columns %q; want %q", got, want)
	}
	masks := map[string]Mask{
		"id":    {Method: Hash, SaltFile: filepath.Join(dir, "salt"), Hash: "sha256"},
		"phone": {Method: KeepLast, Keep: 4, Hash: "sha256"}, "address": {Method: Redact, Hash: "sha256"}, "note": {Method: Drop, Hash: "sha256"},
	}
	if !reflect.DeepEqual(m.Masks, masks) {
		t.Errorf("masks %+v; want %+v", m.Masks, masks)
	}
	if !reflect.DeepEqual(m.Deleted, &Marker{Column: "is_deleted", Values: []string{"1", "Y"}}) || m.Where.String() == "" || m.CodeLists["sex"]["2"] != "女" {
		t.Errorf("%+v", m)
	}
}

func TestSecretOfMask(t *testing.T) {
	dir := t.TempDir()
	m := parsedMapping(t, dir, personMapping)
	for name, text := range map[string]string{"missing": "", "short": "s3cr3t\n", "long": strings.Repeat("s", maxSaltBytes+1)} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, "salt"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := newMapper(m)
		var fault *Fault
		if !errors.As(err, &fault) || fault.Code != FaultSecret || text != "" && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMappingFaults(t *testing.T) {
	const text = `sources:
  - name: a/b
    resource: a.b
    kind: files
    files: {dir: x, pattern: y}
    map:
      key: [hidden, seen]
      where: row.a
      deleted: {column: d}
      code_lists: {sex: {"1": 1}, other: 7}
      masks:
        a: {method: keep-last, salt_file: s}
        b: {method: hash, keep: 3}
        c: {method: shred}
      fields:
        - {from: a, to: hidden, tag: a}
        - {to: none}
        - {from: a, value: row.b, to: both}
        - {value: "1.5", to: float}
        - {value: "row[row.a]", to: computed, original: x}
        - {value: , to: nothing}
        - {from: a, to: codes, codes: nope, check: uscc, type: integer}
        - {from: a, to: tagged, tag: nope, original: seen}
        - {from: a, to: seen}
        - {from: a, to: e, check: email, trim: no}
        - {from: number, to: n, type: integer, tag: a}
        - {from: number, to: m}
`
	_, err := ParseDefinitions([]byte(text), ".")
	if !errors.Is(err, ErrDefinition) {
		t.Fatalf("%v; want ErrDefinition", err)
	}
	for _, want := range []string{
		`map.event_time: is missing`,
		`line 7: sources[0].map.key[0]: "hidden" is masked by tag "a" in a way that makes different keys equal`,
		`line 8: sources[0].map.where: gives text instead of true or false`,
		`map.deleted.values: is missing`,
		`line 10: sources[0].map.code_lists.sex.1: must be text`,
		`line 10: sources[0].map.code_lists.other: must be a mapping`,
		`line 12: sources[0].map.masks.a.salt_file: goes with method hash only`,
		`line 13: sources[0].map.masks.b.keep: goes with method keep-last only`,
		`map.masks.b.salt_file: is missing`,
		`line 14: sources[0].map.masks.c.method: "shred" is not one of drop, redact, keep-last, hash`,
		`map.fields[1].from: is missing; name the column, or give an expression as value`,
		`line 18: sources[0].map.fields[2].value: does not go with from`,
		`line 19: sources[0].map.fields[3].value: gives a floating-point number instead of text`,
		`line 20: sources[0].map.fields[4].value: must name the columns that it reads`,
		`line 20: sources[0].map.fields[4].original: does not go with value`,
		`map.fields[5].from: is missing`,
		`line 22: sources[0].map.fields[6].codes: "nope" is not one of code_lists`,
		`line 22: sources[0].map.fields[6].type: must be string`,
		`line 23: sources[0].map.fields[7].tag: "nope" is not one of masks`,
		`line 23: sources[0].map.fields[7].original: does not go with tag`,
		`line 24: sources[0].map.fields[8].to: "seen" is mapped twice`,
		`line 25: sources[0].map.fields[9].check: "email" is not one of none, uscc, citizen-number, region, phone`,
		`line 25: sources[0].map.fields[9].trim: is unknown`,
		`line 23: sources[0].map.fields[7].tag: column "a" is masked in one field and clear in another`,
		`line 26: sources[0].map.fields[10].tag: "a" keeps the last characters, which shows most of a short value of type integer`,
		`line 27: sources[0].map.fields[11].tag: column "number" is masked in one field and clear in another`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}
