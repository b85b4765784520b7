package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/onewindow/onewindow/connectors"
)

// maxFetched is the size of a file that is fetched by SFTP to be read as a whole.
const maxFetched = 2 << 30

// reading is one file under way.
type reading struct {
	name    string
	state   fileState
	cfg     *connectors.Files
	columns []string
	keys    []int // of the columns, those of the key
	log     *slog.Logger

	file    file
	content content
	told    bool     // of oddities of its columns, once
	merges  []merged // of the sheet, once merged says that they were read
	merged  bool
	deleted int64 // rows that the file itself says are deleted
}

// openReading opens a file behind a place, or at its beginning if what was read
// up to the place has changed. changed says so; end that there is nothing behind the place.
func (s *source) openReading(ctx context.Context, f folder, name string, state fileState, after place) (r *reading, changed, end bool, err error) {
	r = &reading{name: name, state: state, cfg: s.def.Files, columns: s.columns, keys: s.keys, log: s.log}
	if r.file, err = f.open(name); err != nil {
		return nil, false, false, err
	}
	defer func() {
		if err != nil || end {
			err = errors.Join(err, r.file.Close())
		}
	}()
	if grows(r.cfg.Format) {
		t, same, err := openText(ctx, r.file, state.size, r, after)
		if err == nil && !same {
			t, _, err = openText(ctx, r.file, state.size, r, place{})
		}
		r.content = t
		return r, !same, same && after.Offset == state.size && state.size > 0, err
	}
	hash, err := r.hash(ctx, s.def.Files.SFTP != nil)
	if err != nil {
		return r, false, false, err
	}
	same := after.SHA256 == hash && after.Offset == state.size
	if same && after.End {
		return r, false, true, nil
	}
	if !same {
		changed, after = after.SHA256 != "", place{}
	}
	w, err := openWhole(ctx, r.file, state.size, hash, r, after)
	r.content = w
	return r, changed, false, err
}

// hash returns the hash of the whole file, which is fetched to this machine if it lies elsewhere.
func (r *reading) hash(ctx context.Context, remote bool) (string, error) {
	h := sha256.New()
	if !remote {
		_, err := hashed(ctx, h, r.file, r.state.size)
		return hex.EncodeToString(h.Sum(nil)), err
	}
	if r.state.size > maxFetched {
		return "", tooLarge("it has %d bytes; at most %d are fetched", r.state.size, int64(maxFetched))
	}
	fetched, err := newFetchedFile()
	if err != nil {
		return "", err
	}
	if _, err = hashed(ctx, io.MultiWriter(h, fetched), r.file, r.state.size); err != nil {
		return "", errors.Join(err, fetched.Close())
	}
	_ = r.file.Close()
	r.file = fetched
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fetchedFile is a copy without a name, where the system allows that: it is gone when it is closed, or this program ends.
type fetchedFile struct {
	file  *os.File
	named bool
}

func newFetchedFile() (*fetchedFile, error) {
	file, err := os.CreateTemp("", "onewindow-file-*")
	if err != nil {
		return nil, ourFault(err)
	}
	return &fetchedFile{file: file, named: os.Remove(file.Name()) != nil}, nil
}

// ourFault is an error of this machine, which is not the department's. The cause is told, but is not that of a file of the folder.
func ourFault(err error) error {
	return connectors.Away(connectors.FaultExchange, nil, "the temporary folder of this machine cannot hold a copy of the file: %v", err)
}

func (f *fetchedFile) Write(b []byte) (int, error) {
	n, err := f.file.Write(b)
	if err != nil {
		err = ourFault(err)
	}
	return n, err
}

func (f *fetchedFile) ReadAt(b []byte, offset int64) (int, error) {
	n, err := f.file.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		err = ourFault(err)
	}
	return n, err
}

func (f *fetchedFile) Close() error {
	err := f.file.Close()
	if f.named {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}

// batch returns up to limit rows, and no more once they have size bytes; end says that the file is read.
func (r *reading) batch(ctx context.Context, limit, size int) (rows []connectors.Row, end bool, err error) {
	for len(rows) < limit && size > 0 {
		if len(rows)%512 == 0 && ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		row, err := r.content.next()
		if errors.Is(err, io.EOF) {
			if r.deleted > 0 {
				r.log.InfoContext(ctx, "rows marked as deleted were left out", slog.String("file", r.name), slog.Int64("rows", r.deleted))
			}
			return rows, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		for _, i := range r.keys {
			if row.Values != nil {
				row.Key = append(row.Key, row.Values[i].Text)
			}
		}
		rows = append(rows, row)
		size -= len(row.Raw)
	}
	return rows, false, nil
}
