package ofd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

// Limits of what Open accepts.
const (
	// MaxFile is the size of a file in bytes.
	MaxFile = 128 << 20
	// MaxEntries is the number of entries of the container.
	MaxEntries = 4096
	// MaxEntry is the inflated size of one entry in bytes.
	MaxEntry = 64 << 20
	// MaxInflated is the inflated size of all entries in bytes.
	MaxInflated = 256 << 20

	maxName = 512
	// maxRatio is how far an entry above freeRatio bytes may have been deflated:
	// drawings come to 50, bombs to 1,000.
	maxRatio  = 200
	freeRatio = 1 << 20
)

// xmlLimits bound one XML part. A page of 10,000 characters in objects of its
// own has about 60,000 nodes.
var xmlLimits = xmltree.Limits{Bytes: 16 << 20, Depth: 64, Nodes: 400_000}

// Package is an OFD file in memory: a zip container whose entries are inflated
// when they are asked for. It is safe for concurrent use.
type Package struct {
	entries []*entry // in the order of the file
	byName  map[string]*entry
	// byFold finds a name regardless of case; Open has refused names that
	// differ by case alone.
	byFold map[string]*entry

	mu       sync.Mutex // guards the entries' data and what follows
	inflater io.ReadCloser
	document *Document
}

// entry is one file of the container. Folders are not kept: they hold nothing.
type entry struct {
	name      string
	method    uint16
	sum       uint32
	inflated  int
	deflated  []byte
	local     []byte // the whole local record, for a raw copy
	directory []byte // the record of the central directory
	data      []byte // nil until read
}

// Open reads the directory of an OFD file. It accepts zip files of one reading
// only: the local records follow each other without a gap from the first byte
// to the central directory and say the same as it does; nothing is before,
// between or behind but comments, which may not hold an end record. Names are
// plain relative paths in UTF-8, different without regard to case. Methods are
// store and deflate; no encryption. A local record may state its sizes in zip64
// and, where the name is ASCII, differ in the UTF-8 flag. The file's bytes must
// not be changed afterwards.
func Open(file []byte) (*Package, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrLimit, len(file), MaxFile)
	}
	if kind := KindOf(file); kind != KindZIP {
		return nil, fmt.Errorf("%w: it is %s; an OFD file is a zip archive", ErrContainer, kind)
	}
	count, start, end, err := readEnd(file)
	if err != nil {
		return nil, err
	}
	p := &Package{byName: make(map[string]*entry, count), byFold: make(map[string]*entry, count)}
	directory, total := file[start:end], 0
	for range count {
		var e *entry
		if e, directory, err = readDirectory(directory); err != nil {
			return nil, err
		}
		if total += e.inflated; total > MaxInflated {
			return nil, fmt.Errorf("%w: more than %d bytes inflated", ErrLimit, MaxInflated)
		}
		if err := p.add(e); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(p.entries, func(a, b *entry) int { return a.offset() - b.offset() })
	at := 0
	for _, e := range p.entries {
		if e.offset() != at {
			return nil, fmt.Errorf("%w: %s does not follow the entry before it", ErrContainer, e.name)
		}
		n, err := e.readLocal(file[at:start])
		if err != nil {
			return nil, err
		}
		at += n
	}
	if len(directory) != 0 || at != start {
		return nil, fmt.Errorf("%w: there are bytes that belong to no entry", ErrContainer)
	}
	return p, nil
}

// offset is where the directory says that the local record begins.
func (e *entry) offset() int { return int(binary.LittleEndian.Uint32(e.directory[42:])) }

const (
	endLen       = 22
	directoryLen = 46
	localLen     = 30

	endMagic        = 0x06054b50
	directoryMagic  = 0x02014b50
	localMagic      = 0x04034b50
	descriptorMagic = 0x08074b50

	store, deflate = 0, 8

	// zip64Size stands for a size that is in the extra field zip64Extra.
	zip64Size  = math.MaxUint32
	zip64Extra = 1

	flagDescriptor = 1 << 3
	flagUTF8       = 1 << 11
	// Bits 1 and 2 say how hard the writer tried to compress.
	knownFlags = flagDescriptor | flagUTF8 | 1<<1 | 1<<2
)

// readEnd finds the end record and the directory before it: entries count from
// start, the directory lies between start and end.
func readEnd(file []byte) (count, start, end int, err error) {
	if len(file) < endLen {
		return 0, 0, 0, fmt.Errorf("%w: %d bytes are no zip file", ErrContainer, len(file))
	}
	if end, err = findEnd(file); err != nil {
		return 0, 0, 0, err
	}
	record, le := file[end:], binary.LittleEndian
	count = int(le.Uint16(record[10:]))
	size, offset := int64(le.Uint32(record[12:])), int64(le.Uint32(record[16:]))
	switch {
	case le.Uint32(record[4:]) != 0 || int(le.Uint16(record[8:])) != count:
		return 0, 0, 0, fmt.Errorf("%w: it is one of several disks", ErrContainer)
	case count > MaxEntries:
		return 0, 0, 0, fmt.Errorf("%w: %d entries, at most %d are read", ErrLimit, count, MaxEntries)
	case offset+size != int64(end):
		return 0, 0, 0, fmt.Errorf("%w: the directory is not where its end says", ErrContainer)
	}
	return count, int(offset), end, nil
}

// findEnd returns where the end record begins: 22 bytes before the end of the
// file, or earlier by the length of its comment. Readers look for it forwards or
// backwards, so only one record may reach the end of the file exactly, and none
// may seem to begin behind it.
func findEnd(file []byte) (int, error) {
	magic := binary.LittleEndian.AppendUint32(nil, endMagic)
	first := max(0, len(file)-endLen-math.MaxUint16)
	end, last := -1, -1
	for at := first; ; at = last + 1 {
		n := bytes.Index(file[at:], magic)
		if n < 0 {
			break
		}
		last = at + n
		rest := len(file) - last - endLen
		if rest < 0 || int(binary.LittleEndian.Uint16(file[last+20:])) != rest {
			continue
		}
		if end >= 0 {
			return 0, fmt.Errorf("%w: it has two ends", ErrContainer)
		}
		end = last
	}
	if end < 0 || end != last {
		return 0, fmt.Errorf("%w: it does not end with a zip directory", ErrContainer)
	}
	return end, nil
}

// readDirectory reads one record of the central directory and returns the rest.
func readDirectory(b []byte) (*entry, []byte, error) {
	le := binary.LittleEndian
	if len(b) < directoryLen || le.Uint32(b) != directoryMagic {
		return nil, nil, fmt.Errorf("%w: a directory record is damaged", ErrContainer)
	}
	nameEnd := directoryLen + int(le.Uint16(b[28:]))
	extraEnd := nameEnd + int(le.Uint16(b[30:]))
	n := extraEnd + int(le.Uint16(b[32:])) // a comment is last
	if len(b) < n || le.Uint16(b[34:]) != 0 {
		return nil, nil, fmt.Errorf("%w: a directory record is cut short, or its entry is on another disk", ErrContainer)
	}
	flags, size := le.Uint16(b[8:]), le.Uint32(b[24:])
	e := &entry{
		name:      string(b[directoryLen:nameEnd]),
		method:    le.Uint16(b[10:]),
		sum:       le.Uint32(b[16:]),
		directory: b[:n],
	}
	if err := checkName(e.name, flags&flagUTF8 != 0); err != nil {
		return nil, nil, err
	}
	if err := checkExtra(b[nameEnd:extraEnd]); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", e.name, err)
	}
	deflated := le.Uint32(b[20:])
	switch {
	case e.method != store && e.method != deflate || flags&^knownFlags != 0:
		return nil, nil, fmt.Errorf("%w: %s has method %d and flags %#x", ErrContainer, e.name, e.method, flags)
	case size == zip64Size || deflated == zip64Size || le.Uint32(b[42:]) == zip64Size:
		return nil, nil, fmt.Errorf("%w: the directory describes %s in zip64", ErrContainer, e.name)
	case size > MaxEntry:
		return nil, nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read", ErrLimit, e.name, size, MaxEntry)
	case size > freeRatio && uint64(size) > uint64(deflated)*maxRatio:
		return nil, nil, fmt.Errorf("%w: %s would grow %d times", ErrLimit, e.name, size/max(deflated, 1))
	case e.method == store && size != deflated, strings.HasSuffix(e.name, "/") && size != 0:
		return nil, nil, fmt.Errorf("%w: %s has a wrong size", ErrContainer, e.name)
	}
	e.inflated = int(size)
	return e, b[n:], nil
}

// checkName accepts plain relative paths. A name outside ASCII must be marked
// as UTF-8: without the mark every reader guesses in its own way.
func checkName(name string, isUTF8 bool) error {
	plain := strings.TrimSuffix(name, "/")
	bad := name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.HasPrefix(name, "/") ||
		plain != path.Clean(plain) || plain == "." || plain == ".." || strings.HasPrefix(plain, "../") ||
		strings.ContainsFunc(name, func(r rune) bool {
			return r < 0x20 || r == 0x7f || r == '\\' || r == ':' || r > 0x7f && !isUTF8
		})
	if bad {
		return fmt.Errorf("%w: the name %.60q", ErrContainer, name)
	}
	return nil
}

// checkExtra refuses the extra field that carries another name for the entry.
func checkExtra(b []byte) error {
	const unicodePath = 0x7075
	for len(b) >= 4 {
		id, n := binary.LittleEndian.Uint16(b), 4+int(binary.LittleEndian.Uint16(b[2:]))
		if id == unicodePath || n > len(b) {
			return fmt.Errorf("%w: extra field %#x", ErrContainer, id)
		}
		b = b[n:]
	}
	if len(b) != 0 {
		return fmt.Errorf("%w: an extra field is cut short", ErrContainer)
	}
	return nil
}

// readLocal checks the local record at the start of b against the directory,
// and returns its length.
func (e *entry) readLocal(b []byte) (int, error) {
	le := binary.LittleEndian
	if len(b) < localLen || le.Uint32(b) != localMagic {
		return 0, fmt.Errorf("%w: the local record of %s is damaged", ErrContainer, e.name)
	}
	nameEnd := localLen + int(le.Uint16(b[26:]))
	start := nameEnd + int(le.Uint16(b[28:]))
	deflated := int64(le.Uint32(e.directory[20:]))
	if int64(len(b)) < int64(start)+deflated {
		return 0, fmt.Errorf("%w: %s is cut short", ErrContainer, e.name)
	}
	end := start + int(deflated)
	e.deflated = b[start:end:end]
	if err := checkExtra(b[nameEnd:start]); err != nil {
		return 0, fmt.Errorf("%s: %w", e.name, err)
	}
	same, described := e.sameLocal(b, nameEnd, start)
	if !same {
		return 0, fmt.Errorf("%w: %s is described differently in its two places", ErrContainer, e.name)
	}
	stated := e.directory[16:28]
	if described {
		n := descriptorLen(b[end:], stated)
		if n == 0 {
			return 0, fmt.Errorf("%w: the descriptor of %s is damaged", ErrContainer, e.name)
		}
		end += n
	}
	e.local = b[:end:end]
	return end, nil
}

// sameLocal reports whether the local record b, whose name ends at nameEnd and
// whose extra field ends at start, says what the directory does, and whether a
// descriptor follows its data.
func (e *entry) sameLocal(b []byte, nameEnd, start int) (same, described bool) {
	le := binary.LittleEndian
	flags := le.Uint16(b[6:])
	described = flags&flagDescriptor != 0
	differ := flags ^ le.Uint16(e.directory[8:])
	if differ == flagUTF8 && isASCII(e.name) {
		differ = 0 // ASCII reads the same in every charset
	}
	if differ != 0 || !bytes.Equal(b[8:10], e.directory[10:12]) || string(b[localLen:nameEnd]) != e.name {
		return false, described
	}
	// Sum and sizes stand behind the data instead when the writer did not know
	// them yet; the sizes stand in the extra field when it did not know how long
	// they would be.
	stated, zero := e.directory[16:28], make([]byte, 12)
	local := widened(b[14:26], b[nameEnd:start])
	return bytes.Equal(local, stated) || described && bytes.Equal(local, zero), described
}

// widened returns sum and sizes of a local record with the sizes of the zip64
// extra field in place of those that refer to it (APPNOTE 4.5.3). It returns nil
// if they are not there or too large for any entry.
func widened(fields, extra []byte) []byte {
	le := binary.LittleEndian
	deflated, inflated := le.Uint32(fields[4:]) == zip64Size, le.Uint32(fields[8:]) == zip64Size
	if !deflated && !inflated {
		return fields
	}
	out := bytes.Clone(fields)
	// checkExtra has seen that each field is whole.
	for len(extra) >= 4 {
		n := 4 + int(le.Uint16(extra[2:]))
		if le.Uint16(extra) != zip64Extra {
			extra = extra[n:]
			continue
		}
		sizes := extra[4:n]
		for _, size := range []struct {
			wide bool
			at   int
		}{{inflated, 8}, {deflated, 4}} {
			if !size.wide {
				continue
			}
			if len(sizes) < 8 || le.Uint32(sizes[4:]) != 0 {
				return nil
			}
			copy(out[size.at:], sizes[:4])
			sizes = sizes[8:]
		}
		return out
	}
	return nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// descriptorLen returns the length of the data descriptor at the start of b: sum
// and sizes as stated, in 4 or 8 bytes, with or without the magic number. 0 means
// that there is none.
func descriptorLen(b, stated []byte) int {
	le := binary.LittleEndian
	magic := le.AppendUint32(nil, descriptorMagic)
	wide := slices.Concat(stated[:8], make([]byte, 4), stated[8:], make([]byte, 4))
	for _, form := range [][]byte{slices.Concat(magic, wide), slices.Concat(magic, stated), wide, stated} {
		if bytes.HasPrefix(b, form) {
			return len(form)
		}
	}
	return 0
}

func (p *Package) add(e *entry) error {
	// A folder's name may not be a file's either: two systems would unpack differently.
	fold := strings.ToLower(strings.TrimSuffix(e.name, "/"))
	if p.byFold[fold] != nil {
		return fmt.Errorf("%w: %s is there twice", ErrContainer, e.name)
	}
	p.byFold[fold] = e
	p.byName[e.name] = e
	p.entries = append(p.entries, e)
	return nil
}

// Paths returns the names of all entries in the order of the file, without a
// leading slash. Folders are left out.
func (p *Package) Paths() []string {
	list := make([]string, 0, len(p.entries))
	for _, e := range p.entries {
		if !strings.HasSuffix(e.name, "/") {
			list = append(list, e.name)
		}
	}
	return list
}

// find returns the entry of a path, with or without a leading slash. A name
// that is there in another case only is found too, since producers are careless
// with it (GB/T 33190 leaves it open).
func (p *Package) find(name string) (*entry, error) {
	name = strings.TrimPrefix(name, "/")
	e := p.byName[name]
	if e == nil {
		e = p.byFold[strings.ToLower(name)]
	}
	if e == nil || strings.HasSuffix(e.name, "/") {
		return nil, fmt.Errorf("%w: %.80s", ErrNotFound, name)
	}
	return e, nil
}

// Read returns the contents of an entry, inflated once and then kept; they must
// not be changed. ErrNotFound, ErrContainer.
func (p *Package) Read(name string) ([]byte, error) {
	e, err := p.find(name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(e)
}

// read inflates an entry. The caller holds the lock.
func (p *Package) read(e *entry) ([]byte, error) {
	if e.data != nil {
		return e.data, nil
	}
	data := e.deflated
	if e.method == deflate {
		var err error
		if data, err = p.inflate(e); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrContainer, e.name, err)
		}
	}
	if crc32.ChecksumIEEE(data) != e.sum {
		return nil, fmt.Errorf("%w: the check sum of %s is wrong", ErrContainer, e.name)
	}
	if data == nil {
		data = []byte{}
	}
	e.data = data
	return data, nil
}

// inflate wants exactly the stated size from exactly the deflated bytes.
func (p *Package) inflate(e *entry) ([]byte, error) {
	source := bytes.NewReader(e.deflated)
	if p.inflater == nil {
		p.inflater = flate.NewReader(source)
	} else if err := p.inflater.(flate.Resetter).Reset(source, nil); err != nil {
		return nil, err
	}
	data := make([]byte, e.inflated)
	if _, err := io.ReadFull(p.inflater, data); err != nil {
		return nil, err
	}
	if n, err := p.inflater.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, fmt.Errorf("more than the stated %d bytes", e.inflated)
	}
	if source.Len() != 0 {
		return nil, fmt.Errorf("%d bytes follow the deflated data", source.Len())
	}
	return data, nil
}

// parse reads an entry as XML.
func (p *Package) parse(name string) (*xmltree.Node, error) {
	data, err := p.Read(name)
	if err != nil {
		return nil, err
	}
	return parseXML(name, data)
}
