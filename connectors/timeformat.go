package connectors

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TimeFormat reads times that are not written in one of the forms that
// [Moment] names. It is made of letters that stand for numbers, and of
// everything else, which must be there as it is:
//
//	yyyy          year, 4 digits
//	M MM          month, 1 to 2 digits or exactly 2; likewise d dd, H HH, h hh, m mm, s ss
//	S…            1 to 9 digits of a fraction of a second
//	a             上午, 下午, AM or PM, which h needs
//	'text'        text that has letters; two quotes are one
//
// instead of which a format may be one word: "unix" and "unix-ms" are seconds
// and milliseconds since 1970, "excel" days since 1899-12-30.
type TimeFormat struct {
	text  string
	parts []formatPart // nil for the formats of one word
}

// formatPart is a number, or text that must be there.
type formatPart struct {
	letter    byte // 0 for text
	low, high int  // digits
	text      string
}

const (
	unixSeconds    = "unix"
	unixMillis     = "unix-ms"
	excelDays      = "excel"
	maxFormatBytes = 64
)

// ParseTimeFormat compiles a format. It reports what is wrong with one that is
// not as [TimeFormat] says, names a part twice, or leaves out year, month or day.
func ParseTimeFormat(text string) (*TimeFormat, error) {
	switch {
	case text == unixSeconds || text == unixMillis || text == excelDays:
		return &TimeFormat{text: text}, nil
	case text == "" || len(text) > maxFormatBytes:
		return nil, fmt.Errorf("must have 1 to %d bytes, such as \"dd/MM/yyyy HH:mm\"", maxFormatBytes)
	}
	f := &TimeFormat{text: text}
	seen := map[byte]bool{}
	for rest := text; rest != ""; {
		part, size, err := nextPart(rest)
		if err != nil {
			return nil, err
		}
		if part.letter != 0 && seen[part.letter] {
			return nil, fmt.Errorf("has the letter %q in two places", string(part.letter))
		}
		seen[part.letter] = part.letter != 0
		f.parts = append(f.parts, part)
		rest = rest[size:]
	}
	switch {
	case !seen['y'] || !seen['M'] || !seen['d']:
		return nil, errors.New("must have year, month and day: yyyy, MM and dd")
	case seen['H'] && seen['h'] || seen['h'] != seen['a']:
		return nil, errors.New("has H for hours from 0 to 23, or h with a for 上午/下午 or AM/PM")
	case (seen['m'] && !seen['H'] && !seen['h']) || seen['s'] && !seen['m'] || seen['S'] && !seen['s']:
		return nil, errors.New("has minutes without hours, seconds without minutes, or a fraction without seconds")
	}
	return f, nil
}

// nextPart takes the first part of a format and returns its length.
func nextPart(text string) (formatPart, int, error) {
	c := text[0]
	n := 1
	for n < len(text) && text[n] == c {
		n++
	}
	switch {
	case c == '\'':
		end := strings.IndexByte(text[1:], '\'')
		if end < 0 {
			return formatPart{}, 0, errors.New("has a quote that is not closed")
		}
		if end == 0 { // two quotes are one
			return formatPart{text: "'"}, 2, nil
		}
		return formatPart{text: text[1 : 1+end]}, end + 2, nil
	case c == 'y' && n == 4:
		return formatPart{letter: c, low: 4, high: 4}, n, nil
	case c == 'S' && n <= 9:
		return formatPart{letter: c, low: n, high: n}, n, nil
	case c == 'a' && n == 1:
		return formatPart{letter: c}, n, nil
	case strings.IndexByte("MdHhms", c) >= 0 && n <= 2:
		return formatPart{letter: c, low: n, high: 2}, n, nil
	case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
		return formatPart{}, 0, fmt.Errorf("%q means nothing; use yyyy MM dd HH mm ss SSS, h with a, and put other letters in '…'", text[:n])
	}
	return formatPart{text: text[:1]}, 1, nil
}

// String returns the text of the format.
func (f *TimeFormat) String() string { return f.text }

// read returns the time that text stands for, and whether it is one.
func (f *TimeFormat) read(text string) (civil, bool) {
	text, _ = halfWidth(text)
	text = strings.TrimSpace(text)
	if f.parts == nil {
		return f.readNumber(text)
	}
	s := reader{rest: text, ok: len(text) <= 2*maxFormatBytes}
	var c civil
	half := ""
	for _, part := range f.parts {
		switch part.letter {
		case 0:
			narrow, _ := halfWidth(part.text)
			s.literal(narrow)
		case 'a':
			half = s.half()
		case 'S':
			c.nano = s.number(part.low, part.high)
			for range 9 - part.high {
				c.nano *= 10
			}
		default:
			*c.part(part.letter) = s.number(part.low, part.high)
		}
	}
	if !s.ok || s.rest != "" || !c.inHalf(half) {
		return civil{}, false
	}
	return c, c.exists()
}

// part returns the number that a letter stands for.
func (c *civil) part(letter byte) *int {
	switch letter {
	case 'y':
		return &c.year
	case 'M':
		return &c.month
	case 'd':
		return &c.day
	case 'm':
		return &c.minute
	case 's':
		return &c.second
	}
	return &c.hour
}

// inHalf moves an hour from 1 to 12 into its half of the day, and reports
// whether it is one; without a half nothing is done.
func (c *civil) inHalf(half string) bool {
	switch {
	case half == "":
		return true
	case c.hour < 1 || c.hour > 12:
		return false
	case half == afternoon:
		c.hour = c.hour%12 + 12
	default:
		c.hour %= 12
	}
	return true
}

const (
	forenoon  = "上午"
	afternoon = "下午"
)

// half takes 上午, 下午, AM or PM.
func (s *reader) half() string {
	for _, word := range []struct{ text, half string }{{forenoon, forenoon}, {afternoon, afternoon}, {"AM", forenoon}, {"PM", afternoon}} {
		if len(s.rest) >= len(word.text) && strings.EqualFold(s.rest[:len(word.text)], word.text) {
			s.rest = s.rest[len(word.text):]
			return word.half
		}
	}
	s.ok = false
	return ""
}

// literal takes a text.
func (s *reader) literal(text string) {
	rest, ok := strings.CutPrefix(s.rest, text)
	s.rest, s.ok = rest, s.ok && ok
}

// maxNumber bounds the formats of one word: the year 9999 in milliseconds.
const maxNumber = 253_402_300_799_999

// readNumber reads the formats of one word: a time in UTC, or for Excel one without a zone.
func (f *TimeFormat) readNumber(text string) (civil, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < -maxNumber || n > maxNumber || len(fraction) > 15 || digits(fraction) != len(fraction) || strings.HasPrefix(text, "+") {
		return civil{}, false
	}
	var at time.Time
	switch {
	case f.text == excelDays && n > 0 && n < 2_958_466: // up to the end of 9999
		part, _ := strconv.ParseFloat("0."+fraction+"0", 64)
		at = time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(n)).Add(time.Duration(part*86_400_000+0.5) * time.Millisecond)
	case fraction != "" || f.text == excelDays:
		return civil{}, false
	case f.text == unixMillis:
		at = time.UnixMilli(n).UTC()
	default:
		if n > maxNumber/1000 || n < -maxNumber/1000 { // milliseconds that were taken for seconds
			return civil{}, false
		}
		at = time.Unix(n, 0).UTC()
	}
	c := civil{
		year: at.Year(), month: int(at.Month()), day: at.Day(), hour: at.Hour(), minute: at.Minute(), second: at.Second(), nano: at.Nanosecond(),
		zoned: f.text != excelDays,
	}
	return c, c.exists()
}
