package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// ErrCatalog is wrapped by [Parse] and [Merge] for a catalogue that cannot be used.
var ErrCatalog = errors.New("message: invalid catalogue")

// Language is one of the two languages of a catalogue.
type Language string

// The languages.
const (
	Chinese Language = "zh"
	English Language = "en"
)

// Message is a code with the arguments of its placeholders.
type Message struct {
	// Code is a key of the catalogue, e.g. "reason.TOKEN_MISSING".
	Code string
	// Args has the value of every placeholder by name. No value is personal data.
	Args map[string]string
}

// New returns a message; pairs are the names and values of its arguments.
func New(code string, pairs ...string) Message {
	m := Message{Code: code, Args: make(map[string]string, len(pairs)/2)}
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Args[pairs[i]] = pairs[i+1]
	}
	return m
}

// Text is one entry of a catalogue: the sentence in both languages, and what to
// do about it. Placeholders are written {name}.
type Text struct {
	ZH     string `json:"zh"`
	EN     string `json:"en"`
	HintZH string `json:"hint_zh,omitempty"`
	HintEN string `json:"hint_en,omitempty"`
}

// in returns the sentence and the hint in a language.
func (t Text) in(l Language) (sentence, hint string) {
	if l == English {
		return t.EN, t.HintEN
	}
	return t.ZH, t.HintZH
}

// The bounds of a catalogue, so that a wrong file is noticed.
const (
	maxFile     = 1 << 20
	maxSentence = 600 // in bytes
	maxCode     = 80
)

var (
	codeForm    = regexp.MustCompile(`^[a-z]+\.[A-Za-z][A-Za-z0-9_.-]*$`)
	placeholder = regexp.MustCompile(`\{[a-z_]+\}`)
	han         = regexp.MustCompile(`\p{Han}`)
)

// Catalog has the texts of codes. Its zero value is empty; it does not change
// once it is made, and may be used concurrently.
type Catalog struct{ texts map[string]Text }

// Parse reads a messages.json: one object whose members are codes and whose
// values are a [Text]. It reports every fault at once: a code or a member that
// is unknown or comes twice, a text that is missing or too long, a placeholder
// that one language lacks.
func Parse(data []byte) (Catalog, error) {
	if len(data) > maxFile {
		return Catalog{}, fmt.Errorf("%w: longer than %d bytes", ErrCatalog, maxFile)
	}
	c := Catalog{texts: map[string]Text{}}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return Catalog{}, fmt.Errorf("%w: not a JSON object", ErrCatalog)
	}
	var faults []error
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return Catalog{}, fmt.Errorf("%w: %w", ErrCatalog, err)
		}
		code, _ := key.(string) // a key of an object is always a string
		var text Text
		if err := decoder.Decode(&text); err != nil {
			return Catalog{}, fmt.Errorf("%w: %s: %w", ErrCatalog, code, err)
		}
		if _, twice := c.texts[code]; twice {
			faults = append(faults, fmt.Errorf("%w: %s comes twice", ErrCatalog, code))
		}
		c.texts[code] = text
		if why := text.fault(code); why != "" {
			faults = append(faults, fmt.Errorf("%w: %s: %s", ErrCatalog, code, why))
		}
	}
	if _, err := decoder.Token(); err != nil {
		return Catalog{}, fmt.Errorf("%w: %w", ErrCatalog, err)
	}
	if decoder.More() {
		return Catalog{}, fmt.Errorf("%w: something follows the object", ErrCatalog)
	}
	return c, errors.Join(faults...)
}

// fault returns what is wrong with an entry, or "".
func (t Text) fault(code string) string {
	switch {
	case len(code) > maxCode || !codeForm.MatchString(code):
		return "the code is not of the form kind.NAME"
	case strings.TrimSpace(t.ZH) == "" || strings.TrimSpace(t.EN) == "":
		return "a sentence is missing"
	case (t.HintZH == "") != (t.HintEN == ""):
		return "the hint is there in one language only"
	case max(len(t.ZH), len(t.EN), len(t.HintZH), len(t.HintEN)) > maxSentence:
		return fmt.Sprintf("a text is longer than %d bytes", maxSentence)
	case !han.MatchString(t.ZH) || han.MatchString(t.EN+t.HintEN) || t.HintZH != "" && !han.MatchString(t.HintZH):
		return "the Chinese is not Chinese, or the English not English"
	case !slices.Equal(names(t.ZH), names(t.EN)) || !slices.Equal(names(t.HintZH), names(t.HintEN)):
		return "the languages have different placeholders"
	}
	return ""
}

// names returns the placeholders of a text, each once, in order.
func names(text string) []string {
	return slices.Compact(slices.Sorted(slices.Values(placeholder.FindAllString(text, -1))))
}

// Merge returns the entries of all catalogues; a code that two of them have is
// refused.
func Merge(catalogs ...Catalog) (Catalog, error) {
	all := Catalog{texts: map[string]Text{}}
	for _, c := range catalogs {
		for code, text := range c.texts {
			if _, twice := all.texts[code]; twice {
				return Catalog{}, fmt.Errorf("%w: two packages have the code %s", ErrCatalog, code)
			}
			all.texts[code] = text
		}
	}
	return all, nil
}

// Codes returns every code in order.
func (c Catalog) Codes() []string { return slices.Sorted(maps.Keys(c.texts)) }

// Has reports whether the catalogue has a code.
func (c Catalog) Has(code string) bool {
	_, ok := c.texts[code]
	return ok
}

// Placeholders returns the names of the placeholders of a code, without braces.
func (c Catalog) Placeholders(code string) []string {
	t := c.texts[code]
	all := names(t.EN + t.HintEN)
	for i, name := range all {
		all[i] = strings.Trim(name, "{}")
	}
	return all
}

// Render returns the sentence of a message and its hint, which may be "". An
// unknown code is rendered as itself, without a hint.
func (c Catalog) Render(l Language, m Message) (sentence, hint string) {
	text, ok := c.texts[m.Code]
	if !ok {
		return m.Code, ""
	}
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(name string) string {
			if value, ok := m.Args[strings.Trim(name, "{}")]; ok {
				return value
			}
			return name
		})
	}
	sentence, hint = text.in(l)
	return fill(sentence), fill(hint)
}

// MarshalJSON writes the entries in the order of their codes, in the form that
// [Parse] reads.
func (c Catalog) MarshalJSON() ([]byte, error) { return json.Marshal(c.texts) }

// Choose returns the language that a caller prefers by the values of
// Accept-Language headers (RFC 9110), or fallback if they name neither.
func Choose(accept []string, fallback Language) Language {
	if len(accept) == 0 {
		return fallback
	}
	tags, _, err := language.ParseAcceptLanguage(strings.Join(accept, ","))
	if err != nil || len(tags) == 0 {
		return fallback
	}
	for _, tag := range tags { // by descending quality
		switch base, _ := tag.Base(); base.String() {
		case "zh":
			return Chinese
		case "en":
			return English
		}
	}
	return fallback
}
