package files

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// dateFormat is what the format of a cell shows of a number.
type dateFormat struct{ date, time bool }

// builtInFormat knows the formats that need no definition, those of Chinese editions included.
func builtInFormat(id int) dateFormat {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return dateFormat{date: true}
	case id == 22:
		return dateFormat{date: true, time: true}
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return dateFormat{time: true}
	}
	return dateFormat{}
}

// parseDateFormat reads a format such as yyyy"年"m"月"d"日" h:mm. Durations ([h]:mm) are not dates.
func parseDateFormat(code string) (f dateFormat) {
	code, _, _ = strings.Cut(code, ";")
	const general = "general" // means any number; its letters mean nothing, whatever stands around it
	for i := 0; i+len(general) <= len(code); {
		if strings.EqualFold(code[i:i+len(general)], general) {
			code = code[:i] + code[i+len(general):]
		} else {
			i++
		}
	}
	minutes := false // an m may be a month or a minute
	for i := 0; i < len(code); i++ {
		switch c := code[i] | 0x20; {
		case code[i] == '"':
			end := strings.IndexByte(code[i+1:], '"')
			if end < 0 {
				return f
			}
			i += end + 1
		case code[i] == '\\', code[i] == '_', code[i] == '*':
			i++
		case code[i] == '[':
			inner, _, _ := strings.Cut(code[i+1:], "]")
			if inner != "" && strings.Trim(strings.ToLower(inner), "hms") == "" {
				return dateFormat{}
			}
			i += len(inner) + 1
		case c == 'a':
			// AM/PM and A/P go with hours; aaa and aaaa are days of the week.
			switch {
			case len(code) >= i+5 && strings.EqualFold(code[i:i+5], "am/pm"):
				i += 4
			case len(code) >= i+3 && strings.EqualFold(code[i:i+3], "a/p"):
				i += 2
			case len(code) >= i+3 && strings.EqualFold(code[i:i+3], "aaa"):
				f.date = true
			}
		case c == 'g', c == 'b': // years of an era, of Buddha
			f.date = f.date || !strings.ContainsAny(code, "0#?")
		case c == 'y', c == 'd', c == 'e' && !strings.ContainsAny(code, "0#?"):
			f.date = true
		case c == 'h', c == 's':
			f.time = true
		case c == 'm':
			minutes = true
		}
	}
	if minutes && !f.time {
		f.date = true
	}
	return f
}

// dateText turns the serial number of a day into text, as Excel shows it but
// in the order of ISO 8601: whole days without a time, the time to a
// millisecond, which is all that Excel itself keeps apart. In the 1900 system day 60 is
// 29 February 1900, which never was: it stays as it is and is for others to refuse.
// ok is false if the number is none of a day.
func (f dateFormat) text(serial string, date1904 bool) (text string, ok bool) {
	if len(serial) > 40 || strings.Trim(serial, "0123456789.eE+-") != "" {
		return "", false
	}
	if _, exponent, _ := strings.Cut(strings.ToLower(serial), "e"); len(exponent) > 4 {
		return "", false
	}
	value, valid := new(big.Rat).SetString(serial)
	if !valid || value.Sign() < 0 || value.Cmp(big.NewRat(2_958_466, 1)) >= 0 {
		return "", false
	}
	value.Mul(value, big.NewRat(86_400_000, 1)) // to the nearest millisecond
	value.Add(value, big.NewRat(1, 2))
	ms := new(big.Int).Quo(value.Num(), value.Denom()).Int64()
	day, clock := ms/86_400_000, time.UnixMilli(ms%86_400_000).UTC().Format("15:04:05.999")
	if f.time && !f.date && day == 0 {
		return clock, true
	}
	date := ""
	switch {
	case date1904:
		date = time.Date(1904, 1, 1+int(day), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	case day == 60:
		date = "1900-02-29"
	case day > 60:
		date = time.Date(1899, 12, 30+int(day), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	default:
		date = fmt.Sprintf("1900-%02d-%02d", 1+max(0, day-1)/31, day-31*(max(0, day-1)/31))
	}
	if len(date) > len(time.DateOnly) {
		return "", false // beyond the year 9999
	}
	if !f.time && ms%86_400_000 == 0 {
		return date, true
	}
	return date + " " + clock, true
}
