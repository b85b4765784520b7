package engine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// reply is what an HTTP client sees.
type reply struct {
	status int
	header http.Header
	body   string
}

// send makes one request of a client that is not clickhouse-go.
func send(t testing.TB, r *http.Request) reply {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(body)}
}

func newRequest(t testing.TB, method, address string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHTTPInterface(t *testing.T) {
	address := port(t)
	conn := connect(t, address)
	database := scalar(t, conn, "SELECT currentDatabase()")
	execute(t, conn, "CREATE TABLE t (x UInt64, s String) ENGINE = MergeTree ORDER BY x")
	at := func(pairs ...string) string {
		values := url.Values{"database": {database}}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return address + "/?" + values.Encode()
	}
	for _, test := range []struct {
		name, method, address, body string
		status                      int
		code, want                  string // X-ClickHouse-Exception-Code, the body or a part of it
	}{
		{"ping", "GET", address + "/ping", "", 200, "", "Ok.\n"},
		{"greeting", "GET", address + "/", "", 200, "", "Ok.\n"},
		{"no such path", "GET", address + "/dashboard", "", 404, "", "no handle"},
		{"method", "DELETE", at(), "", 405, "", "GET or POST"},
		{"query in the URL", "GET", at("query", "SELECT 1"), "", 200, "", "1\n"},
		{"query in the body", "POST", at(), "SELECT 1", 200, "", "1\n"},
		{"query in both", "POST", at("query", "SELECT 1"), "+ 1", 200, "", "2\n"},
		{"format in the URL", "POST", at("default_format", "JSONEachRow"), "SELECT 1 AS a", 200, "", "{\"a\":1}\n"},
		{"format in the statement", "POST", at("default_format", "JSONEachRow"), "SELECT 1 AS a FORMAT CSVWithNames", 200, "", "\"a\"\n1\n"},
		{"whole JSON over blocks", "POST", at("max_block_size", "2"), "SELECT number FROM numbers(5) FORMAT JSONCompact", 200, "", "\"rows\": 5"},
		{"insert in the body", "POST", at(), "INSERT INTO t FORMAT CSV\n1,\"a;\n\nb\"\n2,c\n", 200, "", ""},
		{"insert data in the body", "POST", at("query", "INSERT INTO t FORMAT TSV"), "3\td\n", 200, "", ""},
		{"insert values", "POST", at("param_v", "it's"), "INSERT INTO t VALUES (4, {v:String});", 200, "", ""},
		{"insert from select", "POST", at(), "INSERT INTO t SELECT 5, 'f'", 200, "", ""},
		{"what was inserted", "POST", at(), "SELECT groupArray((x, s)) FROM (SELECT * FROM t ORDER BY x)", 200, "", `[(1,'a;\n\nb'),(2,'c'),(3,'d'),(4,'it\'s'),(5,'f')]` + "\n"},
		{"several statements", "POST", at(), "CREATE TABLE u (x UInt8) ENGINE = Memory; INSERT INTO u VALUES (1), (2); SELECT sum(x) FROM u; DROP TABLE u", 200, "", "3\n"},
		{"a link must not write", "GET", at("query", "INSERT INTO t SELECT 6, ''"), "", 400, "164", "READONLY"},
		{"empty", "POST", at(), " \n", 400, "62", "Empty query"},
		{"malformed parameter", "POST", address + "/?query=%zz", "", 400, "36", "BAD_ARGUMENTS"},
		{"unknown setting", "POST", at("no_such", "1"), "SELECT 1", 404, "115", "UNKNOWN_SETTING"},
		{"setting that is SQL", "POST", at("max_threads = 1, x", "1"), "SELECT 1", 404, "115", "UNKNOWN_SETTING"},
		{"setting's value that is SQL", "POST", at("max_threads", "1', x = '1"), "SELECT 1", 400, "", "Code: "},
		{"unknown database", "POST", address + "/?database=no`such", "SELECT 1", 404, "81", "UNKNOWN_DATABASE"},
		{"session", "POST", at("session_id", "1"), "SELECT 1", 501, "48", "session_id"},
		{"zero byte", "POST", at(), "SELECT 1\x00", 400, "62", "Unrecognized token"},
		{"empty Native", "POST", at("query", "INSERT INTO t FORMAT Native"), "", 400, "108", "NO_DATA_TO_INSERT"},
		{"cut off Native", "POST", at("query", "INSERT INTO t FORMAT Native"), "\x02\x01\x01x", 400, "", "Code: "},
		{"too long", "POST", at(), "SELECT '" + strings.Repeat("x", maxStatement) + "'", 400, "62", "longer than"},
		{"a file of the machine", "POST", at(), "SELECT * FROM file('engine.go', 'LineAsString')", 403, "497", "ACCESS_DENIED"},
		{"a file as a table", "POST", at(), "SELECT * FROM default.`engine.go`", 403, "497", "ACCESS_DENIED"},
		{"a host of the network", "POST", at(), "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", 403, "497", "ACCESS_DENIED"},
		{"end of the process", "POST", at(), "SYSTEM SHUTDOWN", 403, "497", "ACCESS_DENIED"},
		{"more memory than allowed", "POST", at(), "SELECT uniqExact(number) FROM numbers(100000000)", 500, "241", "MEMORY_LIMIT_EXCEEDED"},
		{"nothing was added", "POST", at(), "SELECT count() FROM t", 200, "", "5\n"},
	} {
		got := send(t, newRequest(t, test.method, test.address, strings.NewReader(test.body)))
		code := got.header.Get("X-ClickHouse-Exception-Code")
		if got.status != test.status || test.code != "" && code != test.code || (code == "") != (test.status == 200 || test.status == 405 || test.name == "no such path") ||
			!strings.Contains(got.body, test.want) || test.status == 200 && test.want == "" && got.body != "" {
			t.Errorf("%s: %d, code %q, %.200q; want %d, code %q, %q", test.name, got.status, code, got.body, test.status, test.code, test.want)
		}
	}
}

func TestCompression(t *testing.T) {
	address := port(t)
	conn := connect(t, address)
	database := scalar(t, conn, "SELECT currentDatabase()")
	execute(t, conn, "CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")

	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(zip, "1\n2\n"); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	r := newRequest(t, http.MethodPost, address+"/?database="+database+"&query=INSERT+INTO+t+FORMAT+TSV", &zipped)
	r.Header.Set("Content-Encoding", "gzip")
	if got := send(t, r); got.status != http.StatusOK {
		t.Errorf("gzip body: %+v", got)
	}

	r = newRequest(t, http.MethodPost, address+"/?database="+database+"&enable_http_compression=1", strings.NewReader("SELECT sum(x) FROM t"))
	r.Header.Set("Accept-Encoding", "gzip")
	reader, err := gzip.NewReader(strings.NewReader(send(t, r).body))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(reader); err != nil || string(text) != "3\n" {
		t.Errorf("gzip answer: %q, %v", text, err)
	}

	r = newRequest(t, http.MethodPost, address+"/?database="+database+"&compress=1", strings.NewReader("SELECT sum(x) FROM t"))
	if text, err := io.ReadAll(framed{compress.NewReader(strings.NewReader(send(t, r).body))}); err != nil || string(text) != "3\n" {
		t.Errorf("framed answer: %q, %v", text, err)
	}

	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionLZ4, clickhouse.CompressionGZIP} {
		o := options(shared, address, database)
		o.Compression = &clickhouse.Compression{Method: method, Level: 3}
		client := dial(t, o)
		batch, err := client.PrepareBatch(t.Context(), "INSERT INTO t")
		if err != nil {
			t.Fatalf("%v: %v", method, err)
		}
		if err := errors.Join(batch.Append(uint64(10)), batch.Send()); err != nil {
			t.Fatalf("%v: %v", method, err)
		}
	}
	if got := scalar(t, conn, "SELECT sum(x) FROM t"); got != "23" {
		t.Errorf("sum %s, want 23", got)
	}
}

// broken is a body whose sender goes away before its end.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestBrokenBodyInsertsNothing(t *testing.T) {
	conn := connect(t, "")
	execute(t, conn, "CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
	values := url.Values{"database": {scalar(t, conn, "SELECT currentDatabase()")}, "query": {"INSERT INTO t FORMAT TSV"}}
	r := newRequest(t, http.MethodPost, "http://engine.invalid/?"+values.Encode(), broken{strings.NewReader("1\n2\n")})
	response, err := shared.RoundTripper().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", response.StatusCode)
	}
	if got := scalar(t, conn, "SELECT count() FROM t"); got != "0" {
		t.Errorf("%s rows", got)
	}
}

// A failure after the answer has begun still reaches the caller as an error.
func TestLateFailureIsReported(t *testing.T) {
	eachWay(t, func(t *testing.T, url string) {
		conn := connect(t, url)
		rows, err := conn.Query(t.Context(), "SELECT number, repeat('x', 100), throwIf(number = 900000) FROM numbers(1000000)")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		var failure *clickhouse.Exception
		if err := rows.Err(); !errors.As(err, &failure) || failure.Code != 395 || n == 0 {
			t.Errorf("after %d rows: %v", n, err)
		}
		_ = rows.Close()
	})
}

func TestFindLibrary(t *testing.T) {
	for name, find := range map[string]func() (string, error){
		"explicit path": func() (string, error) { return FindLibrary("no/such/file") },
		"bases":         func() (string, error) { return FindLibrary("", t.TempDir(), "no-such-folder") },
	} {
		_, err := find()
		if err == nil {
			t.Logf("%s: the system has a library of its own", name)
			continue
		}
		if !errors.Is(err, ErrLibraryMissing) || name == "bases" && !strings.Contains(err.Error(), "npm ci") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
