package county

import (
	"net/http"
	"os"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// TestInterface checks what the civil affairs refuse, and that the hub can read the definitions.
func TestInterface(t *testing.T) {
	c := New(Options{Scale: 100, SQLite: true})
	dir := t.TempDir()
	state, _ := serve(t, c, dir)
	token := secretOf(t, dir, tokenFile)
	for _, test := range []struct {
		name, path, token string
		want              int
	}{
		{"page", "/tickets?page=1&size=5000", token, http.StatusOK},
		{"beyond the end", "/tickets?page=99999&size=5000", token, http.StatusOK},
		{"no token", "/tickets?page=1&size=10", "", http.StatusUnauthorized},
		{"wrong token", "/marriages?page=1&size=10", token + "x", http.StatusUnauthorized},
		{"page 0", "/ratings?page=0&size=10", token, http.StatusBadRequest},
		{"too large", "/ratings?page=1&size=5001", token, http.StatusBadRequest},
		{"huge page", "/ratings?page=9223372036854775807&size=10", token, http.StatusBadRequest},
		{"no page", "/ratings", token, http.StatusBadRequest},
		{"unknown", "/births?page=1&size=10", token, http.StatusNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _ := get(t, state.Systems.Civil+test.path, test.token)
			expect(t, "status", status, test.want)
		})
	}
	text, err := os.ReadFile(state.Definitions)
	if err != nil {
		t.Fatal(err)
	}
	definitions, err := connectors.ParseDefinitions(text, dir)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "definitions", len(definitions), len(c.Resources()))
	for i, resource := range c.Resources() {
		expect(t, "resource", definitions[i].Resource, resource.GetName())
	}
}
