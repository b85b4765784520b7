package connectors

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/exchange"
)

// mapper turns rows into drafts. It is used by one goroutine.
type mapper struct {
	mapping  Mapping
	columns  int
	fields   []mappedField
	key      []int // indexes into fields
	event    int   // indexes into Row.Values; recorded is -1 for none
	recorded int
	texts    []string // payload text of the key fields of the row at hand
}

type mappedField struct {
	Field
	column int    // index into Row.Values
	member string // `"to":` in JSON
	inKey  bool
}

func newMapper(m Mapping) (*mapper, error) {
	columns := m.Columns()
	mp := &mapper{
		mapping:  m,
		columns:  len(columns),
		event:    slices.Index(columns, m.EventTime),
		recorded: slices.Index(columns, m.RecordedTime),
		texts:    make([]string, len(m.Fields)),
	}
	for _, f := range m.Fields {
		member := append(appendJSONString(nil, f.To), ':')
		mp.fields = append(mp.fields, mappedField{
			Field: f, column: slices.Index(columns, f.From), member: string(member), inKey: slices.Contains(m.Key, f.To),
		})
	}
	for _, name := range m.Key {
		mp.key = append(mp.key, slices.IndexFunc(m.Fields, func(f Field) bool { return f.To == name }))
	}
	return mp, nil
}

// draft maps one row. What cannot be mapped becomes a draft with a Rejection.
func (m *mapper) draft(row Row, _ time.Time) exchange.Draft {
	d := exchange.Draft{Operation: exchange.Upsert, Raw: row.Raw, Origin: row.Origin, Rejection: row.Rejection}
	if d.Rejection != nil {
		return d
	}
	if len(row.Values) != m.columns {
		d.Rejection = &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row has %d columns instead of %d", len(row.Values), m.columns),
		}
		return d
	}
	if d.Rejection = m.times(row, &d); d.Rejection != nil {
		return d
	}
	if d.Rejection = m.payload(row, &d); d.Rejection == nil {
		d.Rejection = m.recordKey(&d)
	}
	if d.Rejection != nil {
		d.Payload = nil
	}
	return d
}

func (m *mapper) times(row Row, d *exchange.Draft) *exchange.Rejection {
	text := strings.TrimSpace(row.Values[m.event].Text)
	at, ok := parseInstant(text, m.mapping.Timezone)
	if !ok {
		detail := "holds no time; write it as YYYY-MM-DD hh:mm:ss"
		if text == "" {
			detail = "is empty"
		}
		return &exchange.Rejection{
			Rule: exchange.RuleEventTime, Field: m.mapping.EventTime,
			Detail: fmt.Sprintf("column %q, the time of the event, %s", m.mapping.EventTime, detail),
		}
	}
	d.EventTime = at
	if m.recorded < 0 {
		return nil
	}
	text = strings.TrimSpace(row.Values[m.recorded].Text)
	if text == "" {
		return nil
	}
	if d.RecordedTime, ok = parseInstant(text, m.mapping.Timezone); !ok {
		return &exchange.Rejection{
			Rule: exchange.RuleSchema, Field: m.mapping.RecordedTime,
			Detail: fmt.Sprintf("column %q, the time of entry, holds no time; write it as YYYY-MM-DD hh:mm:ss", m.mapping.RecordedTime),
		}
	}
	return nil
}

// payload builds the JSON object, its members in the order of the definition.
func (m *mapper) payload(row Row, d *exchange.Draft) *exchange.Rejection {
	payload := make([]byte, 0, len(row.Raw)+len(row.Raw)/2+32*len(m.fields))
	payload = append(payload, '{')
	fullWidth := false
	for i := range m.fields {
		f := &m.fields[i]
		m.texts[i] = ""
		value := row.Values[f.column]
		if value.Null {
			continue
		}
		text := strings.TrimSpace(value.Text)
		if !utf8.ValidString(text) {
			return &exchange.Rejection{
				Rule: exchange.RuleEncoding, Field: pointer(f.To),
				Detail: fmt.Sprintf("column %q holds bytes that are not UTF-8; check the character set of the source", f.From),
			}
		}
		if f.HalfWidth {
			var changed bool
			text, changed = halfWidth(text)
			fullWidth = fullWidth || changed
		}
		if text == "" {
			continue
		}
		if len(payload) > 1 {
			payload = append(payload, ',')
		}
		payload = append(payload, f.member...)
		start := len(payload)
		var ok bool
		if payload, ok = m.appendValue(payload, f.Type, text); !ok {
			return &exchange.Rejection{
				Rule: exchange.RuleSchema, Field: pointer(f.To),
				Detail: fmt.Sprintf("column %q does not hold %s", f.From, article(f.Type)),
			}
		}
		switch {
		case !f.inKey:
		case f.Type == String:
			m.texts[i] = text
		default: // "007" and "7" are the same whole number, and the same key
			m.texts[i] = strings.Trim(string(payload[start:]), `"`)
		}
	}
	d.Payload = append(payload, '}')
	if fullWidth {
		d.Findings = append(d.Findings, exchange.FindingFullWidth)
	}
	return nil
}

func (m *mapper) appendValue(dst []byte, kind FieldType, text string) ([]byte, bool) {
	switch kind {
	case String:
		return appendJSONString(dst, text), true
	case Integer:
		return appendNumber(dst, text, false)
	case Decimal:
		return appendNumber(dst, text, true)
	case Boolean:
		return appendBoolean(dst, text)
	case Date:
		return appendDate(dst, text, m.mapping.Timezone)
	case Time:
		at, ok := parseInstant(text, m.mapping.Timezone)
		if !ok {
			return dst, false
		}
		dst = append(dst, '"')
		dst = at.In(chinaStandard()).AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"'), true
	}
	return dst, false
}

func (m *mapper) recordKey(d *exchange.Draft) *exchange.Rejection {
	reject := func(i int, why string) *exchange.Rejection {
		to := m.fields[i].To
		return &exchange.Rejection{Rule: exchange.RuleKey, Field: pointer(to), Detail: fmt.Sprintf("%q, part of the key, %s", to, why)}
	}
	if len(m.key) == 1 {
		if d.Key = m.texts[m.key[0]]; d.Key == "" {
			return reject(m.key[0], "is empty")
		}
		return nil
	}
	parts := make([]string, len(m.key))
	for k, i := range m.key {
		switch parts[k] = m.texts[i]; {
		case parts[k] == "":
			return reject(i, "is empty")
		case strings.Contains(parts[k], "/"):
			// "a/b" + "c" and "a" + "b/c" would be the same key.
			return reject(i, `holds a "/", which stands between the parts of a key`)
		}
	}
	d.Key = strings.Join(parts, "/")
	return nil
}

func pointer(member string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(member)
}

func article(kind FieldType) string {
	switch kind {
	case String:
		return "text"
	case Integer:
		return "a whole number"
	case Decimal:
		return "a decimal number"
	case Boolean:
		return "yes or no (true/false, 1/0, 是/否)"
	case Date:
		return "a date; write it as YYYY-MM-DD"
	case Time:
		return "a time; write it as YYYY-MM-DD hh:mm:ss"
	}
	return string(kind)
}
