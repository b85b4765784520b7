package jsondoc

import (
	"strings"
	"testing"
)

// An empty document is absent wherever its member stands: first, last, or alone.
func TestEmptyDocumentIsAbsent(t *testing.T) {
	for text, want := range map[string]string{
		`{"claims": "", "b": 1}`:    `{ "b": 1}`,
		`{"a": 1, "claims":"" }`:    `{"a": 1 }`,
		`{"a":1,"claims":"","b":2}`: `{"a":1,"b":2}`,
		`{ "claims":""}`:            `{ }`,
	} {
		start := strings.Index(text, `""`)
		from, to := memberAt([]byte(text), start, start+2)
		if got := text[:from] + text[to:]; got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}
