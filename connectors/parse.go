package connectors

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	maxDefinitionBytes = 1 << 20
	defaultInterval    = 5 * time.Second
	defaultBatch       = 2000
	// MaxBatch is the largest batch that a definition may ask for.
	MaxBatch           = 20_000
	defaultTimezone    = "Asia/Shanghai"
	defaultConnections = 2
	defaultQueryTime   = time.Minute
)

// ParseDefinitions reads a YAML document with the single member "sources".
// File references are resolved against dir. Unknown members and invalid values
// are errors; all of them are reported at once, each with its line, in an
// error that wraps [ErrDefinition]. The files that are referred to need not exist yet.
func ParseDefinitions(text []byte, dir string) ([]Definition, error) {
	if len(text) > maxDefinitionBytes {
		return nil, fmt.Errorf("%w: %d bytes; at most %d", ErrDefinition, len(text), maxDefinitionBytes)
	}
	if err := BoundYAML(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDefinition, err)
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
	for i, node := range root.list("sources") {
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
	s := newSection(f, node, where, "name", "resource", "kind", "interval", "batch", KindSQL, KindLog, KindFiles, KindHTTP, KindTopic,
		"limits", "take_new_columns", "prove", "map")
	d := Definition{
		Name:     s.text("name", true),
		Resource: s.text("resource", true),
		Kind:     s.oneOf("kind", "", kinds()...),
		Interval: s.duration("interval", defaultInterval, 100*time.Millisecond, 24*time.Hour),
		Batch:    s.integer("batch", defaultBatch, 1, MaxBatch),
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
	for _, kind := range kinds() {
		switch sub, present := s.section(kind, d.Kind == kind); {
		case present && d.Kind != kind && d.Kind != "":
			s.fault(kind, "does not go with kind %q", d.Kind)
		case !present:
		case kind == KindSQL:
			d.SQL = parseSQL(sub(), dir)
		case kind == KindLog:
			d.Log = parseLog(sub(), dir, d.Name)
		case kind == KindFiles:
			d.Files = parseFiles(sub(), dir)
		case kind == KindHTTP:
			d.HTTP = parseHTTP(sub(), dir)
		case kind == KindTopic:
			d.Topic = parseTopic(sub(), dir)
		}
	}
	d.Limits = Limits{Connections: defaultConnections, QueryTime: defaultQueryTime, BusyShare: 100}
	if sub, present := s.section("limits", false); present {
		d.Limits = parseLimits(sub())
	}
	d.TakeNewColumns = s.boolean("take_new_columns")
	if sub, present := s.section("prove", false); present {
		d.Prove = parseProof(sub())
	}
	if sub, present := s.section("map", true); present {
		d.Map = parseMapping(sub(), dir, !d.datesItself() && s.schema == nil) // the schema says it as a condition
	}
	return d
}

func kinds() []string { return []string{KindSQL, KindLog, KindFiles, KindHTTP, KindTopic} }

func parseLimits(s section) Limits {
	s.allow("rows_per_second", "connections", "query_time", "busy_share", "hours")
	l := Limits{
		RowsPerSecond: s.integer("rows_per_second", 0, 1, 10_000_000),
		Connections:   s.integer("connections", defaultConnections, 1, 16),
		QueryTime:     s.duration("query_time", defaultQueryTime, time.Second, time.Hour),
		BusyShare:     s.integer("busy_share", 100, 1, 100),
	}
	for _, text := range s.texts("hours") {
		from, until, _ := strings.Cut(text, "-")
		span := TimeSpan{From: parseTimeOfDay(s, "hours", from), Until: parseTimeOfDay(s, "hours", until)}
		if span.From == span.Until {
			s.fault("hours", "%q must be a span such as \"22:00-06:00\"", text)
		}
		l.Hours = append(l.Hours, span)
	}
	return l
}

func parseProof(s section) Proof {
	s.allow("at", "repair")
	p := Proof{Repair: s.boolean("repair")}
	for _, text := range s.texts("at") {
		p.At = append(p.At, parseTimeOfDay(s, "at", text))
	}
	return p
}

func parseTimeOfDay(s section, name, text string) TimeOfDay {
	text = strings.TrimSpace(text)
	if text == "24:00" {
		return TimeOfDay(24 * time.Hour)
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		s.fault(name, "%q must be a time of day such as \"22:00\"", text)
	}
	return TimeOfDay(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
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
