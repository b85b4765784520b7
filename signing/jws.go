package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

// ES256 is ECDSA with P-256 and SHA-256 (RFC 7518 §3.4), the only algorithm
// that is signed with and accepted.
const ES256 = "ES256"

const (
	// MaxToken is the longest compact token that Verify reads, in bytes.
	MaxToken = 64 << 10
	// maxHeader bounds the encoded protected header; a chain of certificates fits.
	maxHeader = 16 << 10
	maxKeyID  = 256
)

// KeyResolver finds the public key for a kid. Verify asks at most once per
// token, before it has checked any signature: an implementation must trust
// the kid only as a name to look up, must be safe for concurrent use, should
// answer from memory, and reports a kid it does not hold as ErrUnknownKey.
// Other errors are passed on, so that a caller may try again.
type KeyResolver interface {
	Key(kid string) (crypto.PublicKey, error)
}

// Header is the part of a verified protected header that callers may use.
type Header struct {
	Algorithm string // always ES256.
	KeyID     string // kid; empty only from VerifyWith.
	Type      string // typ, as asked for.
}

// Verify checks a compact JWS (RFC 7515 §5.2, RFC 8725) of at most MaxToken
// bytes and returns its payload. The algorithm must be allowed, typ must equal
// wantTyp exactly, and the key is only ever the one that the resolver gives
// for the kid; jwk, jku, x5u, crit and b64 headers are refused, x5c is not
// read. Errors: ErrMalformed, ErrAlgorithm, ErrType, ErrUnknownKey,
// ErrSignature, tested in this order, or the resolver's own.
//
// ECDSA signatures are not unique: whoever holds a token can make a second
// one with the same header and payload. Identify a token by a claim in it.
func Verify(compact, wantTyp string, keys KeyResolver) ([]byte, Header, error) {
	return VerifyLarge(compact, wantTyp, keys, MaxToken)
}

// VerifyLarge is Verify with another size limit in bytes, for the few types
// of token that are larger, such as status lists.
func VerifyLarge(compact, wantTyp string, keys KeyResolver, limit int) ([]byte, Header, error) {
	header, err := checkForm(compact, wantTyp, limit)
	if err != nil {
		return nil, Header{}, err
	}
	if header.KeyID == "" {
		return nil, Header{}, fmt.Errorf("%w: header has no kid", ErrMalformed)
	}
	key, err := keys.Key(header.KeyID)
	if err != nil {
		return nil, Header{}, fmt.Errorf("find the key of the token: %w", err)
	}
	return checkSignature(compact, header, key)
}

// VerifyWith is Verify with a key that the caller has established by other
// means, such as a holder's key from the cnf claim of a verified token; the
// kid is optional then.
func VerifyWith(compact, wantTyp string, key crypto.PublicKey) ([]byte, Header, error) {
	header, err := checkForm(compact, wantTyp, MaxToken)
	if err != nil {
		return nil, Header{}, err
	}
	return checkSignature(compact, header, key)
}

// checkForm does everything that needs no key. It runs before jwx sees the
// token, since jwx trims white space, takes a second reading of lax base64,
// and re-encodes the payload before it verifies.
func checkForm(compact, wantTyp string, limit int) (Header, error) {
	if len(compact) > limit {
		return Header{}, fmt.Errorf("%w: token of %d bytes, limit %d", ErrMalformed, len(compact), limit)
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return Header{}, fmt.Errorf("%w: token has %d parts instead of 3", ErrMalformed, len(parts))
	}
	if len(parts[0]) > maxHeader {
		return Header{}, fmt.Errorf("%w: header of %d bytes, limit %d", ErrMalformed, len(parts[0]), maxHeader)
	}
	var rawHeader []byte
	for i, part := range parts {
		raw, err := strict.Base64URL(part)
		if err != nil {
			return Header{}, fmt.Errorf("%w: part %d: %w", ErrMalformed, i+1, err)
		}
		if len(raw) == 0 {
			return Header{}, fmt.Errorf("%w: part %d is empty", ErrMalformed, i+1)
		}
		if i == 0 {
			rawHeader = raw
		}
	}
	return parseHeader(rawHeader, wantTyp)
}

func parseHeader(raw []byte, wantTyp string) (Header, error) {
	obj, err := strict.Object(raw)
	if err != nil {
		return Header{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	// A key from the token proves nothing; no extension is understood, so any
	// crit is an unknown one; b64 changes what is signed (RFC 7797).
	for _, name := range []string{"jwk", "jku", "x5u", "crit", "b64"} {
		if _, present := obj[name]; present {
			return Header{}, fmt.Errorf("%w: header %s is refused", ErrMalformed, name)
		}
	}
	alg, ok := obj["alg"].(string)
	if !ok || alg != ES256 {
		return Header{}, fmt.Errorf("%w: %.40q", ErrAlgorithm, fmt.Sprint(obj["alg"]))
	}
	typ, ok := obj["typ"].(string)
	if !ok || typ != wantTyp {
		return Header{}, fmt.Errorf("%w: %.40q instead of %q", ErrType, typ, wantTyp)
	}
	kid, ok := obj["kid"].(string)
	if _, present := obj["kid"]; present && (!ok || kid == "" || len(kid) > maxKeyID) {
		return Header{}, fmt.Errorf("%w: kid is not a string of 1 to %d bytes", ErrMalformed, maxKeyID)
	}
	return Header{Algorithm: alg, KeyID: kid, Type: typ}, nil
}

func checkSignature(compact string, header Header, key crypto.PublicKey) ([]byte, Header, error) {
	pub, err := es256Key(key)
	if err != nil {
		return nil, Header{}, err
	}
	payload, err := jws.Verify([]byte(compact), jws.WithKey(jwa.ES256, pub), jws.WithCompact())
	if jws.IsVerificationError(err) {
		return nil, Header{}, fmt.Errorf("%w: key %.64q", ErrSignature, header.KeyID)
	}
	if err != nil { // a header of the wrong JSON type, such as x5c
		return nil, Header{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return payload, header, nil
}

// signES256 makes the compact form with the three protected headers that
// Verify asks for.
func signES256(ctx context.Context, typ string, payload []byte, kid string, key *ecdsa.PrivateKey) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	if typ == "" || len(payload) == 0 {
		return "", fmt.Errorf("%w: a token needs a type and a payload", ErrMalformed)
	}
	headers := jws.NewHeaders()
	if err := headers.Set(jws.TypeKey, typ); err != nil {
		return "", fmt.Errorf("sign: header typ: %w", err)
	}
	if err := headers.Set(jws.KeyIDKey, kid); err != nil {
		return "", fmt.Errorf("sign: header kid: %w", err)
	}
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", fmt.Errorf("sign with key %s: %w", kid, err)
	}
	return string(token), nil
}
