package connectors

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

// Mended is what became of a rejected row that somebody put right.
type Mended struct {
	RecordID  string
	Rejection *exchange.Rejection // why it is still not accepted; nil if it is
}

// Mend puts a rejected row right and publishes it: the values of columns take
// the place of those of the row, and the definition of its source maps it as
// it is now. A row that was kept as a JSON object (of tables and endpoints)
// needs only the columns that are wrong, or none if the definition or the
// schema was mended; of other rows, and where columns are masked, all columns
// of the mapping are needed. Where no column says when a row became true
// (logs, topics, tables in bulk mode) nobody knows what came after it: that is
// [ErrInvalid], and the row is put right at its source. Errors also:
// [exchange.ErrUnknownRejected], [ErrUnknownSource].
func (r *Runner) Mend(ctx context.Context, id string, columns map[string]string, by string) (Mended, error) {
	rejected, err := r.Rejected(ctx, id)
	if err != nil {
		return Mended{}, err
	}
	def, err := r.definition(ctx, rejected.Source)
	if err != nil {
		return Mended{}, err
	}
	if def.datesItself() {
		return Mended{}, invalidf("only %s knows the order of its changes; put the row right there, and it comes again", def.Name)
	}
	row, err := mendedRow(def.Definition, rejected, columns)
	if err != nil {
		return Mended{}, err
	}
	mapper, err := newMapper(def.Map)
	if err != nil {
		return Mended{}, err
	}
	draft := mapper.draft(row, r.cfg.Now())
	// Looked at first: a row that is still wrong is not rejected a second time.
	drafts := []exchange.Draft{draft}
	rejections, err := r.cfg.Publisher.Examine(ctx, def.Resource, drafts)
	if err != nil {
		return Mended{}, err
	}
	if rejections[0] != nil {
		return Mended{Rejection: rejections[0]}, nil
	}
	outcomes, err := r.cfg.Publisher.Publish(ctx, def.Resource, def.Name, drafts)
	if err != nil {
		return Mended{}, err
	}
	// A crash before this leaves the row as not mended; mending it again publishes the same record.
	if _, err := r.cfg.DB.ExecContext(ctx, `INSERT INTO connector_mended (rejected_id, record_id, mended_at, mended_by) VALUES ($1, $2, $3, $4)
		ON CONFLICT (rejected_id) DO UPDATE SET record_id = excluded.record_id, mended_at = excluded.mended_at, mended_by = excluded.mended_by`,
		id, outcomes[0].ID, r.cfg.Now().UnixMicro(), by); err != nil {
		return Mended{}, err
	}
	return Mended{RecordID: outcomes[0].ID, Rejection: outcomes[0].Rejection}, nil
}

// mendedRow makes the row anew from what was kept of it and the given values.
func mendedRow(def Definition, rejected exchange.Rejected, columns map[string]string) (Row, error) {
	var kept map[string]json.RawMessage
	if err := json.Unmarshal(rejected.Raw, &kept); err != nil || len(def.Map.Masks) > 0 {
		kept = nil // a line of a file, or values that are masked already
	}
	names := def.Map.Columns()
	known := make(map[string]bool, len(names))
	row := Row{Raw: rejected.Raw, Origin: rejected.Origin, Values: make([]Value, len(names))}
	for i, name := range names {
		known[name] = true
		text, given := columns[name]
		was, has := kept[name]
		switch {
		case given:
			row.Values[i].Text = text
		case !has:
			return Row{}, invalidf("what was kept of the row does not have the column %q; give its value", name)
		case string(was) == "null":
			row.Values[i].Null = true
		case was[0] != '"':
			row.Values[i].Text = string(was)
		default:
			if err := json.Unmarshal(was, &row.Values[i].Text); err != nil {
				return Row{}, invalidf("column %q of the kept row cannot be read; give its value", name)
			}
		}
	}
	for name := range columns {
		if !known[name] {
			return Row{}, invalidf("the definition of %s knows no column %q", def.Name, name)
		}
	}
	return row, nil
}

// Rejected returns a rejected row or [exchange.ErrUnknownRejected].
func (r *Runner) Rejected(ctx context.Context, id string) (exchange.Rejected, error) {
	if r.cfg.Holdings == nil {
		return exchange.Rejected{}, invalidf("this process does not know what is stored")
	}
	return r.cfg.Holdings.RejectedRecord(ctx, id)
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
