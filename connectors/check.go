package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

const (
	// sampleRows is how many rows a check shows.
	sampleRows = 5
	// checkTime bounds the check of one source.
	checkTime = time.Minute
)

// Checked is what a check of a source found.
type Checked struct {
	Name string
	// Faults are all that were found; none if the source can be read.
	Faults []error
	// Rows are up to five rows as they would be published; those that would be rejected say why.
	Rows []exchange.Draft
}

// CheckSource connects to the source of a definition and maps some of its rows. It
// changes nothing at the source, and publishes nothing.
func CheckSource(ctx context.Context, def Definition, construct Constructor, logger *slog.Logger) Checked {
	checked := Checked{Name: def.Name}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	def.Batch = min(def.Batch, sampleRows)
	mapper, err := newMapper(def.Map)
	if err != nil {
		checked.Faults = append(checked.Faults, err)
	}
	src, err := construct(def, logger)
	if err != nil {
		checked.Faults = append(checked.Faults, err)
		return checked
	}
	rows, err := sample(ctx, src)
	checked.Faults = append(checked.Faults, each(err)...)
	if mapper == nil {
		return checked
	}
	for _, row := range rows {
		checked.Rows = append(checked.Rows, mapper.draft(row, time.Now()))
	}
	return checked
}

// errEnough ends a scan that has shown enough.
var errEnough = errors.New("connectors: enough rows")

// sample reads some rows in the way that moves nothing at the source.
func sample(ctx context.Context, src Source) (rows []Row, err error) {
	if scanner, ok := src.(Scanner); ok {
		err := scanner.Scan(ctx, KeyRange{}, func(more []Row) error {
			if rows = append(rows, more...); len(rows) >= sampleRows {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			err = nil
		}
		return rows[:min(len(rows), sampleRows)], err
	}
	defer func() { err = errors.Join(err, src.Close(ctx)) }()
	if err := src.Open(ctx, nil); err != nil {
		return nil, err
	}
	for {
		batch, err := src.Read(ctx)
		if errors.Is(err, ErrCaughtUp) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if rows = append(rows, batch.Rows...); len(rows) >= sampleRows {
			return rows[:sampleRows], nil
		}
	}
}

// each takes what errors.Join has joined apart.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && reflect.TypeOf(err) == reflect.TypeOf(errors.Join(errEnough)) {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, each(one)...)
		}
		return all
	}
	return []error{err}
}

// CodeOf returns the code of a fault, for those who show it.
func CodeOf(err error) FaultCode { return codeOf(err) }

// Mended is what became of a rejected row that somebody put right.
type Mended struct {
	RecordID  string
	Rejection *exchange.Rejection // why it is still not accepted; nil if it is
}

// Mend puts a rejected row right and publishes it: the values of columns take
// the place of those of the row, and the definition of its source maps it as
// it is now. A row that was kept as a JSON object (of tables, endpoints,
// topics) needs only the columns that are wrong, or none if the definition or
// the schema was mended; of other rows all columns of the mapping are needed.
// Errors: [exchange.ErrUnknownRejected], [ErrUnknownSource], [ErrInvalid].
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
