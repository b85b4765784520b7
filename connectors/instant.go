package connectors

import (
	"strings"
	"time"
	_ "time/tzdata" // Asia/Shanghai on machines without a time zone database
)

// civil is a date and time of day as it is written, before a zone is applied.
type civil struct {
	year, month, day     int
	hour, minute, second int
	nano                 int
	// offset east of UTC, if zoned
	zoned  bool
	offset time.Duration
}

// parseInstant reads a time as databases and people write it:
//
//	2025-11-03T08:05:00.123456+08:00   RFC 3339, also with a space, +08 or +0800
//	2025-11-03 08:05[:00[.123]]        also with / or . between the numbers, 2025/1/3 8:05
//	2025-11-03                         midnight
//	20251103, 20251103080500
//	2025年11月3日 [星期一] [上午|下午] [8时5分[6秒]], also in full width, and with 二〇二五年十一月三日
//
// Without an offset it is a time of zone; before 1901, when zones followed the
// sun, of UTC+8 if the zone is Asia/Shanghai, because such times are
// placeholders like 1900-01-01 and must not be moved by 5 minutes and 43 seconds.
func parseInstant(text string, zone *time.Location) (time.Time, bool) {
	c, ok := parseCivil(text)
	if !ok {
		return time.Time{}, false
	}
	at := c.in(zone)
	return at, hasYear(at)
}

// hasYear says whether a time has a year of four digits where payloads show it.
func hasYear(at time.Time) bool {
	year := at.In(chinaStandard()).Year()
	return year >= 1 && year <= 9999
}

func (c civil) in(zone *time.Location) time.Time {
	switch {
	case c.zoned:
		return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.nano, time.UTC).Add(-c.offset)
	case c.year < 1901 && zone.String() == defaultTimezone:
		zone = chinaStandard()
	}
	return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.nano, zone)
}

// appendInstant appends the time in RFC 3339 with the offset +08:00, and with quotes.
func appendInstant(dst []byte, text string, zone *time.Location) ([]byte, bool) {
	c, ok := parseCivil(text)
	if !ok {
		return dst, false
	}
	at := c.in(zone)
	if !hasYear(at) {
		return dst, false
	}
	dst = append(dst, '"')
	if _, offset := at.Zone(); offset != chinaOffset || c.zoned {
		dst = at.In(chinaStandard()).AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"'), true
	}
	// The usual case: the time is written as it was read.
	dst = c.appendDate(dst)
	dst = append(dst, 'T', digit(c.hour/10), digit(c.hour), ':', digit(c.minute/10), digit(c.minute), ':', digit(c.second/10), digit(c.second))
	if c.nano > 0 {
		dst = append(dst, '.')
		for scale := 100_000_000; c.nano > 0; scale /= 10 {
			dst = append(dst, digit(c.nano/scale))
			c.nano %= scale
		}
	}
	return append(dst, "+08:00\""...), true
}

// chinaStandard is UTC+8 throughout history, the offset of times in payloads.
func chinaStandard() *time.Location { return time.FixedZone("", chinaOffset) }

const chinaOffset = 8 * 60 * 60

// appendDate appends "YYYY-MM-DD" with quotes. The date is taken as it is
// written; only a time with an offset is first brought to zone.
func appendDate(dst []byte, text string, zone *time.Location) ([]byte, bool) {
	c, ok := parseCivil(text)
	if !ok {
		return dst, false
	}
	if c.zoned {
		local := c.in(zone).In(zone)
		c.year, c.month, c.day = local.Year(), int(local.Month()), local.Day()
	}
	dst = append(dst, '"')
	return append(c.appendDate(dst), '"'), true
}

// appendDate appends YYYY-MM-DD.
func (c civil) appendDate(dst []byte) []byte {
	return append(dst, digit(c.year/1000), digit(c.year/100), digit(c.year/10), digit(c.year), '-',
		digit(c.month/10), digit(c.month), '-', digit(c.day/10), digit(c.day))
}

func digit(n int) byte { return '0' + byte(n%10) } //nolint:gosec // a digit

// parseCivil reads a date as it is written in any usual way, first the plain ones.
func parseCivil(text string) (civil, bool) {
	c, ok := parsePlain(text)
	if !ok {
		if plain, spoken := plainDate(text); spoken {
			return parsePlain(plain)
		}
	}
	return c, ok
}

func parsePlain(text string) (civil, bool) {
	s := reader{rest: text, ok: len(text) <= 40}
	var c civil
	switch n := digits(text); n {
	case 8, 14:
		c.year, c.month, c.day = s.number(4, 4), s.number(2, 2), s.number(2, 2)
		if n == 14 {
			c.hour, c.minute, c.second = s.number(2, 2), s.number(2, 2), s.number(2, 2)
			s.zone(&c)
		}
	default:
		c.year = s.number(4, 4)
		separator := s.one('-', '/', '.')
		c.month = s.number(1, 2)
		s.one(separator, separator, separator)
		c.day = s.number(1, 2)
		s.clock(&c)
	}
	if !s.ok || s.rest != "" {
		return civil{}, false
	}
	return c, c.year > 0 && c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= daysIn(c.year, c.month) &&
		c.hour < 24 && c.minute < 60 && c.second < 60 && c.offset.Abs() < 24*time.Hour
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// reader takes a text apart from the left; after the first mismatch ok is false.
type reader struct {
	rest string
	ok   bool
}

// number takes low to high digits.
func (s *reader) number(low, high int) int {
	n, value := 0, 0
	for n < high && n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		value = value*10 + int(s.rest[n]-'0')
		n++
	}
	s.ok = s.ok && n >= low
	s.rest = s.rest[n:]
	return value
}

// one takes one of three characters and returns it.
func (s *reader) one(a, b, c byte) byte {
	if s.rest == "" || s.rest[0] != a && s.rest[0] != b && s.rest[0] != c {
		s.ok = false
		return 0
	}
	taken := s.rest[0]
	s.rest = s.rest[1:]
	return taken
}

// next says whether one of two characters comes next.
func (s *reader) next(a, b byte) bool { return s.rest != "" && (s.rest[0] == a || s.rest[0] == b) }

// clock reads an optional time of day with an optional offset.
func (s *reader) clock(c *civil) {
	if s.rest == "" {
		return
	}
	s.one('T', ' ', ' ')
	s.rest = strings.TrimLeft(s.rest, " ")
	c.hour = s.number(1, 2)
	s.one(':', ':', ':')
	c.minute = s.number(2, 2)
	if s.next(':', ':') {
		s.one(':', ':', ':')
		c.second = s.number(2, 2)
		if s.next('.', ',') {
			s.one('.', ',', ',')
			n := digits(s.rest)
			c.nano = s.number(1, 9)
			for ; n < 9; n++ {
				c.nano *= 10
			}
		}
	}
	s.zone(c)
}

// zone reads an optional offset: Z, +08, +0800, +08:00.
func (s *reader) zone(c *civil) {
	s.rest = strings.TrimLeft(s.rest, " ")
	switch {
	case s.rest == "":
	case s.next('Z', 'z'):
		s.one('Z', 'z', 'z')
		c.zoned = true
	default:
		sign := s.one('+', '-', '-')
		c.zoned = true
		c.offset = time.Duration(s.number(2, 2)) * time.Hour
		if s.next(':', ':') {
			s.one(':', ':', ':')
		}
		if s.rest != "" {
			minutes := s.number(2, 2)
			s.ok = s.ok && minutes < 60
			c.offset += time.Duration(minutes) * time.Minute
		}
		if sign == '-' {
			c.offset = -c.offset
		}
	}
}
