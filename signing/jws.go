package signing

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/signing/internal/strict"
)

const (
	// MaxToken is the longest compact token that Verify reads, in bytes.
	MaxToken = 64 << 10
	// MaxChain is the largest number of certificates in a header.
	MaxChain = 10
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

// Header is the part of a protected header that callers give to SignCompact
// or get from a verified token.
type Header struct {
	// Algorithm is the alg, always that of the key. SignCompact accepts an
	// empty one.
	Algorithm string
	// KeyID is the kid, of at most 256 bytes; empty if there is none.
	KeyID string
	// Type is the typ, as asked for.
	Type string
	// Chain is x5c (RFC 7515 §4.1.6): certificates in DER, the key's own
	// first. Of the functions that verify only VerifyChain reads it.
	Chain [][]byte
}

// SignCompact makes a compact JWS (RFC 7515 §7.1) of the payload. The
// algorithm follows from the signer's public key; the signer is called once,
// with a digest for ES256 and ES384, with the signing input itself for EdDSA
// and SM2SM3. It does not look into the certificates.
//
// A header without a type, one that Verify would not read, and an empty
// payload are ErrMalformed; a key without an algorithm, or with another one
// than the header's, is ErrAlgorithm. The signer's error is passed on.
func SignCompact(signer crypto.Signer, h Header, payload []byte) (string, error) {
	alg, err := AlgorithmOf(signer.Public())
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	if h.Algorithm != "" && h.Algorithm != alg {
		return "", fmt.Errorf("sign: %w: the key is for %s, the header says %.40q", ErrAlgorithm, alg, h.Algorithm)
	}
	if len(payload) == 0 {
		return "", fmt.Errorf("sign: %w: a token needs a payload", ErrMalformed)
	}
	header, err := encodeHeader(alg, h)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	p, err := primitiveOf(alg)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, encoding.EncodedLen(len(header))+encoding.EncodedLen(len(payload))+encoding.EncodedLen(p.size)+2)
	token = encoding.AppendEncode(token, header)
	token = append(token, '.')
	token = encoding.AppendEncode(token, payload)
	signature, err := p.sign(token, signer)
	if err != nil {
		return "", fmt.Errorf("sign with key %.64q: %w", h.KeyID, err)
	}
	token = append(token, '.')
	return string(encoding.AppendEncode(token, signature)), nil
}

// encodeHeader writes the members in the order of their names.
func encodeHeader(alg string, h Header) ([]byte, error) {
	if h.Type == "" || len(h.KeyID) > maxKeyID || !utf8.ValidString(h.Type) || !utf8.ValidString(h.KeyID) {
		return nil, fmt.Errorf("%w: a header needs a typ, and a kid of at most %d bytes, both in UTF-8", ErrMalformed, maxKeyID)
	}
	if len(h.Chain) > MaxChain {
		return nil, fmt.Errorf("%w: chain of %d certificates, limit %d", ErrMalformed, len(h.Chain), MaxChain)
	}
	header := struct {
		Algorithm string   `json:"alg"`
		KeyID     string   `json:"kid,omitempty"`
		Type      string   `json:"typ"`
		Chain     [][]byte `json:"x5c,omitempty"` // encoding/json writes bytes in the base64 that x5c has
	}{alg, h.KeyID, h.Type, h.Chain}
	for _, certificate := range h.Chain {
		if len(certificate) == 0 {
			return nil, fmt.Errorf("%w: chain with an empty certificate", ErrMalformed)
		}
	}
	data, err := strict.Encode(header)
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if size := base64.RawURLEncoding.EncodedLen(len(data)); size > maxHeader {
		return nil, fmt.Errorf("%w: header of %d bytes, limit %d", ErrMalformed, size, maxHeader)
	}
	return data, nil
}

// Verify checks a compact JWS (RFC 7515 §5.2, RFC 8725) of at most MaxToken
// bytes and returns its payload. The alg must be one of ours and the key's
// own, typ must equal wantTyp exactly, and the key is only ever the one that
// the resolver gives for the kid; jwk, jku, x5u, crit and b64 headers are
// refused, x5c is not read. Errors: ErrMalformed, ErrAlgorithm, ErrType,
// ErrUnknownKey, ErrSignature, tested in this order, or the resolver's own.
//
// ECDSA and SM2 signatures are not unique: s and n−s both hold for ECDSA, as
// JOSE has no rule for a low s, and a signer can always sign again. Identify
// a token by a claim in it, never by its bytes.
func Verify(compact, wantTyp string, keys KeyResolver) ([]byte, Header, error) {
	return VerifyLarge(compact, wantTyp, keys, MaxToken)
}

// VerifyLarge is Verify with another size limit in bytes, for the few types
// of token that are larger, such as status lists.
func VerifyLarge(compact, wantTyp string, keys KeyResolver, limit int) ([]byte, Header, error) {
	t, err := parse(compact, wantTyp, limit)
	if err != nil {
		return nil, Header{}, err
	}
	if t.header.KeyID == "" {
		return nil, Header{}, fmt.Errorf("%w: header has no kid", ErrMalformed)
	}
	key, err := keys.Key(t.header.KeyID)
	if err != nil {
		return nil, Header{}, fmt.Errorf("find the key of the token: %w", err)
	}
	return t.verify(key)
}

// VerifyWith is Verify with a key that the caller has established by other
// means, such as a holder's key from the cnf claim of a verified token; the
// kid is optional then.
func VerifyWith(compact, wantTyp string, key crypto.PublicKey) ([]byte, Header, error) {
	t, err := parse(compact, wantTyp, MaxToken)
	if err != nil {
		return nil, Header{}, err
	}
	return t.verify(key)
}

// VerifyChain is Verify for a token whose key is established by the
// certificates in its x5c header (RFC 7515 §4.1.6) instead of its kid.
// establish gets them, DER, leaf first, 1 to MaxChain, nothing checked; it
// must validate them against roots that the caller has pinned and return the
// leaf's key, or an error, which is passed on. It is called at most once,
// before the signature is checked. A token without x5c is ErrMalformed.
func VerifyChain(compact, wantTyp string, establish func(chain [][]byte) (crypto.PublicKey, error)) ([]byte, Header, error) {
	return VerifyLargeChain(compact, wantTyp, establish, MaxToken)
}

// VerifyLargeChain is VerifyChain with another size limit in bytes.
func VerifyLargeChain(compact, wantTyp string, establish func(chain [][]byte) (crypto.PublicKey, error), limit int) ([]byte, Header, error) {
	t, err := parse(compact, wantTyp, limit)
	if err != nil {
		return nil, Header{}, err
	}
	if t.header.Chain, err = decodeChain(t.chain); err != nil {
		return nil, Header{}, err
	}
	key, err := establish(t.header.Chain)
	if err != nil {
		return nil, Header{}, fmt.Errorf("establish the key of the token: %w", err)
	}
	return t.verify(key)
}

// token is a compact JWS of the right form, nothing verified.
type token struct {
	header    Header
	chain     []any  // x5c as it stands.
	message   []byte // what is signed.
	payload   []byte
	signature []byte
}

// parse does everything that needs no key.
func parse(compact, wantTyp string, limit int) (*token, error) {
	if len(compact) > limit {
		return nil, fmt.Errorf("%w: token of %d bytes, limit %d", ErrMalformed, len(compact), limit)
	}
	first, last := strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')
	if first == last || strings.IndexByte(compact[first+1:last], '.') >= 0 {
		return nil, fmt.Errorf("%w: token has not 3 parts", ErrMalformed)
	}
	if first > maxHeader {
		return nil, fmt.Errorf("%w: header of %d bytes, limit %d", ErrMalformed, first, maxHeader)
	}
	var parts [3][]byte
	for i, part := range [3]string{compact[:first], compact[first+1 : last], compact[last+1:]} {
		raw, err := strict.Base64URL(part)
		if err != nil {
			return nil, fmt.Errorf("%w: part %d: %w", ErrMalformed, i+1, err)
		}
		if len(raw) == 0 {
			return nil, fmt.Errorf("%w: part %d is empty", ErrMalformed, i+1)
		}
		parts[i] = raw
	}
	t := &token{message: []byte(compact[:last]), payload: parts[1], signature: parts[2]}
	return t, t.parseHeader(parts[0], wantTyp)
}

func (t *token) parseHeader(raw []byte, wantTyp string) error {
	obj, err := strict.Object(raw)
	if err != nil {
		return fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	// A key from the token proves nothing; no extension is understood, so any
	// crit is an unknown one; b64 changes what is signed (RFC 7797).
	for _, name := range [...]string{"jwk", "jku", "x5u", "crit", "b64"} {
		if _, present := obj[name]; present {
			return fmt.Errorf("%w: header %s is refused", ErrMalformed, name)
		}
	}
	for _, name := range [...]string{"cty", "x5t", "x5t#S256"} {
		if v, present := obj[name]; present {
			if _, ok := v.(string); !ok {
				return fmt.Errorf("%w: header %s is not a string", ErrMalformed, name)
			}
		}
	}
	if v, present := obj["x5c"]; present {
		chain, ok := v.([]any)
		if !ok || len(chain) == 0 || len(chain) > MaxChain {
			return fmt.Errorf("%w: header x5c is not an array of 1 to %d certificates", ErrMalformed, MaxChain)
		}
		t.chain = chain
	}
	alg, ok := obj["alg"].(string)
	if !ok || !allowed(alg) {
		return fmt.Errorf("%w: %.40q", ErrAlgorithm, fmt.Sprint(obj["alg"]))
	}
	typ, ok := obj["typ"].(string)
	if !ok || typ != wantTyp {
		return fmt.Errorf("%w: %.40q instead of %q", ErrType, typ, wantTyp)
	}
	kid, ok := obj["kid"].(string)
	if _, present := obj["kid"]; present && (!ok || kid == "" || len(kid) > maxKeyID) {
		return fmt.Errorf("%w: kid is not a string of 1 to %d bytes", ErrMalformed, maxKeyID)
	}
	t.header = Header{Algorithm: alg, KeyID: kid, Type: typ}
	return nil
}

// decodeChain reads x5c, which is in base64, not base64url.
func decodeChain(entries []any) ([][]byte, error) {
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: header has no x5c", ErrMalformed)
	}
	chain := make([][]byte, len(entries))
	for i, entry := range entries {
		text, _ := entry.(string)
		if text == "" || strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("%w: x5c: certificate %d is not base64", ErrMalformed, i+1)
		}
		var err error
		if chain[i], err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return nil, fmt.Errorf("%w: x5c: certificate %d is not base64", ErrMalformed, i+1)
		}
	}
	return chain, nil
}

// verify checks the signature with a key that the caller vouches for.
func (t *token) verify(key crypto.PublicKey) ([]byte, Header, error) {
	alg, err := AlgorithmOf(key)
	if err != nil {
		return nil, Header{}, err
	}
	if alg != t.header.Algorithm {
		return nil, Header{}, fmt.Errorf("%w: the token says %s, its key is for %s", ErrAlgorithm, t.header.Algorithm, alg)
	}
	p, err := primitiveOf(alg)
	if err != nil {
		return nil, Header{}, err
	}
	if err := p.verify(t.message, t.signature, key); err != nil {
		return nil, Header{}, fmt.Errorf("%w: key %.64q", err, t.header.KeyID)
	}
	return t.payload, t.header, nil
}
