package licenses

import (
	"fmt"
	"strings"

	"github.com/onewindow/onewindow/exchange"
)

const (
	// numberRoot is the OID of e-licences with its dot (电子证照根代码).
	numberRoot = "1.2.156.3005.2."
	// numberAlphabet gives a character's value by its index.
	numberAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

	typeCodeLength = 21 // USCC of the defining authority and a 3-digit sequence
	usccLength     = 18
	regionLength   = 6 // issuer of old numbers
	maxSerial      = 64
	maxNumber      = len(numberRoot) + typeCodeLength + usccLength + maxSerial + 3 + 1 + 4
)

// Number is a licence identifier after GB/T 36904 (证照标识):
// 1.2.156.3005.2.TYPE.ISSUER.SERIAL.VERSION.CHECK.
type Number struct {
	// Type has 21 characters: the USCC of the authority that defines the type
	// and three digits.
	Type string
	// Issuer is the USCC of the issuing authority. Old foreign numbers have a
	// region code of six digits here.
	Issuer string
	// Serial has 1 to 64 characters 0-9 and A-Z, unique within Type and Issuer.
	Serial string
	// Version has three digits, from 001.
	Version string
	// LegacyCheck says that the check character follows the variant that a
	// vendor's routine gives, not ISO/IEC 7064 MOD 37,36. It is seen in foreign
	// numbers and never issued.
	LegacyCheck bool
}

// NewNumber builds a number to be issued. It is strict: type and issuer must
// begin with a USCC whose check character is right (GB 32100). Faults are
// [ErrNumber].
func NewNumber(licenseType, issuer, serial, version string) (Number, error) {
	n := Number{Type: licenseType, Issuer: issuer, Serial: serial, Version: version}
	if err := n.checkForm(); err != nil {
		return Number{}, err
	}
	switch {
	case !exchange.ValidUSCC(licenseType[:usccLength]):
		return Number{}, fmt.Errorf("%w: type %s does not begin with a unified social credit code (GB 32100)", ErrNumber, licenseType)
	case !exchange.ValidUSCC(issuer):
		return Number{}, fmt.Errorf("%w: issuer %s is not a unified social credit code (GB 32100)", ErrNumber, issuer)
	case version == "000":
		return Number{}, fmt.Errorf("%w: versions begin with 001", ErrNumber)
	}
	return n, nil
}

// ParseNumber reads a licence number, ours or foreign: a USCC inside it need
// not have a right check character, an issuer may be a region code, and the
// legacy check character is accepted and reported. A wrong form is
// [ErrNumber], a wrong check character [ErrCheck].
func ParseNumber(s string) (Number, error) {
	if len(s) > maxNumber {
		return Number{}, fmt.Errorf("%w: %d characters, at most %d", ErrNumber, len(s), maxNumber)
	}
	rest, ok := strings.CutPrefix(s, numberRoot)
	if !ok {
		return Number{}, fmt.Errorf("%w: it does not begin with %s", ErrNumber, numberRoot)
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 5 {
		return Number{}, fmt.Errorf("%w: %d parts after %s instead of 5", ErrNumber, len(parts), numberRoot)
	}
	n := Number{Type: parts[0], Issuer: parts[1], Serial: parts[2], Version: parts[3]}
	if err := n.checkForm(); err != nil {
		return Number{}, err
	}
	if len(parts[4]) != 1 || !upperAlphanumeric(parts[4]) {
		return Number{}, fmt.Errorf("%w: the check is not one character 0-9 or A-Z", ErrNumber)
	}
	switch check := parts[4][0]; check {
	case checkCharacter(n.body()):
	case legacyCheckCharacter(n.body()):
		n.LegacyCheck = true
	default:
		// The right character is not named: with it, a mistyped number would
		// be made to pass.
		return Number{}, fmt.Errorf("%w: %q does not fit the rest: compare every character", ErrCheck, check)
	}
	return n, nil
}

// String writes the number with its check character.
func (n Number) String() string {
	check := checkCharacter(n.body())
	if n.LegacyCheck {
		check = legacyCheckCharacter(n.body())
	}
	return numberRoot + n.Type + "." + n.Issuer + "." + n.Serial + "." + n.Version + "." + string(check)
}

// body is what the check character covers: no root, no dots.
func (n Number) body() string { return n.Type + n.Issuer + n.Serial + n.Version }

func (n Number) checkForm() error {
	switch {
	case !typeCodeForm(n.Type):
		return fmt.Errorf("%w: the type must have %d characters 0-9 and A-Z, the last three digits", ErrNumber, typeCodeLength)
	case !upperAlphanumeric(n.Issuer) || len(n.Issuer) != usccLength && (len(n.Issuer) != regionLength || !digits(n.Issuer)):
		return fmt.Errorf("%w: the issuer must be a code of %d characters 0-9 and A-Z", ErrNumber, usccLength)
	case len(n.Serial) < 1 || len(n.Serial) > maxSerial || !upperAlphanumeric(n.Serial):
		return fmt.Errorf("%w: the serial must have 1 to %d characters 0-9 and A-Z", ErrNumber, maxSerial)
	case len(n.Version) != 3 || !digits(n.Version):
		return fmt.Errorf("%w: the version must have three digits", ErrNumber)
	}
	return nil
}

func typeCodeForm(code string) bool {
	return len(code) == typeCodeLength && upperAlphanumeric(code) && digits(code[usccLength:])
}

func upperAlphanumeric(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'A' || s[i] > 'Z') {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// checkCharacter is ISO/IEC 7064 MOD 37,36 (hybrid, GB/T 17710) over
// characters 0-9 and A-Z.
func checkCharacter(body string) byte {
	p := 36
	for i := range len(body) {
		s := (p + strings.IndexByte(numberAlphabet, body[i])) % 36
		if s == 0 {
			s = 36
		}
		p = 2 * s % 37
	}
	return numberAlphabet[(37-p)%36]
}

// legacyCheckCharacter is what a widespread vendor routine gives instead:
// letters are counted from 11, and the reduction depends on the character.
func legacyCheckCharacter(body string) byte {
	p := 36
	for i := range len(body) {
		v := strings.IndexByte(numberAlphabet, body[i])
		if v >= 10 {
			v++
		}
		r := p + v
		switch {
		case v > 10 && r > 37:
			r %= 37
		case v < 10 && r > 36:
			r %= 36
		}
		if r %= 36; r == 0 {
			r = 36
		}
		p = 2 * r % 37
	}
	return numberAlphabet[36-p]
}
