package county

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/onewindow/onewindow/exchange"
)

func readBack(t *testing.T, state State, dir string, s *source) []found {
	t.Helper()
	switch {
	case s.system == police:
		return readFiles(t, filepath.Join(dir, police), s)
	case s.system == civil:
		return readPages(t, state.Systems.Civil, dir, s)
	case strings.HasPrefix(state.Systems.Market, "sqlite"):
		return readSQLite(t, secretOf(t, dir, dsnFile), s)
	default:
		return readPostgres(t, secretOf(t, dir, dsnFile), s)
	}
}

func secretOf(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "mode of "+name, info.Mode().Perm(), 0o600)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func readPostgres(t *testing.T, dsn string, s *source) []found {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // nothing was written
	if _, err := conn.Exec(t.Context(), "DELETE FROM "+s.table()); err == nil {
		t.Errorf("the hub's account may delete from %s", s.table())
	}
	rows, err := conn.Query(t.Context(), "SELECT row_to_json(r)::text FROM "+s.table()+" r ORDER BY updated_at, row_id")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	list := make([]found, len(texts))
	for i, text := range texts {
		list[i].columns = object(t, []byte(text))
		delete(list[i].columns, "row_id")
	}
	return list
}

// object reads a JSON object, without its nulls and its empty texts.
func object(t *testing.T, text []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var columns map[string]any
	if err := d.Decode(&columns); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(columns, func(_ string, v any) bool { return v == nil || v == "" })
	return columns
}

func readSQLite(t *testing.T, path string, s *source) []found {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing was written
	columns := s.tableColumns()
	names := make([]string, len(columns))
	texts, pointers := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i, column := range columns {
		names[i], pointers[i] = column.name, &texts[i]
	}
	rows, err := db.QueryContext(t.Context(), "SELECT "+strings.Join(names, ", ")+" FROM "+s.table()+" ORDER BY updated_at, row_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []found
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			t.Fatal(err)
		}
		f := found{columns: map[string]any{}}
		for i, column := range columns {
			f.put(column, texts[i].String)
		}
		list = append(list, f)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// put adds the text of a column as what its type says.
func (f *found) put(c column, text string) {
	switch {
	case text == "":
	case c.kind == integer || c.kind == decimal:
		f.columns[c.name] = json.Number(text)
	default:
		f.columns[c.name] = text
	}
}

// readFiles reads every line of every file on its own, as the hub must.
func readFiles(t *testing.T, dir string, s *source) []found {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, s.filePrefix()+"*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "files of "+s.name, len(paths), daysOfYear+1)
	slices.Sort(paths)
	byTitle := map[string]column{}
	for _, column := range s.allColumns() {
		byTitle[column.title] = column
	}
	var list []found
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\r\n")
		if lines[len(lines)-1] != "" {
			t.Errorf("%s does not end with a line end", path)
		}
		var header []column
		for i, line := range lines[:len(lines)-1] {
			f, fields := readLine(t, line)
			if i == 0 {
				for _, title := range fields {
					header = append(header, byTitle[title])
				}
				continue
			}
			switch unknown := slices.Contains(header, column{}); {
			case unknown:
				f.rule = exchange.RuleColumn
			case f.rule == "" && len(fields) != len(header):
				f.rule = exchange.RuleMalformed
			case f.rule == "":
				for i, text := range fields {
					f.put(header[i], text)
				}
			}
			list = append(list, f)
		}
	}
	return list
}

func readLine(t *testing.T, line string) (found, []string) {
	t.Helper()
	text, err := simplifiedchinese.GBK.NewDecoder().String(line)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	switch {
	case strings.ContainsRune(text, '\ufffd'):
		return found{rule: exchange.RuleEncoding}, nil
	case err != nil:
		return found{rule: exchange.RuleMalformed}, nil
	}
	return found{columns: map[string]any{}}, fields
}

func readPages(t *testing.T, url, dir string, s *source) []found {
	t.Helper()
	const size = 100
	var list []found
	for page := 1; ; page++ {
		status, body := get(t, fmt.Sprintf("%s/%s?page=%d&size=%d", url, s.endpoint(), page, size), secretOf(t, dir, tokenFile))
		expect(t, "status", status, http.StatusOK)
		var answer struct {
			Page, Size, Total int
			Data              []json.RawMessage
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
		expect(t, "page", answer.Page, page)
		for _, text := range answer.Data {
			list = append(list, found{columns: object(t, text)})
		}
		if len(answer.Data) < size {
			expect(t, "total of "+s.name, answer.Total, len(list))
			return list
		}
	}
}

func get(t *testing.T, url, token string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing was written
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}
