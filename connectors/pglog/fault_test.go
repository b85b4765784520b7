package pglog

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
)

// as makes a definition that connects as another user.
func (d *department) as(t *testing.T, def connectors.Definition, user, password string) connectors.Definition {
	t.Helper()
	u, err := url.Parse(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	l := *def.Log
	l.DSNFile = secret(t, u.String())
	def.Log = &l
	return def
}

// role makes a user who may read people and is dropped with the test.
func (d *department) role(t *testing.T, name, rights string) {
	t.Helper()
	d.exec(t, `CREATE ROLE `+name+` LOGIN `+rights)
	t.Cleanup(func() {
		for _, statement := range []string{`DROP OWNED BY ` + name, `DROP ROLE ` + name} {
			if _, err := d.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
				t.Error(err)
			}
		}
	})
	d.exec(t, `GRANT USAGE ON SCHEMA `+d.schema+` TO `+name)
	d.exec(t, `GRANT SELECT ON people TO `+name)
}

func TestRights(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people VALUES (1, 'a')`)
	reader := "reader_" + d.schema
	d.role(t, reader, "")
	def := d.as(t, d.definition(), reader, "x")
	src := d.construct(t, def)
	expectFault(t, src.Open(t.Context(), nil), connectors.FaultRight, "ALTER ROLE", "REPLICATION")

	d.exec(t, `ALTER ROLE `+reader+` REPLICATION`)
	expectFault(t, src.Open(t.Context(), nil), connectors.FaultRight, "CREATE PUBLICATION", "people")

	d.exec(t, `CREATE PUBLICATION `+d.slot+` FOR TABLE people`)
	if err := src.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	batches := drain(t, src)
	expectTexts(t, rowsOf(batches), "1,a")
	position := batches[len(batches)-1].Position
	d.exec(t, `REVOKE SELECT ON people FROM `+reader)
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `INSERT INTO people VALUES (2, 'b')`)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultRight, "grant SELECT")
	d.exec(t, `GRANT SELECT ON people TO `+reader)
	d.exec(t, `ALTER TABLE people ENABLE ROW LEVEL SECURITY`)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultRight, "row-level security")
	d.exec(t, `ALTER TABLE people DISABLE ROW LEVEL SECURITY`)
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	expectTexts(t, rowsOf(drain(t, src)), "2,b")
}

func TestPassword(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	if _, err := d.ExecContext(t.Context(), `DO $$ BEGIN CREATE ROLE guarded LOGIN PASSWORD 'right-one'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`); err != nil {
		t.Fatal(err)
	}
	err := d.construct(t, d.as(t, d.definition(), "guarded", "wrong-one-4711")).Open(t.Context(), nil)
	expectFault(t, err, connectors.FaultCredentials, "dsn_file")
	if strings.Contains(err.Error(), "4711") {
		t.Errorf("the password is in %q", err)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		create string
		alter  func(*connectors.Definition)
		code   connectors.FaultCode
		words  []string
	}{
		"table":        {alter: func(d *connectors.Definition) { d.Log.Table = "persons" }, code: connectors.FaultTable, words: []string{`"persons"`, "people"}},
		"column":       {alter: func(d *connectors.Definition) { d.Map.Fields[1].From = "full_name" }, code: connectors.FaultColumn, words: []string{"full_name", `"name"`}},
		"view":         {create: `CREATE VIEW v AS SELECT id, name FROM people`, alter: func(d *connectors.Definition) { d.Log.Table = "v" }, code: connectors.FaultTable, words: []string{"kind: sql"}},
		"inheritance":  {create: `CREATE TABLE child () INHERITS (people)`, code: connectors.FaultTable, words: []string{"inherit"}},
		"no identity":  {create: `ALTER TABLE people REPLICA IDENTITY NOTHING`, code: connectors.FaultLogSettings, words: []string{`REPLICA IDENTITY USING INDEX "people_pkey"`}},
		"record's key": {alter: func(d *connectors.Definition) { d.Map.Key = []string{"id", "name"} }, code: connectors.FaultLogSettings, words: []string{`"name"`, "REPLICA IDENTITY FULL"}},
		"not unique":   {create: `ALTER TABLE people REPLICA IDENTITY FULL; ALTER TABLE people ALTER name SET NOT NULL`, alter: func(d *connectors.Definition) { d.Log.Key = []string{"name"} }, code: connectors.FaultDefinition, words: []string{"(id)"}},
		"null in key":  {create: `ALTER TABLE people REPLICA IDENTITY FULL; CREATE UNIQUE INDEX ON people (name)`, alter: func(d *connectors.Definition) { d.Log.Key = []string{"name"} }, code: connectors.FaultKeyless, words: []string{`"name"`, "NOT NULL"}},
		"deferrable":   {create: `ALTER TABLE people DROP CONSTRAINT people_pkey; ALTER TABLE people ADD PRIMARY KEY (id) DEFERRABLE; CREATE UNIQUE INDEX by_id ON people (id)`, code: connectors.FaultLogSettings, words: []string{`"people" REPLICA IDENTITY USING INDEX "by_id"`}},
		"generated":    {create: `DROP TABLE people; CREATE TABLE people (name text NOT NULL, id text GENERATED ALWAYS AS (name || '1') STORED PRIMARY KEY); ALTER TABLE people REPLICA IDENTITY FULL`, code: connectors.FaultLogSettings, words: []string{`column "id"`, "generated", "another key"}},
		"partition": {
			create: `DROP TABLE people; CREATE TABLE people (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id); ALTER TABLE people REPLICA IDENTITY FULL;
				CREATE TABLE people_1 PARTITION OF people FOR VALUES FROM (0) TO (10); ALTER TABLE people_1 REPLICA IDENTITY FULL;
				CREATE TABLE people_2 PARTITION OF people FOR VALUES FROM (10) TO (20); ALTER TABLE people_2 REPLICA IDENTITY NOTHING`,
			code: connectors.FaultLogSettings, words: []string{`"people_2" REPLICA IDENTITY USING INDEX "people_2_pkey"`},
		},
		"dsn": {alter: func(d *connectors.Definition) { d.Log.DSNFile = "absent.dsn" }, code: connectors.FaultSecret},
		"other publication": {
			create: `CREATE TABLE other (id bigint PRIMARY KEY); CREATE PUBLICATION SLOT FOR TABLE other`,
			code:   connectors.FaultLogSettings, words: []string{"ADD TABLE"},
		},
		"part of the changes": {create: `CREATE PUBLICATION SLOT FOR TABLE people WITH (publish = 'insert')`, code: connectors.FaultLogSettings, words: []string{"SET (publish"}},
		"part of the rows":    {create: `CREATE PUBLICATION SLOT FOR TABLE people WHERE (id > 5)`, code: connectors.FaultLogSettings, words: []string{"WHERE"}},
		"slot of another kind": {
			create: `SELECT pg_create_logical_replication_slot('SLOT', 'test_decoding')`, code: connectors.FaultLogSettings, words: []string{"another slot"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
			if test.create != "" {
				d.exec(t, strings.ReplaceAll(test.create, "SLOT", d.slot))
			}
			def := d.definition()
			def.Log.DSNFile = secret(t, d.dsn)
			if test.alter != nil {
				test.alter(&def)
			}
			src, err := New(def, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			expectFault(t, src.Open(t.Context(), nil), test.code, test.words...)
		})
	}
}

// TestLosses lets the log have a hole in every way that does not need a server
// of one's own: each is told once, and then everything is read again.
func TestLosses(t *testing.T) {
	for name, test := range map[string]struct {
		lose func(t *testing.T, d *department, src *source)
		word string
	}{
		"slot dropped": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `SELECT pg_drop_replication_slot($1)`, d.slot)
		}, "is gone"},
		"slot moved on": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `UPDATE people SET name = 'b' WHERE id = 1`)
			d.exec(t, `SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())`, d.slot)
		}, "moved on"},
		"publication dropped": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `DROP PUBLICATION `+d.slot)
		}, "another one"},
		"publication dropped and made again": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `DROP PUBLICATION `+d.slot)
			d.exec(t, `UPDATE people SET name = 'b' WHERE id = 1`)
			d.exec(t, `CREATE PUBLICATION `+d.slot+` FOR TABLE people`)
		}, "another one"},
		"table taken out of the publication for a while": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `CREATE TABLE other (id bigint)`)
			d.exec(t, `ALTER PUBLICATION `+d.slot+` SET TABLE other`)
			d.exec(t, `UPDATE people SET name = 'b' WHERE id = 1`)
			d.exec(t, `ALTER PUBLICATION `+d.slot+` SET TABLE people`)
		}, "another one"},
		"publication narrowed for a while": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `ALTER PUBLICATION `+d.slot+` SET (publish = 'insert')`)
			d.exec(t, `UPDATE people SET name = 'b' WHERE id = 1`)
			d.exec(t, `ALTER PUBLICATION `+d.slot+` SET (publish = 'insert, update, delete, truncate')`)
		}, "altered"},
		"rows left out of the publication for a while": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `ALTER PUBLICATION `+d.slot+` SET TABLE people WHERE (id > 5)`)
			d.exec(t, `UPDATE people SET name = 'b' WHERE id = 1`)
			d.exec(t, `ALTER PUBLICATION `+d.slot+` SET TABLE people`)
		}, "altered"},
		"table made anew": {func(t *testing.T, d *department, _ *source) {
			d.exec(t, `DROP TABLE people`)
			d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
			d.exec(t, `ALTER PUBLICATION `+d.slot+` ADD TABLE people`)
			d.exec(t, `INSERT INTO people SELECT g, 'new' FROM generate_series(1, 30) g`)
		}, "another one"},
		"too much log": {func(t *testing.T, d *department, src *source) {
			src.cfg.MaxRetained = 1 << 20
			d.exec(t, `CREATE TABLE other AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)`)
		}, "max_retained_mb"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people SELECT g, 'a' FROM generate_series(1, 30) g`)
			src := d.follow(t, d.definition(), nil)
			batches := drain(t, src)
			position, last := batches[len(batches)-1].Position, batches[0].Rows[29].ChangedAt
			if err := src.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); { // until the server knows
				if found, err := src.findSlot(t.Context(), d.server(t)); err == nil && found.pid == "" {
					break
				}
			}
			test.lose(t, d, src)
			expectFault(t, src.Open(t.Context(), position), connectors.FaultSlotLost, test.word, "reads the whole table again")
			src.cfg.MaxRetained = 10 << 30
			if err := src.Open(t.Context(), position); err != nil {
				t.Fatal(err)
			}
			got := state{}
			batches = drain(t, src)
			got.merge(t, rowsOf(batches))
			got.compare(t, d, "id", "name")
			if !batches[0].Gap || len(batches) > 1 && batches[1].Gap || !batches[0].Rows[0].ChangedAt.After(last) {
				t.Errorf("gap is %t in the first batch, its first instant %s", batches[0].Gap, batches[0].Rows[0].ChangedAt)
			}
		})
	}
}

// server is a connection for questions.
func (d *department) server(t *testing.T) *server {
	t.Helper()
	db, err := dial(t.Context(), &connectors.Log{DSNFile: secret(t, d.dsn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.close)
	return db
}

// TestLosesWhileReading takes settings, table and log from a source that runs.
func TestLosesWhileReading(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people VALUES (1, 'a')`)
	def := d.definition()
	def.Log.Heartbeat = 10 * time.Millisecond
	src := d.follow(t, def, nil)
	batch := withRows(t, src)
	position := batch.Position
	until := func(code connectors.FaultCode, word string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			batch, err := src.Read(t.Context())
			switch {
			case err == nil:
				position = batch.Position
			case !errors.Is(err, connectors.ErrCaughtUp):
				expectFault(t, err, code, word)
				if err := src.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				return
			case time.Now().After(end):
				t.Fatalf("no fault; want %s", code)
			}
		}
	}
	d.exec(t, `ALTER PUBLICATION `+d.slot+` SET (publish = 'insert')`)
	until(connectors.FaultLogSettings, "SET (publish")
	d.exec(t, `ALTER PUBLICATION `+d.slot+` SET (publish = 'insert, update, delete, truncate')`)
	// What was updated in between is in no log.
	expectFault(t, src.Open(t.Context(), position), connectors.FaultSlotLost, "altered")
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	batch = withRows(t, src)
	expectTexts(t, batch.Rows, "1,a")
	position = batch.Position
	d.exec(t, `DROP TABLE people`)
	until(connectors.FaultTable, "no longer")
	expectFault(t, src.Open(t.Context(), position), connectors.FaultTable, `"people"`)
	d.exec(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	d.exec(t, `INSERT INTO people VALUES (1, 'restored')`)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultLogSettings, "ADD TABLE")
	d.exec(t, `ALTER PUBLICATION `+d.slot+` ADD TABLE people`)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultSlotLost)
	if err := src.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	expectTexts(t, withRows(t, src).Rows, "1,restored")

	def.Log.MaxRetained = 1 << 20 // while it runs: nothing is acknowledged
	d.exec(t, `CREATE TABLE other AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)`)
	until(connectors.FaultSlotLost, "max_retained_mb")
	var slots int
	if err := d.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1`, d.slot).Scan(&slots); err != nil || slots != 0 {
		t.Errorf("%d slots are left: %v", slots, err)
	}
}

// TestLossToldOnce begins anew after a loss as often as it takes until a batch
// is saved, and does not tell of the loss again, nor begin anew after that.
func TestLossToldOnce(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people VALUES (1, 'a')`)
	src := d.follow(t, d.definition(), nil)
	batches := drain(t, src)
	position := batches[len(batches)-1].Position
	reopen := func() {
		t.Helper()
		if err := src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := src.Open(t.Context(), position); err != nil {
			t.Fatal(err)
		}
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.dropSlot(t)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultSlotLost, "is gone")
	for range 2 { // what is read is not saved
		reopen()
		batch := withRows(t, src)
		expectTexts(t, batch.Rows, "1,a")
		if !batch.Gap {
			t.Error("the new beginning is no gap")
		}
	}
	reopen()
	position = withRows(t, src).Position // saved, though a crash comes before it is acknowledged
	reopen()
	if rows := rowsOf(drain(t, src)); len(rows) > 0 {
		t.Errorf("%v came again", texts(rows))
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.dropSlot(t)
	expectFault(t, src.Open(t.Context(), position), connectors.FaultSlotLost, "is gone") // another loss
}

// TestRestored opens at a position that the server has not reached, as after
// the restoring of a backup, and acknowledges one that was never told.
func TestRestored(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people VALUES (1, 'a')`)
	src := d.follow(t, d.definition(), nil)
	batches := drain(t, src)
	at := src.at
	at.LSN += 1 << 40
	later, err := at.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Acknowledge(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if flushed := src.wire.flushed.Load(); flushed >= uint64(at.LSN) {
		t.Error("the server was told that more is saved than it sent")
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectFault(t, src.Open(t.Context(), later), connectors.FaultSlotLost, "restored")
	if err := src.Open(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	again := drain(t, src)
	expectTexts(t, rowsOf(again), "1,a")
	if !again[0].Gap || !again[0].Rows[0].ChangedAt.After(batches[0].Rows[0].ChangedAt) {
		t.Error("the rows are not told anew")
	}
}

// TestSlotName follows with a slot whose name is no name in SQL unless it is quoted.
func TestSlotName(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`, `INSERT INTO people VALUES (1, 'a')`)
	def := d.definition()
	def.Log.Slot = "2026_" + d.slot
	t.Cleanup(func() { (&department{DB: d.DB, slot: def.Log.Slot}).dropSlot(t) })
	expectTexts(t, rowsOf(drain(t, d.follow(t, def, nil))), "1,a")
}

// TestOpenTransaction checks what is said while a new slot has to wait.
func TestOpenTransaction(t *testing.T) {
	d := newDepartment(t, `CREATE TABLE people (id bigint PRIMARY KEY, name text)`)
	tx, err := d.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO people VALUES (1, 'a')`); err != nil {
		t.Fatal(err)
	}
	src := d.construct(t, d.definition())
	src.slotPatience = 300 * time.Millisecond
	expectFault(t, src.Open(t.Context(), nil), connectors.FaultSlow, "transactions must end", "process")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	src.slotPatience = slotPatience
	if err := src.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	expectTexts(t, rowsOf(drain(t, src)), "1,a")
}

func TestRefusals(t *testing.T) {
	src := &source{cfg: &connectors.Log{Table: "people", Slot: "s", Publication: "p", DSNFile: "/etc/dep.dsn"}}
	for code, want := range map[string]connectors.FaultCode{
		"53300": connectors.FaultBusy, "53400": connectors.FaultLogSettings, "55006": connectors.FaultBusy, "57P01": connectors.FaultUnreachable,
		"42P01": connectors.FaultTable, "3D000": connectors.FaultTable, "28000": connectors.FaultCredentials, "22P02": connectors.FaultUnclassified,
	} {
		expectFault(t, src.fault(t.Context(), "following", &pgconn.PgError{Code: code, Message: "m"}), want)
	}
	level := &pgconn.PgError{Code: "55000", Message: "logical decoding requires wal_level >= logical"}
	expectFault(t, src.fault(t.Context(), "following", level), connectors.FaultLogSettings, "ALTER SYSTEM SET wal_level")
	for _, lost := range []*pgconn.PgError{
		{Code: "42704", Message: `replication slot "s" does not exist`},
		{Code: "58P01", Message: "requested WAL segment has already been removed"},
		{Code: "55000", Message: `cannot read from logical replication slot "s"`},
	} {
		if !loses(lost) {
			t.Errorf("%s is no loss", lost.Message)
		}
	}
	if loses(level) {
		t.Error("a wrong setting is taken for a loss")
	}
}
