// Package bus publishes and consumes records on Kafka topics through kafka-go.
//
// Open takes a URL. "embedded:DIR" starts a single-node broker in this process
// that keeps its log in DIR and is reached through memory: no port is open.
// "kafka://HOST:PORT,HOST:PORT?..." reaches a real cluster. Everything after
// Open is the same code for both.
//
// # What holds
//
//   - Publish returns without error only after every message is acknowledged
//     by all in-sync replicas (acks=all); embedded, after fsync.
//   - Messages with the same key go to one partition, chosen as the Java client
//     does (murmur2), in the order in which they were handed over.
//   - A Reader returns the records of one partition without gap and without
//     jump. An offset that is not there is an error, never a silent move.
//   - A Reader returns committed records only. Those of aborted transactions, by
//     the broker's list of them, and the marks that end transactions are passed
//     over (Aborted counts them); an open transaction is waited for.
//   - Nothing is dropped by age or size in the embedded log. Only Trim deletes,
//     and only what its caller confirms as stored. When the log reaches its cap,
//     Publish answers ErrFull until the consumer has caught up.
//   - Memory is bounded: Publish calls hold 64 MiB of messages together and block
//     beyond that; a Reader holds what one fetch brought, about half a MiB or one
//     batch (0.9 MB).
//
// # What does not hold
//
//   - A message may be written twice, when an acknowledgement got lost and the
//     batch was sent again. Consumers recognise it by its record id.
//   - The embedded broker is a bounded, replayable buffer and not a record of
//     truth: it ignores errors of fsync, and after damage to a file it cuts the
//     log there. The cut is counted (Truncated), logged, and seen by a Reader as
//     ErrGap or through Bounds.
//   - After a crash, records that Trim had deleted may be back, because whole
//     files are deleted and the start of the log is not written down before a
//     clean stop. Consumers start from their own position, and trim again.
//   - In a compacted topic, offsets have holes, and a Reader reports them as ErrGap.
//
// # Failure
//
// Publish reports per message what is known (PublishError): stored, not stored,
// or unknown (ErrUnknown). The outcome is unknown when the connection broke or
// the caller's context ended while a batch was on its way.
package bus
