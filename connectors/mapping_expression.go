package connectors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/onewindow/onewindow/exchange"
)

const (
	maxExpressionChars = 4096
	// maxExpressionCost is about what passing ten times over MaxRowBytes costs.
	maxExpressionCost = 1_000_000
	// maxExpressionColumns bounds the columns that one expression reads.
	maxExpressionColumns = 64
	// rowVariable is the only variable of expressions.
	rowVariable = "row"
)

// Expression is a CEL expression over the columns of a row: text, whole numbers
// and truth values; neither floats nor loops. row.name, or row["name"], is the
// text of a column without the spaces around it, "" for a null, which
// has(row.name) tells apart. It is used by any number of goroutines.
type Expression struct {
	text    string
	columns []string
	program cel.Program
}

// CompileCondition makes an expression that is true or false.
func CompileCondition(text string) (*Expression, error) {
	return compile(text, "true or false", types.BoolType)
}

// CompileValue makes an expression whose value is text, a whole number, or
// true or false; "" stands for a null.
func CompileValue(text string) (*Expression, error) {
	return compile(text, "text, a whole number, or true or false", types.StringType, types.IntType, types.BoolType)
}

// String returns the text of the expression.
func (e *Expression) String() string { return e.text }

// Columns lists the columns that the expression reads, each once.
func (e *Expression) Columns() []string { return e.columns }

func compile(text, want string, results ...*types.Type) (*Expression, error) {
	language, err := newLanguage()
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(text) || strings.TrimSpace(text) == "" || utf8.RuneCountInString(text) > maxExpressionChars {
		return nil, fmt.Errorf("must be an expression of 1 to %d characters", maxExpressionChars)
	}
	checked, issues := language.Compile(text)
	if issues.Err() != nil {
		return nil, firstIssue(issues)
	}
	if !slices.ContainsFunc(results, checked.OutputType().IsExactType) {
		return nil, fmt.Errorf("gives %s instead of %s", typeName(checked.OutputType()), want)
	}
	e := &Expression{text: text}
	if e.columns, err = inspect(checked.NativeRep()); err != nil {
		return nil, err
	}
	e.program, err = language.Program(checked,
		cel.CostLimit(maxExpressionCost),
		cel.OptimizeRegex(interpreter.MatchesRegexOptimization),
	)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	return e, nil
}

// newLanguage is CEL without loops, floats, times, and whatever needs them.
func newLanguage() (*cel.Env, error) {
	subset := env.NewLibrarySubset().SetDisableMacros(true)
	for _, name := range []string{
		operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot,
		operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
		operators.Index, operators.In, "size", "startsWith", "endsWith", "contains", "matches", "int", "string",
	} {
		subset.AddIncludedFunctions(env.NewFunction(name))
	}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.Macros(cel.GlobalMacro("has", 1, expandHas)),
		cel.EnableIdentifierEscapeSyntax(),
		cel.ParserExpressionSizeLimit(maxExpressionChars),
		cel.Variable(rowVariable, cel.MapType(cel.StringType, cel.StringType)),
	}
	language, err := cel.NewCustomEnv(append(options, expressionFunctions()...)...)
	if err != nil {
		return nil, fmt.Errorf("connectors: the expression language: %w", err)
	}
	return language, nil
}

// expandHas makes "name" in row of has(row.name): every column of a row is
// there, so that the usual meaning of has would always be true.
func expandHas(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	if name, ok := columnOf(args[0]); ok {
		return f.NewCall(operators.In, f.NewLiteral(types.String(name)), f.NewIdent(rowVariable)), nil
	}
	return nil, f.NewError(args[0].ID(), "has() wants a column: has(row.name)")
}

// columnOf returns the column if e is row.name or row["name"].
func columnOf(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		return s.FieldName(), isRow(s.Operand()) && !s.IsTestOnly()
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() == operators.Index && isRow(c.Args()[0]) {
			return literal(c.Args()[1])
		}
	default:
	}
	return "", false
}

func isRow(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == rowVariable }

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// inspect returns the columns that a checked expression reads, and an error if
// it uses a type of value that the mapping does not have, the row as a whole,
// or a pattern that is not fixed.
func inspect(checked *ast.AST) ([]string, error) {
	var columns []string
	var fault error
	patterns := 0
	rows := 0 // mentions of the row that are not accounted for
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		column, ok := columnOf(e)
		switch {
		case ok:
			rows--
		case isRow(e):
			rows++
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.In && isRow(e.AsCall().Args()[1]):
			if column, ok = literal(e.AsCall().Args()[0]); ok {
				rows--
			}
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "matches":
			args := e.AsCall().Args()
			pattern, fixed := literal(args[len(args)-1])
			if !fixed {
				fault = errors.New(`matches() wants its pattern in quotes`)
			} else if patterns += exchange.PatternCost(pattern); patterns > exchange.MaxPatternCost {
				fault = errors.New("has patterns whose repetitions cost too much; use smaller numbers in {}")
			}
		}
		if ok && !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		if t := checked.GetType(e.ID()); !isRow(e) && !allowed(t) {
			fault = fmt.Errorf("uses %s; there are only text, whole numbers, true and false, and lists of them", typeName(t))
		}
	}))
	switch {
	case fault != nil:
		return nil, fault
	case rows != 0:
		return nil, errors.New(`must name the columns that it reads, as row.name or row["name"]`)
	case slices.Contains(columns, ""):
		return nil, errors.New("names a column without a name")
	case len(columns) > maxExpressionColumns:
		return nil, fmt.Errorf("reads %d columns; at most %d", len(columns), maxExpressionColumns)
	}
	return columns, nil
}

func allowed(t *types.Type) bool {
	switch t.Kind() {
	case types.StringKind, types.IntKind, types.BoolKind:
		return true
	case types.ListKind:
		return allowed(t.Parameters()[0])
	default:
		return false
	}
}

func typeName(t *types.Type) string {
	switch t.Kind() {
	case types.StringKind:
		return "text"
	case types.IntKind:
		return "a whole number"
	case types.BoolKind:
		return "true or false"
	case types.DoubleKind:
		return "a floating-point number"
	case types.ListKind:
		return "a list"
	case types.MapKind:
		return "a map"
	default:
		return "a value of type " + t.String()
	}
}

// firstIssue says what is wrong, and where, in one line.
func firstIssue(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return fmt.Errorf("is not a CEL expression: %w", issues.Err())
	}
	message, _, _ := strings.Cut(all[0].Message, "\n")
	return fmt.Errorf("is not a CEL expression (character %d): %s", all[0].Location.Column()+1, strings.ToValidUTF8(message, "?"))
}

// rowValues gives expressions the row at hand. One goroutine uses it.
type rowValues struct {
	traits.Mapper // of no row: what the expressions cannot reach
	index         map[string]int
	values        []Value
}

func newRowValues(columns []string) *rowValues {
	r := &rowValues{Mapper: types.NewStringStringMap(types.DefaultTypeAdapter, nil), index: make(map[string]int, len(columns))}
	for i, column := range columns {
		r.index[column] = i
	}
	return r
}

// ResolveName gives the program its only variable.
func (r *rowValues) ResolveName(name string) (any, bool) { return r, name == rowVariable }

// Parent says that there are no others.
func (r *rowValues) Parent() cel.Activation { return nil }

// Find returns the text of a column.
func (r *rowValues) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	i, known := r.index[string(name)]
	if !ok || !known {
		return nil, false
	}
	return types.String(strings.TrimSpace(r.values[i].Text)), true
}

// Get returns the text of a column.
func (r *rowValues) Get(key ref.Val) ref.Val {
	value, ok := r.Find(key)
	if !ok {
		return types.NewErr("no such column")
	}
	return value
}

// Contains says whether a column has a value.
func (r *rowValues) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	i, known := r.index[string(name)]
	return types.Bool(ok && known && !r.values[i].Null)
}

// evaluate returns the value for the row at hand. The error does not hold any text of it.
func (e *Expression) evaluate(r *rowValues) (ref.Val, error) {
	value, _, err := e.program.Eval(r)
	var own expressionError
	var cancelled interpreter.EvalCancelledError
	switch {
	case err == nil:
		return value, nil
	case errors.As(err, &own):
		return nil, own
	case errors.As(err, &cancelled):
		return nil, expressionError("takes too long for this row")
	}
	// The library's errors may quote the text.
	return nil, expressionError("cannot be computed for this row: a text is not a number, a list is shorter, or a number is too large or divided by zero")
}

// condition returns the value of an expression of [CompileCondition].
func (e *Expression) condition(r *rowValues) (bool, error) {
	value, err := e.evaluate(r)
	if err != nil {
		return false, err
	}
	return value == types.True, nil
}

// value returns the text of the value of an expression of [CompileValue].
func (e *Expression) value(r *rowValues) (string, error) {
	value, err := e.evaluate(r)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case types.String:
		return string(v), nil
	case types.Int, types.Bool:
		return fmt.Sprint(v), nil
	}
	return "", expressionError("gives no text")
}

// expressionError says why an expression has no value for a row, without any text of the row.
type expressionError string

// Error returns the reason.
func (e expressionError) Error() string { return string(e) }
