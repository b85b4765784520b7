// Package connectors reads the systems of departments (tables, logs of
// databases, files, HTTP interfaces, topics) and hands their rows to the
// exchange, gently, and proves that it missed none.
//
// A [Definition] says where a source lies and how its rows become records; a
// [Source] (one sub-package per kind) reads it in batches; the [Runner] maps
// each batch to drafts, publishes them and then saves the position after the
// batch together with its counts. What people decide about a source (pause,
// re-read, agree to columns, prove) lives in the state database, so that any
// process of the hub may say it.
//
// Invariants:
//
//   - Position and counts change in one transaction, and only after the drafts
//     are on disk at the exchange. A crash between the two repeats rows, whose
//     records have the same ids; the rows are still counted once. (Rows that a
//     source reads again on purpose count again.)
//
//   - read = accepted + rejected, for every source, at every instant.
//
//   - A row is never dropped and never guessed at: one that cannot be read or
//     mapped goes to the exchange as a rejected draft with its original bytes.
//
//   - What is masked leaves the connector masked only, also in rejected rows.
//
//   - The same row gives the same payload, byte for byte, and numbers keep
//     their digits: nothing passes through a float.
//
//   - At most two batches of a source are in memory: one being published, one
//     being read and mapped; a slow exchange slows the reading.
//
//   - No row is published under columns that were not agreed to.
//
//   - The load on a source stays within its [Limits].
//
// Completeness: a proof compares count and hash of the records by bucket of
// their keys, source against exchange, then key by key where they differ, and
// once more after everything under way has arrived. With repair it publishes
// what is missing and deletes what the source no longer has. It is made on
// demand, on a schedule, and by itself where changes may have been missed: a
// lost slot, a purged log, a truncated table.
//
// Failure: sources are independent of each other. One that fails or panics is
// closed, shown as failing with the reason and its [FaultCode], and opened again after a growing
// pause from its last saved position. What can be read is read first: rows or
// files that a source can see but not read in order are reported when nothing
// else is left to read.
package connectors
