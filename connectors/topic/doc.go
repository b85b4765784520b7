// Package topic reads the messages of another system's Kafka topic.
//
// A message is a JSON object in the topic's character set; its members are the columns. Besides there are the columns
// __key (text), __partition, __offset, __timestamp (RFC 3339, UTC) and __header.<name> (text; the last one of that
// name), which come before members of the same name. A message without a value (a tombstone) is a delete: the columns
// of the mapping's key are taken from the message's key, which is a JSON object that has them, or, for one column, its
// text (in quotes or not), or that column is __key. One that has none of this, or is no object, or not of the character
// set, is rejected alone, with its bytes.
//
// Invariants:
//   - Each partition is read in order and without a gap; between partitions there is none. All partitions have their
//     turn, one fetch each (about half a MiB), and only one fetch is held at a time. New partitions are found.
//   - The position has, for each partition, the next offset, the time and a digest of the last message. ErrCaughtUp
//     means that every partition was read up to the end that it had when Read was called.
//   - ChangedAt is the message's timestamp, or a microsecond after the one before it in the partition if that is
//     later, or if the timestamp is missing, before 1970 or more than a day ahead. Messages of one key are in one
//     partition, so it grows for each key.
//   - No consumer group is used and nothing is written to the cluster.
//
// Failure: messages that were deleted before they were read (retention), and a topic that was made anew, are a fault
// (ROWS_REMOVED), told once; the next Open goes on from the first message that is there, and its first batch says that
// there was a gap. A topic is taken for a new one if it ends before the position, or has another message at the last
// offset that was read. Offsets that are left out within a partition, by compaction or transactions, are not a gap.
//
// Read and Scan see committed messages only: those of aborted transactions are left out by the broker's own list (their
// number is logged), and what lies behind the beginning of an open transaction waits until that ends.
//
// Scan reads the topic twice: for the last message of each key, and then for those. It holds up to 400,000 keys in
// memory; a topic with more messages is read in several rounds, each for a part of the keys.
// What does not come is not known to be deleted: retention takes messages away. A partition that gives nothing below
// its end, although no more than marks of transactions should be there, is a fault (SOURCE_BUSY).
package topic
