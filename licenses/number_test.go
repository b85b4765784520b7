package licenses

import (
	"errors"
	"strings"
	"testing"
)

func TestParseNumberSamples(t *testing.T) {
	// Public numbers of live licence systems.
	for _, tt := range []struct {
		number string
		want   Number
	}{
		{
			"1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
			Number{"11100000000013338W011", "11430000006122244L", "20230000403", "001", false},
		},
		{
			"1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
			Number{"11100000000013338W009", "11330105002500287C", "2025052201", "002", false},
		},
		{
			"1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
			Number{"11100000MB03271699022", "340100", "000000016", "001", false},
		},
		{
			"1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M",
			Number{"11100000000013661B006", "113700000045046442", "209FA4E88F9E4C878F3E9BED2CE7EA49", "001", true},
		},
		{
			"1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.D",
			Number{"11100000000013661B006", "113700000045046442", "209FA4E88F9E4C878F3E9BED2CE7EA49", "001", false},
		},
	} {
		got, err := ParseNumber(tt.number)
		if err != nil || got != tt.want {
			t.Errorf("ParseNumber(%s) = %+v, %v; want %+v", tt.number, got, err, tt.want)
		}
		if got.String() != tt.number {
			t.Errorf("String() = %s, want %s", got, tt.number)
		}
	}
}

func TestParseNumberRefuses(t *testing.T) {
	const good = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U"
	for name, tt := range map[string]struct {
		number string
		want   error
	}{
		"empty":           {"", ErrNumber},
		"other root":      {strings.Replace(good, "3005", "3006", 1), ErrNumber},
		"part missing":    {strings.Replace(good, ".001", "", 1), ErrNumber},
		"part too many":   {good + ".U", ErrNumber},
		"lower case":      {strings.ToLower(good), ErrNumber},
		"type too short":  {strings.Replace(good, "W011", "W01", 1), ErrNumber},
		"type sequence":   {strings.Replace(good, "W011", "W01A", 1), ErrNumber},
		"issuer 7 long":   {strings.Replace(good, "11430000006122244L", "3401000", 1), ErrNumber},
		"issuer 6 letter": {strings.Replace(good, "11430000006122244L", "34010A", 1), ErrNumber},
		"serial empty":    {strings.Replace(good, "20230000403", "", 1), ErrNumber},
		"serial hyphen":   {strings.Replace(good, "20230000403", "2023-000403", 1), ErrNumber},
		"serial long":     {strings.Replace(good, "20230000403", strings.Repeat("1", 65), 1), ErrNumber},
		"version letters": {strings.Replace(good, ".001.", ".0A1.", 1), ErrNumber},
		"check empty":     {strings.TrimSuffix(good, "U"), ErrNumber},
		"check":           {strings.TrimSuffix(good, "U") + "V", ErrCheck},
		"digit changed":   {strings.Replace(good, "20230000403", "20230000503", 1), ErrCheck},
		"digits swapped":  {strings.Replace(good, "20230000403", "20230004003", 1), ErrCheck},
		"huge":            {good + strings.Repeat("0", 1<<20), ErrNumber},
	} {
		if n, err := ParseNumber(tt.number); !errors.Is(err, tt.want) {
			t.Errorf("%s: ParseNumber = %+v, %v; want %v", name, n, err, tt.want)
		}
	}
}

func TestNewNumberIsStrict(t *testing.T) {
	const licenseType, issuer = "11100000000013338W011", "11430000006122244L"
	n, err := NewNumber(licenseType, issuer, "20230000403", "001")
	if err != nil || !strings.HasSuffix(n.String(), ".001.U") {
		t.Fatalf("NewNumber = %s, %v", n, err)
	}
	for name, args := range map[string][4]string{
		"type's USCC": {"11100000000013339W011", issuer, "1", "001"},
		"issuer USCC": {licenseType, "11430000006122245L", "1", "001"},
		"region":      {licenseType, "340100", "1", "001"},
		"version":     {licenseType, issuer, "1", "000"},
		"serial":      {licenseType, issuer, "a", "001"},
	} {
		if n, err := NewNumber(args[0], args[1], args[2], args[3]); !errors.Is(err, ErrNumber) {
			t.Errorf("%s: NewNumber = %s, %v; want ErrNumber", name, n, err)
		}
	}
}

// TestCheckCharacterDetects proves what the check is for: any single
// substitution is found.
func TestCheckCharacterDetects(t *testing.T) {
	body := "11100000000013338W01111430000006122244L20230000403001"
	check := checkCharacter(body)
	for i := range len(body) {
		for _, c := range []byte(numberAlphabet) {
			if changed := body[:i] + string(c) + body[i+1:]; changed != body && checkCharacter(changed) == check {
				t.Errorf("changing character %d to %c is not detected", i, c)
			}
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	f.Add("1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U")
	f.Add("1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9")
	f.Add("1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M")
	f.Add("1.2.156.3005.2.....")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseNumber(s)
		if err != nil {
			if !errors.Is(err, ErrNumber) && !errors.Is(err, ErrCheck) {
				t.Fatalf("ParseNumber(%q): %v", s, err)
			}
			return
		}
		if n.String() != s {
			t.Fatalf("ParseNumber(%q).String() = %q", s, n)
		}
	})
}
