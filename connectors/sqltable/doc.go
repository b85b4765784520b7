// Package sqltable reads tables and views of SQL databases: PostgreSQL,
// KingbaseES and openGauss through the PostgreSQL protocol, MySQL and MariaDB,
// SQLite, Oracle and SQL Server.
//
// [Table] reads one table in the order of its key, piece by piece; [New] makes
// the [connectors.Source] that follows a table by a cursor column that grows
// with each change, or by reading it whole again and again (mode bulk, where
// what did not change is mostly not handed on again):
//
//	SELECT … WHERE (cursor, key) > (last cursor, last key) ORDER BY cursor, key LIMIT n
//
// Invariants:
//   - The comparison is the database's own, on values in its own text, so it is
//     exact, and right for its collations. An index on (cursor, key) keeps it
//     cheap. Floats, and types without an order, are refused as cursor and key.
//     Key, or the cursor alone if there is no key, must be unique: rows that have
//     the same of it are a fault. (Keys that only the collation takes for the same
//     are not noticed.)
//   - Texts are those of the database's text protocol, digit by digit, zero
//     dates, padding and all; instants of PostgreSQL and MySQL's timestamps are
//     in UTC with their offset. Binary values are \x and hexadecimal digits.
//   - MySQL's text is decoded here, by the charset of each column; bytes that
//     are not of it reject the row, with the bytes in hexadecimal.
//   - Every query is one read-only transaction on the one connection, which
//     holds no lock in between and is made anew when it was idle for a minute, with a time limit that the server keeps itself
//     where it can (PostgreSQL, MySQL, MariaDB). The columns come from the same
//     transaction as the rows.
//   - A row that is committed up to Overlap after its cursor was set is read, though
//     others with greater cursors were read before: once per Overlap the rows
//     since the newest mark of sufficient age are read again, and those that
//     were not handed on as they are now are handed on. See source.duePass.
//     Cursors are compared with cursors only, never with a clock. If more than
//     500,000 rows are read within an Overlap, the older of them come twice.
//   - Rows whose cursor, a date or time, lies more than a day ahead of the
//     database's own clock are not read, because those that come later would be
//     missed; they are a fault. (Not in SQLite, where times are texts of any form.)
//   - Between the new rows, the overlap and ranges to be read again, Read takes
//     turns; all three go on where they were after a restart.
//
// What a cursor cannot see: deleted rows; rows that are committed later than
// Overlap; and rows whose cursor or key is null, which are reported as a fault
// when everything else is read, and looked for once an hour. Cursors must not run backwards: sequences with
// a cache per session, and clocks that are put back by more than Overlap, do.
//
// Failure: every error is a [connectors.Fault] with its code. After an error the
// connection is given up; a [Table] makes a new one when it is used again.
//
// Limits: a batch is asked for by the size of the rows before it. Rows beyond
// [connectors.MaxRowBytes] are rejected rows; one beyond 48 MiB stops a source
// of PostgreSQL with a fault, while the drivers of the others take in whatever
// their server sends.
//
// Not run against a server, since none can be installed where this is tested:
// Oracle, SQL Server (the texts of their queries and the conversion of values
// are tested), MySQL (MariaDB is), KingbaseES and openGauss (PostgreSQL is;
// openGauss must offer MD5 or SCRAM-SHA-256 passwords). On Oracle and SQL
// Server the time limit is ours alone. SQL Server reads with READ COMMITTED: unless
// the database has READ_COMMITTED_SNAPSHOT on, a query takes shared locks for as
// long as it reads and waits up to 5 seconds for those of writers, and the columns
// may be those of a moment after the rows.
package sqltable
