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
