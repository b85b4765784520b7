// Package sqldb opens the state database of the hub and brings its schema up
// to date. SQLite (file, WAL, every commit synced) serves one machine;
// PostgreSQL, or a database that speaks its protocol, serves several. The
// queries of every other package run unchanged on both: placeholders are $1,
// $2 …, instants are integer microseconds since 1970 UTC, and a column type is
// one that both accept (TEXT, BIGINT, BYTEA).
//
// A transaction that SQLite or PostgreSQL refuses for contention is run again
// by [DB.InTx], so its function may run more than once and must not have
// effects of its own. Nothing here knows a table but schema_migrations.
package sqldb
