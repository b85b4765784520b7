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
// without replica identity makes the department's own updates fail.
func (s *source) inspectKey(ctx context.Context, db *server, f facts) (faults []error, err error) {
	rows, err := db.ask(ctx, `SELECT a.attname, a.attnotnull,
			CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE EXISTS (
				SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND a.attnum = ANY (i.indkey)
				AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) END
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.oid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped`, f.oid)
	if err != nil {
		return nil, err
	}
	var there, nullable, unlogged []string
	for _, row := range rows {
		there = append(there, row[0])
		if slices.Contains(s.cfg.Key, row[0]) && row[1] != "t" {
			nullable = append(nullable, row[0])
		}
		if slices.Contains(s.identity, row[0]) && row[2] != "t" {
			unlogged = append(unlogged, row[0])
		}
	}
	for _, name := range s.identity {
		if !slices.Contains(there, name) {
			return nil, nil // reading the table tells
		}
	}
	if len(nullable) > 0 {
		faults = append(faults, connectors.Refused(connectors.FaultKeyless, nil, "key column %s of table %q may be null, and such rows cannot be read in order; "+
			"declare it NOT NULL, or name another key", listed(nullable), s.cfg.Table))
	}
	rows, err = db.ask(ctx, `SELECT x.relname, i.indisprimary OR bool_and(a.attnotnull),
			string_agg(a.attname, E'\n' ORDER BY a.attnum)
		FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
		GROUP BY 1, i.indisprimary ORDER BY i.indisprimary DESC, 1`, f.oid)
	if err != nil {
		return nil, err
	}
	unique, remedy := false, "FULL"
	var keys []string
	for _, row := range rows {
		columns := strings.Split(row[2], "\n")
		keys = append(keys, "("+strings.Join(columns, ", ")+")")
		unique = unique || within(columns, s.cfg.Key)
		if row[1] == "t" && within(s.identity, columns) && remedy == "FULL" {
			remedy = "USING INDEX " + quote(row[0])
		}
	}
	if !unique {
		instead := "there is no such index; create one"
		if len(keys) > 0 {
			instead = "there are " + strings.Join(keys[:min(len(keys), 10)], ", ")
		}
		faults = append(faults, connectors.Refused(connectors.FaultDefinition, nil,
			"key (%s) of table %q need not be unique: no primary key or unique index has these columns only; %s", strings.Join(s.cfg.Key, ", "), s.cfg.Table, instead))
	}
	if len(unlogged) > 0 {
		faults = append(faults, connectors.Refused(connectors.FaultLogSettings, nil,
			"the log does not have column %s, of the key, when a row of table %q is deleted or its key changes; the owner of the table runs ALTER TABLE %s REPLICA IDENTITY %s",
			listed(unlogged), s.cfg.Table, qualified(f.schema+"."+f.name), remedy))
	}
	return faults, nil
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
			EXISTS (SELECT 1 FROM pg_class WHERE oid = $2::oid)
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
	return row[0] + "." + row[3], nil
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
