// Package connectors reads the systems of departments (tables, files, HTTP
// interfaces) and hands their rows to the exchange.
//
// A [Definition] says where a source lies and how its rows become records; a
// [Source] (one sub-package per kind) reads it in batches; the [Runner] maps
// each batch to drafts, publishes them and then saves the position after the
// batch together with its counts.
//
// Invariants:
//   - Position and counts change in one transaction, and only after the drafts
//     are on disk at the exchange. A crash between the two repeats rows, whose
//     records have the same ids; the rows are still counted once.
//   - read = accepted + rejected, for every source, at every instant.
//   - A row is never dropped and never guessed at: one that cannot be read or
//     mapped goes to the exchange as a rejected draft with its original bytes.
//   - What is masked leaves the connector masked only, also in rejected rows.
//   - The same row gives the same payload, byte for byte, and numbers keep
//     their digits: nothing passes through a float.
//   - At most two batches of a source are in memory: one being published, one
//     being read and mapped; a slow exchange slows the reading.
//
// Failure: sources are independent of each other. One that fails or panics is
// closed, shown as failing with the reason, and opened again after a growing
// pause from its last saved position. What can be read is read first: rows or
// files that a source can see but not read in order are reported when nothing
// else is left to read.
package connectors
