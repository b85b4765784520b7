package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// codesInSource walks the Go files of the module and returns every code that
// they give away, with the place of one use.
func codesInSource(t *testing.T) map[string]string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	constants := []struct{ folder, name, prefix string }{
		{"/connectors", `^Fault[A-Z]`, "fault."},
		{"/exchange", `^Rule[A-Z]`, "rule."},
		{"/exchange", `^Finding[A-Z]`, "finding."},
		{"/exchange/server", `^reason[A-Z]`, "reason."},
		{"/licenses", `^Verdict[A-Z]`, "verdict."},
		{"/signing/ses", `^Step[A-Z]`, "step."},
		{"/signing/ofd", `^Step[A-Z]`, "step."},
		{"/exchange/cmd/onewindow", `^step[A-Z][A-Za-z]*(Status|Revocation)$`, "step."},
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "data") && path != root {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(filepath.Dir(path), root)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					for _, c := range constants {
						if folder == c.folder && regexp.MustCompile(c.name).MatchString(name.Name) && i < len(n.Values) {
							if text, ok := literal(n.Values[i]); ok {
								found[c.prefix+text] = files.Position(n.Pos()).String()
							}
						}
					}
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
					if text, ok := literal(n.Value); ok && regexp.MustCompile(`^[A-Z][A-Z_]+$`).MatchString(text) {
						found["reason."+text] = files.Position(n.Pos()).String()
					}
				}
			case *ast.BasicLit:
				if text, ok := literal(n); ok && strings.HasPrefix(text, "cli.") {
					found[text] = files.Position(n.Pos()).String()
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func literal(e ast.Expr) (string, bool) {
	basic, ok := e.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}

func TestEveryCodeHasATextInBothLanguagesAndEveryTextAUse(t *testing.T) {
	all, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	used := codesInSource(t)
	if len(used) < 150 {
		t.Fatalf("only %d codes were found: the walk is broken", len(used))
	}
	for code, place := range used {
		if !all.Has(code) {
			t.Errorf("%s, used at %s, has no text in a messages.json", code, place)
		}
	}
	status := regexp.MustCompile(`^reason\.(UNKNOWN|INVALID_ARGUMENT|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|RESOURCE_EXHAUSTED|FAILED_PRECONDITION|ABORTED|OUT_OF_RANGE|UNIMPLEMENTED|UNAVAILABLE|DATA_LOSS|UNAUTHENTICATED)$`)
	for _, code := range all.Codes() {
		if _, ok := used[code]; !ok && !status.MatchString(code) { // the names of gRPC's codes are those of codeName
			t.Errorf("%s has a text but no use", code)
		}
		if kind, _, _ := strings.Cut(code, "."); kind == "cli" || kind == "step" {
			continue // some of these are labels, which need no remedy
		}
		for _, l := range []string{"zh", "en"} {
			s := newSpeaker("zh")
			if l == "en" {
				s = newSpeaker("en")
			}
			if s.text(code) == s.explained(messageOf(code)) {
				t.Errorf("%s says nothing in %s about what to do", code, l)
			}
		}
	}
}

// TestThePageNamesWhatTheCatalogueNames: a fault, rule, finding or blind spot that the page cannot name is shown as a bare code.
func TestThePageNamesWhatTheCatalogueNames(t *testing.T) {
	texts, err := os.ReadFile("../../console/assets/texts.js")
	if err != nil {
		t.Fatal(err)
	}
	traits, err := os.ReadFile("../../../connectors/traits.go")
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, m := range regexp.MustCompile(`BlindSpot = "([A-Z_]+)"`).FindAllStringSubmatch(string(traits), -1) {
		codes = append(codes, "blind."+m[1])
	}
	if len(codes) < 5 {
		t.Fatalf("only %d blind spots were found", len(codes))
	}
	for _, code := range all.Codes() {
		switch kind, name, _ := strings.Cut(code, "."); kind {
		case "fault", "rule":
			codes = append(codes, code)
		case "finding":
			codes = append(codes, "rule."+name) // the page counts findings as it counts rules
		}
	}
	for _, code := range codes {
		if !strings.Contains(string(texts), `"`+code+`": [`) {
			t.Errorf("the page has no text for %s", code)
		}
	}
}
