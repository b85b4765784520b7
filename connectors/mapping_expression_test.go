package connectors

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func rowFor(columns []string, text func(column string) Value) *rowValues {
	r := newRowValues(columns)
	for _, column := range columns {
		r.values = append(r.values, text(column))
	}
	return r
}

func TestExpressionValues(t *testing.T) {
	texts := map[string]Value{
		"a": {Text: "  A1, b2 ,C3 "}, "n": {Text: "0042"}, "名称": {Text: "欧阳张三"}, "empty": {}, "none": {Null: true}, "big": {Text: "9223372036854775807"},
		"at": {Text: "2025/1/3 8:05"}, "long": {Text: strings.Repeat("x", 1<<16)},
	}
	tests := []struct{ expression, want string }{ // want !: the error has it
		{`row.a`, "A1, b2 ,C3"},
		{`row.a.split(",")[1].trim()`, "b2"},
		{`row.a.split(",")[7]`, "!cannot be computed"},
		{`row["名称"].substring(2)`, "张三"},
		{`row["名称"].substring(0, 2)`, "欧阳"},
		{`row["名称"].substring(4)`, ""},
		{`row["名称"].substring(0, 5)`, "!shorter"},
		{`row["名称"].substring(-1)`, "!shorter"},
		{`row["名称"].substring(3, 2)`, "!shorter"},
		{`row.a.upper() + row.a.lower()`, "A1, B2 ,C3a1, b2 ,c3"},
		{`row.a.replace(",", ";")`, "A1; b2 ;C3"},
		{`row.a.replace("", ";")`, "!empty"},
		{`row.n.padLeft(6, "0")`, "000042"},
		{`row.n.padLeft(2, "0")`, "0042"},
		{`row.n.padLeft(6, "00")`, "!one character"},
		{`row.n.padLeft(1000000, "0")`, "!one character"},
		{`date(row.at)`, "2025-01-03"},
		{`date(row.n)`, "!takes a text for a date"},
		{`int(row.n) * 2 + 1`, "85"},
		{`int(row.big) + 1`, "!cannot be computed"},
		{`int(row.n) / int(row.n.replace("42", "0"))`, "!cannot be computed"},
		{`int(row.a)`, "!cannot be computed"},
		{`string(int(row.n))`, "42"},
		{`has(row.none) ? "there" : "null"`, "null"},
		{`has(row.empty) ? "there" : "null"`, "there"},
		{`row.none == "" && row.empty == ""`, "true"},
		{`row.a.matches("^[A-Z]") ? 1 : 2`, "1"},
		{`row.n in ["0041", "0042"]`, "true"},
		{`size(row["名称"]) > 3 && row.a.contains("b2") && row.a.startsWith("A") && row.a.endsWith("3")`, "true"},
		{`row.long.replace("x", row.long)`, "!too long"},
		{`row.long.split("x")[0]`, "!too many"},
		{strings.Repeat("row.long.replace('x', 'yyyyyyyyyyyyyyyy') + ", 40) + "''", "!takes too long"},
	}
	for _, test := range tests {
		e, err := CompileValue(test.expression)
		if err != nil {
			t.Errorf("%s: %v", test.expression, err)
			continue
		}
		got, err := e.value(rowFor(e.Columns(), func(column string) Value { return texts[column] }))
		want, fails := strings.CutPrefix(test.want, "!")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s = %.100q, %v; want the error %s", test.expression, got, err, want)
		case !fails && (err != nil || got != want):
			t.Errorf("%s = %.100q, %v; want %q", test.expression, got, err, want)
		case fails && strings.Contains(err.Error(), "0042"):
			t.Errorf("%s: the value is in the message: %v", test.expression, err)
		}
	}
}

func TestExpressionsRefused(t *testing.T) {
	tests := []struct{ expression, want string }{
		{"", "must be an expression"},
		{" ", "must be an expression"},
		{"\xff", "must be an expression"},
		{strings.Repeat("1+", 3000) + "1", "must be an expression of 1 to 4096 characters"},
		{strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000), "is not a CEL expression"},
		{"row.a +", "is not a CEL expression"},
		{"row", "gives a map"},
		{"column", "undeclared reference to 'column'"},
		{"1.5", "gives a floating-point number"},
		{"1.5 > 1.0 ? 'a' : 'b'", "uses a floating-point number"},
		{"double(row.a) > double(row.b)", "undeclared reference to 'double'"},
		{"null", "gives a value of type null"},
		{"b'a'", "gives a value of type bytes"},
		{"1u", "gives a value of type uint"},
		{"[1, 'a'][0]", "gives a value of type dyn"},
		{"{'a': 'b'}['a']", "uses a map"},
		{"row.a.split(',')", "gives a list"},
		{"size(row)", "must name the columns"},
		{"row[row.a]", "must name the columns"},
		{"row.a in row", "must name the columns"},
		{"row == row", "must name the columns"},
		{"row['']", "without a name"},
		{"has(row)", "has() wants a column"},
		{"has(other.a)", "has() wants a column"},
		{"row.a.matches(row.b)", "wants its pattern in quotes"},
		{"row.a.matches('(')", "cannot be used"},
		{"['a'].all(x, x == row.a)", "undeclared reference"},
		{"row.a.format([1])", "undeclared reference"},
		{"timestamp(row.a)", "undeclared reference"},
		{"now()", "undeclared reference"},
	}
	for _, test := range tests {
		e, err := CompileValue(test.expression)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v, %v; want %s", test.expression, e, err, test.want)
		}
	}
	if _, err := CompileCondition("row.a"); err == nil || !strings.Contains(err.Error(), "gives text instead of true or false") {
		t.Errorf("a text as condition: %v", err)
	}
	many := make([]string, maxExpressionColumns+1)
	for i := range many {
		many[i] = fmt.Sprintf("row.c%d", i)
	}
	if _, err := CompileValue(strings.Join(many, "+")); err == nil || !strings.Contains(err.Error(), "reads 65 columns") {
		t.Errorf("many columns: %v", err)
	}
	e, err := CompileValue("has(row.b) ? row.a + row['c d'] + row.`e-f` : row.a")
	if err != nil || !slices.Equal(e.Columns(), []string{"b", "a", "c d", "e-f"}) {
		t.Errorf("columns %v, %v", e, err)
	}
}

// FuzzExpression compiles any text: it compiles, or gives one line that says
// why; and whatever compiles has a value or a fixed error for any row.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		`row.a`, `row["a"].substring(6, 14)`, `has(row.a) ? row.b : "x"`, `row.a.split(",")[1]`, `int(row.a) % 7 == 0`, `row.a.matches("^[a-z]+$")`,
		`date(row.a)`, `row.a.padLeft(6, "0")`, `row`, `[1,2][int(row.a)]`, `1.5`, `{}`, "row.`a b`", `((((`, `"\u4e2d" + r"\n" + '''x'''`, `row.a.map(x, x)`, `a{b:1}`, `-9223372036854775808`,
	} {
		f.Add(seed, "12")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		e, err := CompileValue(text)
		if err != nil {
			if message := err.Error(); message == "" || strings.Contains(message, "\n") || !utf8.ValidString(message) {
				t.Fatalf("%q", message)
			}
			return
		}
		got, err := e.value(rowFor(e.Columns(), func(string) Value { return Value{Text: value, Null: value == ""} }))
		if err == nil && len(got) > 10*MaxRowBytes {
			t.Fatalf("a value of %d bytes", len(got))
		}
	})
}
