package connectors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onewindow/onewindow/exchange"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

func stateProto(s State) connectorsv1.SourceState {
	switch s {
	case Starting:
		return connectorsv1.SourceState_SOURCE_STATE_STARTING
	case Reading:
		return connectorsv1.SourceState_SOURCE_STATE_READING
	case CaughtUp:
		return connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP
	case Failing:
		return connectorsv1.SourceState_SOURCE_STATE_FAILING
	case Stopped:
		return connectorsv1.SourceState_SOURCE_STATE_STOPPED
	case Paused:
		return connectorsv1.SourceState_SOURCE_STATE_PAUSED
	case Waiting:
		return connectorsv1.SourceState_SOURCE_STATE_WAITING
	case Blocked:
		return connectorsv1.SourceState_SOURCE_STATE_BLOCKED
	}
	return connectorsv1.SourceState_SOURCE_STATE_UNSPECIFIED
}

func verdictProto(v Verdict) connectorsv1.ProofVerdict {
	switch v {
	case Asked:
		return connectorsv1.ProofVerdict_PROOF_VERDICT_ASKED
	case Equal:
		return connectorsv1.ProofVerdict_PROOF_VERDICT_EQUAL
	case Different:
		return connectorsv1.ProofVerdict_PROOF_VERDICT_DIFFERENT
	case Failed:
		return connectorsv1.ProofVerdict_PROOF_VERDICT_FAILED
	}
	return connectorsv1.ProofVerdict_PROOF_VERDICT_UNSPECIFIED
}

// proofProto shows at most so many differing keys.
func proofProto(r Report, keys int) *connectorsv1.Proof {
	p := &connectorsv1.Proof{
		Id: r.ID, Source: r.Source, Resource: r.Resource, Verdict: verdictProto(r.Verdict),
		StartTime: timeProto(r.Started), EndTime: timeProto(r.Finished),
		SourceRows: r.SourceRows, SourceRejected: r.SourceRejected, HeldRows: r.HeldRows, SourceHash: r.SourceHash, HeldHash: r.HeldHash,
		Missing: r.Missing, Different: r.Different, Extra: r.Extra, Repaired: r.Repaired, FaultCode: string(r.Code), Fault: r.Fault,
	}
	for _, d := range r.Differences[:min(keys, len(r.Differences))] {
		p.Differences = append(p.Differences, &connectorsv1.Difference{Key: d.Key, Is: d.Is})
	}
	return p
}

func checkedProto(c Checked, rejections []*exchange.Rejection) *connectorsv1.CheckedSource {
	out := &connectorsv1.CheckedSource{Name: c.Name}
	for _, fault := range c.Faults {
		out.Faults = append(out.Faults, &connectorsv1.SourceFault{Code: string(codeOf(fault)), Detail: fault.Error()})
	}
	for i, draft := range c.Rows {
		row := &connectorsv1.SampleRow{Origin: draft.Origin, Key: draft.Key, EventTime: timeProto(draft.EventTime), Payload: string(draft.Payload)}
		if r := rejections[i]; r != nil {
			row.Rule, row.Detail = r.Rule, r.Detail
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// newestProofs returns the newest finished proof of every source that has one.
func (r *Runner) newestProofs(ctx context.Context) (map[string]Report, error) {
	newest := map[string]Report{}
	for _, s := range r.Status() {
		reports, err := r.Reports(ctx, s.Name, 5)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(reports, func(p Report) bool { return p.Verdict != Asked }); i >= 0 {
			newest[s.Name] = reports[i]
		}
	}
	return newest, nil
}

// mending is who put a rejected row right, and when.
type mending struct {
	at time.Time
	by string
}

// mended returns which of the rows were put right, by id.
func (r *Runner) mended(ctx context.Context, rows []exchange.Rejected) (map[string]mending, error) {
	found := map[string]mending{}
	for _, row := range rows {
		var at int64
		var by string
		err := r.cfg.DB.QueryRowContext(ctx, `SELECT coalesce(max(mended_at), 0), coalesce(max(mended_by), '') FROM connector_mended WHERE rejected_id = $1`, row.ID).Scan(&at, &by)
		if err != nil {
			return nil, fmt.Errorf("connectors: load mended rows: %w", err)
		}
		if at > 0 {
			found[row.ID] = mending{at: time.UnixMicro(at).UTC(), by: by}
		}
	}
	return found, nil
}
