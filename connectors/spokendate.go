package connectors

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The formats of times that are numbers, beside Go layouts such as "2006年1月2日".
const (
	formatExcel  = "excel"   // days since 1899-12-30, with a fraction
	formatUnix   = "unix"    // seconds since 1970 in UTC
	formatUnixMS = "unix-ms" // milliseconds
)

// plainDate writes a date with Chinese or full-width characters, or half of a day, as parsePlain reads it. Years of the
// Republic (民国) are refused, because they count from 1912.
func plainDate(text string) (string, bool) {
	const longest = 120
	upper := strings.ToUpper(text)
	half := strings.Contains(upper, "AM") || strings.Contains(upper, "PM")
	if len(text) > longest || !utf8.ValidString(text) || strings.Contains(text, "民国") || strings.Contains(text, "民國") ||
		!half && !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", false
	}
	text, _ = halfWidth(text)
	for _, day := range []string{"一", "二", "三", "四", "五", "六", "日", "天"} {
		text = strings.NewReplacer("星期"+day, " ", "周"+day, " ", "礼拜"+day, " ").Replace(text)
	}
	text = strings.NewReplacer("()", " ", "( )", " ").Replace(text)
	text, afternoon, morning := halfOfDay(text)
	text = strings.NewReplacer("年", "-", "月", "-", "日", " ", "号", " ", "时", ":", "時", ":", "点", ":", "點", ":", "分", ":", "秒", "").Replace(numerals(text))
	date, clock, _ := strings.Cut(strings.TrimSpace(text), " ")
	clock = strings.TrimSpace(clock)
	if clock == "" {
		return date, !afternoon && !morning
	}
	plain, ok := plainClock(strings.TrimSuffix(clock, ":"), afternoon, morning)
	return date + " " + plain, ok
}

// halfOfDay takes the words for the half of the day out of a text.
func halfOfDay(text string) (rest string, afternoon, morning bool) {
	for _, word := range []string{"下午", "晚上", "PM", "pm"} {
		if before, after, found := strings.Cut(text, word); found {
			return before + " " + after, true, false
		}
	}
	for _, word := range []string{"上午", "凌晨", "早上", "AM", "am"} {
		if before, after, found := strings.Cut(text, word); found {
			return before + " " + after, false, true
		}
	}
	return text, false, false
}

// plainClock writes "8:5" as "08:05", in 24 hours.
func plainClock(clock string, afternoon, morning bool) (string, bool) {
	parts := strings.Split(clock, ":")
	if len(parts) == 1 {
		parts = append(parts, "00")
	}
	hour, err := strconv.Atoi(parts[0])
	if err != nil || len(parts) > 3 || hour < 0 || (afternoon || morning) && hour > 12 {
		return "", false
	}
	switch {
	case afternoon && hour < 12:
		hour += 12
	case morning && hour == 12:
		hour = 0
	}
	parts[0] = fmt.Sprintf("%02d", hour)
	for i := 1; i < len(parts); i++ {
		if len(parts[i]) == 1 {
			parts[i] = "0" + parts[i]
		}
	}
	return strings.Join(parts, ":"), true
}

// numerals writes Chinese numerals in digits: 二〇二四 digit by digit, 二十三 by its value.
func numerals(text string) string {
	var b strings.Builder
	values := map[rune]int{'〇': 0, '○': 0, '零': 0, '一': 1, '二': 2, '三': 3, '四': 4, '五': 5, '六': 6, '七': 7, '八': 8, '九': 9}
	run, tens := "", -1 // digits since the last other character; those before 十
	flush := func() {
		if tens >= 0 {
			ones, _ := strconv.Atoi(run)
			run = strconv.Itoa(10*tens + ones)
		}
		b.WriteString(run)
		run, tens = "", -1
	}
	for _, r := range text {
		value, numeral := values[r]
		switch {
		case numeral:
			run += strconv.Itoa(value)
		case r == '十' && tens < 0:
			if tens = 1; run != "" {
				tens, _ = strconv.Atoi(run)
			}
			run = ""
		default:
			flush()
			b.WriteRune(r)
		}
	}
	flush()
	return b.String()
}

// validFormat reports whether a format gives a whole date back.
func validFormat(format string) bool {
	if format == formatExcel || format == formatUnix || format == formatUnixMS {
		return true
	}
	day := time.Date(2023, 11, 25, 0, 0, 0, 0, time.UTC)
	again, err := time.Parse(format, day.Format(format))
	return err == nil && again.Format(time.DateOnly) == day.Format(time.DateOnly) && strings.Contains(format, "2006")
}

// formatted brings a text in a format into the plain form that parsePlain reads.
func formatted(text, format string) (string, bool) {
	const clock = "2006-01-02 15:04:05.999999999"
	text, _ = halfWidth(text)
	switch format {
	case formatExcel, formatUnix, formatUnixMS:
		if len(text) > 40 || text == "" || strings.Trim(text, "0123456789.-") != "" {
			return "", false
		}
		number, ok := new(big.Rat).SetString(text)
		if !ok {
			return "", false
		}
		scale, start, zone := int64(1), time.Unix(0, 0).UTC(), "Z"
		switch format {
		case formatExcel:
			scale, start, zone = 86_400_000, time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC), ""
			if number.Cmp(big.NewRat(61, 1)) < 0 || number.Cmp(big.NewRat(2_958_466, 1)) >= 0 {
				return "", false // before it Excel has a day that never was
			}
		case formatUnix:
			scale = 1000
		}
		number.Add(number.Mul(number, big.NewRat(scale, 1)), big.NewRat(1, 2))
		ms := new(big.Int).Quo(number.Num(), number.Denom())
		if !ms.IsInt64() || ms.Int64() > 253_402_300_799_999 || ms.Int64() < -62_135_596_800_000 {
			return "", false
		}
		at := time.UnixMilli(start.UnixMilli() + ms.Int64()).UTC()
		return at.Format(clock) + zone, true
	}
	at, err := time.Parse(format, text)
	if err != nil {
		return "", false
	}
	if strings.Contains(format, "07") || strings.Contains(format, "MST") {
		return at.UTC().Format(clock) + "Z", true
	}
	return at.Format(clock), true
}
