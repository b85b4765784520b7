package connectors

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/connectors/charset"
)

// descriptions says what the members of a definition are, one a line:
// the path, a tab, the text.
//
//go:embed schema.txt
var descriptions string

// recorder notes what the readers of definitions ask for, in the order of asking.
type recorder struct{ properties []property }

// property is one member of a definition.
type property struct {
	path      string // without indexes: "sources.map.fields.from"
	kind      string
	required  bool
	choices   []string
	low, high int
	fallback  any
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// anyName stands for members whose names the author of a definition chooses.
const anyName = "*"

// note records a member and says that nothing is to be read. Nothing is recorded by a nil recorder.
func (r *recorder) note(path string, required bool, p property) bool {
	if r == nil {
		return false
	}
	p.path, p.required = index.ReplaceAllString(path, ""), required
	if !slices.ContainsFunc(r.properties, func(known property) bool { return known.path == p.path }) {
		r.properties = append(r.properties, p)
	}
	return true
}

// definitionMembers runs the reader of definitions to see what it would read.
func definitionMembers() []property {
	f := &faults{schema: &recorder{}}
	root := newSection(f, nil, "", "sources")
	for i := range root.list("sources") {
		parseDefinition(f, nil, fmt.Sprintf("sources[%d]", i), "")
	}
	return f.schema.properties
}

// JSONSchema is the JSON Schema (draft 2020-12) of a definitions document,
// made by the code that reads them, so that editors complete and check it.
func JSONSchema() ([]byte, error) {
	texts := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(descriptions), "\n") {
		path, text, _ := strings.Cut(line, "\t")
		texts[path] = text
	}
	properties := definitionMembers()
	schema := object("", properties, texts)
	schema.set("$schema", "https://json-schema.org/draft/2020-12/schema", true)
	schema.set("title", "Onewindow connector definitions", true)
	compact, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("connectors: encode schema: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("connectors: encode schema: %w", err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// object is the schema of a mapping at a path.
func object(path string, properties []property, texts map[string]string) *ordered {
	members, required := &ordered{}, []string{}
	var others any = false
	for _, p := range properties {
		parent, name := "", p.path
		if i := strings.LastIndexByte(p.path, '.'); i >= 0 {
			parent, name = p.path[:i], p.path[i+1:]
		}
		if parent != path {
			continue
		}
		if name == anyName {
			others = memberSchema(p, properties, texts)
			continue
		}
		members.set(name, memberSchema(p, properties, texts), false)
		if p.required {
			required = append(required, name)
		}
	}
	o := &ordered{}
	o.set("type", "object", false)
	o.set("additionalProperties", others, false)
	if len(required) > 0 {
		o.set("required", required, false)
	}
	o.set("properties", members, false)
	if conditions := conditionsOf(path); conditions != nil {
		o.set("allOf", conditions, false)
	}
	return o
}

// memberSchema is the schema of one member.
func memberSchema(p property, properties []property, texts map[string]string) *ordered {
	o := &ordered{}
	text := map[string]any{"type": "string"}
	switch p.kind {
	case "object":
		o = object(p.path, properties, texts)
	case "either":
		o.set("oneOf", []any{text, object(p.path, properties, texts)}, false)
	case "array":
		o.set("type", "array", false)
		if p.required {
			o.set("minItems", 1, false)
		}
		if slices.ContainsFunc(properties, func(q property) bool { return strings.HasPrefix(q.path, p.path+".") }) {
			o.set("items", object(p.path, properties, texts), false)
		} else {
			o.set("items", text, false)
		}
	case "texts":
		several := map[string]any{"type": "array", "items": map[string]any{"type": "string", "minLength": 1}, "uniqueItems": true}
		if p.required {
			several["minItems"] = 1
		}
		o.set("oneOf", []any{map[string]any{"type": "string", "minLength": 1}, several}, false)
	case "charset":
		o.set("type", "string", false)
		o.set("anyOf", []any{map[string]any{"enum": p.choices}, map[string]any{"pattern": anyCase(charset.Labels())}}, false)
	case "duration":
		o.set("type", "string", false)
		o.set("pattern", `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$|^0$`, false)
	case "integer":
		o.set("type", "integer", false)
		o.set("minimum", p.low, false)
		o.set("maximum", p.high, false)
	default:
		o.set("type", p.kind, false)
	}
	if p.kind == "string" && p.required && p.choices == nil {
		o.set("minLength", 1, false)
	}
	if p.choices != nil && p.kind != "charset" {
		o.set("enum", p.choices, false)
	}
	if p.fallback != nil && p.fallback != "" {
		o.set("default", p.fallback, false)
	}
	if t := texts[p.path]; t != "" {
		o.set("description", t, false)
	}
	return o
}

// ordered is a JSON object whose members keep their order.
type ordered struct {
	names  []string
	values []any
}

func (o *ordered) set(name string, value any, first bool) {
	if first {
		o.names, o.values = slices.Insert(o.names, 0, name), slices.Insert(o.values, 0, value)
		return
	}
	o.names, o.values = append(o.names, name), append(o.values, value)
}

// MarshalJSON writes the members in their order.
func (o *ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := json.Marshal(o.values[i])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", name, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
