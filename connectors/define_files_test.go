package connectors

import (
	"strings"
	"testing"
)

// TestFilesDefinition checks what only folders have: tabs, the row of XML, and where files go.
func TestFilesDefinition(t *testing.T) {
	tests := []struct {
		files string
		check func(*Files) bool
		fault string
	}{
		{`{dir: x, pattern: "*.csv"}`, func(f *Files) bool { return f.Delimiter == ',' && f.HeaderRow == 1 }, ""},
		{`{dir: x, pattern: "*.tsv", delimiter: "\t"}`, func(f *Files) bool { return f.Delimiter == '\t' }, ""},
		{`{dir: x, pattern: "*.tsv", delimiter: '\t'}`, func(f *Files) bool { return f.Delimiter == '\t' }, ""},
		{`{dir: x, pattern: "*.tsv", delimiter: tab}`, func(f *Files) bool { return f.Delimiter == '\t' }, ""},
		{`{dir: x, pattern: "*.csv", archive: done, quarantine: bad/files}`, func(f *Files) bool { return f.Archive == "done" && f.Quarantine == "bad/files" }, ""},
		{`{dir: x, pattern: "*.xml", format: xml}`, nil, "files.element: is missing"},
		{`{dir: x, pattern: "*.csv", archive: ../done}`, nil, `files.archive: "../done" must be`},
		{`{dir: x, pattern: "*.csv", archive: /srv/done}`, nil, `files.archive: "/srv/done" must be`},
		{`{dir: x, pattern: "*.csv", quarantine: .}`, nil, `files.quarantine: "." must be`},
		{`{dir: x, pattern: "*.csv", archive: done, quarantine: done}`, nil, "files.quarantine: is the same as archive"},
	}
	for _, test := range tests {
		defs, err := ParseDefinitions([]byte(`sources:
  - name: d/files
    resource: d.files
    kind: files
    files: `+test.files+`
    map: {key: [a], event_time: at, fields: [{from: a, to: a}]}
`), "/dir")
		switch {
		case test.fault == "" && err != nil:
			t.Errorf("%s: %v", test.files, err)
		case test.fault == "" && !test.check(defs[0].Files):
			t.Errorf("%s became %+v", test.files, *defs[0].Files)
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
			t.Errorf("%s: %v; want %q", test.files, err, test.fault)
		}
	}
}
