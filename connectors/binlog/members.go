package binlog

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
)

// membersTogether is how many names of an ENUM are asked for at once.
const membersTogether = 500

// listed reports whether the column is an ENUM or SET, of which the log has numbers instead of texts.
func (c column) listed() bool { return c.kind() == "enum" || c.kind() == "set" }

// names are those of an ENUM or SET as the catalogue shows them, in UTF-8: what is not of its character set (of three
// bytes) is a question mark there.
func (c column) names() []string {
	_, inside, _ := strings.Cut(c.Type, "(")
	var all []string
	for strings.HasPrefix(inside, "'") {
		var name []byte
		i := 1
		for ; i < len(inside); i++ {
			b := inside[i]
			if b == '\'' && (i+1 >= len(inside) || inside[i+1] != '\'') {
				break
			}
			if b == '\'' || b == '\\' && i+1 < len(inside) {
				i++
				if b = inside[i]; inside[i-1] == '\\' {
					b = unescaped(b)
				}
			}
			name = append(name, b)
		}
		all = append(all, string(name))
		inside = strings.TrimPrefix(inside[min(i+1, len(inside)):], ",")
	}
	return all
}

// unescaped is what a letter behind a backslash stands for.
func unescaped(b byte) byte {
	switch b {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	return b
}

// parseMembers reads column.Members; nil for none.
func parseMembers(text string) ([][]byte, error) {
	if text == "" {
		return nil, nil
	}
	digits := strings.Split(strings.TrimSuffix(text, ","), ",")
	all := make([][]byte, len(digits))
	for i, d := range digits {
		var err error
		if all[i], err = hex.DecodeString(d); err != nil {
			return nil, fmt.Errorf("the names of its values are written wrongly: %w", err)
		}
	}
	return all, nil
}

// loggedMembers are the names that the log has itself (binlog_row_metadata=FULL), by column.
func loggedMembers(m *replication.TableMapEvent) map[int][][]byte {
	all := map[int][][]byte{}
	enums, sets := m.EnumStrValue, m.SetStrValue
	for i := range m.ColumnType {
		switch {
		case m.IsEnumColumn(i) && len(enums) > 0:
			all[i], enums = enums[0], enums[1:]
		case m.IsSetColumn(i) && len(sets) > 0:
			all[i], sets = sets[0], sets[1:]
		}
	}
	return all
}

// members asks for the names of an ENUM or SET as they are stored. The catalogue alone does not show them: it
// converts them, and what it cannot convert is lost. Empty if that cannot be undone.
func (c *control) members(ctx context.Context, limit time.Duration, t target, of column) (string, error) {
	names := of.names()
	var all strings.Builder
	for first := 0; first < len(names); first += membersTogether {
		part := names[first:min(first+membersTogether, len(names))]
		statement := c.convertMembers(part, of)
		if c.mariadb && c.atLeast(10, 3) {
			variable := "`" + strings.ReplaceAll(t.schema, "`", "``") + "`.`" + strings.ReplaceAll(t.table, "`", "``") + "`.`" + strings.ReplaceAll(of.Name, "`", "``") + "`"
			value := "i"
			if of.kind() == "set" {
				value = "1 << (i - 1)"
			}
			// A variable of the column's type takes each number; nothing is changed at the server.
			if _, err := c.query(ctx, limit, fmt.Sprintf("BEGIN NOT ATOMIC DECLARE v TYPE OF %s; DECLARE i INT DEFAULT %d; SET @members = ''; "+
				"WHILE i <= %d DO SET v = %s; SET @members = CONCAT(@members, HEX(v), ','); SET i = i + 1; END WHILE; END", variable, first+1, first+len(part), value)); err != nil {
				return "", err
			}
			statement = "SELECT @members AS members"
		}
		if statement == "" {
			return "", nil
		}
		rows, err := c.query(ctx, limit, statement)
		if err != nil {
			return "", err
		}
		all.WriteString(rows[0]["members"])
	}
	return all.String(), nil
}

// convertMembers is the query that converts names back, as the server does it; empty if one of them may have lost characters.
func (c *control) convertMembers(names []string, of column) string {
	var parts []string
	for _, name := range names {
		if strings.Contains(name, "?") {
			return ""
		}
		parts = append(parts, fmt.Sprintf("HEX(CONVERT(%s USING %s)), ','", quoteText(name), cmp.Or(of.Charset, "binary")))
	}
	return "SELECT CONCAT(" + strings.Join(parts, ", ") + ") AS members"
}
