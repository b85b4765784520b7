package sqltable

import (
	"context"
	"database/sql"
	"time"
)

// sqlEngine is a connection of package database/sql.
type sqlEngine struct {
	db   *sql.DB
	conn *sql.Conn
	// begin is the statement that begins a transaction, commit the one that ends it.
	begin, commit string
	// options, if not nil, make begin a statement within a transaction of the driver, which ends it.
	options *sql.TxOptions
	// raw says that the driver gives the bytes of the text protocol; otherwise convert makes texts of its values.
	raw     bool
	convert func(dst []byte, value any) ([]byte, error)
	// catalogue lists the columns, columnOf reads a row of it; list names what can be read.
	catalogue string
	columnOf  func(cells [][]byte) column
	list      string
	// limited, if not nil, sets how long statements may take at the server; 0 is what the session began with.
	limited func(limit time.Duration) string
	// place is found with the rows, if not nil.
	place *logPlace
}

func (e *sqlEngine) close() {
	if e.conn != nil {
		_ = e.conn.Close() // the server notices
	}
	_ = e.db.Close()
}

func (e *sqlEngine) describe(ctx context.Context) ([]column, error) {
	var columns []column
	err := e.query(ctx, e.conn, statement{text: e.catalogue}, func(cells [][]byte) error {
		columns = append(columns, e.columnOf(cells))
		return nil
	})
	return columns, err
}

func (e *sqlEngine) tables(ctx context.Context) ([]string, error) {
	var names []string
	err := e.query(ctx, e.conn, statement{text: e.list}, func(cells [][]byte) error {
		names = append(names, string(cells[0]))
		return nil
	})
	return names, err
}

// querier is a connection or a transaction on it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// read asks for the columns after the rows: the lock that reading the rows took
// keeps anybody from changing them in between.
func (e *sqlEngine) read(ctx context.Context, query statement, yield func([][]byte) error) (columns []column, err error) {
	if query.limit > 0 && e.limited != nil {
		if _, err := e.conn.ExecContext(ctx, e.limited(query.limit)); err != nil {
			return nil, err
		}
		defer func() {
			if err == nil {
				_, err = e.conn.ExecContext(ctx, e.limited(0))
			}
		}()
	}
	within, end, err := e.transaction(ctx)
	if err != nil {
		return nil, err
	}
	if e.place != nil {
		query.text += e.place.locking
		if !e.place.last {
			err = e.place.find(ctx, e)
		}
	}
	if err == nil {
		err = e.query(ctx, within, query, yield)
	}
	if err == nil {
		err = e.query(ctx, within, statement{text: e.catalogue}, func(cells [][]byte) error {
			columns = append(columns, e.columnOf(cells))
			return nil
		})
	}
	if eerr := end(); err == nil {
		err = eerr
	}
	if err == nil && e.place != nil && e.place.last {
		err = e.place.find(ctx, e)
	}
	return columns, err
}

func (e *sqlEngine) transaction(ctx context.Context) (within querier, end func() error, err error) {
	if e.options == nil {
		_, err := e.conn.ExecContext(ctx, e.begin)
		return e.conn, func() error { _, err := e.conn.ExecContext(ctx, e.commit); return err }, err
	}
	tx, err := e.conn.BeginTx(ctx, e.options)
	if err != nil {
		return nil, nil, err
	}
	if e.begin != "" {
		if _, err := tx.ExecContext(ctx, e.begin); err != nil {
			_ = tx.Rollback() // the connection is given up
			return nil, nil, err
		}
	}
	return tx, tx.Rollback, nil
}

// query gives the cells of each row to yield, which must not keep them. The
// context ends with it, so that a driver does not read to the end what nobody wants.
func (e *sqlEngine) query(ctx context.Context, within querier, q statement, yield func([][]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := within.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	cells, targets := make([][]byte, len(names)), make([]any, len(names))
	raw, values := make([]sql.RawBytes, len(names)), make([]any, len(names))
	for i := range names {
		if targets[i] = &values[i]; e.raw {
			targets[i] = &raw[i]
		}
	}
	var buffer []byte
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		buffer = buffer[:0]
		for i := range cells {
			switch {
			case e.raw:
				cells[i] = raw[i]
			case values[i] == nil:
				cells[i] = nil
			default:
				start := len(buffer)
				if buffer, err = e.convert(buffer, values[i]); err != nil {
					return err
				}
				cells[i] = buffer[start:len(buffer):len(buffer)]
			}
		}
		if err := yield(cells); err != nil {
			cancel()
			return err
		}
	}
	return rows.Err()
}
