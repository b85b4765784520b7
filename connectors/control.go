package connectors

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// control is what people decided about a source. It lives in the state
// database, so that the process that answers the API need not be the one that
// reads.
type control struct {
	desired Desired
	// agreed are the columns under which rows are taken; nil before the first batch.
	agreed []Column
	// offered are the columns as they are now, if they wait for somebody to accept them.
	offered []Column
	// taken are columns that were added later and go into the payload.
	taken []Column
	// again has the whole table read again, when this control is stored: columns have other values now.
	again bool
	// broken says why what was stored cannot be read; nil if it can.
	broken error
}

func loadControl(ctx context.Context, db *sqldb.DB, source string) (control, error) {
	all, err := loadControls(ctx, db, source)
	if err != nil {
		return control{}, err
	}
	if c, ok := all[source]; ok {
		return c, c.broken
	}
	return control{desired: Run}, nil
}

// loadControls returns the controls of one source, or of all if source is empty.
func loadControls(ctx context.Context, db *sqldb.DB, source string) (map[string]control, error) {
	fail := func(err error) error { return fmt.Errorf("connectors: load controls: %w", err) }
	rows, err := db.QueryContext(ctx, `SELECT source, desired, columns_agreed, columns_offered, columns_taken
		FROM connector_controls WHERE $1 = '' OR source = $1`, source)
	if err != nil {
		return nil, fail(err)
	}
	defer rows.Close()
	all := map[string]control{}
	for rows.Next() {
		var name string
		var c control
		var agreed, offered, taken []byte
		if err := rows.Scan(&name, &c.desired, &agreed, &offered, &taken); err != nil {
			return nil, fail(err)
		}
		if err := errors.Join(json.Unmarshal(agreed, &c.agreed), json.Unmarshal(offered, &c.offered), json.Unmarshal(taken, &c.taken)); err != nil {
			c.broken = fail(fmt.Errorf("%s: %w", name, err)) // the other sources go on
		}
		all[name] = c
	}
	return all, rows.Err()
}

// changeControl changes the control of a source in one transaction; change
// may run more than once. Events go out with it, or not at all.
func (r *Runner) changeControl(ctx context.Context, source string, change func(*control) (Event, error)) error {
	err := r.cfg.DB.InTx(ctx, func(tx *sql.Tx) error {
		c := control{desired: Run}
		var agreed, offered, taken []byte
		err := tx.QueryRowContext(ctx, `SELECT desired, columns_agreed, columns_offered, columns_taken FROM connector_controls WHERE source = $1`, source).
			Scan(&c.desired, &agreed, &offered, &taken)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		default:
			if err := errors.Join(json.Unmarshal(agreed, &c.agreed), json.Unmarshal(offered, &c.offered), json.Unmarshal(taken, &c.taken)); err != nil {
				return err
			}
		}
		event, err := change(&c)
		if err != nil {
			return err
		}
		if agreed, err = json.Marshal(c.agreed); err != nil {
			return err
		}
		if offered, err = json.Marshal(c.offered); err != nil {
			return err
		}
		if taken, err = json.Marshal(c.taken); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO connector_controls (source, desired, columns_agreed, columns_offered, columns_taken)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source) DO UPDATE SET desired = excluded.desired, columns_agreed = excluded.columns_agreed,
			columns_offered = excluded.columns_offered, columns_taken = excluded.columns_taken`,
			source, string(c.desired), string(agreed), string(offered), string(taken)); err != nil {
			return err
		}
		if c.again {
			if err := askReread(ctx, tx, newID(), source, "{}", r.cfg.Now(), "changed columns"); err != nil {
				return err
			}
		}
		return r.put(ctx, tx, source, event)
	})
	if err != nil {
		return fmt.Errorf("connectors: change the control of %s: %w", source, err)
	}
	r.poke()
	return nil
}

// SetDesired says what a source is to do from now on; it holds across restarts.
func (r *Runner) SetDesired(ctx context.Context, source string, desired Desired) error {
	if _, err := r.definition(ctx, source); err != nil {
		return err
	}
	return r.changeControl(ctx, source, func(c *control) (Event, error) {
		if c.desired == desired {
			return Event{}, nil
		}
		c.desired = desired
		return Event{Type: EventDesired, Detail: string(desired)}, nil
	})
}

// AcceptColumns agrees to the changed columns for which a source waits; it
// goes on by itself. It answers [ErrNothingOffered] if it does not wait.
func (r *Runner) AcceptColumns(ctx context.Context, source string) error {
	def, err := r.definition(ctx, source)
	if err != nil {
		return err
	}
	return r.changeControl(ctx, source, func(c *control) (Event, error) {
		if c.offered == nil {
			return Event{}, fmt.Errorf("%w: the columns of %s are as they were agreed", ErrNothingOffered, source)
		}
		_, change := compareColumns(c.agreed, c.offered)
		// What was taken up earlier and is still there goes on, in the type that it has now. Of new columns also those are
		// taken up that may not be null: they were agreed to just now.
		var taken []Column
		for _, column := range c.offered {
			named := func(o Column) bool { return o.Name == column.Name }
			fresh := def.TakeNewColumns && !slices.ContainsFunc(c.agreed, named)
			if slices.ContainsFunc(c.taken, named) || fresh {
				taken = append(taken, column)
			}
		}
		wanted := def.Map.Columns()
		for _, column := range taken {
			wanted = append(wanted, column.Name)
		}
		again := def.asksByCursor() && otherValues(c.agreed, c.offered, wanted)
		c.agreed, c.offered, c.taken, c.again = c.offered, nil, taken, again
		return Event{Type: EventColumnsAccepted, Detail: change}, nil
	})
}

// Reread asks a source to read a range of its keys again, beside what is new.
// It returns the id of the request, which is kept until the source has taken it.
func (r *Runner) Reread(ctx context.Context, source string, keys KeyRange, by string) (string, error) {
	if _, err := r.definition(ctx, source); err != nil {
		return "", err
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return "", fmt.Errorf("connectors: encode range: %w", err)
	}
	id := newID()
	if err := askReread(ctx, r.cfg.DB, id, source, string(text), r.cfg.Now(), by); err != nil {
		return "", err
	}
	r.poke()
	return id, nil
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func askReread(ctx context.Context, db execer, id, source, keys string, at time.Time, by string) error {
	if _, err := db.ExecContext(ctx, `INSERT INTO connector_rereads (id, source, range_json, asked_at, asked_by, state) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, source, keys, at.UnixMicro(), by, rereadAsked); err != nil {
		return fmt.Errorf("connectors: ask for re-reading: %w", err)
	}
	return nil
}

// The states of a request for re-reading.
const (
	rereadAsked   = "asked"
	rereadTaken   = "taken"   // it is part of the source's position
	rereadRefused = "refused" // the source cannot do it
)

// reread is a request that a source has not taken yet.
type reread struct {
	id   string
	keys KeyRange
}

func loadRereads(ctx context.Context, db *sqldb.DB) (map[string][]reread, error) {
	rows, err := db.QueryContext(ctx, `SELECT source, id, range_json FROM connector_rereads WHERE state = $1 ORDER BY asked_at, id`, rereadAsked)
	if err != nil {
		return nil, fmt.Errorf("connectors: load requests for re-reading: %w", err)
	}
	defer rows.Close()
	all := map[string][]reread{}
	for rows.Next() {
		var source, text string
		var q reread
		if err := rows.Scan(&source, &q.id, &text); err != nil {
			return nil, fmt.Errorf("connectors: load requests for re-reading: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &q.keys); err != nil {
			continue // the request cannot be read; the other requests go on
		}
		all[source] = append(all[source], q)
	}
	return all, rows.Err()
}

func settleReread(ctx context.Context, db *sqldb.DB, id, state string) error {
	if _, err := db.ExecContext(ctx, `UPDATE connector_rereads SET state = $1 WHERE id = $2`, state, id); err != nil {
		return fmt.Errorf("connectors: settle request %s for re-reading: %w", id, err)
	}
	return nil
}
