package pglog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

// facts are what the catalogue says of the table.
type facts struct {
	oid, schema, name string
	root              bool // it has partitions
	user              string
}

// inspect compares the definition with the database, without changing
// anything. All faults are found at once. A table that is not there is not
// told here: reading it tells more.
func (s *source) inspect(ctx context.Context, db *server) (facts, error) {
	row, err := db.one(ctx, `SELECT current_setting('wal_level'), current_user, pg_is_in_recovery(),
		EXISTS (SELECT 1 FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolreplication))
		OR EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'member'))`)
	if err != nil {
		return facts{}, err
	}
	f := facts{user: row[1]}
	var faults []error
	fault := func(code connectors.FaultCode, format string, args ...any) {
		faults = append(faults, connectors.Refused(code, nil, format, args...))
	}
	if row[0] != "logical" {
		fault(connectors.FaultLogSettings, walLevel, row[0])
	}
	if row[2] == "t" {
		fault(connectors.FaultLogSettings, "the database is a standby; follow its primary")
	}
	if row[3] != "t" {
		fault(connectors.FaultRight, "user %q may not follow the log; a superuser runs ALTER ROLE %s REPLICATION", f.user, quote(f.user))
	}
	rows, err := db.ask(ctx, `SELECT c.oid, n.nspname, c.relname, c.relkind, c.relhassubclass, row_security_active(c.oid)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1::text)`, qualified(s.cfg.Table))
	if err != nil {
		return f, err
	}
	if len(rows) == 0 {
		return f, errors.Join(faults...)
	}
	f.oid, f.schema, f.name, f.root = rows[0][0], rows[0][1], rows[0][2], rows[0][3] == "p"
	switch kind := rows[0][3]; {
	case kind != "r" && kind != "p":
		fault(connectors.FaultTable, "%q is no table but a view or a foreign table, whose changes are in no log; use kind: sql", s.cfg.Table)
		return f, errors.Join(faults...)
	case kind == "r" && rows[0][4] == "t":
		fault(connectors.FaultTable, "other tables inherit from table %q; their rows would be missed; use kind: sql", s.cfg.Table)
	}
	if rows[0][5] == "t" {
		fault(connectors.FaultRight, "row-level security hides rows of table %q from user %q; a superuser runs ALTER ROLE %s BYPASSRLS", s.cfg.Table, f.user, quote(f.user))
	}
	more, err := s.inspectKey(ctx, db, f)
	if err != nil {
		return f, err
	}
	return f, errors.Join(append(faults, more...)...)
}

// inspectKey checks that the key identifies rows and that the log has it for
// every change. It must come before the publication: to publish a table
// without replica identity, or a partition of it, makes the department's own
// updates fail.
func (s *source) inspectKey(ctx context.Context, db *server, f facts) (faults []error, err error) {
	rows, err := db.ask(ctx, `SELECT a.attname, a.attnotnull, coalesce(to_jsonb(a)->>'attgenerated', '') <> ''
		FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped`, f.oid)
	if err != nil {
		return nil, err
	}
	var there, nullable, generated []string
	for _, row := range rows {
		there = append(there, row[0])
		if slices.Contains(s.cfg.Key, row[0]) && row[1] != "t" {
			nullable = append(nullable, row[0])
		}
		if slices.Contains(s.identity, row[0]) && row[2] == "t" {
			generated = append(generated, row[0])
		}
	}
	if !within(s.identity, there) {
		return nil, nil // reading the table tells
	}
	if len(nullable) > 0 {
		faults = append(faults, connectors.Refused(connectors.FaultKeyless, nil, "key column %s of table %q may be null, and such rows cannot be read in order; "+
			"declare it NOT NULL, or name another key", listed(nullable), s.cfg.Table))
	}
	indexes, err := uniqueIndexes(ctx, db, f.oid)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(indexes, func(x index) bool { return within(x.columns, s.cfg.Key) }) {
		instead := "there is no such index; create one"
		if len(indexes) > 0 {
			var keys []string
			for _, x := range indexes[:min(len(indexes), 10)] {
				keys = append(keys, "("+strings.Join(x.columns, ", ")+")")
			}
			instead = "there are " + strings.Join(keys, ", ")
		}
		faults = append(faults, connectors.Refused(connectors.FaultDefinition, nil,
			"key (%s) of table %q need not be unique: no primary key or unique index has these columns only; %s", strings.Join(s.cfg.Key, ", "), s.cfg.Table, instead))
	}
	if len(generated) > 0 {
		return append(faults, connectors.Refused(connectors.FaultLogSettings, nil,
			"column %s, of the key, of table %q is generated, and the log does not have generated columns; name another key, or use kind: sql", listed(generated), s.cfg.Table)), nil
	}
	unlogged, err := s.inspectIdentity(ctx, db, f)
	return append(faults, unlogged...), err
}

// inspectIdentity checks that the log has the key of deleted rows. Of a table
// with partitions these decide, each for itself.
func (s *source) inspectIdentity(ctx context.Context, db *server, f facts) (faults []error, err error) {
	rows, err := db.ask(ctx, `WITH RECURSIVE tree (oid) AS (
			SELECT $1::oid UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
		SELECT c.oid, n.nspname, c.relname, a.attname
		FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
			AND NOT CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE EXISTS (
				SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND a.attnum = ANY (i.indkey)
				AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) END
		ORDER BY 2, 3, a.attnum`, f.oid)
	if err != nil {
		return nil, err
	}
	unlogged := map[string][]string{}
	for _, row := range rows {
		oid, table, column := row[0], qualified(row[1]+"."+row[2]), row[3]
		if !slices.Contains(s.identity, column) {
			continue
		}
		if unlogged[oid] == nil && len(faults) == 10 {
			return faults, nil // enough to begin with
		}
		if unlogged[oid] = append(unlogged[oid], column); len(unlogged[oid]) > 1 {
			faults = faults[:len(faults)-1] // told with the others
		}
		remedy, err := s.remedy(ctx, db, oid)
		if err != nil {
			return nil, err
		}
		faults = append(faults, connectors.Refused(connectors.FaultLogSettings, nil,
			"the log does not have column %s, of the key, when a row of table %q is deleted or its key changes; the owner of the table runs ALTER TABLE %s REPLICA IDENTITY %s",
			listed(unlogged[oid]), row[2], table, remedy))
	}
	return faults, nil
}

// remedy is the replica identity that a table should have.
func (s *source) remedy(ctx context.Context, db *server, oid string) (string, error) {
	indexes, err := uniqueIndexes(ctx, db, oid)
	for _, x := range indexes {
		if x.whole && within(s.identity, x.columns) {
			return "USING INDEX " + quote(x.name), err
		}
	}
	return "FULL", err
}

// index is a unique index of whole columns.
type index struct {
	name    string
	whole   bool // no column may be null
	columns []string
}

// uniqueIndexes are those that hold at every moment, the primary key first.
func uniqueIndexes(ctx context.Context, db *server, oid string) ([]index, error) {
	rows, err := db.ask(ctx, `SELECT x.relname, i.indisprimary OR bool_and(a.attnotnull),
			string_agg(a.attname, E'\n' ORDER BY a.attnum)
		FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
		GROUP BY 1, i.indisprimary ORDER BY i.indisprimary DESC, 1`, oid)
	var indexes []index
	for _, row := range rows {
		indexes = append(indexes, index{name: row[0], whole: row[1] == "t", columns: strings.Split(row[2], "\n")})
	}
	return indexes, err
}

func within(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(name string) bool { return !slices.Contains(whole, name) })
}

// publication makes sure that the table is published, all of it, and returns
// what names its place there: another one means that changes may have been missed.
func (s *source) publication(ctx context.Context, db *server, f facts, create bool) (place string, err error) {
	rows, err := db.ask(ctx, `SELECT p.oid, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, coalesce(to_jsonb(p)->>'pubviaroot', 'false'),
			coalesce(r.oid, 0), coalesce(to_jsonb(r)->>'prqual', '') <> '',
			EXISTS (SELECT 1 FROM pg_publication_tables t WHERE t.pubname = p.pubname AND t.schemaname = $3::text AND t.tablename = $4::text),
			EXISTS (SELECT 1 FROM pg_class WHERE oid = $2::oid), p.xmin, r.xmin
		FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = $2::oid WHERE p.pubname = $1::text`,
		s.cfg.Publication, f.oid, f.schema, f.name)
	if err != nil {
		return "", err
	}
	name, table := quote(s.cfg.Publication), qualified(f.schema+"."+f.name)
	refused := func(what, remedy string) (string, error) {
		return "", connectors.Refused(connectors.FaultLogSettings, nil, "publication %q %s; its owner runs %s", s.cfg.Publication, what, remedy)
	}
	if len(rows) == 0 {
		if !create {
			return "", nil
		}
		command := "CREATE PUBLICATION " + name + " FOR TABLE " + table
		if f.root {
			command += " WITH (publish_via_partition_root = true)"
		}
		if _, err := db.ask(ctx, command); err != nil {
			if code := s.fault(ctx, "", err); errors.Is(code, connectors.ErrRefused) {
				return "", connectors.Refused(connectors.FaultRight, err, "user %q may not publish table %q; the owner of the table runs %s", f.user, s.cfg.Table, command)
			}
			return "", err
		}
		return s.publication(ctx, db, f, false)
	}
	row := rows[0]
	switch {
	case row[6] != "t":
		return "", connectors.Refused(connectors.FaultTable, nil, "table %q is no longer there; restore it or correct its name", s.cfg.Table)
	case row[1] != "t":
		return refused("leaves out some kinds of change", "ALTER PUBLICATION "+name+" SET (publish = 'insert, update, delete, truncate')")
	case f.root && row[2] != "true":
		return refused("names the partitions of the table instead of the table", "ALTER PUBLICATION "+name+" SET (publish_via_partition_root = true)")
	case row[5] != "t":
		return refused(fmt.Sprintf("does not have table %q", s.cfg.Table), "ALTER PUBLICATION "+name+" ADD TABLE "+table)
	case row[4] == "t":
		return refused("leaves out rows (it has a WHERE)", "ALTER PUBLICATION "+name+" DROP TABLE "+table+", then ADD TABLE "+table)
	}
	// The transactions that wrote the entries: a publication that was narrowed for a while has left changes out.
	return strings.Join([]string{row[0], row[7], row[3], row[8]}, "."), nil
}

// place names the database, the table and its publication.
func (s *source) place(ctx context.Context, db *server, f facts, create bool) (string, error) {
	published, err := s.publication(ctx, db, f, create)
	if err != nil {
		return "", err
	}
	row, err := db.one(ctx, `SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_system()`)
	if err != nil {
		return "", err
	}
	return strings.Join([]string{row[0], row[1], f.oid, published}, "/"), nil
}

// listed names columns in a message.
func listed(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return strings.Join(quoted, ", ")
}
