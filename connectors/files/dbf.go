package files

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange"
)

// dbfField is a column of a DBF file.
type dbfField struct {
	name          string
	kind          byte
	offset, width int
	null          int // bit of the _NullFlags column that stands for null, or -1
	short         int // bit that says that the last byte of a V or Q column is its length, or -1
}

// dbf is [rowReader] for dBase III and IV and FoxPro.
type dbf struct {
	*reading
	in       *bufio.Reader
	charset  *charset.Decoder
	header   header
	version  byte
	fields   []dbfField
	wanted   []dbfField
	nulls    dbfField // width 0 if there is none
	records  int64
	at       int64
	marked   int64 // as deleted
	record   []byte
	columnOf []string
}

func openDBF(ctx context.Context, in io.ReaderAt, size int64, r *reading) (*dbf, error) {
	d := &dbf{reading: r}
	var head [32]byte
	if n, err := in.ReadAt(head[:], 0); err != nil {
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		if what := looksLike(head[:n]); what != "" {
			return nil, broken("it is %s", what)
		}
		return nil, short("it has %d bytes, not even the header of a DBF file", n)
	}
	switch head[0] {
	case 0x02, 0x03, 0x30, 0x31, 0x32, 0x43, 0x63, 0x7b, 0x83, 0x8b, 0x8e, 0xcb, 0xf5, 0xfb:
	case 0x04, 0x8c:
		return nil, broken("it is of dBase 7, which is not supported; save it as dBase IV")
	default:
		if what := looksLike(head[:]); what != "" {
			return nil, broken("it is %s", what)
		}
		return nil, broken("it does not begin like a DBF file (%#02x)", head[0])
	}
	d.version = head[0]
	d.records = int64(binary.LittleEndian.Uint32(head[4:]))
	start, width := int64(binary.LittleEndian.Uint16(head[8:])), int(binary.LittleEndian.Uint16(head[10:]))
	if start < 33 || width < 2 {
		return nil, broken("its header says that the header has %d bytes and a record %d", start, width)
	}
	if size < start+d.records*int64(width) {
		return nil, short("its header promises %d records, but the file ends in the middle", d.records)
	}
	if end := start + d.records*int64(width); size >= end+int64(width) {
		var mark [1]byte
		if _, err := in.ReadAt(mark[:], end); err != nil {
			return nil, err
		}
		if mark[0] != ctrlZ {
			return nil, short("its header tells of %d records, but more follow", d.records)
		}
	}
	var err error
	if d.charset, err = charset.New(dbfCharset(head[29], r.cfg.Charset)); err != nil {
		return nil, broken("%s", err)
	}
	descriptors := make([]byte, start-32)
	if _, err := in.ReadAt(descriptors, 32); err != nil {
		return nil, err
	}
	if err := d.readFields(descriptors, width); err != nil {
		return nil, err
	}
	d.record = make([]byte, width)
	d.in = bufio.NewReaderSize(io.NewSectionReader(in, start, d.records*int64(width)), readSize)
	return d, d.choose(ctx)
}

// dbfCharset chooses the charset. The code page byte is believed if it names a
// Chinese code page and the definition says nothing; most writers leave any
// other value in it, whatever they write.
func dbfCharset(codePage byte, defined string) string {
	if defined != "" && defined != charset.UTF8 {
		return defined
	}
	switch codePage {
	case 0x4d, 0x7a:
		return charset.GBK
	case 0x4f, 0x78:
		return charset.Big5
	}
	return charset.UTF8
}

// readFields reads the descriptors of the columns, 32 bytes each up to 0x0D.
func (d *dbf) readFields(descriptors []byte, width int) error {
	offset, wide, bit := 1, 1, 0 // wide: with the high byte of C columns, as Clipper and FoxPro have it
	for ; len(descriptors) >= 32 && descriptors[0] != 0x0d; descriptors = descriptors[32:] {
		raw, _, _ := bytes.Cut(descriptors[:11], []byte{0})
		name, valid := d.charset.Decode(nil, raw)
		if !valid && len(raw) >= 10 { // the limit of ten bytes cut a character in two
			name, valid = d.charset.Decode(nil, raw[:len(raw)-1])
		}
		if !valid {
			return broken("the name of a column is not %s; say in the definition in which charset the file is written", d.charset.Name())
		}
		f := dbfField{name: strings.TrimSpace(string(name)), kind: descriptors[11], width: int(descriptors[16]), null: -1, short: -1}
		offset += f.width
		if f.kind == 'C' {
			wide += int(descriptors[17]) << 8
			f.offset = int(descriptors[17]) << 8 // for now
		}
		wide += f.width
		if f.kind == 'V' || f.kind == 'Q' {
			f.short = bit
			bit++
		}
		if descriptors[18]&2 != 0 {
			f.null = bit
			bit++
		}
		d.fields = append(d.fields, f)
	}
	if len(d.fields) == 0 || offset != width && wide != width {
		return broken("its columns have %d bytes together, its records %d", offset, width)
	}
	at := 1
	for i := range d.fields {
		f := &d.fields[i]
		if offset != width {
			f.width += f.offset
		}
		f.offset = at
		if at += f.width; f.kind == '0' {
			d.nulls = *f
		}
		d.columnOf = append(d.columnOf, f.name)
	}
	return nil
}

// choose finds the wanted columns.
func (d *dbf) choose(ctx context.Context) error {
	unknown, err := d.header.find(d.columnOf, d.columns)
	if err != nil {
		return err
	}
	d.header.told(ctx, d.reading, unknown)
	if d.records == 0 {
		return d.header.fault()
	}
	if d.header.rejection != nil {
		return nil
	}
	widths := map[byte]int{'D': 8, 'L': 1, 'I': 4, '+': 4, 'Y': 8, 'T': 8, '@': 8, 'B': 8}
	for _, i := range d.header.indexes {
		f := d.fields[i]
		readable := "CNFDLIYT+@VQ"
		if d.foxPro() {
			readable += "B" // elsewhere the number of a block of binary data
		}
		if strings.IndexByte(readable, f.kind) < 0 {
			return &formatError{code: connectors.FaultColumn, text: fmt.Sprintf(
				"column %q is of type %q (%s), which cannot be read; leave it out of the mapping, or have it exported otherwise", f.name, f.kind, kindName(f.kind))}
		}
		if w := widths[f.kind]; w != 0 && w != f.width {
			return broken("column %q of type %q has %d bytes instead of %d", f.name, f.kind, f.width, w)
		}
		d.wanted = append(d.wanted, f)
	}
	return nil
}

// foxPro reports whether the file is of Visual FoxPro, which has types of its own.
func (d *dbf) foxPro() bool { return d.version >= 0x30 && d.version <= 0x32 }

// kindName says what a type of column is that cannot be read.
func kindName(kind byte) string {
	switch kind {
	case 'M':
		return "memo"
	case 'G':
		return "OLE object"
	case 'P':
		return "picture"
	case 'W', 'B':
		return "binary data outside the table"
	case '0':
		return "the flags of nulls"
	}
	return "unknown"
}

func (d *dbf) next() (connectors.Row, error) {
	for d.at < d.records {
		if _, err := io.ReadFull(d.in, d.record); err != nil {
			return connectors.Row{}, fmt.Errorf("record %d of %d: %w", d.at+1, d.records, noEOF(err))
		}
		d.at++
		if d.record[0] == '*' {
			d.marked++
			continue
		}
		return d.row(d.name + ":" + strconv.FormatInt(d.at, 10)), nil
	}
	d.deleted = d.marked
	return connectors.Row{}, io.EOF
}

// noEOF keeps the end of a file that became shorter from being taken for its end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d *dbf) row(origin string) connectors.Row {
	if why := d.header.rejection; why != nil {
		return rejected(origin, d.record, why.Rule, why.Field, "%s", why.Detail)
	}
	if d.record[0] != ' ' {
		return rejected(origin, d.record, exchange.RuleMalformed, "", "the record begins with %#02x, neither with a blank nor with the mark of deleted records", d.record[0])
	}
	row := connectors.Row{Raw: bytes.Clone(d.record), Origin: origin, Values: make([]connectors.Value, len(d.wanted))}
	for i, f := range d.wanted {
		if d.flag(f.null) {
			row.Values[i].Null = true
			continue
		}
		value, rule, detail := d.value(f, d.record[f.offset:f.offset+f.width])
		if rule != "" {
			return rejected(origin, d.record, rule, f.name, "column %q %s", f.name, detail)
		}
		row.Values[i] = value
	}
	return row
}

// flag returns a bit of the _NullFlags column; false for -1, and if there is no such column.
func (d *dbf) flag(bit int) bool {
	return bit >= 0 && bit/8 < d.nulls.width && d.record[d.nulls.offset+bit/8]>>(bit%8)&1 == 1
}

// value reads one column; rule is not empty if that is impossible.
func (d *dbf) value(f dbfField, raw []byte) (v connectors.Value, rule, detail string) {
	if f.kind == 'V' || f.kind == 'Q' {
		if d.flag(f.short) && len(raw) > 0 {
			length := int(raw[len(raw)-1])
			if length >= len(raw) {
				return v, exchange.RuleMalformed, "says that it is longer than it can be"
			}
			raw = raw[:length]
		}
	}
	switch f.kind {
	case 'Q':
		return connectors.Value{Text: `\x` + hex.EncodeToString(raw)}, "", ""
	case 'B':
		return double(raw)
	case 'C', 'V':
		text, valid := d.charset.Decode(nil, bytes.TrimRight(raw, " \x00"))
		if !valid {
			return v, exchange.RuleEncoding, "holds bytes that are not " + d.charset.Name() + ", or characters that were lost before"
		}
		return connectors.Value{Text: string(text)}, "", ""
	}
	text := string(bytes.Trim(raw, " \x00"))
	switch f.kind {
	case 'I', '+':
		v.Text = strconv.FormatInt(int64(int32(binary.LittleEndian.Uint32(raw))), 10) //nolint:gosec // its two's complement is meant
		return v, "", ""
	case 'Y':
		v.Text = money(int64(binary.LittleEndian.Uint64(raw))) //nolint:gosec // its two's complement is meant
		return v, "", ""
	case 'T', '@':
		day, ms := binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[4:])
		switch {
		case day == 0:
			return connectors.Value{Null: true}, "", ""
		case day < 1721426 || day > 5373484 || ms >= 86_400_000:
			return v, exchange.RuleMalformed, "holds no time"
		}
		at := time.UnixMilli((int64(day)-2440588)*86_400_000 + int64(ms)).UTC()
		v.Text = at.Format("2006-01-02 15:04:05.999")
		return v, "", ""
	case 'L':
		switch text {
		case "T", "t", "Y", "y":
			v.Text = "true"
		case "F", "f", "N", "n":
			v.Text = "false"
		case "", "?":
			v.Null = true
		default:
			return v, exchange.RuleMalformed, "is neither true nor false"
		}
		return v, "", ""
	case 'D':
		switch {
		case strings.Trim(text, "0") == "":
			v.Null = true
		case len(text) == 8 && strings.Trim(text, "0123456789") == "":
			v.Text = text[:4] + "-" + text[4:6] + "-" + text[6:]
		default:
			return v, exchange.RuleMalformed, "holds no date"
		}
		return v, "", ""
	}
	// N and F: digits as they are.
	switch {
	case text == "":
		v.Null = true
	case strings.Trim(text, "*") == "":
		return v, exchange.RuleMalformed, "holds asterisks: the number was too long for it, and is lost"
	case strings.Trim(text, "0123456789.+-eE,") != "":
		return v, exchange.RuleMalformed, "holds no number"
	default:
		v.Text = text
	}
	return v, "", ""
}

// double reads a FoxPro double, with the fewest digits that stand for it alone.
func double(raw []byte) (v connectors.Value, rule, detail string) {
	n := math.Float64frombits(binary.LittleEndian.Uint64(raw))
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return v, exchange.RuleMalformed, "holds no number"
	}
	format := byte('f')
	if size := math.Abs(n); size != 0 && (size < 1e-9 || size >= 1e21) {
		format = 'e'
	}
	v.Text = strconv.FormatFloat(n, format, -1, 64)
	return v, "", ""
}

// money writes a FoxPro currency, which counts ten-thousandths.
func money(n int64) string {
	sign, u := "", uint64(n) //nolint:gosec // the magnitude is taken next
	if n < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%04d", sign, u/10_000, u%10_000)
}
