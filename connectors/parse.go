package connectors

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	maxDefinitionBytes = 1 << 20
	defaultInterval    = 5 * time.Second
	defaultBatch       = 5000
	maxBatch           = 20_000
	defaultTimezone    = "Asia/Shanghai"
)

// ParseDefinitions reads a YAML document with the single member "sources".
// File references are resolved against dir. Unknown members and invalid values
// are errors; all of them are reported at once, each with its line, in an
// error that wraps [ErrDefinition]. The files that are referred to need not exist yet.
func ParseDefinitions(text []byte, dir string) ([]Definition, error) {
	if len(text) > maxDefinitionBytes {
		return nil, fmt.Errorf("%w: %d bytes; at most %d", ErrDefinition, len(text), maxDefinitionBytes)
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, fmt.Errorf("%w: not YAML: %w", ErrDefinition, err)
	}
	var f faults
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("%w: want one YAML document with the member sources", ErrDefinition)
	}
	root := newSection(&f, file.Docs[0].Body, "", "sources")
	var defs []Definition
	for i, node := range root.list("sources", true) {
		d := parseDefinition(&f, node, fmt.Sprintf("sources[%d]", i), dir)
		if slices.ContainsFunc(defs, func(o Definition) bool { return o.Name == d.Name && d.Name != "" }) {
			f.add(node, fmt.Sprintf("sources[%d].name", i), "%q is defined twice", d.Name)
		}
		defs = append(defs, d)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return defs, nil
}

func parseDefinition(f *faults, node ast.Node, where, dir string) Definition {
	s := newSection(f, node, where, "name", "resource", "kind", "interval", "batch", "sql", "files", "http", "map")
	d := Definition{
		Name:     s.text("name", true),
		Resource: s.text("resource", true),
		Kind:     s.oneOf("kind", "", KindSQL, KindFiles, KindHTTP),
		Interval: s.duration("interval", defaultInterval, 100*time.Millisecond, 24*time.Hour),
		Batch:    s.integer("batch", defaultBatch, 1, maxBatch),
	}
	department, connector, _ := strings.Cut(d.Name, "/")
	if d.Name != "" && (!validCode(department) || !validCode(connector)) {
		s.fault("name", `%q must be "<department>/<connector>" in lower-case letters, digits, '-' and '_'`, d.Name)
	}
	owner, resource, _ := strings.Cut(d.Resource, ".")
	switch {
	case d.Resource == "":
	case !validCode(owner) || !validCode(resource):
		s.fault("resource", `%q must be "<department>.<resource>" in lower-case letters, digits, '-' and '_'`, d.Resource)
	case d.Name != "" && owner != department:
		s.fault("resource", "%q belongs to department %q, the source to %q", d.Resource, owner, department)
	}
	for _, kind := range []string{KindSQL, KindFiles, KindHTTP} {
		switch sub, present := s.section(kind, d.Kind == kind); {
		case present && d.Kind != kind && d.Kind != "":
			s.fault(kind, "does not go with kind %q", d.Kind)
		case !present:
		case kind == KindSQL:
			d.SQL = parseSQL(sub(), dir)
		case kind == KindFiles:
			d.Files = parseFiles(sub(), dir)
		case kind == KindHTTP:
			d.HTTP = parseHTTP(sub(), dir)
		}
	}
	if sub, present := s.section("map", true); present {
		d.Map = parseMapping(sub())
	}
	return d
}

func parseSQL(s section, dir string) *SQL {
	s.allow("driver", "dsn_file", "table", "cursor", "key")
	return &SQL{
		Driver:  s.oneOf("driver", "", "postgres", "sqlite"),
		DSNFile: s.file("dsn_file", dir, true),
		Table:   s.text("table", true),
		Cursor:  s.text("cursor", true),
		Key:     s.text("key", true),
	}
}

func parseFiles(s section, dir string) *Files {
	s.allow("dir", "pattern", "charset", "delimiter")
	fs := &Files{
		DirName: s.text("dir", true),
		Dir:     s.file("dir", dir, false),
		Pattern: s.text("pattern", true),
		Charset: s.oneOf("charset", "utf-8", "gbk", "gb18030", "utf-8"),
	}
	if _, err := path.Match(fs.Pattern, "x"); err != nil || strings.ContainsAny(fs.Pattern, `/\`) {
		s.fault("pattern", "%q must be a pattern of file names such as \"resident-*.csv\"", fs.Pattern)
	}
	delimiter := s.text("delimiter", false)
	if delimiter == "" {
		delimiter = ","
	}
	r, size := utf8.DecodeRuneInString(delimiter)
	if size != len(delimiter) || r == utf8.RuneError || r == '"' || r == '\r' || r == '\n' {
		s.fault("delimiter", "%q must be one character and neither a quote nor a line end", delimiter)
	}
	fs.Delimiter = r
	return fs
}

func parseHTTP(s section, dir string) *HTTP {
	s.allow("url", "page_param", "size_param", "size", "records", "token_file")
	h := &HTTP{
		URL:       s.text("url", true),
		PageParam: s.text("page_param", true),
		SizeParam: s.text("size_param", true),
		Size:      s.integer("size", 1000, 1, maxBatch),
		Records:   s.text("records", true),
		TokenFile: s.file("token_file", dir, false),
	}
	u, err := url.Parse(h.URL)
	switch {
	case h.URL == "":
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		s.fault("url", "must be an http:// or https:// URL")
	case u.User != nil:
		s.fault("url", "must not carry a password; use token_file")
	case u.Fragment != "":
		s.fault("url", "must not have a fragment")
	case u.Query().Has(h.PageParam) || u.Query().Has(h.SizeParam):
		s.fault("url", "must not carry the page or size parameter itself")
	}
	if h.PageParam != "" && h.PageParam == h.SizeParam {
		s.fault("size_param", "is the same as page_param")
	}
	return h
}

func parseMapping(s section) Mapping {
	s.allow("key", "event_time", "recorded_time", "timezone", "fields")
	m := Mapping{EventTime: s.text("event_time", true), RecordedTime: s.text("recorded_time", false)}
	zone := s.text("timezone", false)
	if zone == "" {
		zone = defaultTimezone
	}
	var err error
	if m.Timezone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		s.fault("timezone", "%q is not a time zone such as \"Asia/Shanghai\"", zone)
	}
	var members []string
	for i, node := range s.list("fields", true) {
		fs := newSection(s.faults, node, fmt.Sprintf("%s.fields[%d]", s.where, i), "from", "to", "type", "half_width")
		field := Field{
			From:      fs.text("from", true),
			To:        fs.text("to", true),
			Type:      FieldType(fs.oneOf("type", string(String), string(String), string(Integer), string(Decimal), string(Boolean), string(Date), string(Time))),
			HalfWidth: fs.boolean("half_width"),
		}
		if slices.Contains(members, field.To) && field.To != "" {
			fs.fault("to", "%q is mapped twice", field.To)
		}
		members = append(members, field.To)
		m.Fields = append(m.Fields, field)
	}
	for i, node := range s.list("key", true) {
		name, ok := plainText(node)
		if !ok || !slices.Contains(members, name) {
			s.add(node, fmt.Sprintf("%s.key[%d]", s.where, i), "%q is not a payload member (a \"to\" of fields)", name)
		}
		m.Key = append(m.Key, name)
	}
	return m
}

// validCode says whether s is a department, connector or resource code.
func validCode(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r != '-' && r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func resolve(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}
