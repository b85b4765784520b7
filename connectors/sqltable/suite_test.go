package sqltable

import (
	"net/url"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

func TestSuite(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres", "mariadb"} {
		t.Run(driver, func(t *testing.T) {
			connectortest.Run(t, func(t *testing.T) connectortest.System { return system(t, driver) })
		})
	}
}

// system has a table people whose cursor is a text, in which instants sort as they should.
func system(t *testing.T, driver string) connectortest.System {
	db := newDepartment(t, driver)
	text, long := "TEXT", "TEXT"
	if driver == "mariadb" {
		text, long = "VARCHAR(30) COLLATE utf8mb4_bin", "LONGTEXT"
	}
	db.run(t, `CREATE TABLE people (id `+text+` PRIMARY KEY, name `+long+`, updated_at `+text+` NOT NULL)`)
	dsnFile, cut := db.dsnFile, func(t *testing.T) func() {
		db.run(t, `ALTER TABLE people RENAME TO elsewhere`)
		return func() { db.run(t, `ALTER TABLE elsewhere RENAME TO people`) }
	}
	if driver != "sqlite" {
		u, err := url.Parse(db.dsn)
		if err != nil {
			t.Fatal(err)
		}
		proxy := connectortest.NewProxy(t, u.Host)
		u.Host = proxy.Address()
		dsnFile, cut = secret(t, u.String()), func(*testing.T) func() { return proxy.Cut() }
	}
	def := connectortest.Definition(connectors.KindSQL)
	def.SQL = &connectors.SQL{Driver: driver, DSNFile: dsnFile, Table: "people", Mode: connectors.Cursor, Cursor: "updated_at", Key: []string{"id"}}
	return connectortest.System{
		Definition: def, Construct: New, Cut: cut,
		Append: func(t *testing.T, rows []connectortest.Row) {
			for _, r := range rows {
				db.run(t, `INSERT INTO people VALUES ($1, $2, $3)`, r.ID, r.Name, r.UpdatedAt)
			}
		},
	}
}
