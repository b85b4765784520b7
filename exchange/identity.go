package exchange

import "strings"

// usccAlphabet is the character set of GB 32100: digits and capital letters
// without I, O, S, V and Z; a character's value is its index.
const usccAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// ValidUSCC says whether code is a unified social credit code after GB 32100:
// 18 characters whose last is the check character (modulus 31, weights 3^i).
func ValidUSCC(code string) bool {
	if len(code) != 18 {
		return false
	}
	sum, weight := 0, 1
	for i := range 17 {
		value := strings.IndexByte(usccAlphabet, code[i])
		if value < 0 {
			return false
		}
		sum += value * weight
		weight = weight * 3 % 31
	}
	return code[17] == usccAlphabet[(31-sum%31)%31]
}

// ValidCitizenNumber says whether number is an 18-digit citizen identity
// number after GB 11643: a region, a date of birth that exists, a sequence and
// the ISO 7064 MOD 11-2 check character.
func ValidCitizenNumber(number string) bool {
	if len(number) != 18 || !ValidRegion(number[:6]) {
		return false
	}
	sum := 0
	for i := range 17 {
		d := number[i]
		if d < '0' || d > '9' {
			return false
		}
		sum = (sum + int(d-'0')) * 2 % 11
	}
	return number[17] == "10X98765432"[sum] && validDate(number[6:14])
}

// ValidOldCitizenNumber says whether number is a citizen number of 15 digits,
// as they were issued before 1999: without the century of the date of birth,
// which is the 20th, and without a check character.
func ValidOldCitizenNumber(number string) bool {
	return len(number) == 15 && ValidRegion(number[:6]) && onlyDigits(number) && validDate("19"+number[6:12])
}

// ValidPhone says whether number is a mobile number, or a landline number with
// its area code, of the Chinese mainland. "+86" may come first, a "-" between
// area code, number and extension.
func ValidPhone(number string) bool {
	national, abroad := strings.CutPrefix(number, "+86")
	if abroad {
		national = strings.TrimLeft(national, " -")
	}
	if len(national) == 11 && national[0] == '1' {
		return national[1] >= '3' && onlyDigits(national)
	}
	area, rest, apart := strings.Cut(national, "-")
	if !apart {
		// 010 and 020 to 029 are the area codes of three digits.
		n := min(4, len(area))
		if strings.HasPrefix(area, "01") || strings.HasPrefix(area, "02") {
			n = min(3, len(area))
		}
		area, rest = area[:n], area[n:]
	}
	local, extension, extended := strings.Cut(rest, "-")
	return len(area) >= 3 && len(area) <= 4 && area[0] == '0' && area[1] != '0' && onlyDigits(area) &&
		len(local) >= 7 && len(local) <= 8 && local[0] >= '2' && onlyDigits(local) &&
		(!extended || len(extension) >= 1 && len(extension) <= 6 && onlyDigits(extension))
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// ValidRegion says whether code has the form of a GB/T 2260 region code of six
// digits, or of its extension to towns (9) and villages (12).
func ValidRegion(code string) bool {
	if len(code) != 6 && len(code) != 9 && len(code) != 12 {
		return false
	}
	return onlyDigits(code) && code[0] >= '1' && code[0] <= '8'
}

// validDate checks a date of birth YYYYMMDD without building a time.Time: it
// runs once per citizen number of every record.
func validDate(s string) bool {
	number := func(s string) int {
		n := 0
		for i := range len(s) {
			n = n*10 + int(s[i]-'0')
		}
		return n
	}
	year, month, day := number(s[:4]), number(s[4:6]), number(s[6:])
	if year < 1800 || month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		days = 29
	}
	return day <= days
}
