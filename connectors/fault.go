package connectors

import (
	"errors"
	"fmt"

	"github.com/onewindow/onewindow/exchange"
)

// FaultCode names what is wrong with a source, for programs and for the page.
type FaultCode string

// The codes. Each stands for one thing that the owner of the source, or of the
// definition, can do something about.
const (
	FaultUnreachable  FaultCode = "UNREACHABLE"          // no answer, or a cut connection
	FaultCredentials  FaultCode = "CREDENTIALS"          // wrong user, password, key or token
	FaultSecret       FaultCode = "SECRET_FILE"          // a file with a secret cannot be read or used
	FaultTable        FaultCode = "TABLE_MISSING"        // no such table, topic or folder
	FaultColumn       FaultCode = "COLUMN_MISSING"       // no such column, or one that cannot be used so
	FaultRight        FaultCode = "RIGHT_MISSING"        // the right to read was not given, or taken away
	FaultSlow         FaultCode = "TOO_SLOW"             // an answer took longer than the limit
	FaultBusy         FaultCode = "SOURCE_BUSY"          // it asks to be left alone: too many connections or requests
	FaultSlotLost     FaultCode = "SLOT_LOST"            // the replication slot is gone or invalid: changes may be missed
	FaultLogPurged    FaultCode = "LOG_PURGED"           // the binlog at the saved position is gone: changes may be missed
	FaultLogSettings  FaultCode = "LOG_SETTINGS"         // the database does not log what change capture needs
	FaultSchema       FaultCode = "SCHEMA_CHANGED"       // columns changed in a way that was not agreed
	FaultMismatch     FaultCode = "SCHEMA_MISMATCH"      // two descriptions of one table differ, again and again
	FaultKeyless      FaultCode = "ROWS_WITHOUT_KEY"     // rows that the order of reading cannot reach
	FaultPosition     FaultCode = "FOREIGN_POSITION"     // what was saved belongs to another source
	FaultIncomplete   FaultCode = "FILE_INCOMPLETE"      // a file stays half written
	FaultOutOfOrder   FaultCode = "FILE_OUT_OF_ORDER"    // a file came after one that sorts behind it
	FaultBroken       FaultCode = "FILE_BROKEN"          // a file is not of its format
	FaultTooLarge     FaultCode = "TOO_LARGE"            // an answer, file, archive or line beyond the limits
	FaultForbidden    FaultCode = "FORBIDDEN_CONTENT"    // e.g. XML that declares entities
	FaultAnswer       FaultCode = "UNEXPECTED_ANSWER"    // an HTTP status, or a structure, that was not agreed
	FaultNotJSON      FaultCode = "NOT_JSON"             // e.g. a login page
	FaultEndless      FaultCode = "ENDLESS_PAGES"        // pages repeat, or never end
	FaultRemoved      FaultCode = "ROWS_REMOVED"         // what was read before is there no longer
	FaultNotThis      FaultCode = "NOT_THIS_SERVER"      // what answers at the address is another program
	FaultEmptied      FaultCode = "SOURCE_EMPTIED"       // the source shows hardly any of the rows that the exchange holds from it
	FaultResource     FaultCode = "RESOURCE_UNKNOWN"     // the resource of the definition is not in the catalogue
	FaultDefinition   FaultCode = "DEFINITION"           // the definition cannot be used with this source
	FaultExchange     FaultCode = "EXCHANGE_UNAVAILABLE" // our side does not take the rows; they are kept
	FaultUnclassified FaultCode = "OTHER"
)

// Fault is an error of a source with a code. It wraps [ErrNotConnected] or
// [ErrRefused] and, if there is one, the cause.
type Fault struct {
	Code  FaultCode
	kind  error
	text  string
	cause error
}

// Refused says that the source answers, but not as its definition says, in
// words for the owner of the source: what, where, what to do. cause may be nil.
func Refused(code FaultCode, cause error, format string, args ...any) error {
	return &Fault{Code: code, kind: ErrRefused, text: fmt.Sprintf(format, args...), cause: cause}
}

// Away says that the source does not answer, or not completely; it is tried
// again. cause may be nil.
func Away(code FaultCode, cause error, format string, args ...any) error {
	return &Fault{Code: code, kind: ErrNotConnected, text: fmt.Sprintf(format, args...), cause: cause}
}

// Error returns the kind of error, the text and the cause as valid UTF-8 of bounded length: the cause may be what a
// foreign server wrote.
func (f *Fault) Error() string {
	text := f.kind.Error() + ": " + f.text
	if f.cause != nil {
		text += ": " + f.cause.Error()
	}
	return foreign(text, maxFaultText)
}

// Unwrap returns the kind and the cause.
func (f *Fault) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// CodeOf returns the code of the first fault in err, [FaultUnclassified] if there is none.
func CodeOf(err error) FaultCode {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f.Code
	case errors.Is(err, exchange.ErrUnknownResource):
		return FaultResource
	case errors.Is(err, ErrPosition):
		return FaultPosition
	case errors.Is(err, ErrNotConnected):
		return FaultUnreachable
	}
	return FaultUnclassified
}
