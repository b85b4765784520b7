package connectors

import (
	"fmt"
	"slices"
	"time"
)

// Mapping makes a record of a row.
type Mapping struct {
	// Key are the payload members whose texts, joined with "/", are the record key.
	Key []string
	// EventTime is the column that says when the row became true.
	EventTime string
	// RecordedTime is the column that says when the row was entered; may be empty.
	RecordedTime string
	// Timezone is that of times without an offset.
	Timezone *time.Location
	Fields   []Field
}

// Field is one member of the payload.
type Field struct {
	// From is the column, To the payload member.
	From, To string
	Type     FieldType
	// HalfWidth turns full-width characters (U+FF01 to U+FF5E, U+3000) into their ASCII forms.
	HalfWidth bool
}

// FieldType says what the text of a column means.
type FieldType string

// The field types.
const (
	String  FieldType = "string"
	Integer FieldType = "integer"
	Decimal FieldType = "decimal"
	Boolean FieldType = "boolean"
	Date    FieldType = "date"
	Time    FieldType = "time"
)

// Columns lists the columns that the mapping needs, each once: those of the
// fields in order, then event time and recorded time.
func (m Mapping) Columns() []string {
	var columns []string
	add := func(name string) {
		if name != "" && !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	for _, f := range m.Fields {
		add(f.From)
	}
	add(m.EventTime)
	add(m.RecordedTime)
	return columns
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
