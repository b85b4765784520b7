package connectors

import (
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// expressionFunctions are what expressions can do with texts, beside CEL's own
// size, contains, startsWith, endsWith, matches (RE2), int and string:
//
//	t.trim()                 without white space at both ends
//	t.upper(), t.lower()     letters changed, as Unicode has them
//	t.replace(old, new)      every old made new
//	t.substring(from)        from the character with index from, counted from 0
//	t.substring(from, to)    up to, and without, the character with index to
//	t.split(separator)       a list; at most 1,000 parts
//	t.padLeft(width, fill)   fill put in front until there are width characters
//	date(t)                  "YYYY-MM-DD" of a date or time as people write it
func expressionFunctions() []cel.EnvOption {
	text, number := cel.StringType, cel.IntType
	method := func(name string, fn func(args ...ref.Val) ref.Val, args ...*cel.Type) cel.FunctionOpt {
		return cel.MemberOverload(name, append([]*cel.Type{text}, args...), text, cel.FunctionBinding(fn))
	}
	return []cel.EnvOption{
		cel.Function("trim", method("text_trim", celTrim)),
		cel.Function("upper", method("text_upper", celUpper)),
		cel.Function("lower", method("text_lower", celLower)),
		cel.Function("replace", method("text_replace", celReplace, text, text)),
		cel.Function("substring", method("text_substring_from", celSubstring, number), method("text_substring", celSubstring, number, number)),
		cel.Function("padLeft", method("text_pad_left", celPadLeft, number, text)),
		cel.Function("split", cel.MemberOverload("text_split", []*cel.Type{text, text}, cel.ListType(text), cel.FunctionBinding(celSplit))),
		cel.Function("date", cel.Overload("date_text", []*cel.Type{text}, text, cel.FunctionBinding(celDate))),
	}
}

func fail(why string) ref.Val { return types.WrapErr(expressionError(why)) }

func textOf(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func celTrim(args ...ref.Val) ref.Val { return types.String(strings.TrimSpace(textOf(args[0]))) }

func celUpper(args ...ref.Val) ref.Val { return types.String(strings.ToUpper(textOf(args[0]))) }

func celLower(args ...ref.Val) ref.Val { return types.String(strings.ToLower(textOf(args[0]))) }

func celReplace(args ...ref.Val) ref.Val {
	s, from, to := textOf(args[0]), textOf(args[1]), textOf(args[2])
	if from == "" {
		return fail("replaces nothing: the text to replace is empty")
	}
	if n := strings.Count(s, from); len(s)+n*(len(to)-len(from)) > MaxRowBytes {
		return fail("makes a text that is too long")
	}
	return types.String(strings.ReplaceAll(s, from, to))
}

func celSubstring(args ...ref.Val) ref.Val {
	s := textOf(args[0])
	from, _ := args[1].(types.Int)
	rest, ok := cutAt(s, int64(from))
	if !ok {
		return fail("takes a part of a text that is shorter")
	}
	if len(args) == 2 {
		return types.String(s[rest:])
	}
	to, _ := args[2].(types.Int)
	end, ok := cutAt(s, int64(to))
	if !ok || end < rest {
		return fail("takes a part of a text that is shorter")
	}
	return types.String(s[rest:end])
}

// cutAt returns where the character with index n begins, or s ends.
func cutAt(s string, n int64) (int, bool) {
	if n < 0 {
		return 0, false
	}
	at := 0
	for ; n > 0; n-- {
		if at >= len(s) {
			return 0, false
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at, true
}

func celSplit(args ...ref.Val) ref.Val {
	const most = 1000
	s, separator := textOf(args[0]), textOf(args[1])
	if separator == "" {
		return fail("splits a text without a separator")
	}
	parts := strings.SplitN(s, separator, most+1)
	if len(parts) > most {
		return fail("splits a text into too many parts")
	}
	return types.NewStringList(types.DefaultTypeAdapter, parts)
}

func celPadLeft(args ...ref.Val) ref.Val {
	const widest = 1000
	s, fill := textOf(args[0]), textOf(args[2])
	width, _ := args[1].(types.Int)
	if width < 0 || width > widest || utf8.RuneCountInString(fill) != 1 {
		return fail("pads a text with something else than one character, or beyond 1000 characters")
	}
	missing := int(width) - utf8.RuneCountInString(s)
	return types.String(strings.Repeat(fill, max(missing, 0)) + s)
}

func celDate(args ...ref.Val) ref.Val {
	c, ok := parseCivil(strings.TrimSpace(textOf(args[0])))
	if !ok {
		return fail("takes a text for a date that is none; write dates as YYYY-MM-DD")
	}
	return types.String(c.appendDate(nil))
}
