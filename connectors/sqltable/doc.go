// Package sqltable follows a table or view of a PostgreSQL database, or one
// that speaks its protocol, or of a SQLite file, by a cursor column that grows
// with each change and a unique key that orders rows of equal cursor:
//
//	SELECT … WHERE (cursor, key) > (last cursor, last key) ORDER BY cursor, key LIMIT n
//
// The comparison is the database's own, on values that travel as its own
// text, so it is exact to the microsecond. An index on (cursor, key) keeps it
// cheap. Columns of type real or double are refused as cursor or key.
//
// Every batch is one read-only transaction with a time limit; between batches
// the source holds one idle connection and no lock. Values are read as text,
// numbers with all their digits; PostgreSQL gives instants in UTC with their
// offset, and times without zone as they were stored.
//
// What a cursor cannot see: deleted rows; rows that are committed late with a
// cursor below one that was already read; and rows whose cursor or key is
// null, which are reported as a fault when everything else is read.
package sqltable
