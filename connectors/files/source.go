package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// source implements [connectors.Source], [connectors.Acknowledger] and [connectors.Scanner] on a folder.
type source struct {
	def     connectors.Definition
	columns []string
	keys    []int
	log     *slog.Logger
	now     func() time.Time

	folder   folder // nil unless open
	position position
	// saved is the newest position of which is known that its rows are safe.
	saved position
	// checked is the state of the file in position when the part before its place was last seen to be what was read.
	checked fileState
	reading *reading // nil between files
	queue   []string // names that the last poll found and that are still to be begun
	done    []done   // read to the end and still to be moved to the archive

	// What earlier polls saw; kept when the source is opened again.
	sightings map[string]sighting
	passed    map[string]bool // names that sort before position.File and need no report
	// expected are, after a restart, the names that were before expectedUpTo; nil once it is known that none came meanwhile.
	expected     *passedNames
	expectedUpTo string
	failed       map[string]failure
}

// position is what Open and Read exchange: everything before File was read, and
// of File what is before the place. With an archive there is no order: Done has
// the files that were read to the end and may still be in the folder.
type position struct {
	File string `json:"file"`
	place
	// Passed are the names before File; absent with an archive, and in positions of older versions.
	Passed *passedNames `json:"passed,omitempty"`
	Done   []finished   `json:"done,omitempty"`
}

// New is the [connectors.Constructor] of files.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	if def.Files == nil {
		return nil, fmt.Errorf("%w: %s has no files section", connectors.ErrDefinition, def.Name)
	}
	s := &source{def: def, columns: def.Map.Columns(), log: logger, now: time.Now, failed: map[string]failure{}}
	for _, column := range def.Map.KeyColumns() {
		s.keys = append(s.keys, slices.Index(s.columns, column))
	}
	return s, nil
}

// Open finds the folder; files are opened as they are read.
func (s *source) Open(ctx context.Context, after json.RawMessage) error {
	at, err := parsePosition(after)
	if err != nil {
		return err
	}
	if s.folder, err = s.connect(ctx); err != nil {
		return err
	}
	defer s.folder.during(ctx)()
	if _, err := s.folder.list("."); err != nil {
		return s.folderFault(err)
	}
	if at.File != s.position.File || at.place != s.position.place { // else what is known of the file still holds, and need not be hashed again
		s.checked = fileState{}
	}
	if s.passed == nil { // it was not this process that looked at the folder before
		s.expected, s.expectedUpTo = at.Passed, at.File
	}
	s.position, s.saved, s.queue = at, at, nil
	s.remember(at.Done)
	return nil
}

func parsePosition(text json.RawMessage) (at position, err error) {
	if text == nil {
		return at, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&at); err != nil || at.File == "" || at.Offset < 0 || at.Line < 0 || len(at.SHA256) != 64 || at.Passed != nil && (at.Passed.Count < 0 || len(at.Passed.SHA256) != 64) {
		return at, fmt.Errorf("%w: what was saved is no position in a file", connectors.ErrPosition)
	}
	return at, nil
}

// Close frees the file at hand and the connection.
func (s *source) Close(context.Context) error {
	var err error
	if s.reading != nil {
		err = s.reading.file.Close()
	}
	if s.folder != nil {
		err = errors.Join(err, s.folder.Close())
	}
	s.reading, s.folder = nil, nil
	return err
}

// Read returns rows of the file at hand and of those behind it that are
// complete: a year of small nightly files makes few batches.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.folder == nil {
		return connectors.Batch{}, fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	if err := ctx.Err(); err != nil {
		return connectors.Batch{}, err
	}
	defer s.folder.during(ctx)()
	batch, err := s.read(ctx)
	if err != nil && !errors.Is(err, connectors.ErrCaughtUp) && ctx.Err() != nil {
		err = ctx.Err() // which closed the connection
	}
	return batch, err
}

func (s *source) read(ctx context.Context) (connectors.Batch, error) {
	var rows []connectors.Row
	files, size := 0, 0
	for len(rows) < s.def.Batch && size < connectors.MaxBatchBytes && files < maxDone {
		if s.reading == nil {
			err := s.next(ctx)
			if err != nil && files > 0 {
				break // it comes again with the next call, after these rows
			}
			if err != nil {
				return connectors.Batch{}, err
			}
		}
		more, err := s.readFile(ctx, s.def.Batch-len(rows), connectors.MaxBatchBytes-size)
		if err != nil {
			return connectors.Batch{}, err
		}
		for i := range more {
			size += len(more[i].Raw)
		}
		rows, files = append(rows, more...), files+1
	}
	encoded, err := json.Marshal(s.position)
	if err != nil {
		return connectors.Batch{}, fmt.Errorf("connectors: encode position: %w", err)
	}
	return connectors.Batch{Rows: rows, Position: encoded}, nil
}

// readFile returns up to limit rows, and about size bytes, of the file at hand and closes it at its end.
func (s *source) readFile(ctx context.Context, limit, size int) ([]connectors.Row, error) {
	r := s.reading
	rows, end, err := r.batch(ctx, limit, size)
	if err != nil {
		return nil, s.contentFault(r.name, err)
	}
	if r.name != s.position.File && s.def.Files.Archive == "" {
		s.position.Passed = s.passedBefore(r.name)
	}
	s.position.File, s.position.place = r.name, r.content.place()
	if !end {
		return rows, nil
	}
	s.checked = r.state
	if s.def.Files.Archive != "" {
		s.finish(r.name, s.position.place, r.state)
	}
	s.reading = nil
	if err := r.file.Close(); err != nil {
		return nil, fileFault(r.name, err)
	}
	return rows, nil
}

// contentFault says why a file cannot be read on.
func (s *source) contentFault(name string, err error) error {
	var wrong *formatError
	if errors.As(err, &wrong) {
		return connectors.Refused(wrong.code, nil, "file %q is not as it should be: %s; mend or remove it", name, wrong.text)
	}
	return fileFault(name, err)
}
