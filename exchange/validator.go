package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// maxSchemaBytes bounds a resource's schema.
const maxSchemaBytes = 256 << 10

// validator checks payloads against a resource's schema.
type validator struct {
	resource Resource
	schema   *jsonschema.Schema
	// flat is nil for schemas that are not of the common kind.
	flat *flatSchema
}

// errCheckDigit marks the formats whose breach is a wrong check digit.
var errCheckDigit = errors.New("not of this form, or a wrong check digit")

// format makes a JSON Schema format of a predicate on text.
func format(name string, valid func(string) bool) *jsonschema.Format {
	return &jsonschema.Format{Name: name, Validate: func(v any) error {
		if s, ok := v.(string); ok && !valid(s) {
			return errCheckDigit
		}
		return nil
	}}
}

// noLoader refuses references that leave the schema: a schema comes from the
// API, and the library would otherwise read local files for it.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema may not refer to %s: put the definition under $defs", url)
}

// newValidator compiles the schema of r; it wraps [ErrInvalid].
func newValidator(r Resource) (*validator, error) {
	if len(r.Schema) > maxSchemaBytes {
		return nil, fmt.Errorf("%w: resource %s: the schema has %d bytes, at most %d are allowed", ErrInvalid, r.Name, len(r.Schema), maxSchemaBytes)
	}
	if err := boundNesting(r.Schema); err != nil {
		return nil, fmt.Errorf("%w: resource %s: schema: %w", ErrInvalid, r.Name, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.Schema))
	if err != nil {
		return nil, fmt.Errorf("%w: resource %s: the schema is not JSON: %w", ErrInvalid, r.Name, err)
	}
	if err := boundSchema(doc); err != nil {
		return nil, fmt.Errorf("%w: resource %s: schema: %w", ErrInvalid, r.Name, err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.RegisterFormat(format("uscc", ValidUSCC))
	c.RegisterFormat(format("citizen-number", ValidCitizenNumber))
	c.RegisterFormat(format("region", ValidRegion))
	const location = "urn:onewindow:schema"
	if err := c.AddResource(location, doc); err != nil {
		return nil, fmt.Errorf("%w: resource %s: schema: %w", ErrInvalid, r.Name, err)
	}
	schema, err := c.Compile(location)
	if err != nil {
		return nil, fmt.Errorf("%w: resource %s: schema: %w", ErrInvalid, r.Name, err)
	}
	return &validator{resource: r, schema: schema, flat: newFlatSchema(doc, schema)}, nil
}

// check returns why payload breaks the schema, or nil.
func (v *validator) check(payload []byte) *Rejection {
	if v.flat != nil && v.flat.valid(payload) {
		return nil
	}
	return v.checkFully(payload)
}

// checkFully is check by the compiled schema. The library replaces what is no character, which changes the text.
func (v *validator) checkFully(payload []byte) *Rejection {
	if !utf8.Valid(payload) {
		return &Rejection{Rule: RuleEncoding, Detail: "the payload holds bytes that are not UTF-8"}
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return &Rejection{Rule: RuleMalformed, Detail: "the payload is not one JSON object"}
	}
	if _, ok := value.(map[string]any); !ok {
		return &Rejection{Rule: RuleMalformed, Detail: "the payload is not a JSON object"}
	}
	if halfCharacter(payload) {
		return &Rejection{Rule: RuleEncoding, Detail: `the payload escapes half of a character, such as "\ud83d" alone`}
	}
	err = v.schema.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return &Rejection{Rule: RuleSchema, Detail: "the payload cannot be checked: " + err.Error()}
	}
	var found []Rejection
	collect(invalid, &found)
	// One rejection per record, always the same one: missing fields first, then by place.
	rank := map[string]int{RuleMissingField: 0, RuleCheckDigit: 1}
	sort.SliceStable(found, func(i, j int) bool {
		ri, ok := rank[found[i].Rule]
		if !ok {
			ri = 2
		}
		rj, ok := rank[found[j].Rule]
		if !ok {
			rj = 2
		}
		if ri != rj {
			return ri < rj
		}
		return found[i].Field < found[j].Field
	})
	return &found[0]
}

// collect turns the leaves of a validation error into rejections.
func collect(e *jsonschema.ValidationError, found *[]Rejection) {
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			collect(cause, found)
		}
		return
	}
	r := Rejection{Rule: RuleSchema, Field: pointer(e.InstanceLocation)}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		r.Rule = RuleMissingField
		r.Field = pointer(append(e.InstanceLocation[:len(e.InstanceLocation):len(e.InstanceLocation)], k.Missing[0]))
		r.Detail = "required, but missing or empty: " + strings.Join(k.Missing, ", ")
	case *kind.Format:
		if errors.Is(k.Err, errCheckDigit) {
			r.Rule = RuleCheckDigit
		}
		r.Detail = fmt.Sprintf("not a valid %s: check its characters and its check digit", k.Want)
	case *kind.Type:
		r.Detail = fmt.Sprintf("is of type %s, must be %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Pattern:
		r.Detail = "does not match the pattern " + k.Want
	case *kind.Enum:
		r.Detail = fmt.Sprintf("must be one of %v", k.Want)
	case *kind.AdditionalProperties:
		r.Detail = "members that the schema does not know: " + strings.Join(slices.Sorted(slices.Values(k.Properties)), ", ")
	default:
		r.Detail = "breaks the schema's " + strings.Join(e.ErrorKind.KeywordPath(), "/")
	}
	*found = append(*found, r)
}

// pointer writes a location as a JSON pointer (RFC 6901).
func pointer(location []string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, token := range location {
		b.WriteByte('/')
		b.WriteString(escape.Replace(token))
	}
	return b.String()
}
