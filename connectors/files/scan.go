package files

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

// delivery is a file that Scan reads: in the folder, or in the archive, where a
// later file of the same name has a number.
type delivery struct {
	path, name string
	number     int
	state      fileState
}

// Scan reads the files of the archive and of the folder, in the order of their
// names and, of one name, of their coming. A key may come several times: the
// last row is how it is now. Of a file of lines that is still being written, what
// is before its last line end is read. Files that are not complete otherwise, or not of their
// format, are reported when all others are read, since what they lack is not deleted. Rows that
// cannot be read are given for any range, since nobody knows their key.
// That a key does not come does not say that it was deleted: old deliveries may have been cleared away.
func (s *source) Scan(ctx context.Context, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	if s.keys == nil && (r.From != nil || r.To != nil) {
		return connectors.Refused(connectors.FaultDefinition, nil, "the key of %s is not made of columns alone, so that files cannot be searched for a range of it", s.def.Name)
	}
	f, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	defer f.during(ctx)()
	deliveries, err := s.deliveries(f)
	if err != nil {
		return err
	}
	var faults []error
	for _, d := range deliveries {
		err := s.scanFile(ctx, f, d, r, yield)
		if errors.Is(err, fs.ErrNotExist) { // moved to the archive meanwhile
			if err = s.moved(f, &d); err == nil {
				err = s.scanFile(ctx, f, d, r, yield)
			}
		}
		var wrong *formatError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &wrong) && wrong.short:
			faults = append(faults, connectors.Away(connectors.FaultIncomplete, nil, "file %q is not complete (%s), so that nobody knows what is in it", d.path, wrong.text))
		case errors.As(err, &wrong):
			faults = append(faults, s.contentFault(d.path, err))
		case err != nil:
			return err
		}
	}
	return errors.Join(faults...)
}

// moved finds a file in the archive that was in the folder a moment ago.
func (s *source) moved(f folder, d *delivery) error {
	all, err := s.deliveries(f)
	if err != nil {
		return err
	}
	for _, now := range all {
		if now.name == d.name && now.state == d.state {
			*d = now
			return nil
		}
	}
	return connectors.Away(connectors.FaultUnreachable, nil, "file %q was taken away while it was to be read", d.path)
}

func (s *source) deliveries(f folder) ([]delivery, error) {
	var all []delivery
	add := func(dir string) error {
		infos, err := f.list(dir)
		if err != nil {
			return err
		}
		names := map[string]bool{}
		for _, info := range infos {
			names[info.Name()] = true
		}
		for _, info := range infos {
			d := delivery{path: path.Join(dir, info.Name()), name: info.Name(), state: stateOf(info), number: 1}
			if dir == "." {
				d.number = 1 << 30
			} else if base, number, found := cutLast(d.name); found && names[base] {
				d.name, d.number = base, number
			}
			if matches, err := path.Match(s.def.Files.Pattern, d.name); err == nil && matches && info.Mode().IsRegular() {
				all = append(all, d)
			}
		}
		return nil
	}
	if err := add("."); err != nil { // first: a file that is moved now is seen twice rather than never
		return nil, s.folderFault(err)
	}
	if s.def.Files.Archive != "" {
		if err := add(s.def.Files.Archive); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, s.folderFault(err)
		}
	}
	slices.SortFunc(all, func(a, b delivery) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.number, b.number)) })
	return all, nil
}

// cutLast takes the number from "rows.csv-2".
func cutLast(name string) (base string, number int, found bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name, 0, false
	}
	number, err := strconv.Atoi(name[i+1:])
	return name[:i], number, err == nil && number >= 2
}

func (s *source) scanFile(ctx context.Context, f folder, d delivery, r connectors.KeyRange, yield func([]connectors.Row) error) error {
	if grows(s.def.Files.Format) && d.path == d.name && s.now().Sub(d.state.modified) < quietWait {
		size, err := s.untilLineEnd(f, d)
		if err != nil {
			return scanFault(d.path, err)
		}
		d.state.size = size
	}
	reading, _, _, err := s.openReading(ctx, f, d.path, d.state, place{})
	if err != nil {
		return scanFault(d.path, err)
	}
	defer func() { _ = reading.file.Close() }()
	for end := false; !end; {
		var rows []connectors.Row
		if rows, end, err = reading.batch(ctx, max(1, s.def.Batch), connectors.MaxBatchBytes); err != nil {
			return scanFault(d.path, err)
		}
		rows = slices.DeleteFunc(rows, func(row connectors.Row) bool { return row.Rejection == nil && !r.Contains(row.Key) })
		if len(rows) > 0 {
			if err := yield(rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// untilLineEnd returns the size of a file up to its last line end.
func (s *source) untilLineEnd(f folder, d delivery) (int64, error) {
	file, err := f.open(d.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	buffer := make([]byte, readSize)
	for end := d.state.size; end > 0 && d.state.size-end <= connectors.MaxRowBytes; {
		part := buffer[:min(int64(len(buffer)), end)]
		n, err := file.ReadAt(part, end-int64(len(part)))
		if n < len(part) {
			if err == nil || errors.Is(err, io.EOF) {
				break // it became shorter
			}
			return 0, err
		}
		if end == d.state.size && part[n-1] == ctrlZ {
			return end, nil
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return end - int64(n) + int64(i) + 1, nil
		}
		end -= int64(n)
	}
	return 0, short("its last line has no end")
}

// scanFault leaves what Scan itself deals with as it is.
func scanFault(name string, err error) error {
	var wrong *formatError
	if errors.As(err, &wrong) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fileFault(name, err)
}
