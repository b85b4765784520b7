package bus

import "time"

// Message is one record. Topic, Key, Value, Headers and Time are the caller's;
// Partition and Offset are set on messages that were read and ignored by Publish.
type Message struct {
	Topic     string
	Partition int
	Offset    int64
	// Key picks the partition. Nil: the messages of one Publish call without key share a partition.
	Key []byte
	// Value is the payload; nil is a tombstone and different from empty.
	Value   []byte
	Headers []Header
	// Time has millisecond resolution; the zero time means now.
	Time time.Time
}

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// Position is where a message was written; Offset is -1 if it was not, or if that is not known.
type Position struct {
	Partition int
	Offset    int64
}
