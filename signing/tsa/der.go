package tsa

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of what is read, in bytes or members.
const (
	MaxRequest = 64 << 10 // Largest request that an authority reads.
	MaxReply   = 80 << 10 // Largest reply that a client reads.
	MaxToken   = 64 << 10 // Largest token.

	maxMembers = 16 // certificates, attributes, extensions, certificate identifiers
	maxInteger = 32 // octets of a nonce
	maxSerial  = 21 // octets of a serial number: 160 bits and a sign (RFC 3161 §2.4.2)
)

// contextTag is [n] IMPLICIT of a primitive type.
func contextTag(n uint8) der.Tag { return der.Tag(n).ContextSpecific() }

// contextSet is [n] EXPLICIT, or [n] IMPLICIT of a constructed type.
func contextSet(n uint8) der.Tag { return contextTag(n).Constructed() }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// readWhole reads the one element of that tag which data must be.
func readWhole(data []byte, tag der.Tag, limit int) (cryptobyte.String, bool) {
	if len(data) > limit {
		return nil, false
	}
	in := cryptobyte.String(data)
	var content cryptobyte.String
	ok := in.ReadASN1(&content, tag) && in.Empty()
	return content, ok
}

// readAlgorithm reads AlgorithmIdentifier. None of the algorithms on the lists
// has parameters; some are written with NULL, some without, and RFC 5754 §2
// wants both read.
func readAlgorithm(in *cryptobyte.String) (oid asn1.ObjectIdentifier, ok bool) {
	var seq, null cryptobyte.String
	var present bool
	ok = in.ReadASN1(&seq, der.SEQUENCE) && seq.ReadASN1ObjectIdentifier(&oid) &&
		seq.ReadOptionalASN1(&null, &present, der.NULL) && null.Empty() && seq.Empty()
	return oid, ok
}

// readHash reads AlgorithmIdentifier of a digest algorithm on the list.
func readHash(in *cryptobyte.String, field string) (Hash, error) {
	oid, ok := readAlgorithm(in)
	if !ok {
		return 0, malformed("%s", field)
	}
	for _, h := range hashes() {
		if h.oid().Equal(oid) {
			return h, nil
		}
	}
	return 0, fmt.Errorf("%w: %s %v; use SHA-256, SHA-384, SHA-512 or SM3", ErrAlgorithm, field, oid)
}

func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
}

// readInteger reads an INTEGER of at most limit octets and returns its content.
func readInteger(in *cryptobyte.String, limit int) ([]byte, bool) {
	peek := *in
	var content cryptobyte.String
	// The first call bounds the size, the second checks that it is minimal.
	if !peek.ReadASN1(&content, der.INTEGER) || len(content) > limit || !in.ReadASN1Integer(new(big.Int)) {
		return nil, false
	}
	return content, true
}

// readVersion reads an INTEGER that must be one of versions.
func readVersion(in *cryptobyte.String, versions ...int64) bool {
	var v int64
	return in.ReadASN1Int64WithTag(&v, der.INTEGER) && slices.Contains(versions, v)
}

// readDefaultFalse reads BOOLEAN DEFAULT FALSE, where DER leaves FALSE out.
func readDefaultFalse(in *cryptobyte.String) (value, ok bool) {
	if !in.PeekASN1Tag(der.BOOLEAN) {
		return false, true
	}
	ok = in.ReadASN1Boolean(&value) && value
	return value, ok
}

// readTime reads the GeneralizedTime of RFC 3161 §2.4.2: UTC with seconds and,
// if not 0, a fraction of up to nine digits.
func readTime(in *cryptobyte.String) (time.Time, bool) {
	var text cryptobyte.String
	if !in.ReadASN1(&text, der.GeneralizedTime) {
		return time.Time{}, false
	}
	// The layout takes a fraction of any length after the seconds, and writes
	// one without zeros at its end: only what is written so is read.
	const layout = "20060102150405.999999999Z"
	t, err := time.Parse("20060102150405Z", string(text))
	if err != nil || t.Format(layout) != string(text) {
		return time.Time{}, false
	}
	return t, true
}

// readExtensions reads SEQUENCE OF Extension that is implicitly tagged, given
// as its content. None is known here, so a critical one is refused.
func readExtensions(list cryptobyte.String) error {
	var seen [][]byte
	for !list.Empty() {
		var extension, oid, value cryptobyte.String
		if !list.ReadASN1(&extension, der.SEQUENCE) || !extension.ReadASN1Element(&oid, der.OBJECT_IDENTIFIER) || len(seen) == maxMembers {
			return malformed("extensions")
		}
		critical, ok := readDefaultFalse(&extension)
		if !ok || !extension.ReadASN1(&value, der.OCTET_STRING) || !extension.Empty() {
			return malformed("extension")
		}
		if slices.ContainsFunc(seen, func(s []byte) bool { return bytes.Equal(s, oid) }) {
			return malformed("extension twice")
		}
		if critical {
			return malformed("critical extension that is not known here")
		}
		seen = append(seen, oid)
	}
	if len(seen) == 0 {
		return malformed("no extensions in extensions")
	}
	return nil
}

// sortSet puts encoded members in the order of a DER SET OF (X.690 §11.6).
func sortSet(members [][]byte) {
	slices.SortFunc(members, bytes.Compare)
}

// sortedSet reports whether members are in that order, none of them twice.
func sortedSet(members [][]byte) bool {
	for i := 1; i < len(members); i++ {
		if bytes.Compare(members[i-1], members[i]) >= 0 {
			return false
		}
	}
	return true
}
