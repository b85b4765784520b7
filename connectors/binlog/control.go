package binlog

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

const connectTimeout = 15 * time.Second

// control is the connection on which the server is asked how it is.
type control struct {
	conn *client.Conn
	// mariadb and version tell the servers apart.
	mariadb      bool
	major, minor int
}

// query runs a statement within the limits and returns its rows as texts.
func (c *control) query(ctx context.Context, limit time.Duration, statement string) ([]map[string]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_ = c.conn.SetDeadline(time.Now().Add(limit))
	ends := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer ends()
	result, err := c.conn.Execute(statement)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	defer result.Close()
	if result.Resultset == nil {
		return nil, nil
	}
	rows := make([]map[string]string, result.RowNumber())
	for i := range rows {
		rows[i] = make(map[string]string, len(result.Fields))
		for k, field := range result.Fields {
			text, err := result.GetString(i, k)
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", field.Name, err)
			}
			rows[i][strings.ToLower(string(field.Name))] = strings.Clone(text) // the result's memory is used again
		}
	}
	return rows, nil
}

// newControl looks who the server is.
func newControl(conn *client.Conn) *control {
	c := &control{conn: conn}
	version := conn.GetServerVersion()
	c.mariadb = strings.Contains(version, "MariaDB")
	version = strings.TrimPrefix(version, "5.5.5-") // MariaDB's way to be taken for a MySQL
	numbers := strings.SplitN(version, ".", 3)
	if len(numbers) == 3 {
		c.major, _ = strconv.Atoi(numbers[0])
		c.minor, _ = strconv.Atoi(numbers[1])
	}
	return c
}

func (c *control) atLeast(major, minor int) bool {
	return c.major > major || c.major == major && c.minor >= minor
}

// end is the place behind the last event of the binlog.
func (c *control) end(ctx context.Context, limit time.Duration) (place, error) {
	statement := "SHOW MASTER STATUS"
	if !c.mariadb && c.atLeast(8, 2) {
		statement = "SHOW BINARY LOG STATUS"
	}
	rows, err := c.query(ctx, limit, statement)
	if err != nil {
		return place{}, err
	}
	if len(rows) == 0 {
		return place{}, errNoLog
	}
	offset, err := strconv.ParseUint(rows[0]["position"], 10, 63)
	return place{rows[0]["file"], offset}, err
}

// holds says whether the binlog still has a place.
func (c *control) holds(ctx context.Context, limit time.Duration, p place) (bool, error) {
	rows, err := c.query(ctx, limit, "SHOW BINARY LOGS")
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		if row["log_name"] == p.File {
			size, err := strconv.ParseUint(row["file_size"], 10, 63)
			return err == nil && p.Offset <= size, err
		}
	}
	return false, nil
}

// quoteText writes a text as a literal that no setting of the session reads otherwise.
func quoteText(text string) string { return "_utf8mb4 X'" + hex.EncodeToString([]byte(text)) + "'" }

// hidden says why rows of the table have columns in the log that the table does not show; empty if they have none.
func (c *control) hidden(ctx context.Context, limit time.Duration, schema, table string) (string, error) {
	if !c.mariadb {
		return "", nil
	}
	rows, err := c.query(ctx, limit, `SELECT t.table_type AS type, t.engine AS engine, (SELECT MIN(s.index_name) FROM information_schema.statistics s
			WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name AND s.non_unique = 0 AND s.index_type = 'HASH') AS hashed
		FROM information_schema.tables t WHERE t.table_schema = `+quoteText(schema)+` AND t.table_name = `+quoteText(table))
	switch {
	case err != nil || len(rows) == 0:
		return "", err
	case rows[0]["type"] == "SYSTEM VERSIONED":
		return "keeps its history (WITH SYSTEM VERSIONING)", nil
	case rows[0]["hashed"] != "" && !strings.EqualFold(rows[0]["engine"], "MEMORY"):
		return fmt.Sprintf("has the unique key %q on a long column, which the server keeps as a hidden column", rows[0]["hashed"]), nil
	}
	return "", nil
}

// parents lists the tables by whose changes foreign keys (ON … CASCADE, SET
// NULL) change a table, directly or through others; such changes are not in the binlog.
func (c *control) parents(ctx context.Context, limit time.Duration, schema, table string) (map[string]bool, error) {
	found := map[string]bool{}
	for open := [][2]string{{schema, table}}; len(open) > 0; open = open[1:] {
		rows, err := c.query(ctx, limit, `SELECT k.referenced_table_schema AS s, k.referenced_table_name AS t
			FROM information_schema.referential_constraints r JOIN information_schema.key_column_usage k
				ON k.constraint_schema = r.constraint_schema AND k.constraint_name = r.constraint_name AND k.table_name = r.table_name
			WHERE r.constraint_schema = `+quoteText(open[0][0])+` AND r.table_name = `+quoteText(open[0][1])+`
				AND k.table_schema = `+quoteText(open[0][0])+` AND k.table_name = `+quoteText(open[0][1])+`
				AND (r.delete_rule NOT IN ('RESTRICT', 'NO ACTION') OR r.update_rule NOT IN ('RESTRICT', 'NO ACTION'))`)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if name := row["s"] + "." + row["t"]; !found[name] {
				found[name] = true
				open = append(open, [2]string{row["s"], row["t"]})
			}
		}
	}
	return found, nil
}

// now is the server's time, in microseconds, without the fraction of a second, which events do not have either.
func (c *control) now(ctx context.Context, limit time.Duration) (int64, error) {
	rows, err := c.query(ctx, limit, "SELECT UNIX_TIMESTAMP() AS now")
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseInt(rows[0]["now"], 10, 64)
	return seconds * 1_000_000, err
}

// target is the server and the table that the definition names.
type target struct {
	address, user, password string
	tls                     *tls.Config
	schema, table           string
	// folded says that the server does not tell upper from lower case in names of tables.
	folded bool
}

// is says whether a name in the log is that of the table.
func (t target) is(schema, table string) bool {
	if t.folded {
		return strings.EqualFold(schema, t.schema) && strings.EqualFold(table, t.table)
	}
	return schema == t.schema && table == t.table
}

const form = "mysql://user:password@host:3306/database (optionally ?tls=true)" //nolint:gosec // the form of a URL

// readTarget reads the file with the URL. Its messages show nothing of it, since it may hold a password.
func readTarget(cfg *connectors.Log) (target, error) {
	name := filepath.Base(cfg.DSNFile)
	text, err := sqltable.ReadURL(cfg.DSNFile)
	if err != nil {
		return target{}, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "mysql" && u.Scheme != "mariadb" {
		return target{}, connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q must hold a URL of the form %s", name, form)
	}
	t := target{address: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306")), user: u.User.Username()}
	t.password, _ = u.User.Password()
	switch mode := u.Query().Get("tls"); mode {
	case "", "false":
	case "true":
		t.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	case "skip-verify":
		t.tls = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // what the owner of the file asked for
	default:
		return target{}, connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q: tls must be true, false or skip-verify", name)
	}
	schema, table, ok := strings.Cut(cfg.Table, ".")
	if !ok {
		schema, table = strings.TrimPrefix(u.Path, "/"), cfg.Table
	}
	if schema == "" {
		return target{}, connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q names no database; it must hold a URL of the form %s", name, form)
	}
	t.schema, t.table = schema, table
	return t, nil
}

// connect makes a connection; it is the caller's.
func (t target) connect(ctx context.Context) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			limit, _ := ctx.Deadline()
			err = conn.SetDeadline(limit) // the handshake does not look at ctx
		}
		return conn, err
	}
	conn, err := client.ConnectWithDialer(ctx, "tcp", t.address, t.user, t.password, "", dial, func(c *client.Conn) error {
		c.SetTLSConfig(t.tls)
		return c.SetCollation("utf8mb4_general_ci") // for the user's name; MariaDB does not know the collation of the library's choice
	})
	if err != nil {
		return nil, err
	}
	// Servers may ignore what the handshake says (skip-character-set-client-handshake), or change it after (init_connect).
	for _, set := range []string{"SET NAMES utf8mb4", "SET SESSION sql_mode = ''"} {
		if _, err := conn.Execute(set); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return conn, conn.SetDeadline(time.Time{})
}

// settings checks that the server logs what is needed.
func (s *source) settings(ctx context.Context) error {
	rows, err := s.control.query(ctx, s.limit(), `SELECT @@global.log_bin AS log_bin, @@global.binlog_format AS format, @@global.binlog_row_image AS image,
		@@lower_case_table_names AS folded`)
	if err != nil {
		return s.fault(ctx, "asking for the settings", err)
	}
	if mariadb := s.control.mariadb; mariadb != (s.cfg.Driver == "mariadb") {
		s.log.DebugContext(ctx, "driver and server differ; what the server says counts", slog.Bool("mariadb", mariadb))
	}
	s.target.folded = rows[0]["folded"] != "0"
	return settingsFaults(rows[0])
}

// settingsFaults names every setting that is wrong, with what to run.
func settingsFaults(have map[string]string) error {
	var faults []error
	if have["log_bin"] != "1" {
		return errNoLog
	}
	if !strings.EqualFold(have["format"], "ROW") {
		faults = append(faults, connectors.Refused(connectors.FaultLogSettings, nil,
			"the server logs statements (binlog_format=%s), not rows; run SET GLOBAL binlog_format = 'ROW'; "+
				"let the applications connect again, and put binlog_format=ROW into the server's configuration", have["format"]))
	}
	if !strings.EqualFold(have["image"], "FULL") {
		faults = append(faults, connectors.Refused(connectors.FaultLogSettings, nil,
			"the server does not log all columns of a row (binlog_row_image=%s); run SET GLOBAL binlog_row_image = 'FULL'; "+
				"let the applications connect again, and put binlog_row_image=FULL into the server's configuration", have["image"]))
	}
	return errors.Join(faults...)
}
