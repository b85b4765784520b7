package connectors_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
)

const benchRows = 200_000

// benchMapping has twelve columns of the types that occur.
const benchMapping = `
    interval: 100ms
    batch: 5000
    map:
      key: [citizen_number]
      event_time: updated_at
      recorded_time: entered_at
      fields:
        - {from: citizen_number, to: citizen_number}
        - {from: name, to: name}
        - {from: sex, to: sex, type: integer}
        - {from: born, to: born, type: date}
        - {from: address, to: address}
        - {from: region, to: region}
        - {from: phone, to: phone, half_width: true}
        - {from: income, to: income, type: decimal}
        - {from: employed, to: employed, type: boolean}
        - {from: note, to: note}
        - {from: updated_at, to: updated_at, type: time}
        - {from: entered_at, to: entered_at, type: time}
`

const benchColumns = "citizen_number,name,sex,born,address,region,phone,income,employed,note,updated_at,entered_at"

func benchRow(i int) []string {
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 137 * time.Microsecond)
	return []string{
		fmt.Sprintf("61092419%010d", i), "欧阳张三", "1", "1987-06-05", "安康市宁陕县城关镇长安路社区" + fmt.Sprint(i%1000) + "号", "610923", "１３９" + fmt.Sprintf("%08d", i),
		fmt.Sprintf("%d.50", i), "true", "", at.Format("2006-01-02 15:04:05.000000"), at.Format("2006-01-02 15:04:05"),
	}
}

func benchmarkRead(b *testing.B, dir, source string) {
	state, err := sqldb.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = state.Close() }()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		defs, err := connectors.ParseDefinitions([]byte("sources:\n"+fmt.Sprintf(source, n)+benchMapping), dir)
		if err != nil {
			b.Fatal(err)
		}
		r := newRunner(b, state, discard{}, kinds())
		stop := start(b, r, defs)
		await(b, r, "all rows", readAll(map[string]int64{defs[0].Name: benchRows}))
		if got := stop()[defs[0].Name]; got.Accepted != benchRows {
			b.Fatalf("%+v", got)
		}
	}
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkFilesGBK(b *testing.B) {
	dir := b.TempDir()
	var text strings.Builder
	text.WriteString(benchColumns + "\n")
	for i := range benchRows {
		text.WriteString(strings.Join(benchRow(i), ",") + "\n")
	}
	encoded, err := simplifiedchinese.GBK.NewEncoder().String(text.String())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "people.csv"), []byte(encoded), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(encoded)))
	benchmarkRead(b, dir, `
  - name: police/n%d
    resource: police.people
    kind: files
    files: {dir: ., pattern: "people*.csv", charset: gbk}`)
}

func BenchmarkSQLite(b *testing.B) {
	dir := b.TempDir()
	db, err := sqldb.Open(b.Context(), "sqlite:"+filepath.Join(dir, "dep.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	fillBench(b, db, "TEXT", "TEXT")
	benchmarkSQL(b, dir, "sqlite", filepath.Join(dir, "dep.db"))
}

func BenchmarkPostgres(b *testing.B) {
	address := sqldbtest.NewPostgresSchema(b)
	db := sqldbtest.Open(b, address)
	fillBench(b, db, "TIMESTAMP", "NUMERIC(18,2)")
	benchmarkSQL(b, b.TempDir(), "postgres", address)
}

func fillBench(b *testing.B, db *sqldb.DB, instant, number string) {
	b.Helper()
	err := db.InTx(b.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(b.Context(), fmt.Sprintf(`CREATE TABLE people (citizen_number TEXT NOT NULL, name TEXT, sex BIGINT, born TEXT, address TEXT, region TEXT,
			phone TEXT, income %s, employed TEXT, note TEXT, updated_at %s NOT NULL, entered_at %s)`, number, instant, instant)); err != nil {
			return err
		}
		const perInsert = 100
		for i := 0; i < benchRows; i += perInsert {
			var values []string
			for j := range perInsert {
				values = append(values, "('"+strings.Join(benchRow(i+j), "','")+"')")
			}
			if _, err := tx.ExecContext(b.Context(), `INSERT INTO people VALUES `+strings.Join(values, ",")); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(b.Context(), `CREATE INDEX people_cursor ON people (updated_at, citizen_number)`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

func benchmarkSQL(b *testing.B, dir, driver, dsn string) {
	if err := os.WriteFile(filepath.Join(dir, "dep.dsn"), []byte(dsn), 0o600); err != nil {
		b.Fatal(err)
	}
	benchmarkRead(b, dir, `
  - name: police/n%d
    resource: police.people
    kind: sql
    sql: {driver: `+driver+`, dsn_file: dep.dsn, table: people, cursor: updated_at, key: citizen_number}`)
}

// discard is a Publisher that accepts everything, so that reading and mapping alone are measured.
type discard struct{}

func (discard) Publish(_ context.Context, _, _ string, drafts []exchange.Draft) ([]exchange.Outcome, error) {
	return make([]exchange.Outcome, len(drafts)), nil
}

// Examine is not asked: there are no holdings to compare with.
func (discard) Examine(context.Context, string, []exchange.Draft) ([]*exchange.Rejection, error) {
	return nil, errors.New("nothing is compared here")
}
