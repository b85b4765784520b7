package binlog

import (
	"os"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// TestExamplesOfReadmesAreDefinitions parses what the guides show, as the exchange does.
func TestExamplesOfReadmesAreDefinitions(t *testing.T) {
	for file, want := range map[string]int{"README.md": 1, "../sqltable/README.md": 2} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for i, block := range strings.Split(string(text), "```yaml\n") {
			if i == 0 {
				continue
			}
			example, _, _ := strings.Cut(block, "```")
			definitions, err := connectors.ParseDefinitions([]byte(example), t.TempDir())
			if err != nil {
				t.Errorf("%s: %v\n%s", file, err, example)
			}
			found += len(definitions)
		}
		if found != want {
			t.Errorf("%s: %d definitions; want %d", file, found, want)
		}
	}
}
