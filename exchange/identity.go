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

// ValidRegion says whether code has the form of a GB/T 2260 region code of six
// digits, or of its extension to towns (9) and villages (12).
func ValidRegion(code string) bool {
	if len(code) != 6 && len(code) != 9 && len(code) != 12 {
		return false
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return code[0] >= '1' && code[0] <= '8'
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
