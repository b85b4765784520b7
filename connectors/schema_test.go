package connectors

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compiledSchema compiles the schema of definitions.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:definitions", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("urn:definitions")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return schema
}

// validate holds a definitions document against the schema.
func validate(t *testing.T, schema *jsonschema.Schema, text []byte) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(doc)
}

// TestSchemaAgreesWithTheReader holds documents against both: what one accepts the other must accept.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	schema := compiledSchema(t)
	good, err := os.ReadFile("testdata/sources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, schema, good); err != nil {
		t.Errorf("testdata/sources.yaml: %v", err)
	}
	for _, change := range [][2]string{
		{"kind: sql", "kind: oracle"},
		{"kind: sql", "kinds: sql"},
		{"resource: market.enterprise", "resources: market.enterprise"},
		{"batch: 1000", "batch: 1000000"},
		{"interval: 2s", "interval: often"},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) {
			t.Fatalf("testdata/sources.yaml has no %q", change[0])
		}
		if _, err := ParseDefinitions([]byte(bad), "."); err == nil {
			t.Errorf("the reader accepts %q", change[1])
		}
		if validate(t, schema, []byte(bad)) == nil {
			t.Errorf("the schema accepts %q", change[1])
		}
	}
}

// TestReadmeDefinitions reads the definition that the README shows.
func TestReadmeDefinitions(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```yaml\n# yaml-language-server")
	text, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the README shows no definitions")
	}
	text = "#" + text
	defs, err := ParseDefinitions([]byte(text), ".")
	if err != nil || len(defs) != 1 {
		t.Errorf("%d definitions, %v", len(defs), err)
	}
	if err := validate(t, compiledSchema(t), []byte(text)); err != nil {
		t.Error(err)
	}
}

// TestEveryMemberIsDescribed keeps the descriptions complete, and free of members that are gone.
func TestEveryMemberIsDescribed(t *testing.T) {
	members := map[string]bool{}
	for _, p := range definitionMembers() {
		members[p.path] = true
		if !strings.Contains("\n"+descriptions, "\n"+p.path+"\t") {
			t.Errorf("schema.txt does not describe %s", p.path)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(descriptions), "\n") {
		if path, text, _ := strings.Cut(line, "\t"); !members[path] || text == "" {
			t.Errorf("schema.txt describes %q, which no definition has, or says nothing of it", path)
		}
	}
}

// TestGuidesShowDefinitionsThatParse reads every definition that the guides of this folder show.
func TestGuidesShowDefinitionsThatParse(t *testing.T) {
	for _, guide := range []string{"README.md", "mapping.md", "pglog/README.md", "files/README.md"} {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```yaml\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("%s shows no definition", guide)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			if _, err := ParseDefinitions([]byte(block), "."); err != nil {
				t.Errorf("%s: %v", guide, err)
			}
			if err := validate(t, compiledSchema(t), []byte(block)); err != nil {
				t.Errorf("%s: %v", guide, err)
			}
		}
	}
}

// TestGuideHasEveryCode keeps the tables of faults and blind spots complete.
func TestGuideHasEveryCode(t *testing.T) {
	guide, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"fault.go", "traits.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		codes := regexp.MustCompile(`(?:FaultCode|BlindSpot) += "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1)
		if len(codes) < 5 {
			t.Errorf("%s has %d codes", file, len(codes))
		}
		for _, code := range codes {
			if !strings.Contains(string(guide), "| `"+code[1]+"` |") {
				t.Errorf("the guide does not explain %s of %s", code[1], file)
			}
		}
	}
}
