package exchange

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestRulesListsEveryRule(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "record.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Rule") {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is not a text", spec.Names[0].Name)
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil || !slices.Contains(Rules(), value) {
			t.Errorf("Rules lacks %s, %v", spec.Names[0].Name, err)
		}
		found++
		return true
	})
	if found != len(Rules()) {
		t.Errorf("%d rules are declared and %d listed", found, len(Rules()))
	}
}
