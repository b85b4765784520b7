package licenses

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/onewindow/onewindow/exchange/access"
)

// maxReason is the longest reason of a change, in characters.
const maxReason = 500

// Action changes the status of a licence.
type Action string

// The actions: 暂扣, 恢复 (暂扣发还), 撤销/吊销/注销.
const (
	Suspend Action = "suspend"
	Resume  Action = "resume"
	Revoke  Action = "revoke"
)

// transition is one row of the state machine: what an action does in a status,
// or why it cannot.
type transition struct {
	from    Status
	action  Action
	to      Status // empty if refused
	ceType  string
	refusal string
}

// transitions lists every pair of status and action.
func transitions() []transition {
	return []transition{
		{from: Valid, action: Suspend, to: Suspended, ceType: TypeSuspended},
		{from: Valid, action: Resume, refusal: "it is valid: there is nothing to resume"},
		{from: Valid, action: Revoke, to: Revoked, ceType: TypeRevoked},
		{from: Suspended, action: Suspend, refusal: "it is suspended already"},
		{from: Suspended, action: Resume, to: Valid, ceType: TypeResumed},
		{from: Suspended, action: Revoke, to: Revoked, ceType: TypeRevoked},
		{from: Revoked, action: Suspend, refusal: "it is revoked, which is final"},
		{from: Revoked, action: Resume, refusal: "it is revoked, which is final: issue a new licence"},
		{from: Revoked, action: Revoke, refusal: "it is revoked already"},
	}
}

// findTransition returns the row of a pair, or [ErrState] with the refusal.
func findTransition(from Status, action Action) (transition, error) {
	for _, t := range transitions() {
		if t.from != from || t.action != action {
			continue
		}
		if t.to == "" {
			return transition{}, fmt.Errorf("%w: cannot %s the licence: %s", ErrState, action, t.refusal)
		}
		return t, nil
	}
	return transition{}, fmt.Errorf("%w: unknown action %q or status %q", ErrInvalid, action, from)
}

// Change suspends, resumes or revokes a licence for a reason of 1 to 500
// characters, which is kept with the caller's name. When it returns, the
// change, its history, the status list and the event are on disk, and every
// verification sees it. The caller must be an administrator or the issuing
// department's own system.
//
// Errors: [ErrInvalid], [ErrNumber], [ErrCheck], [ErrNotFound],
// [ErrForbidden], [ErrState].
func (r *Registry) Change(ctx context.Context, number string, action Action, reason string) (License, error) {
	if !plainText(reason, maxReason) {
		return License{}, fmt.Errorf("%w: a reason of 1 to %d characters is required", ErrInvalid, maxReason)
	}
	if _, err := ParseNumber(number); err != nil {
		return License{}, err
	}
	if err := lock(ctx, r.hot); err != nil {
		return License{}, err
	}
	defer func() { <-r.hot }()
	now := r.cfg.Now().UTC().Truncate(time.Microsecond)
	var l License
	err := r.cfg.DB.InTx(ctx, func(tx *sql.Tx) (err error) {
		l, err = r.changeIn(ctx, tx, number, action, reason, now)
		return err
	})
	if err != nil {
		return License{}, err
	}
	r.cfg.Logger.InfoContext(ctx, "licence status changed", slog.String("number", number), slog.String("action", string(action)))
	return l, nil
}

func (r *Registry) changeIn(ctx context.Context, tx *sql.Tx, number string, action Action, reason string, now time.Time) (License, error) {
	l, err := find(ctx, tx, number)
	if err != nil {
		return License{}, err
	}
	if !access.MayActFor(ctx, l.Department) {
		return License{}, fmt.Errorf("%w: %s was issued by another department", ErrForbidden, number)
	}
	t, err := findTransition(l.Status, action)
	if err != nil {
		return License{}, err
	}
	l.Status, l.StatusReason = t.to, reason
	l.changes++
	caller, _ := access.FromContext(ctx)
	for _, statement := range []struct {
		query string
		args  []any
	}{
		{
			`UPDATE licenses SET status = $1, status_reason = $2, changes = $3 WHERE number = $4`,
			[]any{string(l.Status), reason, l.changes, number},
		},
		{
			`INSERT INTO license_changes (number, sequence, action, from_status, to_status, reason, actor, changed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			[]any{number, l.changes, string(action), string(t.from), string(t.to), reason, caller.Name, now.UnixMicro()},
		},
		{`UPDATE license_status_lists SET revision = revision + 1 WHERE id = $1`, []any{l.slot.list}},
	} {
		if _, err := tx.ExecContext(ctx, statement.query, statement.args...); err != nil {
			return License{}, fmt.Errorf("licenses: change: %w", err)
		}
	}
	if err := count(ctx, tx, l.slot, t.from, -1); err != nil {
		return License{}, err
	}
	if err := count(ctx, tx, l.slot, t.to, 1); err != nil {
		return License{}, err
	}
	msg, err := event(l, t.ceType, now)
	if err != nil {
		return License{}, err
	}
	return l, r.cfg.Outbox.Put(ctx, tx, msg)
}
