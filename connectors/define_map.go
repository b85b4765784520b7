package connectors

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Mapping makes a record of a row.
//
// A row leaves the records, as a deleted one does, when Where is false for it
// or when Deleted says so: it becomes a delete of its key, also if there never
// was such a record, so that a row that moves out of the filter does not stay
// behind. Of a delete only the key is mapped.
//
// Times without an offset are of Timezone; a field's Original keeps the
// source's own text beside the instant. Zero dates (0000-00-00) are nulls,
// with a finding, where a null is allowed.
//
// If there are Masks, what is masked leaves the connector masked only: of rows
// that are rejected, the raw bytes are replaced by a JSON object of the
// columns with the masked ones masked, or withheld if the row could not be
// taken apart; and a masked text of the source's key is made unrecognizable
// in the origin.
type Mapping struct {
	// Key are the payload members whose texts, joined with "/", are the record key.
	Key []string
	// EventTime is the column that says when the row became true. If it is
	// empty, that is [Row.ChangedAt] or else the time of reading; two readings
	// of the same row are then two versions of it. Rows that the source itself
	// tells as deleted always take Row.ChangedAt.
	EventTime string
	// RecordedTime is the column that says when the row was entered; may be empty.
	RecordedTime string
	// EventAs and RecordedAs say how these columns are written, or give the times instead of a column.
	EventAs, RecordedAs Moment
	// Timezone is that of times without an offset.
	Timezone *time.Location
	// Where is true for the rows that are records; nil for all.
	Where *Expression
	// Deleted marks rows that are deleted by being written; nil for none.
	Deleted *Marker
	// CodeLists are texts by code, by name of the list.
	CodeLists map[string]map[string]string
	// Masks say what becomes of the fields with a tag.
	Masks  map[string]Mask
	Fields []Field
}

// Moment is how a time is found beside its column.
type Moment struct {
	// Format is a Go layout such as "2006年1月2日", "excel", "unix" or "unix-ms"; empty for what is usual.
	Format string
	// Value gives the text instead of a column; nil for none.
	Value *Expression
}

// Marker says that a row is deleted when Column has one of Values.
type Marker struct {
	Column string
	Values []string
}

// Field is one member of the payload. What happens to a text, in order: the
// spaces around it are taken away, HalfWidth, Codes, Check, Type, mask.
type Field struct {
	// From is the column, To the payload member.
	From, To string
	// Value gives the text instead of From.
	Value *Expression
	Type  FieldType
	// HalfWidth turns full-width characters (U+FF01 to U+FF5E, U+3000) into their ASCII forms.
	HalfWidth bool
	// KeepSpaces keeps white space at both ends, which is otherwise taken for the padding of CHAR columns.
	KeepSpaces bool
	// Required rejects rows without a value.
	Required bool
	// Codes names the code list by which the text is replaced; an unknown code rejects the row.
	Codes string
	Check Check
	// Tag classifies the field; the mask of that tag is applied.
	Tag string
	// Original is a second payload member that takes the source's text unchanged.
	Original string
	// Format says how a date or time is written, as in [Moment].
	Format string
}

// FieldType says what the text of a column means.
type FieldType string

// The field types. Masked values are always strings.
const (
	String  FieldType = "string"
	Integer FieldType = "integer"
	Decimal FieldType = "decimal"
	Boolean FieldType = "boolean"
	Date    FieldType = "date"
	Time    FieldType = "time"
	// Bytes are \x and hexadecimal digits, or Base64, at the source, and Base64 in the payload.
	Bytes FieldType = "bytes"
)

// Check is a test of a text beyond its type.
type Check string

// The checks.
const (
	// CheckUSCC wants a unified social credit code (GB 32100).
	CheckUSCC Check = "uscc"
	// CheckCitizenNumber wants a citizen number of 18 or, as issued before 1999, 15 digits; a lower-case x is made X.
	CheckCitizenNumber Check = "citizen-number"
	// CheckRegion wants the form of a region code (GB/T 2260, with towns and villages).
	CheckRegion Check = "region"
	// CheckPhone wants a mobile number, or a landline number with its area code.
	CheckPhone Check = "phone"
)

// Mask is what becomes of a value that must not leave the department.
type Mask struct {
	Method MaskMethod
	// Keep is how many characters [KeepLast] leaves.
	Keep int
	// SaltFile is the path of the file with the secret of [Hash].
	SaltFile string
	// Hash is "sha256" or "sm3".
	Hash string
}

// MaskMethod is a way to mask a value; none can be undone.
type MaskMethod string

// The methods, the strictest first.
const (
	// Drop leaves the member out.
	Drop MaskMethod = "drop"
	// Redact puts "***" in its place.
	Redact MaskMethod = "redact"
	// Hash puts the HMAC of the text in its place, in hexadecimal: equal values
	// stay equal, and nobody without the secret can try values out.
	Hash MaskMethod = "hash"
	// KeepLast makes all characters but the last few "*".
	KeepLast MaskMethod = "keep-last"
)

// Columns lists the columns that the mapping needs, each once: those of the
// fields in order, then event time, recorded time, and those of Where and Deleted.
func (m Mapping) Columns() []string {
	var columns []string
	add := func(names ...string) {
		for _, name := range names {
			if name != "" && !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
	}
	for _, f := range m.Fields {
		add(f.columns()...)
	}
	add(m.EventTime, m.RecordedTime)
	for _, value := range []*Expression{m.EventAs.Value, m.RecordedAs.Value} {
		if value != nil {
			add(value.Columns()...)
		}
	}
	if m.Where != nil {
		add(m.Where.Columns()...)
	}
	if m.Deleted != nil {
		add(m.Deleted.Column)
	}
	return columns
}

// columns lists what the field is made of.
func (f Field) columns() []string {
	if f.Value != nil {
		return f.Value.Columns()
	}
	return []string{f.From}
}

// KeyColumns lists the columns that the key is made of, for sources whose rows declare no key of their own; nil if
// a part of the key is not simply a column.
func (m Mapping) KeyColumns() []string {
	columns := make([]string, len(m.Key))
	for i, to := range m.Key {
		at := slices.IndexFunc(m.Fields, func(f Field) bool { return f.To == to })
		if at < 0 || m.Fields[at].From == "" {
			return nil
		}
		columns[i] = m.Fields[at].From
	}
	return columns
}

// datesItself says whether the source knows when its rows changed, or hands on
// only what changed, so that no column has to say it.
func (d Definition) datesItself() bool {
	return d.Kind == KindLog || d.Kind == KindTopic || d.SQL != nil && d.SQL.Mode == Bulk
}

// parseMapping reads a mapping; timed says that it must name the column of the event time.
func parseMapping(s section, dir string, timed bool) Mapping {
	s.allow("key", "event_time", "recorded_time", "timezone", "where", "deleted", "code_lists", "masks", "fields")
	m := Mapping{}
	m.EventTime, m.EventAs = parseMoment(s, "event_time", timed)
	m.RecordedTime, m.RecordedAs = parseMoment(s, "recorded_time", false)
	zone := s.text("timezone", false)
	if zone == "" {
		zone = defaultTimezone
	}
	var err error
	if m.Timezone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		s.fault("timezone", "%q is not a time zone such as \"Asia/Shanghai\"", zone)
	}
	m.Where = parseExpression(s, "where", CompileCondition)
	if sub, present := s.section("deleted", false); present {
		m.Deleted = parseMarker(sub())
	}
	if sub, present := s.section("code_lists", false); present {
		m.CodeLists = parseCodeLists(sub())
	}
	if sub, present := s.section("masks", false); present {
		m.Masks = parseMasks(sub(), dir)
	}
	var members []string
	claim := func(fs section, name, member string) {
		if member != "" && slices.Contains(members, member) {
			fs.fault(name, "%q is mapped twice", member)
		}
		members = append(members, member)
	}
	masked := map[string]bool{} // whether a column goes into a field that is masked
	for i, node := range s.list("fields") {
		fs := newSection(s.faults, node, fmt.Sprintf("%s.fields[%d]", s.where, i))
		field := parseField(fs, m)
		claim(fs, "to", field.To)
		if field.Original != "" {
			claim(fs, "original", field.Original)
		}
		if field.From != "" { // what an expression makes of a column, such as a date of birth, may be less than the column
			if was, known := masked[field.From]; known && was != (field.Tag != "") {
				fs.fault("tag", "column %q is masked in one field and clear in another; give both fields a tag", field.From)
			}
			masked[field.From] = field.Tag != ""
		}
		m.Fields = append(m.Fields, field)
	}
	for i, node := range s.list("key") {
		m.Key = append(m.Key, parseKey(s, node, fmt.Sprintf("%s.key[%d]", s.where, i), m))
	}
	return m
}

// parseMoment reads the name of a column, or a mapping with from and format, or with value.
func parseMoment(s section, name string, required bool) (column string, as Moment) {
	if s.schema.note(s.path(name), required, property{kind: "either"}) {
		sub := newSection(s.faults, nil, s.path(name))
		sub.text("from", false)
		sub.text("format", false)
		parseExpression(sub, "value", CompileValue)
		return "", Moment{}
	}
	if _, mapping := s.members[name].(ast.MapNode); !mapping {
		return s.text(name, required), Moment{}
	}
	sub := newSection(s.faults, s.members[name], s.path(name), "from", "format", "value")
	computed := sub.given("value")
	as = Moment{Format: parseFormat(sub), Value: parseExpression(sub, "value", CompileValue)}
	if column = sub.text("from", !computed); column != "" && computed {
		sub.fault("value", "does not go with from: a time has one or the other")
	}
	return column, as
}

func parseFormat(s section) string {
	format := s.text("format", false)
	if format != "" && !validFormat(format) {
		s.fault("format", "%q must be the date of 2 January 2006 with all its parts, such as \"2006年1月2日\" or \"1/2/2006 15:04\", or excel, unix or unix-ms", format)
	}
	return format
}

func parseKey(s section, node ast.Node, where string, m Mapping) string {
	name, ok := plainText(node)
	i := slices.IndexFunc(m.Fields, func(f Field) bool { return f.To == name })
	switch {
	case !ok || i < 0:
		s.add(node, where, "%q is not a payload member (a \"to\" of fields)", name)
	case m.Fields[i].Tag != "" && m.Masks[m.Fields[i].Tag].Method != Hash:
		s.add(node, where, "%q is masked by tag %q in a way that makes different keys equal; use method hash", name, m.Fields[i].Tag)
	}
	return name
}

func parseField(s section, m Mapping) Field {
	s.allow("from", "value", "to", "type", "half_width", "keep_spaces", "required", "codes", "check", "tag", "original", "format")
	f := Field{
		From:  s.text("from", false),
		Value: parseExpression(s, "value", CompileValue),
		To:    s.text("to", true),
		Type: FieldType(s.oneOf("type", string(String),
			string(String), string(Integer), string(Decimal), string(Boolean), string(Date), string(Time), string(Bytes))),
		HalfWidth:  s.boolean("half_width"),
		KeepSpaces: s.boolean("keep_spaces"),
		Required:   s.boolean("required"),
		Codes:      s.text("codes", false),
		Check:      Check(s.oneOf("check", noCheck, noCheck, string(CheckUSCC), string(CheckCitizenNumber), string(CheckRegion), string(CheckPhone))),
		Tag:        s.text("tag", false),
		Original:   s.text("original", false),
		Format:     parseFormat(s),
	}
	if f.Check == noCheck {
		f.Check = ""
	}
	computed := s.given("value")
	switch {
	case f.From == "" && !computed:
		s.fault("from", "is missing; name the column, or give an expression as value")
	case f.From != "" && computed:
		s.fault("value", "does not go with from: a field has one or the other")
	}
	if f.Original != "" && computed {
		s.fault("original", "does not go with value: there is no text of the source")
	}
	if f.Original != "" && f.Tag != "" {
		s.fault("original", "does not go with tag: it would show what is masked")
	}
	if f.Codes != "" && m.CodeLists[f.Codes] == nil {
		s.fault("codes", "%q is not one of code_lists", f.Codes)
	}
	if _, known := m.Masks[f.Tag]; f.Tag != "" && !known {
		s.fault("tag", "%q is not one of masks, which say what becomes of fields with the tag", f.Tag)
	}
	if f.Type != String && m.Masks[f.Tag].Method == KeepLast {
		s.fault("tag", "%q keeps the last characters, which shows most of a short value of type %s; use another method", f.Tag, f.Type)
	}
	if f.Format != "" && f.Type != Date && f.Type != Time {
		s.fault("format", "goes with type date and time only")
	}
	if f.Type != String && (f.Check != "" || f.KeepSpaces) {
		s.fault("type", "must be string for check and keep_spaces")
	}
	return f
}

// noCheck is what definitions write, or leave out, for no check.
const noCheck = "none"

// given says whether a member is there and not null.
func (s section) given(name string) bool {
	return s.members[name] != nil && s.members[name].Type() != ast.NullType
}

func parseExpression(s section, name string, compile func(string) (*Expression, error)) *Expression {
	text := s.text(name, s.given(name))
	if text == "" {
		return nil
	}
	e, err := compile(text)
	if err != nil {
		s.fault(name, "%s", err)
		return nil
	}
	return e
}

func parseMarker(s section) *Marker {
	s.allow("column", "values")
	marker := &Marker{Column: s.text("column", true), Values: s.neededTexts("values")}
	if len(marker.Values) == 0 {
		s.fault("values", "is missing; list the values that mean deleted")
	}
	return marker
}

// names lists the members of a mapping whose names the author chooses.
func (s section) names() []string {
	if s.schema != nil {
		return []string{anyName}
	}
	return slices.Sorted(maps.Keys(s.members))
}

func parseCodeLists(s section) map[string]map[string]string {
	lists := map[string]map[string]string{}
	for _, name := range s.names() {
		lists[name] = map[string]string{}
		sub, present := s.section(name, true)
		if !present {
			continue
		}
		list := sub()
		for _, code := range list.names() {
			lists[name][code] = list.text(code, true)
		}
	}
	return lists
}

func parseMasks(s section, dir string) map[string]Mask {
	masks := map[string]Mask{}
	for _, tag := range s.names() {
		if sub, present := s.section(tag, true); present {
			masks[tag] = parseMask(sub(), dir)
		}
	}
	return masks
}

func parseMask(s section, dir string) Mask {
	s.allow("method", "keep", "salt_file", "hash")
	const defaultKeep, mostKept = 4, 64
	m := Mask{
		Method:   MaskMethod(s.oneOf("method", "", string(Drop), string(Redact), string(KeepLast), string(Hash))),
		Keep:     s.integer("keep", 0, 1, mostKept),
		SaltFile: s.file("salt_file", dir, false),
		Hash:     s.oneOf("hash", "sha256", "sha256", "sm3"),
	}
	switch {
	case m.Keep != 0 && m.Method != KeepLast:
		s.fault("keep", "goes with method keep-last only")
	case m.Method == KeepLast && m.Keep == 0:
		m.Keep = defaultKeep
	}
	switch {
	case m.Method == Hash && m.SaltFile == "":
		s.fault("salt_file", "is missing; method hash needs a file with a secret of at least %d bytes", minSaltBytes)
	case m.Method != Hash && m.SaltFile != "":
		s.fault("salt_file", "goes with method hash only")
	}
	return m
}
