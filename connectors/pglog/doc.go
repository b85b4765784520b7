// Package pglog follows a PostgreSQL table in the log of its database (change
// capture by logical replication, pgoutput): first the rows that are there,
// then every insert, update and delete, with no gap and no double at the seam.
//
// A source is one table, one replication slot and one publication. The latter
// are made when they are absent; the table must have a unique key, all of whose
// columns the log has of deleted rows (REPLICA IDENTITY).
//
// Snapshot and re-reading need no long transaction. The stream runs from the
// start; in between, the table is read in chunks in the order of the key. A
// chunk is kept until the stream has passed a mark that was written behind it,
// and what the stream touched meanwhile is dropped from it. A chunk is not read
// while a transaction that was handed on may be invisible to it: a commit is
// logged before others see it, long before where it waits for a standby; nor
// while one may be so that was logged before the slot begins. A
// position knows how far each range was read, so all of it resumes.
//
// Instants. A change has its commit time, or 2 µs more than the change before
// if that is later: a function of the stream alone, so the same change read
// again has the same instant. All rows of a chunk have the instant 1 µs behind
// the last change that was handed on before; equal instants are rows of
// different keys, or the same row in the same state.
//
// Texts are those of [sqltable.Table], which makes the rows. A value that the
// log does not have (large and unchanged, generated, of a column that was
// renamed since) is read from the table, once the change is visible there: it
// may be newer than the change, whose successors then follow. A row that is gone
// by then is left out; its delete follows.
//
// The server keeps the log until rows are acknowledged. While the table is
// quiet, a batch without rows moves the position once per Heartbeat, and a
// message of our own keeps the log moving. Caught up means that everything
// that was on the server's disk at the time of the call has been handed on.
//
// Failure. A slot that is gone, invalidated, moved on by others or holds more
// log than agreed, a table or publication that is another one than before, a
// publication that was altered, and a server at an earlier state, are told once as [connectors.FaultSlotLost]; the next Open makes a new slot,
// reads the whole table again and sets Gap. So does TRUNCATE set Gap. Memory:
// a transaction of any size comes in batches; rows that are too long are cut
// while they are received, and rejected.
//
// Limits. A source has up to three connections: the stream, one for questions,
// and one for chunks and look-ups while they are needed; Scan has its own. How
// much log is kept is looked at only while the source is open, once per
// Heartbeat: set max_slot_wal_keep_size at the server, too. TRUNCATE, ATTACH and
// DETACH of a single partition are not in the stream of its parent; the next
// proof finds what they changed. A row over 48 MiB stops the snapshot with
// [connectors.FaultTooLarge], and is rejected in the stream. A server that was
// restored is noticed while its log is shorter than it was.
//
// Tested with PostgreSQL 15. Not followed: views, foreign tables, parents by
// INHERITS; of partitioned tables each partition needs the replica identity,
// also new ones. A new slot waits until all transactions have ended that are
// open when it is made. Events that a standby has in its log are not followed
// there: follow the primary.
package pglog
