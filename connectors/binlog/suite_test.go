package binlog

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

// TestSuite reads rows that were there before, from the table, and rows that come while it is followed, from the log.
func TestSuite(t *testing.T) {
	for _, driver := range []string{"mariadb", "mysql"} { // mysql reads tables in the way that MySQL needs
		t.Run(driver, func(t *testing.T) {
			connectortest.Run(t, func(t *testing.T) connectortest.System { return system(t, driver) })
		})
	}
}

// TestSuiteOfLog is the suite with everything in the log: the source was
// opened when the table was empty.
func TestSuiteOfLog(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.System {
		s := system(t, "mariadb")
		src := opened(t, s.Definition, nil)
		batches := readAll(t, src)
		if err := src.Close(t.Context()); err != nil { // two of one number are not allowed
			t.Fatal(err)
		}
		construct := s.Construct
		s.Construct = func(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
			src, err := construct(def, logger)
			return begun{src, batches[len(batches)-1].Position}, err
		}
		return s
	})
}

// begun is a source whose beginning is a position.
type begun struct {
	connectors.Source
	position json.RawMessage
}

func (b begun) Open(ctx context.Context, after json.RawMessage) error {
	if after == nil {
		after = b.position
	}
	return b.Source.Open(ctx, after)
}

// system has a table people, with names in GBK by the definition and in latin1 by the declaration.
func system(t *testing.T, driver string) connectortest.System {
	db := newDepartment(t)
	db.run(t, `CREATE TABLE people (id VARCHAR(30) PRIMARY KEY, name LONGTEXT CHARACTER SET latin1, updated_at VARCHAR(30)) CHARACTER SET utf8mb4`)
	proxy := connectortest.NewProxy(t, db.url.Host)
	through := *db.url
	through.Host = proxy.Address()
	def := db.definition(t, "people", "id", "name", "updated_at")
	def.Map = connectortest.Mapping()
	def.Log.Driver, def.Log.DSNFile, def.Log.Charset = driver, secret(t, through.String()), "gbk"
	return connectortest.System{
		Definition: def, Construct: New, Log: true, Cut: func(*testing.T) func() { return proxy.Cut() },
		Append: func(t *testing.T, rows []connectortest.Row) {
			for _, r := range rows {
				name, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(r.Name))
				if err != nil {
					t.Fatal(err)
				}
				db.run(t, "INSERT INTO people VALUES (?, ?, ?)", r.ID, name, r.UpdatedAt)
			}
		},
		AppendBad: func(t *testing.T) { db.run(t, "INSERT INTO people VALUES ('id-000009x', X'81', NULL)") },
	}
}
