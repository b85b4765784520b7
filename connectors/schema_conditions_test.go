package connectors

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// crossReferences are members whose names other members use, which a JSON Schema cannot say:
// only the reader refuses a definition without them.
var crossReferences = []string{"sources.map.masks", "sources.map.masks.*", "sources.map.code_lists", "sources.map.code_lists.*"}

// TestSchemaRequiresWhatTheReaderRequires leaves out each member of definitions of every kind in turn: both verdicts must agree.
func TestSchemaRequiresWhatTheReaderRequires(t *testing.T) {
	schema, seen, tried := compiledSchema(t), map[string]bool{}, 0
	for _, file := range []string{"testdata/full.yaml", "testdata/sources.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Sources []map[string]any }
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		for _, source := range doc.Sources {
			root := map[string]any{"sources": []any{source}}
			if reader, schema := verdicts(t, schema, root); reader != nil || schema != nil {
				t.Errorf("%s: the reader: %v; the schema: %v", source["name"], reader, schema)
			}
			withoutEach(root, "", func(path string) {
				seen[path], tried = true, tried+1
				reader, schema := verdicts(t, schema, root)
				if (reader == nil) != (schema == nil) && !slices.Contains(crossReferences, path) {
					t.Errorf("%s without %s: the reader: %v; the schema: %v", source["name"], path, reader, schema)
				}
			})
		}
	}
	for _, p := range definitionMembers() {
		if !seen[p.path] {
			t.Errorf("testdata/full.yaml has no %s", p.path)
		}
	}
	if tried < 200 {
		t.Errorf("only %d members were left out", tried)
	}
}

// withoutEach calls try while each member below node is left out in turn.
func withoutEach(node any, path string, try func(path string)) {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			withoutEach(element, path, try)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			value, at := node[name], strings.TrimPrefix(path+"."+name, ".")
			if path == "sources.map.masks" || strings.HasPrefix(path, "sources.map.code_lists") {
				at = path + ".*"
			}
			delete(node, name)
			try(at)
			node[name] = value
			withoutEach(value, at, try)
		}
	}
}

// verdicts has what the reader and the schema say of a document.
func verdicts(t *testing.T, schema *jsonschema.Schema, doc any) (reader, bySchema error) {
	t.Helper()
	text, err := json.Marshal(doc) // which is YAML too
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	_, reader = ParseDefinitions(text, ".")
	return reader, schema.Validate(asJSON)
}

// TestCharsetIsKnownByItsLabels reads charsets as others write them; unknown ones are refused with the list, by the schema too.
func TestCharsetIsKnownByItsLabels(t *testing.T) {
	schema := compiledSchema(t)
	for label, want := range map[string]string{
		"gb2312": "gbk", "gb_2312-80": "gbk", "cp936": "gbk", "x-gbk": "gbk", "GBK": "gbk", "UTF8": "utf-8", "utf-8-sig": "utf-8",
		"Big5-HKSCS": "big5", "ISO-8859-1": "latin1", "GB18030-2022": "gb18030", "utf-16": "", "hz-gb-2312": "", "gbk2": "",
	} {
		for kind, section := range map[string]map[string]any{
			"files": {"dir": "in", "pattern": "*.csv"},
			"topic": {"url_file": "k", "topic": "t"},
			"sql":   {"driver": "mysql", "dsn_file": "d", "table": "t", "cursor": "c"},
			"log":   {"driver": "postgres", "dsn_file": "d", "table": "t", "key": "k"},
		} {
			section["charset"] = label
			doc := map[string]any{"sources": []any{map[string]any{
				"name": "a/b", "resource": "a.b", "kind": kind, kind: section,
				"map": map[string]any{"key": []any{"k"}, "event_time": "t", "fields": []any{map[string]any{"from": "k", "to": "k"}}},
			}}}
			reader, bySchema := verdicts(t, schema, doc)
			if (reader == nil) != (want != "") || (bySchema == nil) != (want != "") {
				t.Errorf("%s %q: the reader: %v; the schema: %v", kind, label, reader, bySchema)
			}
			if want == "" {
				if !strings.Contains(reader.Error(), "gbk, gb18030, big5") {
					t.Errorf("%s %q: %v does not list the charsets", kind, label, reader)
				}
				continue
			}
			if got := readCharset(t, doc); got != want {
				t.Errorf("%s %q is %q; want %q", kind, label, got, want)
			}
		}
	}
}

func readCharset(t *testing.T, doc any) string {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	defs, err := ParseDefinitions(text, ".")
	if err != nil {
		t.Fatal(err)
	}
	switch d := defs[0]; {
	case d.Files != nil:
		return d.Files.Charset
	case d.Topic != nil:
		return d.Topic.Charset
	case d.SQL != nil:
		return d.SQL.Charset
	default:
		return d.Log.Charset
	}
}
