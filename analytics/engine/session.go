package engine

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// exception is what ClickHouse answers in place of a result.
type exception struct {
	code int
	text string // "Code: 60. DB::Exception: … (UNKNOWN_TABLE)"
}

func (e *exception) Error() string { return e.text }

// newException builds an exception of the handler's own, worded as the server's are.
func newException(code int, name, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

// parseException reads an error text of libchdb, nil when the text is empty.
func parseException(text string) error {
	if text == "" {
		return nil
	}
	code := 1002 // UNKNOWN_EXCEPTION, the server's own for what has no code
	if at := strings.Index(text, "Code: "); at >= 0 {
		text = text[at:]
		if _, err := fmt.Sscanf(text, "Code: %d.", &code); err != nil {
			code = 1002
		}
	}
	return &exception{code: code, text: strings.ToValidUTF8(text, "\uFFFD")}
}

// session is one connection of libchdb. It runs one statement at a time, so a
// request owns it from take to give. What a request sets is remembered, and
// the next request sets only the difference.
type session struct {
	lib    *library
	handle *uintptr
	marker string // log_comment by which KILL QUERY finds what this session runs

	base     map[string]string // settings that every request has unless it names another value
	applied  map[string]string // settings that differ from base now
	database string            // current database, empty for the default

	// spoiled means that the session's state is no longer known, so it is
	// replaced rather than given to another request.
	spoiled bool
}

// openSession connects with argv and applies the base settings.
func openSession(lib *library, argv []string, marker string, base map[string]string) (*session, error) {
	pointers := make([]*byte, len(argv)+1)
	for i, argument := range argv {
		pointers[i] = unsafe.StringData(argument + "\x00") //nolint:gosec // chdb.h takes C strings
	}
	handle := lib.connect(int32(len(argv)), &pointers[0]) //nolint:gosec // a handful of arguments
	runtime.KeepAlive(pointers)
	if handle == nil {
		return nil, fmt.Errorf("%w: chdb_connect %s", ErrOpen, strings.Join(argv[1:], " "))
	}
	s := &session{lib: lib, handle: handle, marker: marker, base: base, applied: map[string]string{}}
	assignments := []string{"log_comment = " + quote(marker)}
	for _, name := range sortedKeys(base) {
		assignments = append(assignments, name+" = "+quote(base[name]))
	}
	if _, err := s.run("SET "+strings.Join(assignments, ", "), "Null", nil); err != nil {
		s.close()
		return nil, fmt.Errorf("%w: base settings: %w", ErrOpen, err)
	}
	return s, nil
}

func (s *session) close() { s.lib.closeConnection(s.handle) }

// prepare makes the session's database and settings those of a request.
func (s *session) prepare(database string, settings map[string]string) error {
	var assignments []string
	for _, name := range sortedKeys(s.applied) {
		if _, wanted := settings[name]; !wanted {
			assignments = append(assignments, name+" = "+s.initial(name))
		}
	}
	for _, name := range sortedKeys(settings) {
		value := settings[name]
		if name == "log_comment" {
			value = s.marker + " " + value
		}
		if current, known := s.applied[name]; !known || current != settings[name] {
			assignments = append(assignments, name+" = "+quote(value))
		}
	}
	if len(assignments) > 0 {
		if _, err := s.run("SET "+strings.Join(assignments, ", "), "Null", nil); err != nil {
			s.spoiled = true
			return err
		}
		s.applied = settings
	}
	if database == "" {
		database = "default"
	}
	if database != s.database {
		if _, err := s.run("USE "+quoteName(database), "Null", nil); err != nil {
			return err
		}
		s.database = database
	}
	return nil
}

// initial is the right-hand side that takes a setting back.
func (s *session) initial(name string) string {
	if name == "log_comment" {
		return quote(s.marker)
	}
	if value, known := s.base[name]; known {
		return quote(value)
	}
	return "DEFAULT"
}

// progress counts the rows of a statement's answer and those it wrote, views included.
type progress struct{ rows, written uint64 }

// result is a whole answer in memory that C++ owns, until free.
type result struct {
	lib    *library
	handle uintptr
	progress
}

func (r *result) bytes() []byte {
	return unsafe.Slice(r.lib.resultBuffer(r.handle), r.lib.resultLength(r.handle)) //nolint:gosec // C++ owns it until free
}

func (r *result) free() {
	if r != nil && r.handle != 0 {
		r.lib.destroy(r.handle)
		r.handle = 0
	}
}

// adopt takes a handle that libchdb returned; a result that holds an error is
// freed and the error returned.
func (s *session) adopt(handle uintptr) (*result, error) {
	if err := parseException(s.lib.resultError(handle)); err != nil {
		s.lib.destroy(handle)
		return nil, err
	}
	return &result{
		lib: s.lib, handle: handle,
		progress: progress{rows: s.lib.rowsRead(handle), written: s.lib.rowsWritten(handle)},
	}, nil
}

// run executes one or several statements and returns the whole answer.
func (s *session) run(sql, format string, params []parameter) (*result, error) {
	bound := bind(params)
	handle := s.lib.query(*s.handle,
		start(sql), uintptr(len(sql)), start(format), uintptr(len(format)),
		bound.names, bound.nameLens, bound.values, bound.valueLens, uintptr(len(params)))
	runtime.KeepAlive(bound)
	return s.adopt(handle)
}

// stream starts one SELECT whose blocks next returns. The caller closes it.
func (s *session) stream(sql, format string, params []parameter) (*stream, error) {
	bound := bind(params)
	handle := s.lib.streamQuery(*s.handle,
		start(sql), uintptr(len(sql)), start(format), uintptr(len(format)),
		bound.names, bound.nameLens, bound.values, bound.valueLens, uintptr(len(params)))
	runtime.KeepAlive(bound)
	if err := parseException(s.lib.resultError(handle)); err != nil {
		s.lib.destroy(handle)
		return nil, err
	}
	return &stream{session: s, handle: handle}, nil
}

// stream is a SELECT under way.
type stream struct {
	session *session
	handle  uintptr
	ended   bool
}

// next returns the next piece of the answer, io.EOF after the last.
func (st *stream) next() (*result, error) {
	piece, err := st.session.adopt(st.session.lib.fetch(*st.session.handle, st.handle))
	if err != nil {
		st.ended = true
		return nil, err
	}
	if st.session.lib.resultLength(piece.handle) == 0 {
		st.ended = true
		piece.free()
		return nil, io.EOF
	}
	return piece, nil
}

func (st *stream) close() {
	if !st.ended {
		st.session.lib.cancelQuery(*st.session.handle, st.handle)
	}
	st.session.lib.destroy(st.handle)
}

// insert runs an INSERT statement that has no FORMAT clause, with the rows
// that body holds in the given format. When body fails the insert is
// cancelled: blocks that the table has already taken stay, as in the server.
func (s *session) insert(sql, format string, params []parameter, body io.Reader) (progress, error) {
	bound := bind(params)
	handle := s.lib.insert(*s.handle,
		start(sql), uintptr(len(sql)), start(format), uintptr(len(format)),
		bound.names, bound.nameLens, bound.values, bound.valueLens, uintptr(len(params)))
	runtime.KeepAlive(bound)
	defer s.lib.insertDestroy(handle)
	if err := parseException(s.lib.insertError(handle)); err != nil {
		return progress{}, err
	}
	chunk := make([]byte, 256<<10)
	for {
		n, err := body.Read(chunk)
		if n > 0 && s.lib.insertAppend(handle, &chunk[0], uintptr(n)) != 0 {
			if failure := parseException(s.lib.insertError(handle)); failure != nil {
				return progress{}, failure
			}
			break // the worker stopped before the end of the data: done knows why
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.lib.insertCancel(handle)
			return progress{}, err
		}
	}
	done, err := s.adopt(s.lib.insertDone(handle))
	if err != nil {
		return progress{}, err
	}
	defer done.free()
	return done.progress, nil
}

// start is the address of a text that is handed over with its length.
func start(text string) *byte { return unsafe.StringData(text) } //nolint:gosec // read only, for the length of a call

// parameter is one value for a {name:Type} placeholder, escaped as in TSV.
type parameter struct{ name, value string }

// bound is a parameter list as chdb.h wants it. It must stay reachable until
// the call that uses it returns.
type bound struct {
	names, values       **byte
	nameLens, valueLens *uintptr
	keep                []parameter
}

func bind(params []parameter) bound {
	if len(params) == 0 {
		return bound{}
	}
	names, values := make([]*byte, len(params)), make([]*byte, len(params))
	nameLens, valueLens := make([]uintptr, len(params)), make([]uintptr, len(params))
	kept := make([]parameter, len(params))
	for i, p := range params {
		// The closing zero byte keeps the address of an empty string from being null.
		kept[i] = parameter{name: p.name + "\x00", value: p.value + "\x00"}
		names[i], nameLens[i] = start(kept[i].name), uintptr(len(p.name))
		values[i], valueLens[i] = start(kept[i].value), uintptr(len(p.value))
	}
	return bound{names: &names[0], values: &values[0], nameLens: &nameLens[0], valueLens: &valueLens[0], keep: kept}
}

// quote writes s as a string literal of ClickHouse's SQL.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(s) + "'"
}

// quoteName writes s as an identifier of ClickHouse's SQL.
func quoteName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`).Replace(s) + "`"
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
