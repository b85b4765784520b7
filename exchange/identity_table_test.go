package exchange

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// numbered appends the check character of GB 11643 to 17 digits: the weights are written out here, as in the standard.
func numbered(body string) string {
	sum := 0
	for i, weight := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += weight * int(body[i]-'0')
	}
	return body + []string{"1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"}[sum%11]
}

// credit appends the check characters of GB 11714 and GB 32100 to the eight characters of a department, class and
// region and the eight of an organisation.
func credit(head, organisation string) string {
	sum := 0
	for i, weight := range []int{3, 7, 9, 10, 5, 8, 4, 2} {
		sum += weight * strings.IndexByte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", organisation[i])
	}
	check := strconv.Itoa(11 - sum%11)
	switch check {
	case "10":
		check = "X"
	case "11":
		check = "0"
	}
	return total(head + organisation + check)
}

// total appends the check character of GB 32100 to 17 characters.
func total(body string) string {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
	sum := 0
	for i, weight := range []int{1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28} {
		sum += weight * strings.IndexByte(alphabet, body[i])
	}
	return body + string(alphabet[(31-sum%31)%31])
}

// TestCase14EveryPartOfAnIdentityNumberIsChecked has numbers that differ from right ones in one part, with check
// characters that are right, so that the part itself must be looked at.
func TestCase14EveryPartOfAnIdentityNumberIsChecked(t *testing.T) {
	tomorrow := time.Now().AddDate(0, 0, 2).Format("20060102")
	yesterday := time.Now().AddDate(0, 0, -2).Format("20060102")
	type row struct {
		name, number string
		want         bool
	}
	check := func(kind string, valid func(string) bool, rows []row) {
		t.Helper()
		for _, r := range rows {
			if got := valid(r.number); got != r.want {
				t.Errorf("%s, %s: %q: %v; want %v", kind, r.name, r.number, got, r.want)
			}
		}
	}
	check("identity number", ValidCitizenNumber, []row{
		{"the example of the standard, a woman", "11010519491231002X", true},
		{"the example of the standard, a man", "440524188001010014", true},
		{"Beijing", numbered("11010119900101001"), true},
		{"Hebei", numbered("13010219850615123"), true},
		{"Inner Mongolia", numbered("15010219850615123"), true},
		{"Heilongjiang", numbered("23010219850615123"), true},
		{"Shanghai", numbered("31010119850615123"), true},
		{"Shandong", numbered("37010219850615123"), true},
		{"Guangdong", numbered("44010319850615123"), true},
		{"Hainan", numbered("46010519850615123"), true},
		{"Chongqing", numbered("50010119850615123"), true},
		{"Sichuan before 1997, Chongqing's old prefix", numbered("51020219600615123"), true},
		{"Tibet", numbered("54010219850615123"), true},
		{"Shaanxi", numbered("61092419850615123"), true},
		{"Xinjiang", numbered("65010219850615123"), true},
		{"a county that was dissolved", numbered("11010319500615123"), true},
		{"Taiwan's region", numbered("71000019850615123"), true},
		{"province 10", numbered("10010119900101001"), false},
		{"province 16", numbered("16010119900101001"), false},
		{"province 20", numbered("20010119900101001"), false},
		{"province 24", numbered("24010119900101001"), false},
		{"province 30", numbered("30010119900101001"), false},
		{"province 38", numbered("38010119900101001"), false},
		{"province 40", numbered("40010119900101001"), false},
		{"province 47", numbered("47010119900101001"), false},
		{"province 55", numbered("55010119900101001"), false},
		{"province 60", numbered("60010119900101001"), false},
		{"province 66", numbered("66010119900101001"), false},
		{"province 70", numbered("70010119900101001"), false},
		{"province 72", numbered("72010119900101001"), false},
		{"province 01", numbered("01010119900101001"), false},
		{"residence permit of Hong Kong", numbered("81000019900101001"), true},
		{"residence permit of Macao", numbered("82000019900101001"), true},
		{"residence permit of Taiwan", numbered("83000019900101001"), true},
		{"a permit of 84", numbered("84000019900101001"), false},
		{"a permit with a county", numbered("81000119900101001"), false},
		{"a permit of Taiwan with a county", numbered("83010019900101001"), false},
		{"foreign resident from Canada, of the case", "911124198108030024", true},
		{"foreign resident from the USA, in Shanghai", numbered("93184019900101001"), true},
		{"foreign resident from Japan", numbered("94439219900101001"), true},
		{"foreign resident from Germany", numbered("95127619900101001"), true},
		{"foreign resident without a nationality", numbered("91199919900101001"), true},
		{"foreign resident from China", numbered("91115619900101001"), false},
		{"foreign resident of no country 000", numbered("91100019900101001"), false},
		{"foreign resident of no country 001", numbered("91100119900101001"), false},
		{"foreign resident of no country 899", numbered("91189919900101001"), false},
		{"foreign resident in province 10", numbered("91084019900101001"), false},
		{"foreign resident in province 99", numbered("99984019900101001"), false},
		{"foreign resident with another check character", "911124198108030025", false},
		{"foreign resident born on 31 June", numbered("91184019900631001"), false},
		{"29 February of a leap year", numbered("11010120000229001"), true},
		{"29 February of 1900", numbered("11010119000229001"), false},
		{"29 February of 2001", numbered("11010120010229001"), false},
		{"31 April", numbered("11010119900431001"), false},
		{"month 00", numbered("11010119900001001"), false},
		{"month 13", numbered("11010119901301001"), false},
		{"day 00", numbered("11010119900100001"), false},
		{"day 32", numbered("11010119900132001"), false},
		{"the year 1800", numbered("11010118000101001"), true},
		{"the year 1799", numbered("11010117991231001"), false},
		{"the year 2190", numbered("11010121900101001"), false},
		{"born yesterday", numbered("110101" + yesterday + "001"), true},
		{"born tomorrow", numbered("110101" + tomorrow + "001"), false},
		{"sequence 999", numbered("11010119900101999"), true},
		{"a letter in the sequence", "1101011990010100A5", false},
		{"lower-case check character", "11010519491231002x", false},
		{"17 digits", "11010519491231002", false},
		{"19 digits", "11010519491231002X0", false},
		{"old card of a foreign resident", "CAN110081080322", false},
		{"empty", "", false},
	})
	check("old number", ValidOldCitizenNumber, []row{
		{"Beijing", "110105491231002", true},
		{"province 10", "100105491231002", false},
		{"province 81", "810000491231002", false},
		{"30 February", "110105490230002", false},
		{"29 February 1900", "110105000229002", false},
		{"born in 1888, sequence 996", "110105880229996", true},
		{"born in 1887 on 29 February", "110105870229996", false},
		{"14 digits", "11010549123100", false},
		{"with a check character", "11010549123100X", false},
	})
	check("USCC", ValidUSCC, []row{
		{"of a real office", "11100000000013338W", true},
		{"office", credit("11610924", "00612224"), true},
		{"public institution", credit("12610924", "00612224"), true},
		{"mass organisation", credit("13610924", "MB012345"), true},
		{"other of the first department", credit("19610924", "MB012345"), true},
		{"class 4 of the first department", credit("14610924", "MB012345"), false},
		{"foreign press office", credit("21110000", "MC012345"), true},
		{"class 2 of the second department", credit("22110000", "MC012345"), false},
		{"law firm", credit("31110000", "MD012345"), true},
		{"arbitration", credit("35110000", "MD012345"), true},
		{"class 6 of the third department", credit("36110000", "MD012345"), false},
		{"foreign culture centre", credit("41110000", "ME012345"), true},
		{"association", credit("51610924", "MJ012345"), true},
		{"foundation", credit("53610924", "MJ012345"), true},
		{"class 4 of the fifth department", credit("54610924", "MJ012345"), false},
		{"tourism office of Taiwan", credit("62110000", "MF012345"), true},
		{"place of worship", credit("71610924", "MG012345"), true},
		{"trade union", credit("81610924", "MH012345"), true},
		{"class 2 of the eighth department", credit("82610924", "MH012345"), false},
		{"company", credit("91610924", "MA6ABCD0"), true},
		{"sole trader", credit("92610924", "MA6ABCD0"), true},
		{"cooperative", credit("93610924", "MA6ABCD0"), true},
		{"class 4 of the ninth department", credit("94610924", "MA6ABCD0"), false},
		{"military", credit("A1110000", "MK012345"), true},
		{"village cooperative", credit("N2610924", "MF012345"), true},
		{"other", credit("Y1610924", "MA012345"), true},
		{"class 2 of the others", credit("Y2610924", "MA012345"), false},
		{"department 0", credit("01610924", "MA012345"), false},
		{"department B", credit("B1610924", "MA012345"), false},
		{"national region", credit("91100000", "MA012345"), true},
		{"region 100001", credit("91100001", "MA012345"), false},
		{"province 10", credit("91106109", "MA012345"), false},
		{"province 99", credit("91990000", "MA012345"), false},
		{"a letter in the region", credit("9161092A", "MA012345"), false},
		{"another check of the organisation", total("91420396MA4K0000T"), false},
		{"a letter as the check of the organisation", total("91420396MA4K0000A"), false},
		{"another last character", "11430000006122244M", false},
		{"lower case", "11430000006122244l", false},
		{"I in the organisation", "91610924MI012345", false},
		{"17 characters", "1143000000612224L", false},
		{"empty", "", false},
	})
	check("region", ValidRegion, []row{
		{"county", "610924", true},
		{"village", "610924100201", true},
		{"Macao", "820000", true},
		{"province 83", "830000", false},
		{"province 99", "990000", false},
		{"province 00", "000000", false},
	})
}
