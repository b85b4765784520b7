package connectors

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxChineseTime bounds what is taken for a time: 二〇二五年十一月二十三日 下午十一时五十九分五十九秒 has 87 bytes.
const maxChineseTime = 120

// plainChinese writes a time with Chinese or full-width characters in the form
// that parseCivil reads: 2024年1月3日 下午3时5分 becomes 2024-1-3 15:05:00. It
// is not ok for a text that is not of this kind, or is incomplete.
func plainChinese(text string) (string, bool) {
	if len(text) > maxChineseTime || isASCII(text) {
		return "", false
	}
	text, _ = halfWidth(text)
	if isASCII(text) {
		return strings.TrimSpace(text), true
	}
	date, clock, ok := splitChinese(strings.TrimSpace(text))
	if !ok {
		return "", false
	}
	half := ""
	for _, word := range []string{forenoon, afternoon} {
		if rest, found := strings.CutPrefix(clock, word); found {
			half, clock = word, strings.TrimSpace(rest)
		}
	}
	if clock == "" {
		return date, half == ""
	}
	hour, rest, ok := chineseClock(clock)
	if c := (civil{hour: hour}); ok && c.inHalf(half) {
		return fmt.Sprintf("%s %02d%s", date, c.hour, rest), true
	}
	return "", false
}

// splitChinese takes the date off a text, as YYYY-MM-DD, and returns what follows it.
func splitChinese(text string) (date, clock string, ok bool) {
	if !strings.Contains(text, "年") { // 2024-1-3 上午8:05
		n := strings.IndexFunc(text, func(r rune) bool { return r == ' ' || r >= utf8.RuneSelf })
		if n < 0 {
			return "", "", false
		}
		return text[:n], strings.TrimSpace(text[n:]), true
	}
	year, rest, ok1 := chineseNumber(text, true, "年")
	month, rest, ok2 := chineseNumber(rest, false, "月")
	day, rest, ok3 := chineseNumber(rest, false, "日", "号")
	return fmt.Sprintf("%04d-%d-%d", year, month, day), strings.TrimSpace(rest), ok1 && ok2 && ok3
}

// chineseClock takes the hour off a time of day and returns the rest as ":MM:SS".
func chineseClock(clock string) (hour int, rest string, ok bool) {
	if isASCII(clock) {
		s := reader{rest: clock, ok: true}
		hour = s.number(1, 2)
		return hour, s.rest, s.ok
	}
	hour, clock, ok = chineseNumber(clock, false, "时", "点")
	if clock == "" || !ok {
		return hour, ":00", ok
	}
	minute, clock, ok := chineseNumber(clock, false, "分")
	second := 0
	if clock != "" && ok {
		second, clock, ok = chineseNumber(clock, false, "秒")
	}
	return hour, fmt.Sprintf(":%02d:%02d", minute, second), ok && clock == ""
}

// chineseNumber takes a number and the unit behind it: the digits 0 to 9, or
// characters, which of a year are four digits (二〇二四) and else a number up
// to 99 (二十三).
func chineseNumber(text string, year bool, units ...string) (n int, rest string, ok bool) {
	number := text
	for _, unit := range units {
		if before, after, found := strings.Cut(text, unit); found {
			number, rest, ok = strings.TrimSpace(before), strings.TrimSpace(after), true
			break
		}
	}
	switch {
	case !ok || number == "":
		return 0, text, false
	case digits(number) == len(number) && len(number) <= 4:
		s := reader{rest: number, ok: true}
		n = s.number(1, 4)
		return n, rest, !year && len(number) <= 2 || year && len(number) == 4
	case year:
		n, ok = chineseDigits(number)
		return n, rest, ok
	}
	n, ok = chineseUnder100(number)
	return n, rest, ok
}

// chineseDigit returns the value of 〇 to 九.
func chineseDigit(r rune) (int, bool) {
	for value, of := range []string{"〇零○", "一", "二", "三", "四", "五", "六", "七", "八", "九"} {
		if strings.ContainsRune(of, r) {
			return value, true
		}
	}
	return 0, false
}

// chineseDigits reads four digits, as years are written.
func chineseDigits(text string) (n int, ok bool) {
	if utf8.RuneCountInString(text) != 4 {
		return 0, false
	}
	for _, r := range text {
		value, known := chineseDigit(r)
		if !known {
			return 0, false
		}
		n = 10*n + value
	}
	return n, true
}

// chineseUnder100 reads 三, 十, 十三, 二十, 二十三, and 〇三.
func chineseUnder100(text string) (n int, ok bool) {
	tens, ones, ten := strings.Cut(text, "十")
	if !ten {
		tens, ones = "", text
		if rest, padded := strings.CutPrefix(text, "〇"); padded && rest != "" {
			ones = rest
		}
	}
	value := func(text string, none int) (int, bool) {
		if text == "" {
			return none, true
		}
		r, size := utf8.DecodeRuneInString(text)
		v, known := chineseDigit(r)
		return v, known && size == len(text)
	}
	noTens := 0
	if ten {
		noTens = 1
	}
	t, ok1 := value(tens, noTens)
	o, ok2 := value(ones, 0)
	return 10*t + o, ok1 && ok2 && (!ten || t > 0) && (ten || ones != "")
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
