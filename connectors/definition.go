package connectors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The kinds of source.
const (
	KindSQL   = "sql"
	KindFiles = "files"
	KindHTTP  = "http"
)

// Definition says where a source lies and what becomes of its rows.
type Definition struct {
	// Name is "<department>/<connector>"; the saved position belongs to it.
	Name string
	// Resource is "<department>.<resource>".
	Resource string
	// Kind is one of [KindSQL], [KindFiles] and [KindHTTP]; the member of that kind is set, the others are nil.
	Kind string
	// Interval is the pause before the source is asked again once it is caught up.
	Interval time.Duration
	// Batch is the largest number of rows read and published together.
	Batch int
	SQL   *SQL
	Files *Files
	HTTP  *HTTP
	Map   Mapping
}

// SQL is a table that is followed by a cursor column.
type SQL struct {
	// Driver is "postgres" or "sqlite".
	Driver string
	// DSNFile is the path of a file that holds a postgres:// URL or the path of a SQLite file.
	DSNFile string
	// Table is a table or view, "name" or "schema.name".
	Table string
	// Cursor is a column that grows with each change of a row.
	Cursor string
	// Key is a unique column that orders rows of equal cursor.
	Key string
}

// Files is a folder of delimited text files, read in the order of their names.
type Files struct {
	// Dir is the path of the folder, DirName what the definition calls it.
	Dir, DirName string
	// Pattern is matched against file names as by [path.Match].
	Pattern string
	// Charset is "gbk", "gb18030" or "utf-8".
	Charset string
	// Delimiter stands between fields.
	Delimiter rune
}

// HTTP is an endpoint that gives its rows page by page as JSON.
type HTTP struct {
	// URL may have a query of its own; messages show it without.
	URL string
	// PageParam and SizeParam name the query parameters for the page number, from 1, and for the page size.
	PageParam, SizeParam string
	// Size is the number of rows of a page that is not the last.
	Size int
	// Records is the member of the answer that holds the array of rows.
	Records string
	// TokenFile is the path of a file that holds the bearer token; empty for none.
	TokenFile string
}

// Mapping makes a record of a row.
type Mapping struct {
	// Key are the payload members whose texts, joined with "/", are the record key.
	Key []string
	// EventTime is the column that says when the row became true.
	EventTime string
	// RecordedTime is the column that says when the row was entered; may be empty.
	RecordedTime string
	// Timezone is that of times without an offset.
	Timezone *time.Location
	Fields   []Field
}

// Field is one member of the payload.
type Field struct {
	// From is the column, To the payload member.
	From, To string
	Type     FieldType
	// HalfWidth turns full-width characters (U+FF01 to U+FF5E, U+3000) into their ASCII forms.
	HalfWidth bool
}

// FieldType says what the text of a column means.
type FieldType string

// The field types.
const (
	String  FieldType = "string"
	Integer FieldType = "integer"
	Decimal FieldType = "decimal"
	Boolean FieldType = "boolean"
	Date    FieldType = "date"
	Time    FieldType = "time"
)

// Columns lists the columns that the mapping needs, each once: those of the
// fields in order, then event time and recorded time.
func (m Mapping) Columns() []string {
	var columns []string
	add := func(name string) {
		if name != "" && !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	for _, f := range m.Fields {
		add(f.From)
	}
	add(m.EventTime)
	add(m.RecordedTime)
	return columns
}

// identity says, readably, to what a position of the source refers. A saved
// position is used only by a definition of the same identity.
func (d Definition) identity() string {
	switch {
	case d.SQL != nil:
		return fmt.Sprintf("sql table %s (%s), cursor %s, key %s", d.SQL.Table, d.SQL.Driver, d.SQL.Cursor, d.SQL.Key)
	case d.Files != nil:
		return fmt.Sprintf("files %s in %s", d.Files.Pattern, d.Files.DirName)
	case d.HTTP != nil:
		address, query, _ := strings.Cut(d.HTTP.URL, "?")
		if query != "" { // it may hold an access key, which must not be seen in the state database or in messages
			digest := sha256.Sum256([]byte(query))
			address += "?" + hex.EncodeToString(digest[:8])
		}
		return fmt.Sprintf("http %s, %d rows a page", address, d.HTTP.Size)
	}
	return d.Kind
}
