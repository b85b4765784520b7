package county

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// loadPolice writes the public security's files of the year unless they are there.
func (c *County) loadPolice(ctx context.Context, dir string) (loaded bool, err error) {
	if c.marked(dir) {
		return false, nil
	}
	return true, c.rebuild(dir, func() error {
		for _, s := range c.sourcesOf(police) {
			if err := s.writeNights(ctx, dir); err != nil {
				return fmt.Errorf("county: %s: %w", s.name, err)
			}
		}
		return nil
	})
}

// writeNights writes one file for each night of the year, with the rows that
// were entered on it, and one of the night after with the rows that are sent
// a second time.
func (s *source) writeNights(ctx context.Context, dir string) error {
	night := 0
	file, err := s.newNightly(dir, night)
	if err != nil {
		return err
	}
	written := 0
	for r := range s.rows() {
		at := daysOfYear
		if written < len(s.refs) {
			at = int(r.entered) / day
		}
		written++
		for ; night < at; night++ {
			if err := file.close(); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if file, err = s.newNightly(dir, night+1); err != nil {
				return err
			}
		}
		if err := file.write(r); err != nil {
			return err
		}
	}
	return file.close()
}

// nightly is one GBK file under way.
type nightly struct {
	path    string
	file    *os.File
	out     *bufio.Writer
	encoder *encoding.Encoder
	line    strings.Builder
}

// filePrefix begins the names of a source's files.
func (s *source) filePrefix() string {
	_, name, _ := strings.Cut(s.name, "/")
	return name + "-"
}

func (s *source) newNightly(dir string, night int) (*nightly, error) {
	name := s.filePrefix() + yearStart().AddDate(0, 0, night).Format("20060102") + ".csv"
	n := &nightly{path: filepath.Join(dir, name), encoder: simplifiedchinese.GBK.NewEncoder()}
	var err error
	if n.file, err = os.Create(n.path + ".tmp"); err != nil {
		return nil, err
	}
	n.out = bufio.NewWriterSize(n.file, 64<<10)
	for i, column := range s.allColumns() {
		title := column.title
		if night == changedNight && column.name == s.phone {
			title = "联系方式" // somebody tidied up
		}
		n.field(i, title)
	}
	return n, n.end(clean, 0)
}

// field adds a field to the line, in quotes where it must be.
func (n *nightly) field(i int, value string) {
	if i > 0 {
		n.line.WriteByte(',')
	}
	if strings.ContainsAny(value, ",\"\r\n") {
		value = `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
	}
	n.line.WriteString(value)
}

func (n *nightly) write(r row) error {
	for i, value := range r.values {
		n.field(i, plain(value))
	}
	return n.end(r.dirt, int(r.index))
}

// end encodes the line and breaks it if it is to be broken.
func (n *nightly) end(d dirt, variant int) error {
	line := n.line.String()
	n.line.Reset()
	if d == malformed {
		switch variant % 3 {
		case 0: // too few fields
			line = line[:strings.LastIndexByte(line, ',')]
		case 1: // too many
			line += ",,"
		default: // a quote that nobody closes
			line = strings.Replace(line, ",", `,"`, 1)
		}
	}
	bytes, err := n.encoder.Bytes([]byte(line))
	if err != nil {
		return fmt.Errorf("encode %s: %w", n.path, err)
	}
	if d == notGBK {
		// 0xFF begins no character; it goes in front of the second field.
		i := strings.IndexByte(line, ',') + 1 // the first field is ASCII
		bytes = append(bytes[:i:i], append([]byte{0xff}, bytes[i:]...)...)
	}
	_, err = n.out.Write(append(bytes, '\r', '\n'))
	return err
}

func (n *nightly) close() error {
	if err := n.out.Flush(); err != nil {
		return err
	}
	if err := n.file.Close(); err != nil {
		return err
	}
	return os.Rename(n.path+".tmp", n.path)
}

// plain writes a value as text; nil is empty.
func plain(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case instant:
		return v.time().Format("2006-01-02 15:04:05")
	default:
		return fmt.Sprint(v)
	}
}
