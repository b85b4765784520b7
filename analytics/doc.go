// Package analytics keeps the records of all departments in ClickHouse and
// answers from them: the current state by key, the efficiency index, what is
// stored, what is held of each source (held.go, for proofs that nothing is
// missing), and what was rejected.
//
// [Store.RunSink] takes records from their topics, one partition per worker.
// For each batch it writes an intent to the state database, inserts the rows
// as one block under a token made of the batch's place in the log, and marks
// the intent done. The position in the state database is the truth; the
// offset committed to Kafka only shows operators the lag.
//
// # What holds
//
//   - Every record of a topic is in the table records once, by its id,
//     whatever is repeated on the topic and wherever the process is killed.
//   - A view's table has a row for each row of records that it is made from,
//     and index_day equals a recount. An insert into ClickHouse is whole or
//     absent in each table, but not in all of them together, and what a table
//     remembers of tokens may disagree with its parts after a crash. So an
//     intent that was left open is settled by counting, table by table, not
//     by trust in tokens (settle.go). [Store.Recount] and [Store.Check] prove it.
//   - Tokens begin with an epoch. It rises when the log went back, because
//     offsets are used again then and an old token would drop new rows.
//   - Of two versions of a key the one with the later event time is current, and
//     at one event time the one that is later in the log, also after settling.
//   - A message that is no event is kept in rejected_records under the rule
//     NOT_AN_EVENT, and the flow goes on.
//
// # What does not hold
//
//   - index_day counts every version of a case event. A correction with the
//     same key and another event time is counted again; a delete takes
//     nothing back.
//   - One sink per state database. A second one is noticed ([ErrConflict]) and
//     backs off, partition by partition.
//
// # Failure
//
// A worker that fails logs the error, waits up to five seconds and starts
// again from the state database; the other partitions go on. When ClickHouse
// or the log is away, records wait in the log and nothing is lost.
package analytics
