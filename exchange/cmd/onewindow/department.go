package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"

	"github.com/onewindow/onewindow/exchange"
)

// departmentDB is a department's own database in the drills of connectors: a
// table of permits that its clerks work on, without regard for who reads it.
type departmentDB struct {
	db     *sql.DB
	driver string // as definitions name it
	dsn    string // for a dsn_file
	table  string

	last    atomic.Int64 // the newest id
	changes atomic.Int64 // committed
}

// openDepartment connects to postgres://… or mysql://… and makes an empty table.
func openDepartment(ctx context.Context, address, table string) (*departmentDB, error) {
	d := &departmentDB{dsn: address, table: table, driver: "postgres"}
	name, dsn := "pgx", address
	if strings.HasPrefix(address, "mysql://") {
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("%w: the address of the department's database cannot be read", errUsage)
		}
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr, cfg.DBName = u.User.Username(), "tcp", u.Host, strings.Trim(u.Path, "/")
		cfg.Passwd, _ = u.User.Password()
		cfg.MultiStatements, cfg.InterpolateParams = true, true
		d.driver, name, dsn = "mariadb", "mysql", cfg.FormatDSN()
	}
	var err error
	if d.db, err = sql.Open(name, dsn); err != nil {
		return nil, err
	}
	if d.driver == "postgres" { // what a run that was cut off left behind
		if err := d.dropSlots(ctx); err != nil {
			return nil, errors.Join(err, d.db.Close())
		}
	}
	create := `DROP TABLE IF EXISTS %[1]s; CREATE TABLE %[1]s (id BIGINT PRIMARY KEY, holder VARCHAR(60) NOT NULL, area NUMERIC(18,4), remark %[2]s,
		updated_at TIMESTAMP(6) NOT NULL); CREATE INDEX %[1]s_cursor ON %[1]s (updated_at, id)`
	remark := "TEXT"
	if d.driver == "mariadb" {
		remark = "VARCHAR(200) CHARACTER SET gbk"
	}
	if _, err := d.db.ExecContext(ctx, fmt.Sprintf(create, table, remark)); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	return d, nil
}

// now is the database's expression for the time of the statement.
func (d *departmentDB) now() string {
	if d.driver == "mariadb" {
		return "UTC_TIMESTAMP(6)"
	}
	return "clock_timestamp() AT TIME ZONE 'UTC'"
}

// fill inserts the first rows.
func (d *departmentDB) fill(ctx context.Context, rows int) error {
	const each = 1000
	for first := 0; first < rows; first += each {
		var values []string
		for id := first + 1; id <= min(first+each, rows); id++ {
			values = append(values, fmt.Sprintf("(%d, '申请人%d', %d.%04d, '采砂许可', %s)", id, id, id%100_000, id%10_000, d.now()))
		}
		if _, err := d.db.ExecContext(ctx, "INSERT INTO "+d.table+" (id, holder, area, remark, updated_at) VALUES "+strings.Join(values, ", ")); err != nil {
			return fmt.Errorf("fill %s: %w", d.table, err)
		}
	}
	d.last.Store(int64(rows))
	return nil
}

// lateCommit is how long a transaction may stay open after it has stamped its rows.
const lateCommit = 3 * time.Second

// work inserts, updates and deletes until ctx ends: several clerks at a time,
// some of whom commit seconds after they have stamped their rows.
func (d *departmentDB) work(ctx context.Context, clerks int) error {
	var busy sync.WaitGroup
	faults := make(chan error, clerks)
	for clerk := range clerks {
		busy.Go(func() {
			random := rand.New(rand.NewPCG(uint64(clerk), uint64(time.Now().UnixNano()))) //nolint:gosec // choices of rows, not secrets
			for ctx.Err() == nil {
				if err := d.transaction(ctx, random, clerk == 0); err != nil && ctx.Err() == nil && !deadlock(err) {
					faults <- err
					return
				}
			}
		})
	}
	busy.Wait()
	close(faults)
	return <-faults
}

// deadlock says whether a transaction lost to another one, which is the clerks' daily life.
func deadlock(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return my.Number == 1213 || my.Number == 1205 || my.Number == 1020
	}
	return strings.Contains(err.Error(), "40P01") || strings.Contains(err.Error(), "40001")
}

// transaction makes one to thirty changes. A late one waits before it commits.
func (d *departmentDB) transaction(ctx context.Context, random *rand.Rand, late bool) (err error) {
	// The commit must not be cut off by ctx: whether it came through would be unknown.
	tx, err := d.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	n := 1 + random.IntN(30)
	for range n {
		id := 1 + random.Int64N(d.last.Load())
		statement := fmt.Sprintf("UPDATE %s SET area = area + 0.0001, holder = '变更%d', updated_at = %s WHERE id = %d", d.table, random.IntN(1_000_000), d.now(), id)
		switch random.IntN(10) {
		case 0, 1, 2:
			id = d.last.Add(1)
			statement = fmt.Sprintf("INSERT INTO %s (id, holder, area, remark, updated_at) VALUES (%d, '新增%d', NULL, '河道管理', %s)", d.table, id, id, d.now())
		case 3:
			statement = fmt.Sprintf("DELETE FROM %s WHERE id = %d", d.table, id)
		}
		if _, err := tx.ExecContext(context.WithoutCancel(ctx), statement); err != nil {
			return err
		}
	}
	if late {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(random.Int64N(int64(lateCommit)))):
		}
	}
	if random.IntN(20) == 0 {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	d.changes.Add(int64(n))
	return nil
}

// hashed is the hash of a record, as [exchange.HeldHash] makes it.
type hashed struct{ high, low uint64 }

// truth reads the table without any of the code under trial and returns the
// hash that each record must have in the exchange, by key.
func (d *departmentDB) truth(ctx context.Context) (map[string]hashed, error) {
	rows, err := d.db.QueryContext(ctx, "SELECT id, holder, area, remark FROM "+d.table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]hashed{}
	for rows.Next() {
		var id, holder, remark string
		var area sql.NullString
		if err := rows.Scan(&id, &holder, &area, &remark); err != nil {
			return nil, err
		}
		payload := fmt.Sprintf(`{"id":%s,"holder":"%s"`, id, holder)
		if area.Valid {
			payload += `,"area":` + area.String
		}
		payload += fmt.Sprintf(`,"remark":"%s"}`, remark)
		var h hashed
		h.high, h.low = exchange.HeldHash(id, []byte(payload))
		all[id] = h
	}
	return all, rows.Err()
}

// close drops the table, and what change capture left behind for it.
func (d *departmentDB) close(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+d.table)
	if d.driver == "postgres" {
		err = errors.Join(err, d.dropSlots(ctx))
	}
	return errors.Join(err, d.db.Close())
}

// dropSlots takes away the slots and publications that sources named water/… have made, once nobody reads them.
func (d *departmentDB) dropSlots(ctx context.Context) error {
	const ours = `'onewindow\_water\_%'`
	for {
		if _, err := d.db.ExecContext(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND slot_name LIKE "+ours); err != nil {
			return err
		}
		var left int
		if err := d.db.QueryRowContext(ctx, "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE "+ours).Scan(&left); err != nil {
			return err
		}
		if left == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	_, err := d.db.ExecContext(ctx, `DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT pubname FROM pg_publication WHERE pubname LIKE `+ours+` LOOP EXECUTE format('DROP PUBLICATION %I', name); END LOOP; END $$`)
	return err
}
