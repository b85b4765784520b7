package files

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// quietWait is how long a file without a final line end, or one that is not of
	// its format, must be unchanged before that counts.
	quietWait = time.Minute
	// settleWait is how far apart the two polls lie, at most, between which a file must not have changed.
	settleWait = 5 * time.Second
	// incompleteWait is how long a file may stay incomplete: from then on one that keeps changing is
	// reported, and one that stopped in the middle is taken for broken.
	incompleteWait = 10 * time.Minute
	// emptyAfter is how many lines a file has behind which one without rows is a fault.
	emptyAfter = 100
	// maxSameName is how many files of one name an archive may have.
	maxSameName = 10_000
)

// fileState is what a file looks like from outside.
type fileState struct {
	size     int64
	modified time.Time
}

// sighting is a file state, when it was first seen, and since when the file has been changing from poll to poll.
type sighting struct {
	fileState
	since, first time.Time
	twice        bool
}

// failure is why a file in a state could not be opened.
type failure struct {
	fileState
	cause *formatError
}

// next begins the next complete file, in the order of names. It answers
// ErrCaughtUp if there is none, or ErrRefused if all that is left are files
// whose names come too late. The folder is looked at when the files that were
// seen last time are used up.
func (s *source) next(ctx context.Context) error {
	var late []string
	if len(s.queue) == 0 || len(s.done) >= maxWaiting {
		var err error
		if s.queue, late, err = s.poll(ctx); err != nil {
			return err
		}
	}
	for len(s.queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := s.queue[0]
		s.queue = s.queue[1:]
		begun, err := s.consider(ctx, name, s.sightings[name])
		if err != nil {
			s.queue = nil
		}
		if begun || err != nil {
			return err
		}
	}
	if s.expected != nil {
		return connectors.Refused(connectors.FaultOutOfOrder, nil, "while nobody was looking, a file came whose name sorts before %q, up to which the folder had been read, with %d files before it; "+
			"find it and rename it so that it sorts behind, or have files moved to an archive", s.expectedUpTo, s.expected.Count)
	}
	if len(late) > 0 {
		return connectors.Refused(connectors.FaultOutOfOrder, nil, "file %q came after %q, which sorts behind it, had been read; rename it so that it sorts behind, "+
			"or have files moved to an archive (%d such files)", late[0], s.position.File, len(late))
	}
	return connectors.ErrCaughtUp
}

// poll looks at the folder. names are the files from position.File on, in
// order; late are those that newly appeared before it. With an archive there
// is nothing late: what was read is gone, so names are all, the one at hand first.
func (s *source) poll(ctx context.Context) (names, late []string, err error) {
	infos, err := s.folder.list(".")
	if err != nil {
		return nil, nil, s.folderFault(err)
	}
	archive := s.def.Files.Archive != ""
	first := s.passed == nil
	at := s.now()
	sightings, passed := map[string]sighting{}, map[string]bool{}
	for _, info := range infos {
		name := info.Name()
		if !s.matches(info) {
			continue
		}
		if name < s.position.File && !archive {
			if passed[name] = first || s.passed[name]; !passed[name] {
				late = append(late, name)
			}
			continue
		}
		passed[name] = s.passed[name] || name == s.position.File
		now := sighting{fileState: stateOf(info), since: at, first: at}
		if before, ok := s.sightings[name]; ok {
			if !before.twice {
				now.first = before.first
			}
			if before.fileState == now.fileState {
				now.since = before.since
				now.twice = before.twice || at.Sub(before.since) >= min(s.def.Interval, settleWait)
			}
		}
		sightings[name] = now
		names = append(names, name)
	}
	s.sightings, s.passed = sightings, passed
	s.compareNames(ctx)
	for name := range s.failed {
		if _, there := sightings[name]; !there {
			delete(s.failed, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if at := s.position.File; (a == at) != (b == at) {
			if a == at {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	slices.Sort(late)
	return names, late, nil
}

// passedNames stands for the names of files that need no report: so many, and the digest of them in order.
type passedNames struct {
	Count  int    `json:"count"`
	SHA256 string `json:"sha256"`
}

// passedBefore sums up the names before a name that need no report.
func (s *source) passedBefore(name string) *passedNames {
	h, n := sha256.New(), passedNames{}
	for _, before := range slices.Sorted(maps.Keys(s.passed)) {
		if before < name && s.passed[before] {
			h.Write([]byte(before + "\x00"))
			n.Count++
		}
	}
	n.SHA256 = hex.EncodeToString(h.Sum(nil))
	return &n
}

// compareNames compares the files of the folder with those that were there before a restart. Files may be cleared
// away; if there are fewer, one that came late cannot be told from that.
func (s *source) compareNames(ctx context.Context) {
	if s.expected == nil {
		return
	}
	now := s.passedBefore(s.expectedUpTo)
	if *now == *s.expected {
		s.expected = nil
	} else if now.Count < s.expected.Count {
		s.log.WarnContext(ctx, "files that were read are gone; whether one came late cannot be told",
			slog.String("up_to", s.expectedUpTo), slog.Int("before", s.expected.Count), slog.Int("now", now.Count))
		s.expected = nil
	}
}

func stateOf(info fs.FileInfo) fileState {
	return fileState{size: info.Size(), modified: info.ModTime()}
}

// matches says whether something in the folder is a file of the source. Links
// are not followed: the folder belongs to somebody else.
func (s *source) matches(info fs.FileInfo) bool {
	matches, err := path.Match(s.def.Files.Pattern, info.Name())
	return err == nil && matches && info.Mode().IsRegular()
}

// consider begins a file if there is something to read in it. It reports
// false if there is not, or if the file went into quarantine, and an error if
// later files have to wait for it.
func (s *source) consider(ctx context.Context, name string, seen sighting) (begun bool, err error) {
	if name == s.position.File && seen.size == s.position.Offset && seen.fileState == s.checked {
		return false, s.settle(ctx, name, seen.fileState)
	}
	if !seen.twice {
		if s.now().Sub(seen.first) > incompleteWait {
			return false, connectors.Away(connectors.FaultIncomplete, nil, "file %q has been changing for %s and is read when it stays as it is; is somebody still writing it?",
				name, s.now().Sub(seen.first).Round(time.Minute))
		}
		return false, connectors.ErrCaughtUp
	}
	switch still, err := s.stillDone(ctx, name, seen.fileState); {
	case err != nil:
		return false, err
	case still:
		return false, s.settle(ctx, name, seen.fileState)
	case len(s.done) >= maxWaiting:
		return false, connectors.ErrCaughtUp
	}
	if before, ok := s.failed[name]; ok && before.fileState == seen.fileState {
		return false, s.refuse(ctx, name, seen, before.cause)
	}
	begun, err = s.begin(ctx, name, seen)
	var wrong *formatError
	switch {
	case errors.As(err, &wrong):
		s.failed[name] = failure{seen.fileState, wrong}
		return false, s.refuse(ctx, name, seen, wrong)
	case errors.Is(err, fs.ErrNotExist): // moved meanwhile, or the whole folder is away
		return false, s.there()
	case err != nil && !errors.Is(err, connectors.ErrCaughtUp):
		return false, fileFault(name, err)
	}
	return begun, err
}

// begin opens a file at the place where reading goes on. It reports false if
// there is nothing to read in it after all, and ErrCaughtUp if it is not complete.
func (s *source) begin(ctx context.Context, name string, seen sighting) (begun bool, err error) {
	if grows(s.def.Files.Format) {
		terminated, err := s.terminated(name, seen.size)
		if err != nil {
			return false, err
		}
		if !terminated && s.now().Sub(seen.since) < quietWait {
			return false, connectors.ErrCaughtUp
		}
	}
	var after place
	if name == s.position.File {
		after = s.position.place
	}
	r, changed, end, err := s.openReading(ctx, s.folder, name, seen.fileState, after)
	if err != nil {
		return false, err
	}
	if end {
		s.checked = seen.fileState
		if s.def.Files.Archive == "" {
			return false, nil
		}
		s.finish(name, after, seen.fileState)
		return false, s.settle(ctx, name, seen.fileState) // a crash may have come between the saving and the move
	}
	if before := s.position; name != before.File && before.Line >= emptyAfter && r.content.none() && !s.def.Files.MayBeEmpty {
		return false, errors.Join(&formatError{code: connectors.FaultBroken, text: fmt.Sprintf("it has no row, while the file before it had %d lines; "+
			"deliver it again, or say may_be_empty in the definition", before.Line)}, r.file.Close())
	}
	if changed {
		s.log.WarnContext(ctx, "file changed after it was read; reading it again from its beginning", slog.String("file", name))
	}
	s.reading, s.passed[name] = r, true
	return true, nil
}

// terminated says whether the last byte of a file is a line end, or the Ctrl-Z of a DOS file.
func (s *source) terminated(name string, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	f, err := s.folder.open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return last[0] == '\n' || last[0] == ctrlZ, nil
}

// refuse puts a file that is not of its format into quarantine, or says what
// is wrong with it. One that may become whole is waited for.
func (s *source) refuse(ctx context.Context, name string, seen sighting, cause *formatError) error {
	quiet := s.now().Sub(seen.since)
	switch {
	case !grows(s.def.Files.Format) && quiet < quietWait:
		return connectors.ErrCaughtUp
	case cause.short && quiet < incompleteWait:
		return connectors.Away(connectors.FaultIncomplete, nil, "file %q is not complete (%s) and has not changed for %s; is somebody still writing it?",
			name, cause.text, quiet.Round(time.Second))
	case s.def.Files.Quarantine == "" || cause.code == connectors.FaultColumn || cause.code == connectors.FaultTable: // perhaps it is the definition that is to be mended
		return s.contentFault(name, cause)
	}
	to, err := s.move(name, seen.fileState, s.def.Files.Quarantine)
	if err != nil || to == "" {
		return err
	}
	s.log.ErrorContext(ctx, "file is not of its format and was put into quarantine; nothing of it was taken", slog.String("file", name),
		slog.String("moved_to", to), slog.String("code", string(cause.code)), slog.String("reason", cause.text))
	return nil
}

// gone forgets a file that is not there any more, if its folder is.
func (s *source) gone(name string) error {
	if err := s.there(); err != nil {
		return err
	}
	s.forget(name)
	return nil
}

// there is an error if the folder itself is not there.
func (s *source) there() error {
	if _, err := s.folder.stat("."); err != nil {
		return s.folderFault(err)
	}
	return nil
}

// move moves a file that has a state into a folder; to is empty if the file has another state by now, or is gone. If
// its name is taken there it gets a number: "rows.csv-2".
func (s *source) move(name string, state fileState, dir string) (to string, err error) {
	switch now, err := s.folder.stat(name); {
	case errors.Is(err, fs.ErrNotExist): // somebody moved it before, or the whole folder is away
		return "", s.gone(name)
	case err != nil:
		return "", fileFault(name, err)
	case stateOf(now) != state:
		return "", nil // the next poll sees it
	}
	for n := 1; ; n++ {
		if n > maxSameName {
			return "", connectors.Refused(connectors.FaultRight, nil, "file %q cannot be moved: %q has %d files of this name already; empty it", name, dir, maxSameName)
		}
		to = path.Join(dir, name)
		if n > 1 {
			to = fmt.Sprintf("%s-%d", to, n)
		}
		err = s.folder.rename(name, to)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return "", s.gone(name)
		case errors.Is(err, fs.ErrPermission):
			return "", connectors.Refused(connectors.FaultRight, err, "file %q cannot be moved to %q; give the user of this program the right to write in both folders", name, dir)
		case err != nil:
			return "", fileFault(name, err)
		}
		return to, nil
	}
}
