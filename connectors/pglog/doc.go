// Package pglog follows a PostgreSQL table in the log of its database: change
// capture by logical replication (pgoutput), after a snapshot.
package pglog
