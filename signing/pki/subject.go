package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Subject is the name of whom a certificate is for. Empty fields are left out;
// CommonName is required. Each has at most 64 characters (RFC 5280 appendix A).
type Subject struct {
	Country            string // two letters, "CN".
	Province, Locality string
	Organization       string
	OrganizationalUnit string
	OrganizationID     string // organizationIdentifier (X.520): the unified social credit code.
	CommonName         string
}

// attributes lists the fields in the order of GB/T 20518: wide to narrow.
func (s *Subject) attributes() []attribute {
	return []attribute{
		{asn1.ObjectIdentifier{2, 5, 4, 6}, &s.Country},
		{asn1.ObjectIdentifier{2, 5, 4, 8}, &s.Province},
		{asn1.ObjectIdentifier{2, 5, 4, 7}, &s.Locality},
		{asn1.ObjectIdentifier{2, 5, 4, 10}, &s.Organization},
		{asn1.ObjectIdentifier{2, 5, 4, 11}, &s.OrganizationalUnit},
		{asn1.ObjectIdentifier{2, 5, 4, 97}, &s.OrganizationID},
		{asn1.ObjectIdentifier{2, 5, 4, 3}, &s.CommonName},
	}
}

type attribute struct {
	oid   asn1.ObjectIdentifier
	value *string
}

// marshal encodes the name (RFC 5280 §4.1.2.4): one attribute in each set,
// PrintableString where the characters allow it, else UTF8String.
func (s Subject) marshal() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: subject: %w", ErrProfile, err)
	}
	var name pkix.RDNSequence
	for _, a := range s.attributes() {
		if *a.value != "" {
			name = append(name, pkix.RelativeDistinguishedNameSET{{Type: a.oid, Value: *a.value}})
		}
	}
	return asn1.Marshal(name)
}

func (s Subject) check() error {
	if s.CommonName == "" {
		return errors.New("no common name")
	}
	if c := s.Country; c != "" && (len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z') {
		return fmt.Errorf("country %q is not two capital letters", c)
	}
	for _, a := range s.attributes() {
		v := *a.value
		if !utf8.ValidString(v) || utf8.RuneCountInString(v) > 64 {
			return fmt.Errorf("attribute %v is not UTF-8 of at most 64 characters", a.oid)
		}
		for _, r := range v {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
				return fmt.Errorf("attribute %v holds the character %U", a.oid, r)
			}
		}
	}
	return nil
}

// SubjectOf reads back a name, such as Certificate.Subject. Attributes that
// Subject does not know are left out; of one that appears twice the last one,
// the narrowest, is taken.
func SubjectOf(name pkix.Name) Subject {
	var s Subject
	known := s.attributes()
	for _, got := range name.Names {
		i := slices.IndexFunc(known, func(a attribute) bool { return a.oid.Equal(got.Type) })
		if text, ok := got.Value.(string); ok && i >= 0 {
			*known[i].value = text
		}
	}
	return s
}
