package connectors

import "time"

// The kinds of source.
const (
	KindSQL   = "sql"   // a table, asked again and again
	KindLog   = "log"   // a table, followed in the log of its database (change capture)
	KindFiles = "files" // a folder, here or behind SFTP
	KindHTTP  = "http"  // an endpoint that answers with JSON
	KindTopic = "topic" // a Kafka topic of another system
)

// Definition says where a source lies and what becomes of its rows.
type Definition struct {
	// Name is "<department>/<connector>"; the saved position belongs to it.
	Name string
	// Resource is "<department>.<resource>".
	Resource string
	// Kind is one of the Kind constants; the member of that kind is set, the others are nil.
	Kind string
	// Interval is the pause before the source is asked again once it is caught up.
	Interval time.Duration
	// Batch is the largest number of rows read and published together.
	Batch  int
	SQL    *SQL
	Log    *Log
	Files  *Files
	HTTP   *HTTP
	Topic  *Topic
	Limits Limits
	// TakeNewColumns says what was agreed about columns that are added to the
	// source later and may be null: true puts them into the payload under their
	// own names, false leaves them out. Any other change of columns pauses the source.
	TakeNewColumns bool
	// Prove says when completeness is proved by itself.
	Prove Proof
	Map   Mapping
}

// Proof is the schedule of the completeness proof.
type Proof struct {
	// At are times of day, in the mapping's time zone; empty for proofs on demand only.
	At []TimeOfDay
	// Repair publishes what is missing and deletes what the source no longer has.
	Repair bool
}

// Limits bound the load on the source. The runner keeps rows, share of time and
// hours for every kind, where a proof has a share of its own beside the
// reading; the sources keep connections and time of a query.
type Limits struct {
	// RowsPerSecond bounds the rows read, as an average over a second; 0 for no bound.
	RowsPerSecond int
	// Connections bounds the connections that the source may hold at a time, at least 1. A scan (proof, check)
	// has one more. Following a log takes two (MySQL and MariaDB, which refuse 1) or three (PostgreSQL, whatever is said here).
	Connections int
	// QueryTime bounds one query or request, at the source itself where it can.
	QueryTime time.Duration
	// BusyShare, 1 to 100, is the share of time in which the source may be at work
	// for us: after a query of 1 s with a share of 25 it is left alone for 3 s. Not while a log or topic is followed.
	BusyShare int
	// Hours are the times of day, in the mapping's time zone, in which the source may be read; empty for always.
	Hours []TimeSpan
}

// TimeOfDay is a time since midnight.
type TimeOfDay time.Duration

// TimeSpan is a span of the day; it goes over midnight if Until is not after From.
type TimeSpan struct{ From, Until TimeOfDay }

// identity says, readably, to what a position of the source refers. A saved
// position is used only by a definition of the same identity.
func (d Definition) identity() string {
	switch {
	case d.SQL != nil:
		return d.SQL.identity()
	case d.Log != nil:
		return d.Log.identity()
	case d.Files != nil:
		return d.Files.identity()
	case d.HTTP != nil:
		return d.HTTP.identity()
	case d.Topic != nil:
		return d.Topic.identity()
	}
	return d.Kind
}
