// Package county is a fictitious county (青禾县) that serves to try, show and
// measure the hub: 38 departments, 1,330 service items, 15 towns, 296 villages
// and what they did in the year 2025, 89,648 cases among it.
//
// Its records live in three systems outside the hub's process, as in a real
// county: a PostgreSQL database (market regulation, which also runs the shared
// approval platform), nightly GBK files (public security) and an HTTP
// interface with pages of JSON (civil affairs). [County.Serve] sets the three
// up in a folder, writes the connector definitions beside them and serves them
// until its context ends.
//
// Invariants:
//   - Everything but secrets and ports is derived from one fixed seed: the same
//     rows, byte for byte, on every run and platform, whatever the date.
//   - The dirt is honest: planted in known rows, at most one kind in a row, and
//     counted by [County.Planted]. Every other row passes every check.
//   - What [County.Applications] and [County.Index] expect follows from the
//     rows themselves, never from an answer of the hub.
//
// Failure: a folder is loaded once, its marks are written last, and what is
// found half-loaded is built again. PostgreSQL is a child that ends with this
// process, also when the process is killed; what is left of it all the same is
// stopped by the next Serve. PostgreSQL does not run as root: it is then run as
// postgres or nobody, with its cluster in a folder of its own in the system's
// folder for temporary files if that account cannot reach the county's folder.
// Where PostgreSQL is not installed the database is a SQLite file, and
// [Systems] says so.
package county
