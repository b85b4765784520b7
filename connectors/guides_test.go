package connectors

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGuidesShowEveryOption reads the sections that the guides of these kinds show, and checks that no option is missing.
func TestGuidesShowEveryOption(t *testing.T) {
	for kind, file := range map[string]string{"http": "httpapi/README.md", "topic": "topic/README.md"} {
		guide, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(guide), "```yaml\n")[1:]
		shown := ""
		for i, block := range blocks {
			section, _, _ := strings.Cut(block, "```")
			shown += section
			text := fmt.Sprintf("sources:\n  - name: dep/rows\n    resource: dep.rows\n    kind: %s\n    map: {key: [id], event_time: updated_at, fields: [{from: id, to: id}]}\n    %s",
				kind, strings.ReplaceAll(section, "\n", "\n    "))
			if defs, err := ParseDefinitions([]byte(text), "."); err != nil || len(defs) != 1 {
				t.Errorf("%s, block %d: %v\n%s", file, i+1, err, section)
			}
		}
		for _, member := range definitionMembers() {
			path := strings.Split(member.path, ".")
			if name := path[len(path)-1]; strings.HasPrefix(member.path, "sources."+kind+".") && !strings.Contains(shown, name+":") {
				t.Errorf("%s shows no %s", file, strings.Join(path[1:], "."))
			}
		}
	}
}
