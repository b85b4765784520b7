package county

import (
	"fmt"
	"strings"
	"time"
)

// The check characters are computed here and not taken from package exchange:
// a county whose systems shared the hub's arithmetic would prove nothing.

// usccAlphabet of GB 32100: no I, O, S, V, Z.
const usccAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// uscc builds a unified social credit code after GB 32100: category (two
// characters), region, organisation code with its own check character (GB
// 11714), check character. serial is below 31^6.
func uscc(category, region string, serial int) string {
	organisation := []byte("MA000000")
	for i := 7; i >= 2; i-- {
		organisation[i] = usccAlphabet[serial%31]
		serial /= 31
	}
	body := category + region + string(organisation) + string(organisationCheck(organisation))
	return body + string(usccCheck(body))
}

// organisationCheck is the check character of GB 11714.
func organisationCheck(body []byte) byte {
	sum := 0
	for i, weight := range []int{3, 7, 9, 10, 5, 8, 4, 2} {
		value := int(body[i] - '0')
		if body[i] >= 'A' {
			value = int(body[i]-'A') + 10
		}
		sum += value * weight
	}
	switch check := 11 - sum%11; check {
	case 10:
		return 'X'
	case 11:
		return '0'
	default:
		return byte('0' + check)
	}
}

func usccCheck(body string) byte {
	sum := 0
	for i, weight := range []int{1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28} {
		sum += strings.IndexByte(usccAlphabet, body[i]) * weight
	}
	return usccAlphabet[(31-sum%31)%31]
}

// citizenNumber builds a citizen identity number after GB 11643. The parity
// of sequence (0..999) is the sex: odd is male.
func citizenNumber(region string, birth time.Time, sequence int) string {
	body := region + birth.Format("20060102") + fmt.Sprintf("%03d", sequence)
	sum := 0
	for i, weight := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(body[i]-'0') * weight
	}
	return body + string("10X98765432"[sum%11])
}

// wrongCheck replaces the last character of a code, which its check makes the
// only right one.
func wrongCheck(code string) string {
	last := byte('1')
	if code[len(code)-1] == last {
		last = '2'
	}
	return code[:len(code)-1] + string(last)
}

// fullWidth writes digits as U+FF10 to U+FF19.
func fullWidth(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + '\uff10'
		}
		return r
	}, s)
}
