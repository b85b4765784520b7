package exchange

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// RejectedTopic is the topic of rejected records of every resource.
const RejectedTopic = "records.rejected"

// RecordsTopicPrefix begins the name of every topic of accepted records.
const RecordsTopicPrefix = "records."

// TopicOf returns the topic of a resource: "records.<department>.<resource>".
func TopicOf(resource string) string { return RecordsTopicPrefix + resource }

// DepartmentOf returns the department code of a resource name
// "<department>.<resource>".
func DepartmentOf(resource string) string {
	department, _, _ := strings.Cut(resource, ".")
	return department
}

// Operation is what happened to a record at its source.
type Operation string

// The operations.
const (
	Upsert Operation = "upsert"
	Delete Operation = "delete"
)

// Kind is what the analytics make of a resource's records.
type Kind string

// The kinds of resource.
const (
	Register  Kind = "register"
	CaseEvent Kind = "case_event"
	Rating    Kind = "rating"
	Ticket    Kind = "ticket"
)

// Draft is a record on its way in, before the checks.
type Draft struct {
	// Key within the resource, at most 256 bytes.
	Key       string
	Operation Operation
	// EventTime is when it became true at the source; it orders the versions of a key.
	EventTime time.Time
	// RecordedTime is when it was entered at the source; zero if unknown.
	RecordedTime time.Time
	// Payload is the text of a JSON object.
	Payload []byte
	// Raw is the row as the source gave it, kept when the record is rejected; nil means Payload.
	Raw []byte
	// Origin says where in the source the row lies, e.g. "residents-20251103.csv:17".
	Origin string
	// Findings are what the connector put right on the way, e.g. "FULL_WIDTH".
	Findings []string
	// Rejection is set by a connector that could not read the row (broken line, invalid bytes).
	Rejection *Rejection
}

// Rejection says why a record was refused.
type Rejection struct {
	// Rule is machine-readable, e.g. "MISSING_FIELD".
	Rule string
	// Field is a JSON pointer or column name, if one field is to blame.
	Field string
	// Detail says what is wrong and what to do, without the value itself.
	Detail string
}

// The rules by which records are rejected.
const (
	RuleMalformed    = "MALFORMED"     // broken line, not JSON, not an object
	RuleEncoding     = "ENCODING"      // bytes that are not of the stated charset
	RuleMissingField = "MISSING_FIELD" // a required field is absent or empty
	RuleCheckDigit   = "CHECK_DIGIT"   // a USCC or citizen number with a wrong check digit
	RuleSchema       = "SCHEMA"        // any other breach of the resource's schema
	RuleColumn       = "COLUMN_CHANGED"
	RuleKey          = "KEY" // no key, or one that is too long
	RuleEventTime    = "EVENT_TIME"
	RuleCode         = "CODE"    // a code that is not in the agreed code list
	RuleMapping      = "MAPPING" // an expression of the connector has no value for the row
)

// Rules lists the rules by which records are rejected.
func Rules() []string {
	return []string{
		RuleMalformed, RuleEncoding, RuleMissingField, RuleCheckDigit, RuleSchema, RuleColumn, RuleKey, RuleEventTime, RuleCode, RuleMapping,
	}
}

// The findings on accepted records.
const (
	FindingFullWidth = "FULL_WIDTH"  // full-width digits or letters were made half-width
	FindingZeroDate  = "ZERO_DATE"   // a date 0000-00-00 was taken for none
	FindingMerged    = "MERGED_CELL" // a cell merged with those above it was filled from the first of them
	FindingLate      = "LATE"        // entered later than the agreed delay after the event
)

// Record is an accepted record as it travels on its topic and is stored.
type Record struct {
	// ID is [RecordID]: 64 hexadecimal digits.
	ID string
	// Resource is "<department>.<resource>".
	Resource string
	// Source is "<department>/<connector>", or "<department>/push".
	Source       string
	Kind         Kind
	Key          string
	Operation    Operation
	EventTime    time.Time
	RecordedTime time.Time
	Late         bool
	// Payload is the text of a JSON object; empty for a delete.
	Payload []byte
}

// RecordID is the deterministic id of a record: SHA-256 over resource, key,
// operation, event time in microseconds and payload, each preceded by its
// length, in hexadecimal. The same row in the same version has the same id
// whichever way and however often it comes in.
func RecordID(resource, key string, op Operation, eventTime time.Time, payload []byte) string {
	var buffer [2048]byte // most records fit, and then only the id is allocated
	text := appendPart(buffer[:0], resource)
	text = appendPart(text, key)
	text = appendPart(text, string(op))
	var digits [20]byte
	text = appendPart(text, string(strconv.AppendInt(digits[:0], eventTime.UnixMicro(), 10)))
	text = binary.BigEndian.AppendUint64(text, uint64(len(payload)))
	sum := sha256.Sum256(append(text, payload...))
	var id [2 * sha256.Size]byte
	hex.Encode(id[:], sum[:])
	return string(id[:])
}

func appendPart(text []byte, part string) []byte {
	return append(binary.BigEndian.AppendUint64(text, uint64(len(part))), part...)
}
