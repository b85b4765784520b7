package pglog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

const (
	connectTimeout = 15 * time.Second
	askTimeout     = 15 * time.Second
	maxDSNBytes    = 4096
)

// server is an ordinary connection beside the stream, for small questions.
type server struct {
	cfg  *pgconn.Config
	conn *pgconn.PgConn
	// names are stored in the charset of the definition, if it states one.
	names sqltable.Names
	// mute says that we may not write messages into the log.
	mute bool
}

// dial connects. The settings make the texts of values the same as those of sqltable.
func dial(ctx context.Context, l *connectors.Log) (*server, error) {
	file := filepath.Base(l.DSNFile)
	content, err := os.ReadFile(l.DSNFile)
	if err != nil {
		return nil, connectors.Refused(connectors.FaultSecret, err, "dsn_file %q cannot be read", file)
	}
	text := strings.TrimSpace(string(content))
	if len(text) > maxDSNBytes || strings.ContainsAny(text, "\r\n\x00") || !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q must hold one line, a URL of the form postgres://user:password@host:5432/database", file)
	}
	cfg, err := pgconn.ParseConfig(text)
	if err != nil { // whose text may quote the URL
		return nil, connectors.Refused(connectors.FaultSecret, nil, "dsn_file %q must hold a URL of the form postgres://user:password@host:5432/database", file)
	}
	for name, value := range map[string]string{
		"client_encoding": "UTF8", "timezone": "UTC", "datestyle": "ISO, YMD", "intervalstyle": "postgres",
		"extra_float_digits": "3", "bytea_output": "hex", "application_name": "onewindow",
		"synchronous_commit": "local", // our signs of life need not wait for a standby
	} {
		cfg.RuntimeParams[name] = value
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, conn: conn}
	if l.Charset != "" { // the bytes as they are stored, here and in the stream
		cfg.RuntimeParams["client_encoding"] = conn.ParameterStatus("server_encoding")
		if _, err := s.ask(ctx, `SELECT set_config('client_encoding', current_setting('server_encoding'), false)`); err != nil {
			s.close()
			return nil, err
		}
		s.names = sqltable.Names(l.Charset)
	}
	return s, nil
}

func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the server notices
}

// ask runs a query; nulls come as empty texts.
func (s *server) ask(ctx context.Context, query string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s.askSlowly(ctx, query, args...)
}

// askSlowly leaves the time limit to ctx.
func (s *server) askSlowly(ctx context.Context, query string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(s.names.Stored(arg))
	}
	result := s.conn.ExecParams(ctx, s.names.Stored(query), values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, cell := range row {
			rows[i] = append(rows[i], s.names.Text(cell))
		}
	}
	return rows, nil
}

// one asks a question whose answer is one row.
func (s *server) one(ctx context.Context, query string, args ...string) ([]string, error) {
	rows, err := s.ask(ctx, query, args...)
	if err == nil && len(rows) != 1 {
		err = errors.New("the database gave an answer without a row")
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// end returns where the log ends that is safe on disk. More is not sent to
// anybody, and nothing behind it would survive a crash.
func (s *server) end(ctx context.Context) (pglogrepl.LSN, error) {
	row, err := s.one(ctx, `SELECT pg_current_wal_flush_lsn()`)
	if err != nil {
		return 0, err
	}
	return pglogrepl.ParseLSN(row[0])
}

// mark writes a message into the log, so that it goes on being sent although
// nobody else writes, and returns a place behind everything that has been
// committed so far. Without the right to, it returns the place alone.
func (s *server) mark(ctx context.Context) (pglogrepl.LSN, error) {
	if !s.mute {
		row, err := s.one(ctx, `SELECT pg_logical_emit_message(true, 'onewindow', '')`)
		if err == nil {
			return pglogrepl.ParseLSN(row[0])
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			return 0, err
		}
		s.mute = true
	}
	row, err := s.one(ctx, `SELECT pg_current_wal_insert_lsn()`)
	if err != nil {
		return 0, err
	}
	return pglogrepl.ParseLSN(row[0])
}

// visibility says which transactions a query that begins now, or later, is sure to see.
type visibility struct {
	oldest  uint32 // transactions before it have ended
	next    uint32 // transactions from here on are not visible
	running map[uint32]bool
	// file of the table: a rewritten table has another, and looks empty to who began to read it before.
	file string
}

func (s *server) visibility(ctx context.Context, table string) (visibility, error) {
	row, err := s.one(ctx, `SELECT txid_current_snapshot()::text, coalesce(pg_relation_filenode($1::oid)::text, '')`, table)
	if err != nil {
		return visibility{}, err
	}
	parts := strings.Split(row[0], ":") // xmin:xmax:running,running
	if len(parts) != 3 {
		return visibility{}, errors.New("the database's snapshot cannot be read")
	}
	oldest, err := shortXID(parts[0])
	if err != nil {
		return visibility{}, err
	}
	next, err := shortXID(parts[1])
	if err != nil {
		return visibility{}, err
	}
	v := visibility{oldest: oldest, next: next, running: map[uint32]bool{}, file: row[1]}
	for text := range strings.SplitSeq(parts[2], ",") {
		if text == "" {
			continue
		}
		xid, err := shortXID(text)
		if err != nil {
			return visibility{}, err
		}
		v.running[xid] = true
	}
	return v, nil
}

// shortXID drops the epoch: the stream has transactions without it.
func shortXID(text string) (uint32, error) {
	long, err := strconv.ParseUint(text, 10, 64)
	return uint32(long), err //nolint:gosec // the low half is what is wanted
}

// sees says whether a transaction that committed is visible for sure.
func (v visibility) sees(xid uint32) bool {
	return int32(xid-v.next) < 0 && !v.running[xid] //nolint:gosec // numbers go round, as the database's do
}

// ended says whether all transactions have ended that began before one.
func (v visibility) ended(xid uint32) bool {
	return int32(v.oldest-xid) >= 0 //nolint:gosec // as above
}

func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

// qualified quotes "name" or "schema.name".
func qualified(table string) string {
	if schema, name, ok := strings.Cut(table, "."); ok {
		return quote(schema) + "." + quote(name)
	}
	return quote(table)
}
