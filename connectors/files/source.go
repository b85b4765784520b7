package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// unterminatedWait is how long a file without a final line end must be
// unchanged before its last line counts as complete.
const unterminatedWait = time.Minute

// source implements [connectors.Source] on a folder.
type source struct {
	def     connectors.Definition
	columns []string
	log     *slog.Logger
	now     func() time.Time

	opened   bool
	position position
	// checked is the state of the file in position when the part before Offset was last seen to be what was read.
	checked fileState
	reading *reading // nil between files
	queue   []string // names that the last poll found and that are still to be begun

	// What earlier polls saw; kept when the source is opened again.
	sightings map[string]sighting
	passed    map[string]bool // names that sort before position.File and need no report
}

// position is what Open and Read exchange: everything before File was read,
// and of File the first Offset bytes, which are Line lines and have this hash.
type position struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Line   int64  `json:"line"`
	SHA256 string `json:"sha256"`
}

// fileState is what a file looks like from outside.
type fileState struct {
	size     int64
	modified time.Time
}

// sighting is a file state and when it was first seen.
type sighting struct {
	fileState
	since time.Time
	twice bool
}

// New is the [connectors.Constructor] of files.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	if def.Files == nil {
		return nil, fmt.Errorf("%w: %s has no files section", connectors.ErrDefinition, def.Name)
	}
	return &source{def: def, columns: def.Map.Columns(), log: logger, now: time.Now}, nil
}

// Open finds the folder; files are opened as they are read.
func (s *source) Open(_ context.Context, after json.RawMessage) error {
	var at position
	if after != nil {
		decoder := json.NewDecoder(bytes.NewReader(after))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&at); err != nil || at.File == "" || at.Offset < 0 || at.Line < 0 || len(at.SHA256) != 64 {
			return fmt.Errorf("%w: %q is no position in a file", connectors.ErrPosition, after)
		}
	}
	root, err := s.folder()
	if err != nil {
		return err
	}
	if at != s.position { // else what is known of the file still holds, and need not be hashed again
		s.position, s.checked = at, fileState{}
	}
	s.queue = nil
	s.opened = true
	return root.Close()
}

// folder opens the folder. It is opened anew for every poll, because a share
// that was mounted again is another folder under the same name.
func (s *source) folder() (*os.Root, error) {
	root, err := os.OpenRoot(s.def.Files.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: folder %q cannot be opened; is the share mounted? %w", connectors.ErrNotConnected, s.def.Files.DirName, err)
	}
	return root, nil
}

// Close frees the file at hand.
func (s *source) Close(context.Context) error {
	s.opened = false
	if s.reading == nil {
		return nil
	}
	file := s.reading.file
	s.reading = nil
	return file.Close()
}

// Read returns rows of the file at hand and of those behind it that are
// complete: a year of small nightly files makes few batches.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if !s.opened {
		return connectors.Batch{}, fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	var rows []connectors.Row
	moved, size := false, 0
	for len(rows) < s.def.Batch && size < connectors.MaxBatchBytes {
		if s.reading == nil {
			err := s.next(ctx)
			if err != nil && moved {
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
		rows, moved = append(rows, more...), true
	}
	encoded, err := json.Marshal(s.position)
	if err != nil {
		return connectors.Batch{}, fmt.Errorf("connectors: encode position: %w", err)
	}
	return connectors.Batch{Rows: rows, Position: encoded}, nil
}

// readFile returns up to limit rows, and about size bytes, of the file at hand and closes it at its end.
func (s *source) readFile(ctx context.Context, limit, size int) ([]connectors.Row, error) {
	rows, end, err := s.reading.batch(ctx, limit, size)
	if err != nil {
		return nil, err
	}
	s.position = s.reading.position()
	if !end {
		return rows, nil
	}
	s.checked = s.reading.state
	err = s.reading.file.Close()
	s.reading = nil
	if err != nil {
		return nil, fmt.Errorf("%w: file %q: %w", connectors.ErrNotConnected, s.position.File, err)
	}
	return rows, nil
}

// next begins the next complete file, in the order of names. It answers
// ErrCaughtUp if there is none, or ErrRefused if all that is left are files
// whose names come too late. The folder is looked at when the files that were
// seen last time are used up.
func (s *source) next(ctx context.Context) error {
	root, err := s.folder()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var late []string
	if len(s.queue) == 0 {
		if s.queue, late, err = s.poll(root); err != nil {
			return err
		}
	}
	for len(s.queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := s.queue[0]
		s.queue = s.queue[1:]
		seen := s.sightings[name]
		if name == s.position.File && seen.size == s.position.Offset && seen.fileState == s.checked {
			continue
		}
		if !seen.twice {
			s.queue = nil
			return connectors.ErrCaughtUp
		}
		begun, err := s.begin(ctx, root, name, seen)
		if err != nil {
			s.queue = nil
		}
		if begun || err != nil {
			return err
		}
	}
	if len(late) > 0 {
		return fmt.Errorf("%w: file %q came after %q, which sorts behind it, had been read; rename it so that it sorts behind (%d such files)",
			connectors.ErrRefused, late[0], s.position.File, len(late))
	}
	return connectors.ErrCaughtUp
}

// poll looks at the folder. names are the files from position.File on, in
// order; late are those that newly appeared before it.
func (s *source) poll(root *os.Root) (names, late []string, err error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, nil, fmt.Errorf("%w: folder %q cannot be read: %w", connectors.ErrNotConnected, s.def.Files.DirName, err)
	}
	first := s.passed == nil
	sightings, passed := map[string]sighting{}, map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		// Links are not followed: the folder belongs to somebody else.
		if matches, err := path.Match(s.def.Files.Pattern, name); err != nil || !matches || !e.Type().IsRegular() {
			continue
		}
		if name < s.position.File {
			if passed[name] = first || s.passed[name]; !passed[name] {
				late = append(late, name)
			}
			continue
		}
		passed[name] = s.passed[name] || name == s.position.File
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: file %q: %w", connectors.ErrNotConnected, name, err)
		}
		now := sighting{fileState: fileState{size: info.Size(), modified: info.ModTime()}, since: s.now()}
		if before, ok := s.sightings[name]; ok && before.fileState == now.fileState {
			now.since, now.twice = before.since, true
		}
		sightings[name] = now
		names = append(names, name)
	}
	s.sightings, s.passed = sightings, passed
	return names, late, nil
}

// begin opens a file at the place where reading goes on. It reports false if
// there is nothing to read in it after all, and ErrCaughtUp if it is not complete.
func (s *source) begin(ctx context.Context, root *os.Root, name string, seen sighting) (begun bool, err error) {
	file, err := root.Open(name)
	if err != nil {
		return false, fmt.Errorf("%w: file %q: %w", connectors.ErrNotConnected, name, err)
	}
	defer func() {
		if !begun {
			err = errors.Join(err, file.Close())
		}
	}()
	terminated, err := endsWithLine(file, seen.size)
	if err != nil {
		return false, fmt.Errorf("%w: file %q: %w", connectors.ErrNotConnected, name, err)
	}
	if !terminated && s.now().Sub(seen.since) < unterminatedWait {
		return false, connectors.ErrCaughtUp
	}
	at := position{File: name}
	r := newReading(file, name, seen.fileState, s.def.Files, s.columns)
	if name == s.position.File {
		same, err := r.verify(ctx, s.position)
		if err != nil {
			return false, err
		}
		switch {
		case same && s.position.Offset == seen.size:
			s.checked = seen.fileState
			return false, nil
		case same:
			at = s.position
		default:
			s.log.WarnContext(ctx, "file changed after it was read; reading it again from its beginning", slog.String("file", name))
		}
	}
	if err := r.start(ctx, at, s.log); err != nil {
		return false, err
	}
	s.reading, s.passed[name] = r, true
	return true, nil
}

// endsWithLine says whether the last byte is a line end, or the Ctrl-Z of a DOS file.
func endsWithLine(file *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], size-1); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return last[0] == '\n' || last[0] == ctrlZ, nil
}
