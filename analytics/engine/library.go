package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ebitengine/purego"
)

// FindLibrary says which libchdb to load. An explicit path wins and must
// exist. Otherwise each base (a folder that may hold this package's
// package.json, such as the executable's folder or analytics/engine below the
// working directory) is searched for what `npm ci` installs, then the system's
// library folders. ErrLibraryMissing lists every place that was looked at.
func FindLibrary(explicit string, bases ...string) (string, error) {
	if explicit != "" {
		if isFile(explicit) {
			return explicit, nil
		}
		return "", fmt.Errorf("%w: no file at %s, the path that was configured; correct ONEWINDOW_LIBCHDB, or unset it and run npm ci in analytics/engine", ErrLibraryMissing, explicit)
	}
	var tried []string
	for _, base := range bases {
		tried = append(tried, filepath.Join(base, "node_modules", "@chdb", npmPackage(), "libchdb.so"))
	}
	tried = append(tried,
		"/usr/local/lib/libchdb.so", "/usr/lib/libchdb.so",
		"/usr/local/lib/libchdb.dylib", "/opt/homebrew/lib/libchdb.dylib")
	for _, path := range tried {
		if isFile(path) {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("%w: looked at %s; run `npm ci` in analytics/engine, or set ONEWINDOW_LIBCHDB to the file",
		ErrLibraryMissing, strings.Join(tried, ", "))
}

// npmPackage names the package below @chdb for this platform.
func npmPackage() string {
	cpu := runtime.GOARCH
	if cpu == "amd64" {
		cpu = "x64"
	}
	name := "lib-" + runtime.GOOS + "-" + cpu
	if runtime.GOOS == "linux" {
		name += "-gnu"
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// library is the part of chdb.h (26.7) that this package uses. Handles are
// opaque addresses of memory that C++ owns. Every function may block.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv **byte) *uintptr
	closeConnection   func(connection *uintptr)

	query       func(conn uintptr, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) uintptr
	streamQuery func(conn uintptr, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) uintptr
	fetch       func(conn, stream uintptr) uintptr
	cancelQuery func(conn, stream uintptr)

	resultError  func(result uintptr) string
	resultBuffer func(result uintptr) *byte
	resultLength func(result uintptr) uintptr
	rowsRead     func(result uintptr) uint64
	rowsWritten  func(result uintptr) uint64
	destroy      func(result uintptr)

	insert        func(conn uintptr, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) uintptr
	insertAppend  func(stream uintptr, data *byte, length uintptr) int32
	insertDone    func(stream uintptr) uintptr
	insertError   func(stream uintptr) string
	insertCancel  func(stream uintptr)
	insertDestroy func(stream uintptr)
}

// load opens the library at path and resolves every function of it. The
// library stays loaded for the life of the process, since C++ threads keep
// running its code.
func load(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be loaded: %w", ErrLibraryMissing, path, err)
	}
	lib := &library{}
	for symbol, function := range map[string]any{
		"chdb_set_signal_handlers_enabled": &lib.setSignalHandlers,
		"chdb_connect":                     &lib.connect,
		"chdb_close_conn":                  &lib.closeConnection,
		"chdb_query_with_params_n":         &lib.query,
		"chdb_stream_query_with_params_n":  &lib.streamQuery,
		"chdb_stream_fetch_result":         &lib.fetch,
		"chdb_stream_cancel_query":         &lib.cancelQuery,
		"chdb_result_error":                &lib.resultError,
		"chdb_result_buffer":               &lib.resultBuffer,
		"chdb_result_length":               &lib.resultLength,
		"chdb_result_rows_read":            &lib.rowsRead,
		"chdb_result_rows_written":         &lib.rowsWritten,
		"chdb_destroy_query_result":        &lib.destroy,
		"chdb_stream_insert_with_params_n": &lib.insert,
		"chdb_stream_append":               &lib.insertAppend,
		"chdb_stream_done":                 &lib.insertDone,
		"chdb_stream_insert_error":         &lib.insertError,
		"chdb_stream_cancel_insert":        &lib.insertCancel,
		"chdb_destroy_insert_stream":       &lib.insertDestroy,
	} {
		address, err := purego.Dlsym(handle, symbol)
		if err != nil {
			return nil, fmt.Errorf("%w: %s has no %s; it is not the version that package.json names", ErrLibraryMissing, path, symbol)
		}
		purego.RegisterFunc(function, address)
	}
	return lib, nil
}
