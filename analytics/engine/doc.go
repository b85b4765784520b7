// Package engine is ClickHouse inside this process: an http.Handler that
// speaks ClickHouse's HTTP interface over libchdb, loaded without cgo. The
// client is clickhouse-go with Protocol HTTP, as with a real server, either in
// process through RoundTripper (leave compression off) or over a port that
// main opens; BI tools and curl use that port, too. `npm ci` in this folder
// installs libchdb.
//
// # What differs from a server
//
// libchdb holds one folder per process; a lock file refuses a second opener
// (ErrInUse). One INSERT with data and four other statements run at a time;
// more wait. Each request has a session of its own: its settings, database,
// temporary tables and SET statements end with it; session_id and external
// tables are refused. A request whose context ends has its statement killed;
// an INSERT whose rows have all arrived is carried through. Statements reach
// nothing of the machine but the data folder: no file(), url(), INTO OUTFILE,
// dictionaries or SYSTEM SHUTDOWN. Checking who calls is the caller's business.
// Answers of up to 4 MB hold no session while they are read; longer ones do.
// An INSERT in Native with an empty body is an error, since that is what
// clickhouse-go sends when it fails to encode a batch.
//
// # Durability, as found with 26.7.3 and proved by the tests
//
// A table with fsync_after_insert = 1 and fsync_part_directory = 1 has an
// acknowledged INSERT on disk. One INSERT writes one part per partition, one
// after the other, each whole or not at all: so a killed INSERT may have
// stored some partitions' rows and not others'. The table that is named is
// written first, all its partitions, then the tables behind its materialized
// views, each before the views of its own. A kill in between leaves the later
// tables without these rows: a hole, which nothing fills by itself.
//
// Repeating the INSERT with the same rows, as one block again, under the same
// insert_deduplication_token fills every hole and duplicates nothing,
// after merges, a restart or a kill −9. A table that has the rows already drops
// them, and its views are run all the same. Different tokens keep equal rows,
// behind views as well. This holds only if
//   - every table of the chain, not the first alone, has
//     non_replicated_deduplication_window (0 by default; a table without it
//     doubles its rows when the others drop theirs). The window counts parts,
//     not INSERTs: one INSERT takes as many entries as it has partitions;
//   - deduplicate_blocks_in_dependent_materialized_views is 1 (set for every
//     request here) in every one of the INSERTs: with 0, the repeat doubles the
//     rows behind views;
//   - a token is never used for other rows: they would be dropped without an error;
//   - the batch travels as one block, as clickhouse-go's batches do; keep it below
//     1,000,000 rows and 256 MB, where ClickHouse begins to cut;
//   - the server is this one. ClickHouse writes the token to the table's log
//     before it renames the part into place, so a kill −9 in between leaves a
//     token without rows, and a plain server then drops the repeat: the rows are
//     lost to that table, or to one view's target, for good. Open looks for
//     such tokens before libchdb does and takes them out. A real cluster must
//     use ReplicatedMergeTree, which commits both in one Keeper transaction.
//
// Two things remain. The token log is not synced to disk: after a power cut
// (not a kill) a part can be there without its token, and the repeat then
// duplicates it in that table. So after a crash the sink looks whether the
// landing table holds the rows of an open intent (the guard by record id), and
// when it does and the machine, not only the process, went down, rebuilds the
// tables behind it for the days concerned. And Open forgets the tokens of rows
// that were dropped, detached or expired since.
//
// # Memory
//
// See serverConfig and Config.MemoryLimit. A statement over its limit fails
// with code 241, and only that statement.
package engine
