// Package sqltable reads tables and views of SQL databases: PostgreSQL,
// KingbaseES and openGauss through the PostgreSQL protocol, MySQL and MariaDB,
// SQLite, Oracle and SQL Server.
//
// [Table] reads one table in the order of its key, piece by piece; [New] makes
// the [connectors.Source] that follows a table, by a cursor column that grows
// with each change or by reading it whole again and again.
package sqltable
