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
	names    []string
	fields   []mappedField
	key      []int // indexes into fields
	event    int   // indexes into Row.Values, as recorded and marker; -1 for none
	recorded int
	marker   int
	row      *rowValues // the row at hand, for expressions; nil if there are none
	masks    []*masker  // by column; nil if nothing is masked
	blind    func(string) string
	overhead int      // bytes of a payload beside the texts
	texts    []string // payload text of the key fields of the row at hand
	findings findings // of the row at hand
}

type mappedField struct {
	Field
	column   int    // index into Row.Values; -1 if Value is set
	label    string // where the text comes from, for messages
	pointer  string // of the member, in rejections
	member   string // `"to":` in JSON, as original
	original string
	codes    map[string]string
	mask     *masker
	inKey    bool
}

// findings are what was put right in a row.
type findings struct{ fullWidth, zeroDate bool }

// newMapper reads the secrets of the masks; its errors are [Fault]s.
func newMapper(m Mapping) (*mapper, error) {
	columns := m.Columns()
	maskers, err := newMaskers(m.Masks)
	if err != nil {
		return nil, err
	}
	mp := &mapper{
		mapping: m, columns: len(columns), names: columns, texts: make([]string, len(m.Fields)),
		event: slices.Index(columns, m.EventTime), recorded: slices.Index(columns, m.RecordedTime), marker: -1,
	}
	if m.Deleted != nil {
		mp.marker = slices.Index(columns, m.Deleted.Column)
	}
	expressions := m.Where != nil || m.EventAs.Value != nil || m.RecordedAs.Value != nil
	for _, f := range m.Fields {
		field := newMappedField(f, m, columns, maskers[f.Tag])
		expressions = expressions || f.Value != nil
		mp.overhead += len(field.member) + len(field.original) + len(`"","",`)
		if f.Type == Time {
			mp.overhead += len("+08:00")
		}
		if field.mask != nil && mp.masks == nil {
			mp.masks, mp.blind = columnMasks(m, columns, maskers), blind(maskers)
		}
		mp.fields = append(mp.fields, field)
	}
	if expressions {
		mp.row = newRowValues(columns)
	}
	for _, name := range m.Key {
		mp.key = append(mp.key, slices.IndexFunc(m.Fields, func(f Field) bool { return f.To == name }))
	}
	return mp, nil
}

func newMappedField(f Field, m Mapping, columns []string, mask *masker) mappedField {
	field := mappedField{
		Field: f, column: slices.Index(columns, f.From), label: fmt.Sprintf("column %q", f.From), pointer: pointer(f.To),
		member: member(f.To), codes: m.CodeLists[f.Codes], mask: mask, inKey: slices.Contains(m.Key, f.To),
	}
	if f.Value != nil {
		field.column, field.label = -1, fmt.Sprintf("the expression for %q", f.To)
	}
	if f.Original != "" {
		field.original = member(f.Original)
	}
	return field
}

func member(name string) string { return string(append(appendJSONString(nil, name), ':')) }

// draft maps one row, which was read at readAt. What cannot be mapped becomes
// a draft with a Rejection.
func (m *mapper) draft(row Row, readAt time.Time) exchange.Draft {
	d := exchange.Draft{Operation: exchange.Upsert, Raw: row.Raw, Origin: row.Origin}
	if d.Rejection = m.fill(row, readAt, &d); d.Rejection != nil {
		d.Payload, d.Findings = nil, nil
	}
	if m.masks == nil {
		return d
	}
	d.Origin, d.Raw = m.origin(row), nil // should the exchange reject it, it keeps the payload, which is masked
	if d.Payload == nil {
		d.Raw = m.raw(row)
	}
	return d
}

func (m *mapper) fill(row Row, readAt time.Time, d *exchange.Draft) *exchange.Rejection {
	switch {
	case row.Rejection != nil:
		return row.Rejection
	case len(row.Values) != m.columns:
		return &exchange.Rejection{
			Rule:   exchange.RuleMalformed,
			Detail: fmt.Sprintf("the row has %d columns instead of %d", len(row.Values), m.columns),
		}
	}
	if m.row != nil {
		m.row.values = row.Values
	}
	m.findings = findings{}
	gone, rejection := m.gone(row)
	if rejection != nil {
		return rejection
	}
	if gone {
		d.Operation = exchange.Delete
	}
	if rejection = m.times(row, readAt, d); rejection != nil {
		return rejection
	}
	if rejection = m.payload(row, d); rejection != nil {
		return rejection
	}
	d.Findings = append(d.Findings, row.Findings...)
	if m.findings.fullWidth {
		d.Findings = append(d.Findings, exchange.FindingFullWidth)
	}
	if m.findings.zeroDate {
		d.Findings = append(d.Findings, exchange.FindingZeroDate)
	}
	return m.recordKey(d)
}

// gone says whether the row is a record no longer: deleted, marked as deleted, or outside the filter.
func (m *mapper) gone(row Row) (bool, *exchange.Rejection) {
	switch {
	case row.Operation == exchange.Delete:
		return true, nil
	case m.marker >= 0 && slices.Contains(m.mapping.Deleted.Values, strings.TrimSpace(row.Values[m.marker].Text)):
		return true, nil
	case m.mapping.Where == nil:
		return false, nil
	}
	if rejection := m.encoding(m.mapping.Where, "where"); rejection != nil {
		return false, rejection
	}
	is, err := m.mapping.Where.condition(m.row)
	if err != nil {
		return false, &exchange.Rejection{Rule: exchange.RuleMapping, Field: "where", Detail: "the condition in where " + err.Error()}
	}
	return !is, nil
}

// encoding refuses columns of an expression whose bytes are not text.
func (m *mapper) encoding(e *Expression, field string) *exchange.Rejection {
	for _, column := range e.Columns() {
		if !utf8.ValidString(m.row.values[m.row.index[column]].Text) {
			return notText(field, fmt.Sprintf("column %q", column))
		}
	}
	return nil
}

func notText(field, label string) *exchange.Rejection {
	return &exchange.Rejection{
		Rule: exchange.RuleEncoding, Field: field,
		Detail: label + " holds bytes that are not UTF-8; check the character set of the source",
	}
}

func (m *mapper) times(row Row, readAt time.Time, d *exchange.Draft) *exchange.Rejection {
	if row.Operation == exchange.Delete || m.event < 0 && m.mapping.EventAs.Value == nil {
		if d.EventTime = row.ChangedAt; d.EventTime.IsZero() {
			d.EventTime = readAt
		}
	} else {
		text, rejection := m.moment(row, m.event, m.mapping.EventAs, "event_time")
		if rejection != nil {
			return rejection
		}
		at, ok := m.instant(text, m.mapping.EventAs.Format)
		if !ok {
			return &exchange.Rejection{
				Rule: exchange.RuleEventTime, Field: m.mapping.EventTime,
				Detail: fmt.Sprintf("column %q, the time of the event, %s", m.mapping.EventTime, whyNotFormat(text, m.mapping.EventAs.Format)),
			}
		}
		d.EventTime = at
	}
	if m.recorded < 0 && m.mapping.RecordedAs.Value == nil || row.Operation == exchange.Delete {
		return nil
	}
	text, rejection := m.moment(row, m.recorded, m.mapping.RecordedAs, "recorded_time")
	if rejection != nil {
		return rejection
	}
	if isZeroDate(text) {
		m.findings.zeroDate = true
		text = ""
	}
	if text == "" {
		return nil
	}
	var ok bool
	if d.RecordedTime, ok = m.instant(text, m.mapping.RecordedAs.Format); !ok {
		return &exchange.Rejection{
			Rule: exchange.RuleSchema, Field: m.mapping.RecordedTime,
			Detail: fmt.Sprintf("column %q, the time of entry, %s", m.mapping.RecordedTime, whyNotFormat(text, m.mapping.RecordedAs.Format)),
		}
	}
	return nil
}

// moment returns the text of a time: of its column, or of its expression.
func (m *mapper) moment(row Row, column int, as Moment, name string) (string, *exchange.Rejection) {
	if as.Value == nil {
		return strings.TrimSpace(row.Values[column].Text), nil
	}
	if rejection := m.encoding(as.Value, name); rejection != nil {
		return "", rejection
	}
	text, err := as.Value.value(m.row)
	if err != nil {
		return "", &exchange.Rejection{Rule: exchange.RuleMapping, Field: name, Detail: "the expression in " + name + " " + err.Error()}
	}
	return strings.TrimSpace(text), nil
}

func (m *mapper) instant(text, format string) (time.Time, bool) {
	if format != "" {
		var ok bool
		if text, ok = formatted(text, format); !ok {
			return time.Time{}, false
		}
	}
	return parseInstant(text, m.mapping.Timezone)
}

// payload builds the JSON object, its members in the order of the definition;
// of a delete only the texts of the key.
func (m *mapper) payload(row Row, d *exchange.Draft) *exchange.Rejection {
	deleted := d.Operation == exchange.Delete
	var payload []byte
	if !deleted {
		payload = make([]byte, 0, m.size(row))
	}
	payload = append(payload, '{')
	for i := range m.fields {
		f := &m.fields[i]
		m.texts[i] = ""
		if deleted && !f.inKey {
			continue
		}
		text, rejection := m.text(f, row, deleted)
		if rejection != nil {
			return rejection
		}
		if text != "" {
			if payload, rejection = m.appendField(payload, i, text); rejection != nil {
				return rejection
			}
		}
		if f.original != "" && row.Values[f.column].Text != "" {
			payload = appendJSONString(append(separate(payload), f.original...), row.Values[f.column].Text)
		}
	}
	if !deleted {
		d.Payload = append(payload, '}')
	}
	return nil
}

// size is about how long the payload of a row becomes, so that it is allocated once.
func (m *mapper) size(row Row) int {
	n := m.overhead + len("{}")
	for i := range m.fields {
		switch f := &m.fields[i]; {
		case f.Value != nil:
			n += 32
		case f.Original != "":
			n += 2 * len(row.Values[f.column].Text)
		default:
			n += len(row.Values[f.column].Text)
		}
	}
	return n
}

func separate(payload []byte) []byte {
	if len(payload) > 1 {
		payload = append(payload, ',')
	}
	return payload
}

// appendField appends the member of field i with its value, and notes its text if it is part of the key.
func (m *mapper) appendField(payload []byte, i int, text string) ([]byte, *exchange.Rejection) {
	f := &m.fields[i]
	before := len(payload)
	payload = append(separate(payload), f.member...)
	start := len(payload)
	var ok bool
	if payload, ok = m.appendValue(payload, f.Type, text); !ok {
		return payload, f.reject(exchange.RuleSchema, whyNot(text, f.Type))
	}
	if f.mask == nil && !f.inKey {
		return payload, nil
	}
	if f.Type != String { // "007" and "7" are the same whole number, and the same key
		text = strings.Trim(string(payload[start:]), `"`)
	}
	if f.mask != nil {
		if text, ok = f.mask.mask(text); !ok {
			return payload[:before], nil
		}
		payload = appendJSONString(payload[:start], text)
	}
	if f.inKey {
		m.texts[i] = text
	}
	return payload, nil
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
		return appendInstant(dst, text, m.mapping.Timezone)
	case Bytes:
		return appendBytes(dst, text)
	}
	return dst, false
}

func (m *mapper) recordKey(d *exchange.Draft) *exchange.Rejection {
	reject := func(i int, why string) *exchange.Rejection {
		f := &m.fields[i]
		return &exchange.Rejection{Rule: exchange.RuleKey, Field: f.pointer, Detail: fmt.Sprintf("%q, part of the key, %s", f.To, why)}
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
