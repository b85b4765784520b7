package connectors

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

// askedProof is a proof that somebody asked for.
type askedProof struct {
	id     string
	repair bool
	// allow lets the repair delete nearly all rows.
	allow bool
}

// Prove asks for a proof of completeness and returns its id; [Runner.Reports]
// has the outcome once it is made. With repair, what differs is put right; with
// allowEmptied also if the source shows hardly any of the records held, which
// is otherwise refused as [FaultEmptied].
func (r *Runner) Prove(ctx context.Context, source string, repair, allowEmptied bool, by string) (string, error) {
	if _, err := r.definition(ctx, source); err != nil {
		return "", err
	}
	if r.cfg.Holdings == nil {
		return "", fmt.Errorf("%w: this process has nothing to compare with", ErrInvalid)
	}
	id, how := newID(), flag(repair)
	if repair && allowEmptied {
		how = repairAllowed
	}
	if err := r.insertProof(ctx, Report{ID: id, Source: source, Verdict: Asked}, how, by); err != nil {
		return "", err
	}
	r.poke()
	return id, nil
}

// repairAllowed is how a proof is stored whose repair may delete nearly all records; 1 is one whose repair may not.
const repairAllowed = 2

func (r *Runner) insertProof(ctx context.Context, report Report, repair int64, by string) error {
	body, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("connectors: encode proof: %w", err)
	}
	if _, err := r.cfg.DB.ExecContext(ctx, `INSERT INTO connector_proofs (id, source, asked_at, asked_by, repair, verdict, body) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		report.ID, report.Source, r.cfg.Now().UnixMicro(), by, repair, string(report.Verdict), string(body)); err != nil {
		return fmt.Errorf("connectors: store proof: %w", err)
	}
	return nil
}

// Reports returns the newest proofs of a source, or of every source if it is empty, newest first.
func (r *Runner) Reports(ctx context.Context, source string, limit int) ([]Report, error) {
	rows, err := r.cfg.DB.QueryContext(ctx, `SELECT id, source, verdict, body FROM connector_proofs
		WHERE $1 = '' OR source = $1 ORDER BY asked_at DESC, id DESC LIMIT $2`, source, limit)
	if err != nil {
		return nil, fmt.Errorf("connectors: load proofs: %w", err)
	}
	defer rows.Close()
	var reports []Report
	for rows.Next() {
		var report Report
		var body []byte
		if err := rows.Scan(&report.ID, &report.Source, &report.Verdict, &body); err != nil {
			return nil, fmt.Errorf("connectors: load proofs: %w", err)
		}
		if err := json.Unmarshal(body, &report); err != nil {
			return nil, fmt.Errorf("connectors: proof %s: %w", report.ID, err)
		}
		reports = append(reports, report)
	}
	return reports, rows.Err()
}

// newestProof returns the newest finished proof of a source; ok is false if it has none.
func (r *Runner) newestProof(ctx context.Context, source string) (report Report, ok bool, err error) {
	reports, err := r.Reports(ctx, source, 5)
	if err != nil {
		return Report{}, false, err
	}
	if i := slices.IndexFunc(reports, func(p Report) bool { return p.Verdict != Asked }); i >= 0 {
		return reports[i], true, nil
	}
	return Report{}, false, nil
}

// loadAskedProofs returns the proofs that nobody has made yet, by source.
func loadAskedProofs(ctx context.Context, db *sqldb.DB) (map[string][]askedProof, error) {
	rows, err := db.QueryContext(ctx, `SELECT source, id, repair FROM connector_proofs WHERE verdict = $1 ORDER BY asked_at, id`, string(Asked))
	if err != nil {
		return nil, fmt.Errorf("connectors: load proofs: %w", err)
	}
	defer rows.Close()
	all := map[string][]askedProof{}
	for rows.Next() {
		var source string
		var p askedProof
		var repair int64
		if err := rows.Scan(&source, &p.id, &repair); err != nil {
			return nil, fmt.Errorf("connectors: load proofs: %w", err)
		}
		p.repair, p.allow = repair != 0, repair == repairAllowed
		all[source] = append(all[source], p)
	}
	return all, rows.Err()
}

// prove makes the proofs of a source until ctx ends: those that are asked for,
// those of the schedule, and a reconciliation where changes may have been
// missed. One is made at a time, at hours in which the source may be read;
// until then it waits.
func (s *sourceRun) prove(ctx context.Context) {
	if s.cfg.Holdings == nil {
		return
	}
	retry := backoff{low: s.cfg.RetryMin, high: s.cfg.RetryMax}
	var notBefore time.Time // of what nobody asked for, after a failure
	last, scheduled := s.cfg.Now(), false
	var asked askedProof
	made := ""
	for {
		timer := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case next := <-s.proofs:
			if next.id != made { // else it was asked for again before its report was stored
				asked = next
			}
		case <-timer.C:
		}
		timer.Stop()
		now := s.cfg.Now()
		scheduled = scheduled || due(s.def.Prove.At, s.def.Map.Timezone, last, now)
		last = now
		gap := s.dueGap()
		unasked := (scheduled || gap > 0) && !now.Before(notBefore)
		state, open, _, _ := s.gate.look()
		if asked.id == "" && !unasked || !open && state == Waiting || state == Stopped && asked.id == "" {
			continue
		}
		// What was asked for is made as it was asked; the others come at the next turn.
		how := comparing{repair: asked.repair, deletes: true, allow: asked.allow}
		switch {
		case asked.id != "":
		case gap > 0:
			how = comparing{repair: true, deletes: s.def.traits().keepsRows}
		default:
			how = comparing{repair: s.def.Prove.Repair, deletes: s.def.traits().keepsRows}
		}
		report, err := s.oneProof(ctx, asked.id, how)
		if err != nil {
			if ctx.Err() == nil {
				s.warn(ctx, "a proof could not be stored", err)
			}
			continue
		}
		switch {
		case asked.id != "":
			made, asked = asked.id, askedProof{}
		case report.Verdict == Failed || gap > 0 && report.Left > 0:
			notBefore = s.cfg.Now().Add(retry.step())
		case gap == 0:
			retry.reset()
			scheduled = false
		default:
			retry.reset()
			if err := closeGap(ctx, s.cfg.DB, s.def.Name, gap); err != nil {
				s.warn(ctx, "a reconciliation could not be noted", err)
				continue
			}
			s.mu.Lock()
			s.closed = gap
			s.mu.Unlock()
		}
	}
}

// oneProof makes one proof and stores its report, under id if somebody asked for it.
func (s *sourceRun) oneProof(ctx context.Context, id string, how comparing) (Report, error) {
	var report Report
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		s.gate.awaitShut(within)
		stop(Away(FaultBusy, nil, "the source is stopped, or may not be read at this hour; the proof was not made"))
	}()
	err := s.guarded(ctx, "proof", func() (err error) {
		report, err = s.compare(within, how)
		return err
	})
	if err != nil && within.Err() != nil {
		err = context.Cause(within)
	}
	if ctx.Err() != nil {
		return Report{}, ctx.Err()
	}
	if err != nil {
		report.Verdict, report.Code, report.Fault = Failed, CodeOf(err), foreign(err.Error(), maxFaultText)
		report.Finished = s.cfg.Now()
	}
	report.ID, report.Source = id, s.def.Name
	if id == "" {
		report.ID = newID()
		err = s.runner.insertProof(ctx, report, flag(how.repair), "schedule")
	} else {
		err = s.runner.settleProof(ctx, report)
	}
	if err != nil {
		return Report{}, err
	}
	if report.Verdict != Equal {
		detail := fmt.Sprintf("%s: %d missing, %d different, %d extra, %d put right %s", report.Verdict, report.Missing, report.Different, report.Extra, report.Repaired, report.Fault)
		return report, s.runner.tell(ctx, s.def.Name, Event{Type: EventProof, Detail: detail})
	}
	return report, nil
}

func (r *Runner) settleProof(ctx context.Context, report Report) error {
	body, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("connectors: encode proof: %w", err)
	}
	if _, err := r.cfg.DB.ExecContext(ctx, `UPDATE connector_proofs SET verdict = $1, body = $2 WHERE id = $3`, string(report.Verdict), string(body), report.ID); err != nil {
		return fmt.Errorf("connectors: store proof: %w", err)
	}
	return nil
}

// due says whether one of the times of day lies in (last, now].
func due(at []TimeOfDay, zone *time.Location, last, now time.Time) bool {
	for _, t := range at {
		for _, day := range []time.Time{last.In(zone), now.In(zone)} {
			when := time.Date(day.Year(), day.Month(), day.Day(), 0, int(time.Duration(t)/time.Minute), 0, 0, zone)
			if when.After(last) && !when.After(now) {
				return true
			}
		}
	}
	return false
}
