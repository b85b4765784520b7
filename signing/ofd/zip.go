package ofd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
)

// zipWriter builds a container of the form that Open accepts. The same entries
// give the same bytes: times are those of the zip format's zero, 1980-01-01.
type zipWriter struct {
	out, directory bytes.Buffer
	count          int
	inflated       int // bytes of all entries
	deflated       bytes.Buffer
}

// deflaters are kept between files: each has a megabyte of tables. What they
// hold says nothing about the file before, since every use begins with Reset.
var deflaters = sync.Pool{New: func() any {
	// The fastest level: fonts and pages shrink almost as well as with the best.
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic("flate: " + err.Error()) // the level is a constant that flate has
	}
	return w
}}

// copy adds an entry of another container as it is.
func (z *zipWriter) copy(e *entry) {
	record := bytes.Clone(e.directory)
	binary.LittleEndian.PutUint32(record[42:], z.offset())
	z.directory.Write(record)
	z.out.Write(e.local)
	z.count++
	z.inflated += e.inflated
}

// offset fits: files are at most MaxFile long, which finish checks.
func (z *zipWriter) offset() uint32 { return uint32(z.out.Len()) } //nolint:gosec // see above

// add writes a new entry, deflated if that makes it smaller.
func (z *zipWriter) add(name string, data []byte) error {
	if len(data) > MaxEntry {
		return fmt.Errorf("%w: %s has %d bytes", ErrLimit, name, len(data))
	}
	method, body := uint16(store), data
	deflated, err := z.deflate(data)
	if err != nil {
		return fmt.Errorf("deflate %s: %w", name, err)
	}
	// What would look like a bomb to Open is stored as it is.
	bomb := len(data) > freeRatio && len(deflated)*maxRatio < len(data)
	if len(deflated) < len(data) && !bomb {
		method, body = deflate, deflated
	}
	const version, date = 20, 1<<5 | 1
	le := binary.LittleEndian
	// What the local record and the directory share, from the version on.
	var flags uint16
	for i := range len(name) {
		if name[i] >= 0x80 {
			flags = flagUTF8
		}
	}
	common := le.AppendUint16(nil, version)
	for _, v := range []uint16{flags, method, 0, date} {
		common = le.AppendUint16(common, v)
	}
	common = le.AppendUint32(common, crc32.ChecksumIEEE(data))
	common = le.AppendUint32(common, uint32(len(body))) //nolint:gosec // at most MaxEntry
	common = le.AppendUint32(common, uint32(len(data))) //nolint:gosec // at most MaxEntry
	common = le.AppendUint16(common, uint16(len(name))) //nolint:gosec // names are made here or at most maxName long
	common = le.AppendUint16(common, 0)

	record := le.AppendUint16(le.AppendUint32(nil, directoryMagic), version)
	record = append(record, common...)
	record = append(record, make([]byte, 10)...) // comment, disk, attributes
	record = le.AppendUint32(record, z.offset())
	z.directory.Write(append(record, name...))

	z.out.Write(le.AppendUint32(nil, localMagic))
	z.out.Write(common)
	z.out.WriteString(name)
	z.out.Write(body)
	z.count++
	z.inflated += len(data)
	return nil
}

func (z *zipWriter) deflate(data []byte) ([]byte, error) {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	z.deflated.Reset()
	w.Reset(&z.deflated)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return z.deflated.Bytes(), nil
}

// finish writes the directory and returns the file.
func (z *zipWriter) finish() ([]byte, error) {
	if z.count > MaxEntries {
		return nil, fmt.Errorf("%w: %d entries", ErrLimit, z.count)
	}
	if z.out.Len()+z.directory.Len()+endLen > MaxFile || z.inflated > MaxInflated {
		return nil, fmt.Errorf("%w: the file would have more than %d bytes, or %d inflated", ErrLimit, MaxFile, MaxInflated)
	}
	le := binary.LittleEndian
	end := le.AppendUint32(nil, endMagic)
	end = le.AppendUint32(end, 0)
	end = le.AppendUint16(end, uint16(z.count))           //nolint:gosec // at most MaxEntries
	end = le.AppendUint16(end, uint16(z.count))           //nolint:gosec // at most MaxEntries
	end = le.AppendUint32(end, uint32(z.directory.Len())) //nolint:gosec // at most MaxFile
	end = le.AppendUint32(end, z.offset())
	end = le.AppendUint16(end, 0)
	z.out.Write(z.directory.Bytes())
	z.out.Write(end)
	return z.out.Bytes(), nil
}
