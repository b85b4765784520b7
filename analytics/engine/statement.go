package engine

import (
	"strings"
)

// statement is what the handler must know of an SQL text before it can run it.
// ClickHouse's own parser has the last word: this one only finds where an
// INSERT's data begins, which format an answer has, and whether the text
// changes the session.
type statement struct {
	sql    string // the text to run; for an INSERT with data, up to its FORMAT or VALUES
	format string // the format named by FORMAT, empty when there is none
	data   string // for an INSERT: what follows FORMAT name or VALUES

	insert  bool // an INSERT whose rows come as data, here or in the body
	read    bool // begins as a SELECT does, so its answer can be streamed
	several bool // more than one statement
	session bool // may change the session: SET, USE, temporary tables, transactions
	local   bool // reaches for a file of the machine: INTO OUTFILE, FROM INFILE, file()
}

// token kinds that the splitter tells apart.
type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // keyword, bare name or number
	tokenQuoted           // 'string', "name", `name`, $tag$heredoc$tag$
	tokenMark             // any other single character
)

// token is sql[start:end].
type token struct {
	kind       tokenKind
	start, end int
}

// parseStatement splits sql. It never fails: what it cannot make sense of goes
// to ClickHouse unchanged, whose error is better.
func parseStatement(sql string) statement {
	st := statement{sql: sql}
	depth := 0
	var first, previous string
	for at := 0; ; {
		t := nextToken(sql, at)
		if t.kind == tokenEnd {
			return st
		}
		at = t.end
		text := sql[t.start:t.end]
		word := ""
		if t.kind == tokenWord {
			word = strings.ToUpper(text)
		}
		switch {
		case text == "(" || text == "[" || text == "{":
			depth++
		case (text == ")" || text == "]" || text == "}") && depth > 0:
			depth--
		case text == ";" && depth == 0:
			if nextToken(sql, at).kind != tokenEnd {
				st.several, st.insert, st.format, st.read = true, false, "", false
			}
			first, previous = "", ""
			continue
		}
		if first == "" {
			if text == "(" {
				previous = text
				st.read = !st.several
				continue
			}
			first = word
			if first == "" {
				first = "?"
			}
			st.begin(word)
		}
		if st.insert && previous == "(" && (word == "SELECT" || word == "WITH") {
			st.insert = false // INSERT INTO t (SELECT …)
		}
		if depth == 0 && word != "" && !st.several {
			if done := st.clause(first, previous, word, t); done {
				return st
			}
		}
		if word == "TEMPORARY" {
			st.session = true
		}
		st.local = st.local || reachesOut(sql, previous, t)
		previous = word
		if word == "" {
			previous = text
		}
	}
}

// begin notes what the first word of a statement says.
func (st *statement) begin(word string) {
	switch word {
	case "SELECT", "WITH", "FROM":
		st.read = !st.several
	case "INSERT":
		st.insert = !st.several
	case "SET", "USE", "BEGIN", "COMMIT", "ROLLBACK", "START":
		st.session = true
	}
}

// clause looks at a word outside parentheses. It reports true when the rest of
// the text is an INSERT's data, in which tokens mean nothing.
func (st *statement) clause(first, previous, word string, t token) bool {
	// After these words comes a name, whatever it looks like.
	switch previous {
	case "INTO", "TABLE", "FUNCTION", ".", "AS", "USE", "DATABASE":
		return false
	}
	switch word {
	case "FORMAT":
		name := nextToken(st.sql, t.end)
		if name.kind != tokenWord {
			return false
		}
		st.format = st.sql[name.start:name.end]
		if first == "INSERT" && st.insert {
			st.data = dataAfter(st.sql[name.end:])
			st.sql = st.sql[:t.start]
			return true
		}
	case "VALUES":
		if first == "INSERT" && st.insert {
			st.format, st.data, st.sql = "Values", st.sql[t.end:], st.sql[:t.start]
			return true
		}
	case "SELECT", "WITH", "WATCH", "INFILE":
		if first == "INSERT" {
			st.insert = false
		}
	case "INSERT":
		if first == "WITH" { // WITH … INSERT INTO … SELECT
			st.read = false
		}
	}
	return false
}

// reachesOut reports whether t, after the word previous, begins one of the ways
// to a local file that no grant governs: libchdb itself, not the server part of
// it, reads INFILE and writes OUTFILE, and the function file() checks nothing.
// A quoted name that may hide "file" behind an escape counts as well.
func reachesOut(sql, previous string, t token) bool {
	next := nextToken(sql, t.end)
	name := sql[t.start:t.end]
	if t.kind == tokenQuoted {
		name = strings.Trim(name, "`\"")
	}
	switch {
	case t.kind == tokenWord && (strings.EqualFold(name, "OUTFILE") || strings.EqualFold(name, "INFILE")):
		return next.kind == tokenQuoted
	case next.kind != tokenMark || sql[next.start] != '(' || previous == "TABLE" || previous == "INTO":
		return false
	case t.kind == tokenQuoted && sql[t.start] != '\'' && strings.Contains(name, `\`):
		return true
	}
	return (t.kind == tokenWord || t.kind == tokenQuoted) && strings.EqualFold(name, "file")
}

// dataAfter drops what separates a format's name from the data: blanks up to
// and including one line break. A semicolon there ends the statement.
func dataAfter(rest string) string {
	trimmed := strings.TrimLeft(rest, " \t\r")
	if strings.HasPrefix(trimmed, ";") {
		trimmed = strings.TrimLeft(trimmed[1:], " \t\r")
	}
	if strings.HasPrefix(trimmed, "\n") {
		return trimmed[1:]
	}
	return trimmed
}

// nextToken returns the first token at or after at, skipping blanks and comments.
func nextToken(sql string, at int) token {
	for at < len(sql) {
		c := sql[at]
		rest := sql[at:]
		switch {
		case c <= ' ':
			at++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			at += lengthThrough(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			at += 2 + lengthThrough(rest[2:], "*/")
		case c == '\'' || c == '"' || c == '`':
			return token{tokenQuoted, at, quotedEnd(sql, at)}
		case strings.HasPrefix(rest, "‘"):
			return token{tokenQuoted, at, at + lengthThrough(rest, "’")}
		case strings.HasPrefix(rest, "“"):
			return token{tokenQuoted, at, at + lengthThrough(rest, "”")}
		case c == '$':
			if end := heredocEnd(sql, at); end > 0 {
				return token{tokenQuoted, at, end}
			}
			return token{tokenMark, at, at + 1}
		case isWordByte(c):
			end := at + 1
			for end < len(sql) && (isWordByte(sql[end]) || sql[end] == '$') {
				end++
			}
			return token{tokenWord, at, end}
		default:
			return token{tokenMark, at, at + 1}
		}
	}
	return token{tokenEnd, len(sql), len(sql)}
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// lengthThrough is the length of s up to and including mark, or of all of s.
func lengthThrough(s, mark string) int {
	if i := strings.Index(s, mark); i >= 0 {
		return i + len(mark)
	}
	return len(s)
}

// quotedEnd finds the end of the quotation that opens at sql[at]; a backslash
// or a doubled quote does not close it.
func quotedEnd(sql string, at int) int {
	mark := sql[at]
	for i := at + 1; i < len(sql); i++ {
		switch sql[i] {
		case '\\':
			i++
		case mark:
			if i+1 < len(sql) && sql[i+1] == mark {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(sql)
}

// heredocEnd finds the end of $tag$ … $tag$ opening at sql[at], or 0.
func heredocEnd(sql string, at int) int {
	end := at + 1
	for end < len(sql) && isWordByte(sql[end]) {
		end++
	}
	if end >= len(sql) || sql[end] != '$' {
		return 0
	}
	tag := sql[at : end+1]
	closing := strings.Index(sql[end+1:], tag)
	if closing < 0 {
		return 0
	}
	return end + 1 + closing + len(tag)
}
