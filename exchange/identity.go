package exchange

import (
	"strings"
	"time"
)

// usccAlphabet is the character set of GB 32100: digits and capital letters
// without I, O, S, V and Z; a character's value is its index.
const usccAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// ValidUSCC reports whether code is a unified social credit code after GB
// 32100. Every part is checked: the registering department with its class of
// organisation, the region, the organisation code with its own check character
// (GB 11714), and the last character (modulus 31, weights 3^i).
func ValidUSCC(code string) bool {
	if len(code) != 18 || strings.IndexByte(classesOf(code[0]), code[1]) < 0 ||
		!onlyDigits(code[2:8]) || !knownProvince(code[2], code[3]) && code[2:8] != "100000" {
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
	return code[17] == usccAlphabet[(31-sum%31)%31] && validOrganisation(code[8:17])
}

// classesOf returns the classes of organisation that a registering department
// of GB 32100 and its amendments has; none for an unknown department.
func classesOf(department byte) string {
	switch department {
	case '1': // 机构编制
		return "1239"
	case '2', '4', '8', 'A': // 外交, 文化, 工会, 军队
		return "19"
	case '3': // 司法行政
		return "123459"
	case '5', '9': // 民政, 工商
		return "1239"
	case '6', '7': // 旅游, 宗教
		return "129"
	case 'N': // 农业
		return "1239"
	case 'Y': // 其他
		return "1"
	}
	return ""
}

// validOrganisation checks the last of the nine characters of an organisation
// code (GB 11714), whose letters are worth 10 to 35.
func validOrganisation(code string) bool {
	sum := 0
	for i, weight := range [...]int{3, 7, 9, 10, 5, 8, 4, 2} {
		value := int(code[i]) - '0'
		if code[i] >= 'A' {
			value = int(code[i]) - 'A' + 10
		}
		sum += value * weight
	}
	return code[8] == "0X987654321"[sum%11]
}

// ValidCitizenNumber reports whether number is an 18-digit identity number
// after GB 11643 of somebody who may live in the mainland. The four kinds
// differ in their first six digits:
//
//	a citizen                 the region of the first registration
//	81, 82, 83 and 0000       the residence permit of Hong Kong, Macao, Taiwan
//	9, a province, a country  a foreign permanent resident (card of 2023)
//
// All have a date of birth that exists and is not to come, a sequence and the
// ISO 7064 MOD 11-2 check character. Of the region the province is checked: the
// counties of old numbers were renamed and dissolved, and their numbers stay.
// The older card of foreign residents (three letters, twelve digits) is refused.
func ValidCitizenNumber(number string) bool {
	if len(number) != 18 {
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
	return number[17] == "10X98765432"[sum] && validIssue(number[:6]) && validBirth(number[6:14])
}

// validIssue checks the first six digits of an identity number.
func validIssue(code string) bool {
	switch code[0] {
	case '8':
		return code == "810000" || code == "820000" || code == "830000"
	case '9':
		return knownProvince(code[1], code[2]) && code[1] != '8' && foreignCountry(code[3:6])
	}
	return knownProvince(code[0], code[1])
}

// ValidOldCitizenNumber reports whether number is a citizen number of 15
// digits, as they were issued before 1999: without a check character and
// without the century of birth. That is the 20th, but for the sequences 996 to
// 999, which were for people born before it.
func ValidOldCitizenNumber(number string) bool {
	if len(number) != 15 || !onlyDigits(number) || number[0] == '8' || !knownProvince(number[0], number[1]) {
		return false
	}
	century := "19"
	if number[12:] >= "996" {
		century = "18"
	}
	return validBirth(century + number[6:12])
}

// ValidPhone reports whether number is a mobile number, or a landline number with
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

// ValidRegion reports whether code has the form of a GB/T 2260 region code of six
// digits, with a province that there is, or of its extension to towns (9) and villages (12).
func ValidRegion(code string) bool {
	if len(code) != 6 && len(code) != 9 && len(code) != 12 {
		return false
	}
	return onlyDigits(code) && knownProvince(code[0], code[1])
}

// knownProvince reports whether two digits are a province of GB/T 2260, by a bit for each second digit.
func knownProvince(first, second byte) bool {
	const (
		one1to5 = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5
		one1to7 = one1to5 | 1<<6 | 1<<7
	)
	seconds := [10]uint16{
		1: one1to5, 2: 1<<1 | 1<<2 | 1<<3, 3: one1to7, 4: one1to5 | 1<<6,
		5: 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<4, 6: one1to5, 7: 1 << 1, 8: 1<<1 | 1<<2,
	}
	return first <= '9' && second <= '9' && seconds[first-'0']>>(second-'0')&1 == 1
}

// foreignCountry reports whether three digits are the number of a country in
// ISO 3166-1 (GB/T 2659), other than China, or one of 900 to 999, which the
// standard leaves to its users, for people without a nationality.
func foreignCountry(code string) bool {
	// A hexadecimal digit for every four numbers from 000, the lowest bit first.
	const countries = "015111191111D111155105411111111101111115444C411911811544487C447445458500111" +
		"1111111151111111111111114115464454454444444441101D1111111DE11014444444B7804" +
		"1111115444C4058D444444540C7401113101111151111111951940404870104445000148840"
	if code[0] == '9' {
		return true
	}
	n := int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	if n/4 >= len(countries) || code == "156" {
		return false
	}
	digit := strings.IndexByte("0123456789ABCDEF", countries[n/4])
	return digit>>(n%4)&1 == 1
}

// validBirth reports whether YYYYMMDD is a date of birth. The clock is read for dates near the present only.
func validBirth(s string) bool {
	const alwaysPast = "20250101"
	if !validDate(s) {
		return false
	}
	return s < alwaysPast || s <= time.Now().In(time.FixedZone("", 8*60*60)).Format("20060102")
}

// validDate checks a date YYYYMMDD from 1800 on without building a time.Time:
// it runs once per citizen number of every record.
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
