package county

import (
	"fmt"
	"path/filepath"
	"strings"
)

// The files of the definitions, beside each other in the county's folder.
const (
	definitionsFile = "connectors.yaml"
	dsnFile         = "market.dsn"
	tokenFile       = "civil.token"
)

// marketAddress says where the market regulation's database is.
type marketAddress struct {
	driver, dsn string
	// database and address are for people.
	database, address string
}

// writeDefinitions writes the connector definitions and the secrets they refer to.
func (c *County) writeDefinitions(dir string, at marketAddress, civilURL, token string) error {
	if err := writeFile(filepath.Join(dir, dsnFile), []byte(at.dsn+"\n")); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, tokenFile), []byte(token+"\n")); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# The sources of the sample county. Written by it at every start.\nsources:\n")
	for _, s := range c.sources {
		fmt.Fprintf(&b, "  - name: %s\n    resource: %s\n", s.name, s.resource)
		switch s.system {
		case market:
			fmt.Fprintf(&b, "    kind: sql\n    interval: 5s\n    batch: 2000\n")
			fmt.Fprintf(&b, "    sql: {driver: %s, dsn_file: %s, table: %s, cursor: updated_at, key: row_id, delay: 0s, overlap: 0s} # nobody writes while it is read\n", at.driver, dsnFile, s.table())
		case police:
			fmt.Fprintf(&b, "    kind: files\n    interval: 5s\n    batch: 2000\n")
			fmt.Fprintf(&b, "    files: {dir: %s, pattern: \"%s*.csv\", charset: gbk, delimiter: \",\"}\n", police, s.filePrefix())
		default:
			fmt.Fprintf(&b, "    kind: http\n    interval: 5s\n    batch: 2000\n")
			fmt.Fprintf(&b, "    http: {url: \"%s/%s\", page_param: page, size_param: size, size: 1000, records: data, token_file: %s}\n",
				civilURL, s.endpoint(), tokenFile)
		}
		s.writeMapping(&b)
	}
	return writeFile(filepath.Join(dir, definitionsFile), []byte(b.String()))
}

func (s *source) writeMapping(b *strings.Builder) {
	from := func(c column) string {
		if s.system == police {
			return c.title
		}
		return c.name
	}
	all := s.allColumns()
	fmt.Fprintf(b, "    map:\n      key: [%s]\n", strings.Join(s.key, ", "))
	fmt.Fprintf(b, "      event_time: %s\n      recorded_time: %s\n", from(all[len(all)-2]), from(all[len(all)-1]))
	b.WriteString("      timezone: Asia/Shanghai\n      fields:\n")
	for _, column := range s.columns {
		fmt.Fprintf(b, "        - {from: %s, to: %s", from(column), column.name)
		if column.kind != text {
			fmt.Fprintf(b, ", type: %s", column.kind)
		}
		if column.name == s.phone {
			b.WriteString(", half_width: true")
		}
		b.WriteString("}\n")
	}
}
