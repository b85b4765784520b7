// Package connectortest is the suite that every [connectors.Source] passes:
// order and completeness, resumption from every position, repetition of what
// was not acknowledged, a cut connection, rows that cannot be read,
// cancellation, and the bounds of a batch.
//
// A kind of source brings a [Harness], which makes the department's side: a
// real database, folder or HTTP server that the suite fills, cuts and mends.
package connectortest
