package exchange

import "testing"

func TestIdentityNumbers(t *testing.T) {
	cases := []struct {
		name  string
		check func(string) bool
		value string
		want  bool
	}{
		{"USCC", ValidUSCC, "11100000000013338W", true},
		{"USCC", ValidUSCC, "11430000006122244L", true},
		{"USCC with another check character", ValidUSCC, "11430000006122244M", false},
		{"USCC in lower case", ValidUSCC, "11430000006122244l", false},
		{"USCC with a letter outside the alphabet", ValidUSCC, "1143000000612224OL", false},
		{"short USCC", ValidUSCC, "1143000000612224", false},
		{"citizen", ValidCitizenNumber, "11010519491231002X", true},
		{"citizen with a lower-case x", ValidCitizenNumber, "11010519491231002x", false},
		{"citizen with swapped digits", ValidCitizenNumber, "11010519491213002X", false},
		{"citizen born on 30 February", ValidCitizenNumber, "110105194902300021", false},
		{"15 digits", ValidCitizenNumber, "110105491231002", false},
		{"old citizen", ValidOldCitizenNumber, "110105491231002", true},
		{"old citizen born on 30 February", ValidOldCitizenNumber, "110105490230002", false},
		{"old citizen with a letter", ValidOldCitizenNumber, "11010549123100X", false},
		{"18 digits", ValidOldCitizenNumber, "11010519491231002X", false},
		{"mobile", ValidPhone, "13800138000", true},
		{"mobile with the country", ValidPhone, "+86-13800138000", true},
		{"mobile that begins with 12", ValidPhone, "12800138000", false},
		{"mobile in full width", ValidPhone, "１３８００１３８０００", false},
		{"mobile with ten digits", ValidPhone, "1380013800", false},
		{"landline", ValidPhone, "0915-3212345", true},
		{"landline without a dash", ValidPhone, "09153212345", true},
		{"landline of Beijing", ValidPhone, "01065123456", true},
		{"landline of Beijing with an extension", ValidPhone, "010-65123456-801", true},
		{"landline with the country", ValidPhone, "+86 0571-85123456", true},
		{"landline without area code", ValidPhone, "3212345", false},
		{"landline with a long number", ValidPhone, "0915-321234567", false},
		{"landline with an empty extension", ValidPhone, "0915-3212345-", false},
		{"hotline", ValidPhone, "12345", false},
		{"a number abroad", ValidPhone, "+4930901820", false},
		{"no number", ValidPhone, "", false},
		{"only the country", ValidPhone, "+86", false},
		{"county", ValidRegion, "610924", true},
		{"village", ValidRegion, "610924100201", true},
		{"seven digits", ValidRegion, "6109241", false},
		{"full-width digits", ValidRegion, "６１０９２４", false},
	}
	for _, c := range cases {
		if got := c.check(c.value); got != c.want {
			t.Errorf("%s %q: got %v", c.name, c.value, got)
		}
	}
}
