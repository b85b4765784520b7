package connectors

import (
	"context"
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
	foreignRows(rows)
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
