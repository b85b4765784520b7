package connectors

import (
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
	for _, spot := range r.BlindSpots {
		p.BlindSpots = append(p.BlindSpots, string(spot))
	}
	for _, d := range r.Differences[:min(keys, len(r.Differences))] {
		p.Differences = append(p.Differences, &connectorsv1.Difference{Key: d.Key, Is: d.Is})
	}
	return p
}

func checkedProto(c Checked, rejections []*exchange.Rejection) *connectorsv1.CheckedSource {
	out := &connectorsv1.CheckedSource{Name: c.Name}
	for _, fault := range c.Faults {
		out.Faults = append(out.Faults, &connectorsv1.SourceFault{Code: string(CodeOf(fault)), Detail: fault.Error()})
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
