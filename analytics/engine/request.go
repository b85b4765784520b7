package engine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

// Limits of one request.
const (
	maxStatement = 8 << 20 // bytes of SQL text
	maxBody      = 4 << 30 // bytes of rows in one INSERT, after decompression
	sniffed      = 64 << 10
)

// request is what an HTTP request asks for.
type request struct {
	statement
	params   []parameter
	settings map[string]string
	database string
	queryID  string

	defaultFormat string
	revision      uint64    // client_protocol_version
	body          io.Reader // rows of an INSERT that follow statement.data
	compressed    bool      // answer in ClickHouse's compressed frames
	gzip          bool      // answer with Content-Encoding: gzip
}

// steersInterface reports whether a URL parameter steers the HTTP interface
// itself rather than being a setting. Users and passwords are the caller's
// business, outside this handler.
func steersInterface(name string) bool {
	switch name {
	case "query", "database", "default_format", "query_id", "user", "password", "role", "quota_key",
		"compress", "decompress", "buffer_size", "wait_end_of_query", "stacktrace", "client_protocol_version",
		"close_session", "session_timeout", "session_check":
		return true
	}
	return false
}

// isSettingName reports whether name can stand in a SET statement as it is.
func isSettingName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= 0x80 || !isWordByte(c) || i == 0 && c <= '9' {
			return false
		}
	}
	return name != ""
}

// parseRequest reads the URL, the headers and as much of the body as is SQL.
func parseRequest(r *http.Request) (*request, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newException(36, "BAD_ARGUMENTS", "malformed URL parameters: %v", err)
	}
	req := &request{settings: map[string]string{}}
	if err := req.takeParameters(values); err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet {
		// As in the server: what can be reached by a link must not write.
		req.settings["readonly"] = "2"
	}
	req.header(r.Header)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return nil, newException(48, "NOT_IMPLEMENTED", "external tables (multipart/form-data) are not supported by the embedded engine")
	}
	body, err := decode(r, values.Get("decompress") == "1")
	if err != nil {
		return nil, err
	}
	if err := req.takeStatement(values.Get("query"), body); err != nil {
		return nil, err
	}
	if req.local {
		return nil, newException(497, "ACCESS_DENIED", "statements have no access to files of this machine (INTO OUTFILE, FROM INFILE, file)")
	}
	return req, nil
}

// takeParameters sorts the URL parameters.
func (req *request) takeParameters(values url.Values) error {
	if values.Has("session_id") {
		return newException(48, "NOT_IMPLEMENTED", "HTTP sessions (session_id) are not supported by the embedded engine")
	}
	req.database = values.Get("database")
	req.defaultFormat = values.Get("default_format")
	req.queryID = values.Get("query_id")
	req.compressed = values.Get("compress") == "1"
	if text := values.Get("client_protocol_version"); text != "" {
		revision, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return newException(36, "BAD_ARGUMENTS", "client_protocol_version %q is not a number", text)
		}
		req.revision = revision
	}
	for name, list := range values {
		value := list[len(list)-1]
		if parameterName, found := strings.CutPrefix(name, "param_"); found {
			req.params = append(req.params, parameter{parameterName, value})
			continue
		}
		if steersInterface(name) {
			continue
		}
		if !isSettingName(name) {
			return newException(115, "UNKNOWN_SETTING", "%q is not the name of a setting", name)
		}
		req.settings[name] = value
	}
	return nil
}

// header reads the headers that stand in for URL parameters.
func (req *request) header(header http.Header) {
	for field, name := range map[string]*string{
		"X-Clickhouse-Database": &req.database,
		"X-Clickhouse-Format":   &req.defaultFormat,
		"X-Clickhouse-Query-Id": &req.queryID,
	} {
		if value := header.Get(field); value != "" {
			*name = value
		}
	}
	req.gzip = req.settings["enable_http_compression"] == "1" && strings.Contains(header.Get("Accept-Encoding"), "gzip")
}

// decode undoes the body's compression and bounds its length.
func decode(r *http.Request, frames bool) (io.Reader, error) {
	var body io.Reader = http.NoBody
	if r.Body != nil {
		body = r.Body
	}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		reader, err := gzip.NewReader(body)
		if err != nil {
			return nil, newException(354, "ZLIB_INFLATE_FAILED", "body is not gzip: %v", err)
		}
		body = reader
	default:
		return nil, newException(89, "UNKNOWN_COMPRESSION_METHOD", "Content-Encoding %q is not supported; use gzip or none", encoding)
	}
	if frames {
		body = framed{compress.NewReader(body)}
	}
	return &bounded{from: body, left: maxBody}, nil
}

// framed reads ClickHouse's compressed frames; the end between two of them is the end.
type framed struct{ from *compress.Reader }

// Read implements io.Reader.
func (f framed) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}

// bounded reads up to a limit and fails beyond it, so that rows over the limit
// are refused rather than cut off.
type bounded struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, newException(307, "TOO_MANY_BYTES", "body is longer than %d bytes", int64(maxBody))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		var own *exception
		if !errors.As(err, &own) {
			err = newException(23, "CANNOT_READ_FROM_ISTREAM", "body cannot be read: %v", err)
		}
	}
	return n, err
}

// takeStatement finds the SQL in the query parameter, the body, or both.
func (req *request) takeStatement(query string, body io.Reader) error {
	if req.statement = parseStatement(query); query != "" && req.insert {
		req.body = body
		return limitStatement(req.sql)
	}
	text := &bytes.Buffer{}
	if query != "" {
		text.WriteString(query + "\n")
	}
	// An INSERT's data may be long: look for its beginning first.
	if _, err := io.CopyN(text, body, sniffed); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if st := parseStatement(text.String()); st.insert && st.format != "" {
		req.statement, req.body = st, body
		return limitStatement(st.sql)
	}
	if _, err := io.CopyN(text, body, maxStatement+1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	req.statement, req.body = parseStatement(text.String()), http.NoBody
	if strings.TrimSpace(req.sql) == "" {
		return newException(62, "SYNTAX_ERROR", "Empty query")
	}
	return limitStatement(req.sql)
}

func limitStatement(sql string) error {
	if len(sql) > maxStatement {
		return newException(62, "SYNTAX_ERROR", "statement is longer than %d bytes", maxStatement)
	}
	return nil
}

// rows is the whole data of an INSERT: what followed the statement, then the body.
func (req *request) rows() io.Reader {
	if req.data == "" {
		return req.body
	}
	return io.MultiReader(strings.NewReader(req.data), req.body)
}

// inputFormat is the format of an INSERT's rows.
func (req *request) inputFormat() string {
	if req.format != "" {
		return req.format
	}
	return "Values"
}

// outputFormat is the format of an answer.
func (req *request) outputFormat() string {
	if req.format != "" {
		return req.format
	}
	if req.defaultFormat != "" {
		return req.defaultFormat
	}
	return "TabSeparated"
}

// errNoRows refuses an INSERT in Native without rows: clickhouse-go sends no
// empty batch, but an empty body when it fails to encode one, and then reports success.
func errNoRows() error {
	return newException(108, "NO_DATA_TO_INSERT", "INSERT in format Native has an empty body")
}

// peek reports whether r has at least one byte, and a reader that still has it.
func peek(r io.Reader) (io.Reader, bool, error) {
	one := make([]byte, 1)
	if _, err := io.ReadFull(r, one); err != nil {
		if errors.Is(err, io.EOF) {
			return r, false, nil
		}
		return nil, false, fmt.Errorf("first byte of the rows: %w", err)
	}
	return io.MultiReader(bytes.NewReader(one), r), true, nil
}
