package pglog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// slotPatience is how long a new slot waits for transactions that are open.
	slotPatience = time.Minute
	// busyPatience is how long we wait for a connection of our own that was cut to be noticed by the server.
	busyPatience = 5 * time.Second
)

// slot is a replication slot as the server describes it.
type slot struct {
	there, ours, broken bool
	pid                 string // who uses it
	confirmed           pglogrepl.LSN
	retained            int64         // bytes of log that are kept for it
	end                 pglogrepl.LSN // of the log that is safe on disk; no more was ever sent
}

func (s *source) findSlot(ctx context.Context, db *server) (slot, error) {
	rows, err := db.ask(ctx, `SELECT s.slot_type = 'logical' AND s.plugin = 'pgoutput' AND s.database = current_database() AND NOT s.temporary,
			s.restart_lsn IS NULL OR coalesce(to_jsonb(s)->>'wal_status', '') = 'lost' OR to_jsonb(s)->>'invalidation_reason' IS NOT NULL,
			s.active_pid, coalesce(s.confirmed_flush_lsn, '0/0'), coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint,
			pg_current_wal_flush_lsn()
		FROM pg_replication_slots s WHERE s.slot_name = $1::text`, s.cfg.Slot)
	if err != nil || len(rows) == 0 {
		return slot{}, err
	}
	row := rows[0]
	found := slot{there: true, ours: row[0] == "t", broken: row[1] == "t", pid: row[2]}
	if found.confirmed, err = pglogrepl.ParseLSN(row[3]); err != nil {
		return found, err
	}
	if found.retained, err = strconv.ParseInt(row[4], 10, 64); err != nil {
		return found, err
	}
	found.end, err = pglogrepl.ParseLSN(row[5])
	return found, err
}

// freeSlot waits a moment until nobody uses the slot.
func (s *source) freeSlot(ctx context.Context, db *server) (slot, error) {
	for end := time.Now().Add(busyPatience); ; {
		found, err := s.findSlot(ctx, db)
		switch {
		case err != nil || found.there && found.pid == "" && found.ours, !found.there:
			return found, err
		case !found.ours:
			return found, connectors.Refused(connectors.FaultLogSettings, nil,
				"replication slot %q is of another database or another kind; name another slot", s.cfg.Slot)
		case time.Now().After(end):
			return found, connectors.Away(connectors.FaultBusy, nil,
				"replication slot %q is in use by process %s of the database: an earlier connection of ours, which the database ends by itself within wal_sender_timeout, "+
					"or another client; if it stays, stop it or name another slot", s.cfg.Slot, found.pid)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return found, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *source) dropSlot(ctx context.Context, db *server) error {
	_, err := db.ask(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1::text`, s.cfg.Slot)
	return err
}

// makeSlot makes the slot. The stream of it begins when all transactions that are open now have ended.
func (s *source) makeSlot(ctx context.Context, db *server) (pglogrepl.LSN, error) {
	if err := s.limitStatements(ctx, db, s.slotPatience); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, s.slotPatience+askTimeout) // should the database not keep to its own
	defer cancel()
	rows, err := db.askSlowly(limited, `SELECT lsn FROM pg_create_logical_replication_slot($1::text, 'pgoutput')`, s.cfg.Slot)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" && ctx.Err() == nil {
		who := ""
		oldest, aerr := db.ask(ctx, `SELECT pid, coalesce(xact_start::text, 'a time that is not told') FROM pg_stat_activity
			WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1`)
		if aerr == nil && len(oldest) == 1 {
			who = fmt.Sprintf("; the oldest is that of process %s, since %s", oldest[0][0], oldest[0][1])
		}
		return 0, connectors.Away(connectors.FaultSlow, err, "before the log can be followed, all transactions must end that are open in the database%s", who)
	}
	if err != nil {
		return 0, err
	}
	if err := s.limitStatements(ctx, db, 0); err != nil {
		return 0, err
	}
	return pglogrepl.ParseLSN(rows[0][0])
}

func (s *source) limitStatements(ctx context.Context, db *server, limit time.Duration) error {
	_, err := db.ask(ctx, `SELECT set_config('statement_timeout', $1::text, false)`, strconv.FormatInt(limit.Milliseconds(), 10))
	return err
}

// loss says why the slot cannot go on from a position; empty if it can.
func (s *source) loss(found slot, at position, place string) string {
	switch {
	case !found.there:
		return "is gone"
	case found.broken:
		return "was invalidated by the database, which did not want to keep the log longer"
	case place != at.Of:
		return "is of no use, because the database, the table or its publication is another one than before, or was altered"
	case found.confirmed > at.LSN:
		return "was moved on by somebody else"
	case at.LSN > found.end:
		return "is of no use, because the database is at an earlier state than when it was read last, as if it was restored from a backup"
	case found.retained > s.cfg.MaxRetained:
		return fmt.Sprintf("is given up, because the database had to keep %d MiB of log for it, more than max_retained_mb", found.retained>>20)
	}
	return ""
}

// lost is told once; the next Open makes a new slot and reads the whole table again.
func (s *source) lost(why string, cause error) error {
	s.reported, s.anew = true, 0
	return connectors.Refused(connectors.FaultSlotLost, cause, "replication slot %q %s; changes may have been missed. "+
		"The next attempt makes a new slot and reads the whole table again; nobody has to do anything", s.cfg.Slot, why)
}

// settle finds, or makes, the slot and the position from which to read.
func (s *source) settle(ctx context.Context, db *server, after *position) error {
	place, err := s.place(ctx, db, s.facts, true)
	if err != nil {
		return err
	}
	found, err := s.freeSlot(ctx, db)
	if err != nil {
		return err
	}
	row, err := db.one(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`)
	if err != nil {
		return err
	}
	now, err := strconv.ParseInt(row[0], 10, 64)
	if err != nil {
		return err
	}
	if after != nil {
		s.begun(*after)
	}
	switch {
	case after != nil && !s.reported:
		why := s.loss(found, *after, place)
		if why == "" {
			s.at = *after
			return nil
		}
		if found.there {
			if err := s.dropSlot(ctx, db); err != nil {
				return err
			}
		}
		return s.lost(why, nil)
	case after == nil && !s.reported && found.there && !found.broken:
		s.at = position{Of: place, LSN: found.confirmed, Clock: now, Rereads: []reread{{}}}
		return nil
	}
	if found.there {
		if err := s.dropSlot(ctx, db); err != nil {
			return err
		}
	}
	lsn, err := s.makeSlot(ctx, db)
	if err != nil {
		return err
	}
	s.at = position{Of: place, LSN: lsn, Clock: now, Rereads: []reread{{}}}
	if s.gap = after != nil; s.gap {
		s.at.Clock = max(now, after.Clock+2)
		s.at.Rereads = append(s.at.Rereads, named(after.Rereads)...)
	}
	s.anew = s.at.Clock
	return nil
}

// begun ends what a loss began, if a position that is saved is one of the new beginning.
func (s *source) begun(saved position) {
	if s.anew > 0 && saved.Clock >= s.anew {
		s.reported = false
	}
}

// named are the rereads that somebody asked for.
func named(all []reread) []reread {
	var asked []reread
	for _, r := range all {
		if r.ID != "" {
			r.After = nil
			asked = append(asked, r)
		}
	}
	return asked
}
