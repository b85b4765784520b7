package exchange

import (
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// flatSchema is a schema of one object of plain members, as nearly all are. It
// is checked on the payload's bytes, in one pass and without allocation. It has
// two answers: the payload is valid, or it may not be; then the compiled schema
// decides, and says why. So it must never be true where the schema is not, and
// need not be true for what is rare: escapes beyond the simple ones, exponents,
// white space, members that come twice or hold objects and arrays.
type flatSchema struct {
	members  map[string]*flatMember
	required memberSet
	open     bool // other members are allowed
}

// memberSet has a bit for each member of a flatSchema.
type memberSet [maxFlatMembers / 64]uint64

const maxFlatMembers = 256

// flatMember is what a member's value must be. Nil pointers and slices, and
// negative lengths, stand for no rule.
type flatMember struct {
	bit                  int
	types                plainType // 0 for any
	texts                []string  // the only texts; nil for no such rule
	null                 bool      // beside texts, null
	shortest, longest    int       // in characters
	pattern              *regexp.Regexp
	form                 func([]byte) bool // the format
	least, most          *decimal
	moreThan, lessThan   *decimal
	textRules, countRune bool // the text itself, or its length, must be looked at
}

// plainType is a set of types.
type plainType uint8

const (
	aString plainType = 1 << iota
	aNumber
	anInteger
	aBoolean
	aNull
)

// newFlatSchema returns nil if doc, which was compiled as schema, says
// anything that flat schemas do not.
func newFlatSchema(doc any, schema *jsonschema.Schema) *flatSchema {
	root, ok := doc.(map[string]any)
	properties, okProperties := root["properties"].(map[string]any)
	if !ok || !okProperties || root["type"] != "object" || len(properties) > maxFlatMembers {
		return nil
	}
	f := &flatSchema{members: make(map[string]*flatMember, len(properties)), open: true}
	for name, rules := range properties {
		member := newFlatMember(rules, schema.Properties[name])
		if member == nil {
			return nil
		}
		member.bit = len(f.members)
		f.members[name] = member
	}
	for keyword, value := range root {
		switch keyword {
		case "type", "properties":
		case "$schema":
			ok = value == "https://json-schema.org/draft/2020-12/schema"
		case "additionalProperties":
			f.open, ok = value.(bool)
		case "required":
			ok = f.require(value)
		default:
			ok = isAnnotation(keyword)
		}
		if !ok {
			return nil
		}
	}
	return f
}

func (f *flatSchema) require(value any) bool {
	names, ok := value.([]any)
	for _, name := range names {
		text, _ := name.(string)
		member := f.members[text]
		if member == nil {
			return false
		}
		f.required.add(member.bit)
	}
	return ok
}

// isAnnotation says whether a keyword has no influence on validity.
func isAnnotation(keyword string) bool {
	switch keyword {
	case "title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly":
		return true
	}
	return strings.HasPrefix(keyword, "x-")
}

func newFlatMember(rules any, schema *jsonschema.Schema) *flatMember {
	keywords, ok := rules.(map[string]any)
	if !ok || schema == nil {
		return nil
	}
	m := &flatMember{shortest: -1, longest: -1}
	for keyword, value := range keywords {
		switch keyword {
		case "type":
			m.types, ok = plainTypes(value)
		case "enum":
			ok = m.only(value)
		case "const":
			ok = m.only([]any{value})
		case "minLength":
			ok = schema.MinLength != nil
			if ok {
				m.shortest = *schema.MinLength
			}
		case "maxLength":
			ok = schema.MaxLength != nil
			if ok {
				m.longest = *schema.MaxLength
			}
		case "pattern":
			text, _ := value.(string)
			var err error
			m.pattern, err = regexp.Compile(text)
			ok = err == nil
		case "format":
			if schema.Format != nil { // the compiler leaves out what it does not know
				m.form = formOf(schema.Format)
			}
		case "minimum":
			m.least, ok = bound(value)
		case "maximum":
			m.most, ok = bound(value)
		case "exclusiveMinimum":
			m.moreThan, ok = bound(value)
		case "exclusiveMaximum":
			m.lessThan, ok = bound(value)
		default:
			ok = isAnnotation(keyword)
		}
		if !ok {
			return nil
		}
	}
	m.countRune = m.shortest > 0 || m.longest >= 0
	m.textRules = m.texts != nil || m.pattern != nil || m.form != nil
	return m
}

func plainTypes(value any) (plainType, bool) {
	names, ok := value.([]any)
	if !ok {
		names = []any{value}
	}
	var types plainType
	for _, name := range names {
		switch name {
		case "string":
			types |= aString
		case "number":
			types |= aNumber | anInteger
		case "integer":
			types |= anInteger
		case "boolean":
			types |= aBoolean
		case "null":
			types |= aNull
		default:
			return 0, false
		}
	}
	return types, types != 0
}

// only notes the values of an enum, which may be texts and null. Two such rules are not flat.
func (m *flatMember) only(value any) bool {
	values, ok := value.([]any)
	if !ok || m.texts != nil {
		return false
	}
	m.texts = []string{}
	for _, value := range values {
		text, isText := value.(string)
		switch {
		case isText:
			m.texts = append(m.texts, text)
		case value == nil:
			m.null = true
		default:
			return false
		}
	}
	return true
}

// formOf returns a test that is true only where the format's own is.
func formOf(f *jsonschema.Format) func([]byte) bool {
	switch f.Name {
	case "uscc":
		return func(text []byte) bool { return ValidUSCC(string(text)) }
	case "citizen-number":
		return func(text []byte) bool { return ValidCitizenNumber(string(text)) }
	case "region":
		return func(text []byte) bool { return ValidRegion(string(text)) }
	case "date":
		return isDate
	case "date-time":
		return isDateTime
	}
	return func(text []byte) bool { return f.Validate(string(text)) == nil }
}

// isDate says whether text is YYYY-MM-DD with a day that exists since 1800.
func isDate(text []byte) bool {
	if len(text) != len("2006-01-02") || text[4] != '-' || text[7] != '-' {
		return false
	}
	compact := [8]byte{text[0], text[1], text[2], text[3], text[5], text[6], text[8], text[9]}
	return onlyDigits(string(compact[:])) && validDate(string(compact[:]))
}

// isDateTime says whether text is a time of RFC 3339 in the usual spelling, without leap seconds.
func isDateTime(text []byte) bool {
	const seconds = len("2006-01-02T15:04:05")
	if len(text) <= seconds || text[10] != 'T' || text[13] != ':' || text[16] != ':' || !isDate(text[:10]) ||
		!below(text[11:13], 24) || !below(text[14:16], 60) || !below(text[17:19], 60) {
		return false
	}
	rest := text[seconds:]
	if rest[0] == '.' {
		n := 1
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		if n == 1 {
			return false
		}
		rest = rest[n:]
	}
	if len(rest) == 1 {
		return rest[0] == 'Z'
	}
	return len(rest) == len("+08:00") && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':' && below(rest[1:3], 24) && below(rest[4:6], 60)
}

// below says whether two bytes are the digits of a number below limit.
func below(text []byte, limit int) bool {
	return text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9' && int(text[0]-'0')*10+int(text[1]-'0') < limit
}

func (s *memberSet) add(bit int) { s[bit/64] |= 1 << (bit % 64) }

func (s *memberSet) has(bit int) bool { return s[bit/64]&(1<<(bit%64)) != 0 }

// valid says that payload is valid, or that this is not known.
func (f *flatSchema) valid(payload []byte) bool {
	if len(payload) < 2 || payload[0] != '{' || payload[len(payload)-1] != '}' {
		return false
	}
	var seen memberSet
	rest := payload[1:]
	for first := true; ; first = false {
		if first && rest[0] == '}' {
			break
		}
		name, after, ok := scanText(rest)
		if !ok || name.escaped || len(after) == 0 || after[0] != ':' {
			return false
		}
		member := f.members[string(name.text)]
		switch {
		case member == nil && !f.open:
			return false
		case member != nil && seen.has(member.bit):
			return false // the last one counts
		case member != nil:
			seen.add(member.bit)
		}
		if rest, ok = member.value(after[1:]); !ok || len(rest) == 0 {
			return false
		}
		if rest[0] == '}' {
			break
		}
		if rest[0] != ',' {
			return false
		}
		rest = rest[1:]
	}
	for i, bits := range f.required {
		if bits&^seen[i] != 0 {
			return false
		}
	}
	return len(rest) == 1
}

// value passes over a value that keeps the member's rules; a nil member has none.
func (m *flatMember) value(text []byte) (rest []byte, ok bool) {
	if len(text) == 0 {
		return nil, false
	}
	switch c := text[0]; {
	case c == '"':
		s, rest, ok := scanText(text)
		return rest, ok && (m == nil || m.allows(aString) && m.text(s))
	case c == '-' || c >= '0' && c <= '9':
		d, rest, ok := scanDecimal(text)
		return rest, ok && (m == nil || m.number(d))
	case c == 't':
		return m.literal(text, "true", aBoolean)
	case c == 'f':
		return m.literal(text, "false", aBoolean)
	case c == 'n':
		return m.literal(text, "null", aNull)
	}
	return nil, false
}

func (m *flatMember) literal(text []byte, word string, kind plainType) ([]byte, bool) {
	if len(text) < len(word) || string(text[:len(word)]) != word {
		return nil, false
	}
	ok := m == nil || m.allows(kind) && (m.texts == nil || m.null && kind == aNull)
	return text[len(word):], ok
}

func (m *flatMember) allows(kind plainType) bool { return m.types == 0 || m.types&kind != 0 }

func (m *flatMember) text(s scannedText) bool {
	if m.countRune {
		n := s.runes()
		if n < m.shortest || m.longest >= 0 && n > m.longest {
			return false
		}
	}
	switch {
	case !m.textRules:
		return true
	case s.escaped:
		return false
	}
	return (m.texts == nil || slices.ContainsFunc(m.texts, func(text string) bool { return text == string(s.text) })) &&
		(m.pattern == nil || m.pattern.Match(s.text)) &&
		(m.form == nil || m.form(s.text))
}

func (m *flatMember) number(d decimal) bool {
	kind := anInteger
	if d.fraction != nil { // 1.0 is an integer too, but rare
		kind = aNumber
	}
	return m.allows(kind) && m.texts == nil &&
		(m.least == nil || d.compare(*m.least) >= 0) && (m.most == nil || d.compare(*m.most) <= 0) &&
		(m.moreThan == nil || d.compare(*m.moreThan) > 0) && (m.lessThan == nil || d.compare(*m.lessThan) < 0)
}
