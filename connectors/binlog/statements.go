package binlog

import (
	"context"
	"slices"
	"strings"
)

// statement takes note of a statement in the log: the borders of transactions,
// changes of the table, and what was logged as a statement instead of rows.
func (s *source) statement(ctx context.Context, e *event, text statementText) {
	verb, rest := commandOf(text.readings[0])
	if !s.group.open {
		s.open(e)
	}
	switch verb {
	case "BEGIN", "START":
		s.group.transaction = true
		return
	case "XA":
		switch second, _ := verbOf(rest); second {
		case "START", "BEGIN":
			s.group.transaction = true
			return
		case "ROLLBACK":
			s.distrust(ctx, "a transaction that was prepared (XA) was rolled back")
		case "END", "PREPARE":
			return
		}
		s.group = group{}
		return
	case "COMMIT":
		s.group = group{}
		return
	case "ROLLBACK":
		if second, more := verbOf(rest); second == "TO" || second == "WORK" && strings.HasPrefix(strings.ToUpper(strings.TrimSpace(more)), "TO") {
			return
		}
		if s.group.changes > 0 {
			s.distrust(ctx, "a transaction that is in the binlog was rolled back")
		}
		s.group = group{}
		return
	case "SAVEPOINT", "RELEASE":
		return
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH":
		// Triggers and procedures may change our table without naming it.
		if strings.EqualFold(text.schema, s.target.schema) || text.mentions(s.target.table) {
			s.distrust(ctx, "rows were changed by a statement that was logged as such (binlog_format of a session)")
		}
	case "TRUNCATE", "ALTER", "DROP", "RENAME", "CREATE":
		s.definition(verb, text)
	}
	if !s.group.transaction {
		s.group = group{}
	}
}

// definition takes note of a change of a table or database.
func (s *source) definition(verb string, text statementText) {
	_, rest := commandOf(text.readings[0])
	what, more := verbOf(rest)
	replaced := verb == "CREATE" && what == "OR"
	if replaced {
		_, more = verbOf(more)
		what, _ = verbOf(more)
	}
	if what == "DATABASE" || what == "SCHEMA" {
		if (verb == "DROP" || replaced) && text.mentions(s.target.schema) {
			s.gap, s.stale = true, true
		}
		return
	}
	if !text.mentions(s.target.table) || !strings.EqualFold(text.schema, s.target.schema) && !text.mentions(s.target.schema) {
		return
	}
	switch {
	case verb == "TRUNCATE":
		s.gap = true
		return
	case verb == "ALTER":
		lost, changed := effects(rest)
		if s.gap = s.gap || lost || text.doubtful; changed || text.doubtful {
			s.restart()
		}
	case !slices.Contains(indexes, what):
		s.gap = true
	}
	s.stale = true
}

// indexes are what can be created and dropped on a table without changing rows.
var indexes = []string{"INDEX", "UNIQUE", "FULLTEXT", "SPATIAL"}

// effects says what an ALTER TABLE may do to rows that the log does not tell: whether rows may be lost, and whether
// their values may be other ones. What only adds columns or deals with indexes does neither.
func effects(text string) (lost, changed bool) {
	all := words(text)
	for i, word := range all {
		next := ""
		if i+1 < len(all) {
			next = all[i+1]
		}
		switch word {
		case "IGNORE", "PARTITION", "PARTITIONING":
			lost = true
		case "DISCARD", "IMPORT", "EXCHANGE":
			lost, changed = true, true
		case "MODIFY", "CHANGE", "CONVERT":
			changed = true
		case "RENAME":
			if !slices.Contains([]string{"COLUMN", "INDEX", "KEY", "CONSTRAINT"}, next) { // the table is another one
				lost = true
			}
			changed = changed || next != "INDEX" && next != "KEY" && next != "CONSTRAINT"
		case "DROP":
			changed = changed || !slices.Contains([]string{"INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK", "PARTITION", "DEFAULT"}, next)
		}
	}
	return lost, changed
}

// words are those of a statement that are not quoted, in upper case.
func words(text string) []string {
	var all []string
	for text != "" {
		var word string
		if word, text = nextWord(text); word != "" || text != "" {
			all = append(all, word)
		}
	}
	return all
}

// nextWord returns the next word of a statement that is not quoted, in upper case, or nothing for what is quoted, and
// what follows it.
func nextWord(text string) (word, rest string) {
	for text != "" {
		switch b := text[0]; {
		case letter(b):
			return verbOf(text)
		case b == '\'' || b == '"' || b == '`':
			end := 1
			for end < len(text) && text[end] != b {
				if text[end] == '\\' && b != '`' {
					end++
				}
				end++
			}
			return "", text[min(end+1, len(text)):] // what follows is not next to what was before
		}
		text = text[1:]
	}
	return "", ""
}

// commandOf is verbOf of what a statement runs: behind SET STATEMENT … FOR of MariaDB comes another one.
func commandOf(text string) (verb, rest string) {
	verb, rest = verbOf(text)
	if second, more := verbOf(rest); verb != "SET" || second != "STATEMENT" {
		return verb, rest
	} else {
		rest = more
	}
	for word := ""; rest != ""; {
		if word, rest = nextWord(rest); word == "FOR" {
			return verbOf(rest)
		}
	}
	return verb, ""
}

// verbOf returns the first word of a statement, in upper case, and what follows
// it. Comments are left out, but those of which the server runs the content.
func verbOf(text string) (verb, rest string) {
	for {
		text = strings.TrimLeft(text, " \t\r\n(;")
		switch {
		case strings.HasPrefix(text, "/*!"), strings.HasPrefix(text, "/*M!"):
			text = strings.TrimLeft(text[strings.IndexByte(text, '!')+1:], "0123456789")
			continue
		case strings.HasPrefix(text, "/*"):
			_, after, ok := strings.Cut(text[2:], "*/")
			if !ok {
				return "", ""
			}
			text = after
			continue
		case strings.HasPrefix(text, "#"), strings.HasPrefix(text, "--"):
			_, after, ok := strings.Cut(text, "\n")
			if !ok {
				return "", ""
			}
			text = after
			continue
		}
		break
	}
	n := 0
	for n < len(text) && letter(text[n]) {
		n++
	}
	return strings.ToUpper(text[:n]), text[n:]
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_' }

// mentions says whether a name occurs in a statement as a whole word, be it in upper or lower case.
func mentions(text, name string) bool {
	text, name = strings.ToLower(strings.ReplaceAll(text, "``", "`")), strings.ToLower(name)
	word := func(b byte) bool { return letter(b) || b >= '0' && b <= '9' || b == '$' || b >= 0x80 }
	for at := 0; ; at++ {
		i := strings.Index(text[at:], name)
		if i < 0 {
			return false
		}
		at += i
		end := at + len(name)
		if (at == 0 || !word(text[at-1])) && (end == len(text) || !word(text[end])) {
			return true
		}
	}
}
