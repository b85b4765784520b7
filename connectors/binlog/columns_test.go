package binlog

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// TestColumns adds, moves and changes columns while the table is followed, and while it is not.
func TestColumns(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40), note VARCHAR(40))")
	src := opened(t, db.definition(t, "people", "id", "name"), nil)
	position := readAll(t, src)[0].Position
	reopen := func(t *testing.T) error {
		t.Helper()
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return src.Open(t.Context(), position)
	}
	steps := []struct {
		statements []string
		columns    []string
		rows       []string
	}{
		{[]string{"INSERT INTO people VALUES (1,'a','x')"}, []string{"id", "name", "note"}, []string{"1=a"}},
		{
			[]string{"INSERT INTO people VALUES (2,'b','x')", "ALTER TABLE people ADD COLUMN born DATE NULL FIRST", "INSERT INTO people VALUES ('2000-01-01',3,'c','x')"},
			[]string{"born", "id", "name", "note"},
			[]string{"2=b", "3=c"},
		},
		// Names change places, types do not: only the statement in the log tells, and all rows have other values.
		{
			[]string{"ALTER TABLE people CHANGE note name VARCHAR(40), CHANGE name note VARCHAR(40)", "INSERT INTO people VALUES (NULL,4,'x','d')"},
			[]string{"born", "id", "note", "name"},
			[]string{"1=x", "2=x", "3=x", "4=d"},
		},
		// The type of a wanted column changes, and so may the values of all rows: they are read again.
		{
			[]string{"ALTER TABLE people MODIFY name VARCHAR(3)", "INSERT INTO people VALUES (NULL,5,'x','e')"},
			[]string{"born", "id", "note", "name"},
			[]string{"1=x", "2=x", "3=x", "4=d", "5=e"},
		},
	}
	for _, away := range []bool{false, true} {
		for i, step := range steps {
			if away && i == len(steps)-1 {
				continue // that is a loss, see below
			}
			if away { // it was not read while the columns changed
				if err := src.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, statement := range step.statements {
				db.run(t, statement)
			}
			if away {
				if err := reopen(t); err != nil {
					t.Fatal(err)
				}
			}
			var rows []string
			batches := readAll(t, src)
			for _, b := range batches {
				for _, r := range b.Rows {
					rows = append(rows, r.Values[0].Text+"="+r.Values[1].Text)
				}
			}
			slices.Sort(rows)
			last := batches[len(batches)-1]
			if !slices.Equal(rows, step.rows) || !slices.Equal(columnNames(last.Columns), step.columns) {
				t.Errorf("away %v, %v: rows %v, columns %v; want %v, %v", away, step.statements[0], rows, columnNames(last.Columns), step.rows, step.columns)
			}
			position = last.Position
		}
		db.run(t, "DROP TABLE people")
		db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40), note VARCHAR(40))")
		batches := readAll(t, src)
		position = batches[len(batches)-1].Position
	}
	// Several changes while it was not read: the rows between them cannot be told.
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.run(t, "ALTER TABLE people ADD COLUMN born DATE NULL FIRST")
	db.run(t, "INSERT INTO people VALUES ('2000-01-01',3,'c','x')")
	db.run(t, "ALTER TABLE people DROP COLUMN born")
	db.run(t, "ALTER TABLE people ADD COLUMN age INT NULL")
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	_, err := src.Read(t.Context())
	for err == nil {
		_, err = src.Read(t.Context())
	}
	if code(t, err) != connectors.FaultSchema {
		t.Errorf("rows of an unknown shape gave %v", err)
	}
	recovered(t, src, position, 1)
	// If rows do not fit still, all of the table is not read again each time.
	for _, test := range []struct {
		columns []column
		anew    bool
	}{{src.position.Columns, false}, {src.position.Columns[1:], true}} {
		src.position.Columns, src.anew = test.columns, false
		_ = src.remember(connectors.Refused(connectors.FaultSchema, nil, "rows that never fit"))
		if src.anew != test.anew {
			t.Errorf("with columns %v: anew %v", test.columns, src.anew)
		}
	}
}

// TestForeignKeys deletes rows that the server deletes in other tables without logging it.
func TestForeignKeys(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE offices (id INT PRIMARY KEY)")
	db.run(t, "CREATE TABLE houses (id INT PRIMARY KEY, office INT, FOREIGN KEY (office) REFERENCES offices (id) ON DELETE CASCADE)")
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, twice INT AS (id * 2) VIRTUAL, name VARCHAR(40), thrice INT AS (id * 3) STORED, house INT, "+
		"FOREIGN KEY (house) REFERENCES houses (id) ON DELETE CASCADE)")
	db.run(t, "INSERT INTO offices VALUES (1), (2)")
	db.run(t, "INSERT INTO houses VALUES (10, 1), (20, 2)")
	db.run(t, "INSERT INTO people (id, name, house) VALUES (1, 'a', 10)")
	src := opened(t, db.definition(t, "people", "id", "name", "twice", "thrice"), nil)
	readAll(t, src)
	db.run(t, "INSERT INTO people (id, name, house) VALUES (2, 'b', 20)")
	rows := rowsOf(readAll(t, src))
	if len(rows) != 1 || rows[0].Values[1].Text != "b" || rows[0].Values[2].Text != "4" || rows[0].Values[3].Text != "6" {
		t.Fatalf("a row with generated columns = %+v", rows)
	}
	expectGap := func(src *source, statement string, want bool) {
		t.Helper()
		db.run(t, statement)
		gap := slices.ContainsFunc(readAll(t, src), func(b connectors.Batch) bool { return b.Gap })
		if gap != want {
			t.Errorf("%s: gap %v; want %v", statement, gap, want)
		}
	}
	expectGap(src, "DELETE FROM offices WHERE id = 1", true)
	// A table that refers to itself.
	db.run(t, "CREATE TABLE posts (id INT PRIMARY KEY, name VARCHAR(40), above INT, FOREIGN KEY (above) REFERENCES posts (id) ON DELETE CASCADE)")
	db.run(t, "INSERT INTO posts VALUES (1, 'a', NULL), (2, 'b', 1), (3, 'c', 2)")
	src = opened(t, db.definition(t, "posts", "id", "name"), nil)
	readAll(t, src)
	expectGap(src, "INSERT INTO posts VALUES (4, 'd', NULL)", false)
	expectGap(src, "DELETE FROM posts WHERE id = 1", true)
}

// recovered opens a source anew after a loss was reported, which reads all of the table and says that there was a gap.
func recovered(t *testing.T, src *source, position json.RawMessage, rows int) {
	t.Helper()
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatalf("Open after the loss was reported: %v", err)
	}
	batches := readAll(t, src)
	if got := rowsOf(batches); len(got) != rows || !batches[0].Gap {
		t.Errorf("after the loss: %d rows, gap %v; want %d and a gap", len(got), batches[0].Gap, rows)
	}
}

func columnNames(columns []connectors.Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// TestEffects says of which changes of a table rows must be read again or looked for.
func TestEffects(t *testing.T) {
	for text, want := range map[string][2]bool{
		" TABLE people ADD COLUMN born DATE NULL FIRST":                           {false, false},
		" TABLE people ADD UNIQUE KEY k (name), DROP INDEX `drop`":                {false, false},
		" TABLE people ADD note TEXT COMMENT 'we drop, change and modify \\' it'": {false, false},
		" TABLE people ALTER name DROP DEFAULT, RENAME KEY a TO b":                {false, false},
		" IGNORE TABLE people ADD UNIQUE (name)":                                  {true, false},
		" TABLE people DROP name, ADD name VARCHAR(40) DEFAULT 'x'":               {false, true},
		" TABLE people DROP COLUMN `name`":                                        {false, true},
		" TABLE people MODIFY name VARCHAR(40) NOT NULL":                          {false, true},
		" TABLE `people` CHANGE `note` `name` TEXT":                               {false, true},
		" TABLE people RENAME COLUMN note TO name":                                {false, true},
		" TABLE people CONVERT TO CHARACTER SET gbk":                              {false, true},
		" TABLE people TRUNCATE PARTITION p0":                                     {true, false},
		" TABLE people IMPORT TABLESPACE":                                         {true, true},
	} {
		if lost, changed := effects(text); lost != want[0] || changed != want[1] {
			t.Errorf("%s: lost %v, changed %v; want %v", text, lost, changed, want)
		}
	}
}

// TestAlterThatChangesRows loses and changes rows by statements after which the types are what they were.
func TestAlterThatChangesRows(t *testing.T) {
	db := newDepartment(t)
	db.run(t, "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40))")
	db.run(t, "INSERT INTO people VALUES (1,'a'), (2,'a'), (3,'b')")
	src := opened(t, db.definition(t, "people", "id", "name"), nil)
	readAll(t, src)
	for _, test := range []struct {
		statement string
		gap       bool
		rows      int
	}{
		{"CREATE INDEX by_name ON people (name)", false, 0},
		{"ALTER IGNORE TABLE people ADD UNIQUE (name)", true, 0},
		{"ALTER TABLE people DROP INDEX name, DROP COLUMN name, ADD COLUMN name VARCHAR(40) DEFAULT 'new'", false, 2},
	} {
		db.run(t, test.statement)
		batches := readAll(t, src)
		gap := slices.ContainsFunc(batches, func(b connectors.Batch) bool { return b.Gap })
		if rows := rowsOf(batches); gap != test.gap || len(rows) != test.rows {
			t.Errorf("%s: gap %v, %d rows; want %v, %d", test.statement, gap, len(rows), test.gap, test.rows)
		}
	}
}
