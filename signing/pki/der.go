package pki

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// maxDepth is the deepest nesting of DER that is read. Certificates reach 10.
const maxDepth = 24

// Universal tag numbers (X.680 §8.4) that certificates use.
const (
	tagBoolean         = 1
	tagInteger         = 2
	tagBitString       = 3
	tagOctetString     = 4
	tagNull            = 5
	tagOID             = 6
	tagEnumerated      = 10
	tagUTF8String      = 12
	tagSequence        = 16
	tagSet             = 17
	tagNumericString   = 18
	tagPrintableString = 19
	tagT61String       = 20
	tagIA5String       = 22
	tagUTCTime         = 23
	tagGeneralizedTime = 24
	tagVisibleString   = 26
	tagBMPString       = 30
)

// checkDER accepts exactly one element in DER (X.690 §8, §10, §11) and nothing
// after it: lengths definite and minimal, integers minimal, booleans 00 or FF,
// bit strings padded with zeros, sets in order, times as RFC 5280 §4.1.2.5 and
// §5.1.2.4 write them. What only a schema can tell, such as a default that is
// spelled out, passes: certificates in use do that.
func checkDER(der []byte) error {
	rest, err := checkElement(der, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after the end", len(rest))
	}
	if err != nil {
		return fmt.Errorf("%w: DER: %w", ErrMalformed, err)
	}
	return nil
}

// checkElement checks the element at the start of der and returns what follows.
func checkElement(der []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	tag, content, rest, err := splitElement(der)
	if err != nil {
		return nil, err
	}
	number, constructed, universal := tag&0x1f, tag&0x20 != 0, tag&0xc0 == 0
	if constructed {
		if universal && number != tagSequence && number != tagSet {
			return nil, fmt.Errorf("constructed value of tag %d", number)
		}
		return rest, checkChildren(content, universal && number == tagSet, depth+1)
	}
	if universal {
		return rest, checkPrimitive(number, content)
	}
	return rest, nil // implicitly tagged: only the schema knows its type
}

// splitElement cuts the first element off der.
func splitElement(der []byte) (tag byte, content, rest []byte, err error) {
	if len(der) < 2 {
		return 0, nil, nil, errors.New("ends within an element")
	}
	tag = der[0]
	if tag&0x1f == 0x1f {
		return 0, nil, nil, errors.New("tag number above 30")
	}
	length, der := int(der[1]), der[2:]
	if length >= 0x80 {
		octets := length - 0x80
		if octets == 0 {
			return 0, nil, nil, errors.New("indefinite length")
		}
		if octets > 4 || octets > len(der) || der[0] == 0 {
			return 0, nil, nil, errors.New("length not minimal or too large")
		}
		length = 0
		for _, b := range der[:octets] {
			length = length<<8 | int(b)
		}
		if length < 0x80 {
			return 0, nil, nil, errors.New("length not minimal")
		}
		der = der[octets:]
	}
	if length > len(der) {
		return 0, nil, nil, errors.New("ends within an element")
	}
	return tag, der[:length], der[length:], nil
}

func checkChildren(content []byte, set bool, depth int) error {
	var before []byte
	for len(content) > 0 {
		rest, err := checkElement(content, depth)
		if err != nil {
			return err
		}
		element := content[:len(content)-len(rest)]
		if set && bytes.Compare(before, element) > 0 {
			return errors.New("set not in order")
		}
		before, content = element, rest
	}
	return nil
}

func checkPrimitive(number byte, content []byte) error {
	ok := false
	switch number {
	case tagBoolean:
		ok = len(content) == 1 && (content[0] == 0 || content[0] == 0xff)
	case tagInteger, tagEnumerated:
		ok = minimalInteger(content)
	case tagBitString:
		ok = cleanBits(content)
	case tagNull:
		ok = len(content) == 0
	case tagOID:
		ok = minimalOID(content)
	case tagUTF8String:
		ok = utf8.Valid(content)
	case tagUTCTime:
		_, err := time.Parse("060102150405Z", string(content))
		ok = err == nil && len(content) == len("060102150405Z")
	case tagGeneralizedTime:
		_, err := time.Parse("20060102150405Z", string(content))
		ok = err == nil && len(content) == len("20060102150405Z")
	case tagOctetString, tagNumericString, tagPrintableString, tagT61String, tagIA5String, tagVisibleString, tagBMPString:
		ok = true // the characters are checked where the name is read
	}
	if !ok {
		return fmt.Errorf("bad value of tag %d", number)
	}
	return nil
}

func minimalInteger(content []byte) bool {
	if len(content) < 2 {
		return len(content) == 1
	}
	return (content[0] != 0 || content[1]&0x80 != 0) && (content[0] != 0xff || content[1]&0x80 == 0)
}

func cleanBits(content []byte) bool {
	if len(content) == 0 || content[0] > 7 {
		return false
	}
	if len(content) == 1 {
		return content[0] == 0
	}
	return content[len(content)-1]&(1<<content[0]-1) == 0
}

func minimalOID(content []byte) bool {
	start := true
	for _, b := range content {
		if start && b == 0x80 {
			return false
		}
		start = b&0x80 == 0
	}
	return len(content) > 0 && start
}
