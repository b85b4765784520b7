package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// maxDone is the number of files after which a batch ends, so that a position stays short.
	maxDone = 100
	// maxWaiting is how many files may wait for their move to the archive before no further one is begun.
	maxWaiting = 10 * maxDone
)

// finished is a file that was read to its end.
type finished struct {
	File   string `json:"file"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// done is a finished file and how it looked then; zero if that is not known, after a restart.
type done struct {
	finished
	state fileState
}

// finish notes that a file was read to its end.
func (s *source) finish(name string, at place, state fileState) {
	s.forget(name)
	s.done = append(s.done, done{finished: finished{File: name, Size: at.Offset, SHA256: at.SHA256}, state: state})
	s.listDone()
}

// listDone puts the finished files into the position.
func (s *source) listDone() {
	s.position.Done = nil
	for _, d := range s.done {
		s.position.Done = append(s.position.Done, d.finished)
	}
}

func (s *source) forget(name string) {
	s.done = slices.DeleteFunc(s.done, func(d done) bool { return d.File == name })
	s.listDone()
}

// remember takes the finished files of a position over; what is known of them still holds.
func (s *source) remember(files []finished) {
	known := s.done
	s.done = nil
	for _, f := range files {
		next := done{finished: f}
		for _, k := range known {
			if k.finished == f {
				next.state = k.state
			}
		}
		s.done = append(s.done, next)
	}
}

// stillDone says whether a file is one that was read to its end and has not changed since.
func (s *source) stillDone(ctx context.Context, name string, state fileState) (bool, error) {
	i := slices.IndexFunc(s.done, func(d done) bool { return d.File == name })
	if i < 0 {
		return false, nil
	}
	d := &s.done[i]
	same := d.state == state
	if d.state == (fileState{}) && d.Size == state.size {
		hash, err := s.hashOf(ctx, name, d.Size)
		if err != nil {
			return false, fileFault(name, err)
		}
		same = hash == d.SHA256
	}
	if !same {
		s.log.WarnContext(ctx, "file changed after it was read; reading it again from its beginning", slog.String("file", name))
		s.forget(name)
		return false, nil
	}
	d.state = state
	return true, nil
}

func (s *source) hashOf(ctx context.Context, name string, size int64) (string, error) {
	f, err := s.folder.open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	_, err = hashed(ctx, h, f, size)
	return hex.EncodeToString(h.Sum(nil)), err
}

// Acknowledge moves the files to the archive whose rows are all saved, unless
// they have changed since: then they are read again. Files that are gone were
// moved before, by us or by somebody else.
func (s *source) Acknowledge(ctx context.Context, text json.RawMessage) error {
	if s.folder == nil {
		return fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	at, err := parsePosition(text)
	if err != nil {
		return err
	}
	if s.saved = at; s.def.Files.Archive == "" || len(at.Done) == 0 {
		return nil
	}
	defer s.folder.during(ctx)()
	infos, err := s.folder.list(".")
	if err != nil {
		return s.folderFault(err)
	}
	for _, f := range at.Done {
		if !slices.ContainsFunc(s.done, func(d done) bool { return d.finished == f }) {
			continue // moved before, or read again
		}
		i := slices.IndexFunc(infos, func(info fs.FileInfo) bool { return info.Name() == f.File })
		if i < 0 {
			s.forget(f.File)
			continue
		}
		state := stateOf(infos[i])
		if !s.rests(f.File, state) {
			continue // a later poll moves it
		}
		still, err := s.stillDone(ctx, f.File, state)
		if err != nil {
			return err
		}
		if still {
			if err := s.archive(ctx, f.File, state); err != nil {
				return err
			}
		}
	}
	return nil
}

// rests says whether nobody is likely to write to a file any more. Files of lines are read while they grow, so that
// the end that was read may not be the last.
func (s *source) rests(name string, state fileState) bool {
	seen, known := s.sightings[name]
	return !grows(s.def.Files.Format) || known && seen.fileState == state && s.now().Sub(seen.since) >= quietWait
}

// settle moves a file that still looks as when it was read to the archive, if its rows are saved and it rests.
func (s *source) settle(ctx context.Context, name string, state fileState) error {
	i := slices.IndexFunc(s.done, func(d done) bool { return d.File == name && d.state == state })
	if i < 0 || s.def.Files.Archive == "" || !s.rests(name, state) {
		return nil
	}
	d := s.done[i].finished
	atEnd := s.saved.File == name && s.saved.Offset == d.Size && s.saved.SHA256 == d.SHA256 && (s.saved.End || grows(s.def.Files.Format))
	if !atEnd && !slices.Contains(s.saved.Done, d) {
		return nil
	}
	return s.archive(ctx, name, state)
}

// archive moves a file that has a state to the archive, unless it changed a moment ago.
func (s *source) archive(ctx context.Context, name string, state fileState) error {
	to, err := s.move(name, state, s.def.Files.Archive)
	if err != nil || to == "" {
		return err
	}
	s.forget(name)
	s.log.InfoContext(ctx, "file was read and moved to the archive", slog.String("file", name), slog.String("moved_to", to))
	return nil
}
