package engine

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

// answer writes one response. It holds back the first bytes so that an early
// error can still have its own status.
type answer struct {
	w        http.ResponseWriter
	progress progress
	drained  func() // called when the statement is over and the session free

	held    []byte
	started bool
	tag     string
	frames  *compress.Writer
	zip     *gzip.Writer
	failed  error // the first failure to write: the caller is gone
}

// begin sets the headers that do not depend on the outcome.
func (a *answer) begin(req *request, timezone string) {
	a.drained = func() {}
	a.tag = tag()
	if req.compressed {
		a.frames = compress.NewWriter(compress.LevelZero, compress.LZ4)
	}
	h := a.w.Header()
	h.Set("X-ClickHouse-Query-Id", req.queryID)
	h.Set("X-ClickHouse-Format", req.outputFormat())
	h.Set("X-ClickHouse-Timezone", timezone)
	h.Set("X-ClickHouse-Server-Display-Name", "onewindow")
	h.Set("X-ClickHouse-Exception-Tag", a.tag)
	h.Set("Content-Type", contentType(req.outputFormat()))
	if req.gzip {
		h.Set("Content-Encoding", "gzip")
		a.zip = gzip.NewWriter(a.w)
	}
}

// write adds to the answer. The bytes are copied or sent before it returns.
func (a *answer) write(p []byte) error {
	if a.started {
		return a.send(p)
	}
	if len(a.held)+len(p) <= buffered {
		a.held = append(a.held, p...)
		return nil
	}
	a.start()
	if err := a.send(a.held); err != nil {
		return err
	}
	a.held = nil
	return a.send(p)
}

// start sends the header of a good answer.
func (a *answer) start() {
	a.started = true
	a.w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{"written_rows":"%d","result_rows":"%d"}`,
		a.progress.written, a.progress.rows))
	a.w.WriteHeader(http.StatusOK)
}

func (a *answer) send(p []byte) error {
	if len(p) == 0 || a.failed != nil {
		return a.failed
	}
	if a.frames != nil {
		if err := a.frames.Compress(p); err != nil {
			return newException(88, "CANNOT_COMPRESS", "%v", err)
		}
		p = a.frames.Data
	}
	var to io.Writer = a.w
	if a.zip != nil {
		to = a.zip
	}
	_, a.failed = to.Write(p)
	return a.failed
}

// end finishes the response, with what is held or with the error.
func (a *answer) end(err error) {
	switch {
	case a.failed != nil: // nobody is left to read it
	case err == nil:
		if !a.started {
			a.start()
			_ = a.send(a.held)
		}
	case a.started:
		text := asException(err).text
		block := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", a.tag, text, len(text)+1, a.tag)
		_ = a.send([]byte(block))
	default:
		a.fail(asException(err))
		return
	}
	if a.zip != nil {
		_ = a.zip.Close()
	}
}

// fail answers with an error page.
func (a *answer) fail(failure *exception) {
	h := a.w.Header()
	h.Del("Content-Encoding")
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(failure.code))
	a.w.WriteHeader(status(failure.code))
	_, a.failed = a.w.Write(errorPage(failure))
}

func asException(err error) *exception {
	var failure *exception
	if errors.As(err, &failure) {
		return failure
	}
	return newException(1002, "UNKNOWN_EXCEPTION", "%v", err)
}

// status is the HTTP status of an error code, as in the server for those a caller can tell apart.
func status(code int) int {
	switch code {
	case 194, 516: // REQUIRED_PASSWORD, AUTHENTICATION_FAILED
		return http.StatusUnauthorized
	case 291, 497: // DATABASE_ACCESS_DENIED, ACCESS_DENIED
		return http.StatusForbidden
	case 46, 47, 50, 60, 63, 73, 81, 115: // UNKNOWN_ FUNCTION, IDENTIFIER, TYPE, TABLE, AGGREGATE_FUNCTION, FORMAT, DATABASE, SETTING
		return http.StatusNotFound
	case 159, 209: // TIMEOUT_EXCEEDED, SOCKET_TIMEOUT
		return http.StatusRequestTimeout
	case 307: // TOO_MANY_BYTES
		return http.StatusRequestEntityTooLarge
	case 48: // NOT_IMPLEMENTED
		return http.StatusNotImplemented
	case 202, 252: // TOO_MANY_SIMULTANEOUS_QUERIES, TOO_MANY_PARTS
		return http.StatusServiceUnavailable
	case 241, 49, 1002: // MEMORY_LIMIT_EXCEEDED, LOGICAL_ERROR, UNKNOWN_EXCEPTION
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

func contentType(format string) string {
	switch lower := strings.ToLower(format); {
	case strings.HasPrefix(lower, "json") && strings.Contains(lower, "eachrow"), lower == "jsonlines", lower == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(lower, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(lower, "csv"):
		return "text/csv; charset=UTF-8"
	case strings.HasPrefix(lower, "tabseparated"), strings.HasPrefix(lower, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case lower == "native", strings.HasPrefix(lower, "rowbinary"), lower == "parquet", strings.HasPrefix(lower, "arrow"):
		return "application/octet-stream"
	}
	return "text/plain; charset=UTF-8"
}
