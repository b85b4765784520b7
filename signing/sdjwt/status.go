package sdjwt

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/strict"
)

const (
	// StatusListType is the typ header of a Status List Token.
	StatusListType = "statuslist+jwt"
	// MaxStatusBytes bounds a status list before compression: 16 Mi entries of
	// 2 bits. It keeps a small token from unpacking into all memory.
	MaxStatusBytes = 4 << 20
	// MaxStatusToken bounds a Status List Token, in bytes; random data, which
	// does not compress, of MaxStatusBytes fits.
	MaxStatusToken = 8 << 20
	// statusSkew is how far the clock of a list's issuer may be ahead.
	statusSkew = time.Minute
	// maxTTL keeps a ttl within what a Duration can hold.
	maxTTL = 100 * 365 * 24 * time.Hour
)

// Status is one entry of a status list.
type Status uint8

// The registered status types (Token Status List §7.1). Others belong to the
// application; whatever is not Valid must not be treated as valid.
const (
	StatusValid     Status = 0
	StatusInvalid   Status = 1 // revoked for good.
	StatusSuspended Status = 2 // for a time.
)

// StatusList is the array of statuses of many tokens
// (draft-ietf-oauth-status-list §4). It is not safe for concurrent writing.
type StatusList struct {
	bits int
	data []byte
}

// NewStatusList makes a list of at least size entries, all StatusValid, of
// 1, 2, 4 or 8 bits each; the last byte is filled up. Other sizes, and more
// than MaxStatusBytes, are signing.ErrMalformed.
func NewStatusList(size, bits int) (*StatusList, error) {
	if err := checkBits(bits); err != nil {
		return nil, err
	}
	if size < 1 || size > MaxStatusBytes*8/bits {
		return nil, fmt.Errorf("%w: status list of %d entries, limit %d", signing.ErrMalformed, size, MaxStatusBytes*8/bits)
	}
	return &StatusList{bits: bits, data: make([]byte, (size*bits+7)/8)}, nil
}

func checkBits(bits int) error {
	switch bits {
	case 1, 2, 4, 8:
		return nil
	}
	return fmt.Errorf("%w: status list of %d bits instead of 1, 2, 4 or 8", signing.ErrMalformed, bits)
}

// Len is the number of entries, counting the ones that fill the last byte.
func (l *StatusList) Len() int { return len(l.data) * 8 / l.bits }

// Bits is the number of bits of an entry.
func (l *StatusList) Bits() int { return l.bits }

// Get returns entry i, or ErrIndex.
func (l *StatusList) Get(i int) (Status, error) {
	if i < 0 || i >= l.Len() {
		return 0, fmt.Errorf("%w: %d of %d", ErrIndex, i, l.Len())
	}
	at, shift := i*l.bits/8, i*l.bits%8
	return Status(l.data[at]>>shift) & l.mask(), nil
}

// Set changes entry i. An index outside the list is ErrIndex, a status that
// does not fit into the bits signing.ErrMalformed.
func (l *StatusList) Set(i int, s Status) error {
	if i < 0 || i >= l.Len() {
		return fmt.Errorf("%w: %d of %d", ErrIndex, i, l.Len())
	}
	if s > l.mask() {
		return fmt.Errorf("%w: status %d in %d bits", signing.ErrMalformed, s, l.bits)
	}
	at, shift := i*l.bits/8, i*l.bits%8
	l.data[at] = l.data[at]&^(byte(l.mask())<<shift) | byte(s)<<shift
	return nil
}

func (l *StatusList) mask() Status { return Status(1<<l.bits - 1) }

// Encode is the lst member: the bytes compressed with ZLIB (RFC 1950) at its
// best level, in base64url.
func (l *StatusList) Encode() (string, error) {
	var buf bytes.Buffer
	w, err := zlib.NewWriterLevel(&buf, zlib.BestCompression)
	if err != nil {
		return "", fmt.Errorf("compress status list: %w", err)
	}
	if _, err := w.Write(l.data); err != nil {
		return "", fmt.Errorf("compress status list: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("compress status list: %w", err)
	}
	return strict.EncodeBase64URL(buf.Bytes()), nil
}

// DecodeStatusList reads the lst and bits members of a status list. Anything
// but one whole ZLIB stream of 1 to MaxStatusBytes bytes is
// signing.ErrMalformed.
func DecodeStatusList(lst string, bits int) (*StatusList, error) {
	if err := checkBits(bits); err != nil {
		return nil, err
	}
	if len(lst) > MaxStatusToken {
		return nil, fmt.Errorf("%w: status list of %d characters", signing.ErrMalformed, len(lst))
	}
	packed, err := strict.Base64URL(lst)
	if err != nil {
		return nil, fmt.Errorf("%w: status list: %w", signing.ErrMalformed, err)
	}
	source := bytes.NewReader(packed)
	r, err := zlib.NewReader(source)
	if err != nil {
		return nil, fmt.Errorf("%w: status list: %w", signing.ErrMalformed, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxStatusBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: status list: %w", signing.ErrMalformed, err)
	}
	if len(data) == 0 || len(data) > MaxStatusBytes {
		return nil, fmt.Errorf("%w: status list is empty or unpacks to more than %d bytes", signing.ErrMalformed, MaxStatusBytes)
	}
	if source.Len() > 0 {
		return nil, fmt.Errorf("%w: status list: %d bytes after the ZLIB stream", signing.ErrMalformed, source.Len())
	}
	return &StatusList{bits: bits, data: data}, nil
}

// StatusMeta says how current a status list is.
type StatusMeta struct {
	KeyID    string        // kid; may be empty from VerifyStatusListChain.
	IssuedAt time.Time     // iat: every verdict is as of this time.
	Expires  time.Time     // exp; zero if absent.
	TTL      time.Duration // ttl; zero if absent.
}

// IssueStatusList makes a Status List Token for the list at uri. A zero exp
// and a ttl of 0 are left out; a ttl is cut to whole seconds. What cannot be
// issued is signing.ErrMalformed.
func IssueStatusList(ctx context.Context, signer TokenSigner, uri string, list *StatusList, iat, exp time.Time, ttl time.Duration) (string, error) {
	if uri == "" || iat.Unix() < 0 || iat.Unix() > maxDate {
		return "", fmt.Errorf("issue status list: %w: it needs a URI and a time", signing.ErrMalformed)
	}
	if ttl != 0 && ttl < time.Second || !exp.IsZero() && (!exp.After(iat) || exp.Unix() > maxDate) {
		return "", fmt.Errorf("issue status list: %w: ttl or exp is not in the future", signing.ErrMalformed)
	}
	lst, err := list.Encode()
	if err != nil {
		return "", fmt.Errorf("issue status list: %w", err)
	}
	claims := map[string]any{
		"sub": uri, "iat": iat.Unix(),
		"status_list": map[string]any{"bits": list.bits, "lst": lst},
	}
	if !exp.IsZero() {
		claims["exp"] = exp.Unix()
	}
	if ttl != 0 {
		claims["ttl"] = int64(ttl / time.Second)
	}
	payload, err := strict.Encode(claims)
	if err != nil {
		return "", fmt.Errorf("issue status list: %w", err)
	}
	tokens, err := signer.SignTokens(ctx, StatusListType, [][]byte{payload})
	if err != nil {
		return "", fmt.Errorf("issue status list: %w", err)
	}
	if len(tokens) != 1 {
		return "", fmt.Errorf("issue status list: the signer made %d tokens of 1 payload", len(tokens))
	}
	return tokens[0], nil
}

// VerifyStatusList checks a Status List Token in the order of
// draft-ietf-oauth-status-list §8.3: signature and type, claims, subject equal
// to uri, freshness, content. keys must hold only keys that may issue that
// list.
//
// fetched is when the list was fetched from its address; a zero time means
// that this is not known, and counts as the time of its issue. A list is fresh
// until its exp or, if that is earlier, one ttl after it was fetched (§13.7):
// one that has just been fetched is never stale because of its ttl. A list that
// is not fresh any more, or is more than a minute from the future, is ErrStale. It means that everything else holds, and
// the list and its StatusMeta are returned with it, for a verifier that is
// offline and may by its policy say "status as of"; with all other errors the
// list is nil. An index that the list does not hold is ErrIndex of Get.
func VerifyStatusList(token, uri string, keys signing.KeyResolver, fetched, now time.Time) (*StatusList, StatusMeta, error) {
	raw, header, err := signing.VerifyLarge(token, StatusListType, keys, MaxStatusToken)
	if err != nil {
		return nil, StatusMeta{}, fmt.Errorf("status list: %w", err)
	}
	return readStatusList(raw, header, uri, fetched, now)
}

// VerifyStatusListChain is VerifyStatusList with a key established by the
// certificates in the list's x5c header, as in signing.VerifyChain. establish
// must accept only certificates that may issue that list, such as those of
// the issuer of the token whose status is asked.
func VerifyStatusListChain(token, uri string, establish func(chain [][]byte) (crypto.PublicKey, error), fetched, now time.Time) (*StatusList, StatusMeta, error) {
	raw, header, err := signing.VerifyLargeChain(token, StatusListType, establish, MaxStatusToken)
	if err != nil {
		return nil, StatusMeta{}, fmt.Errorf("status list: %w", err)
	}
	return readStatusList(raw, header, uri, fetched, now)
}

// readStatusList is everything after the signature.
func readStatusList(raw []byte, header signing.Header, uri string, fetched, now time.Time) (*StatusList, StatusMeta, error) {
	claims, err := decodePayload(raw)
	if err != nil {
		return nil, StatusMeta{}, fmt.Errorf("status list: %w", err)
	}
	meta, lst, bits, err := statusClaims(claims)
	if err != nil {
		return nil, StatusMeta{}, fmt.Errorf("status list: %w", err)
	}
	meta.KeyID = header.KeyID
	if claims["sub"] != uri {
		return nil, StatusMeta{}, fmt.Errorf("status list: %w: it is for %.200q, not for %.200q", signing.ErrMalformed, fmt.Sprint(claims["sub"]), uri)
	}
	stale := meta.checkFresh(fetched, now)
	list, err := DecodeStatusList(lst, bits)
	if err != nil {
		return nil, StatusMeta{}, err
	}
	return list, meta, stale
}

func statusClaims(claims map[string]any) (meta StatusMeta, lst string, bits int, err error) {
	if _, err = requiredString(claims, "sub"); err != nil {
		return meta, "", 0, err
	}
	if _, present := claims["iat"]; !present {
		return meta, "", 0, fmt.Errorf("%w: no iat", signing.ErrMalformed)
	}
	if meta.IssuedAt, err = numericDate(claims, "iat"); err != nil {
		return meta, "", 0, err
	}
	if meta.Expires, err = numericDate(claims, "exp"); err != nil {
		return meta, "", 0, err
	}
	if v, present := claims["ttl"]; present {
		n, _ := v.(json.Number)
		seconds, err := strconv.ParseFloat(n.String(), 64)
		if err != nil || !(seconds > 0 && seconds <= maxDate) {
			return meta, "", 0, fmt.Errorf("%w: ttl is not a positive number of seconds", signing.ErrMalformed)
		}
		meta.TTL = time.Duration(min(seconds, maxTTL.Seconds()) * float64(time.Second))
	}
	content, ok := claims["status_list"].(map[string]any)
	if !ok {
		return meta, "", 0, fmt.Errorf("%w: no status_list", signing.ErrMalformed)
	}
	if lst, err = requiredString(content, "lst"); err != nil {
		return meta, "", 0, err
	}
	n, _ := content["bits"].(json.Number)
	bits, err = strconv.Atoi(n.String())
	if err != nil {
		return meta, "", 0, fmt.Errorf("%w: bits is not an integer", signing.ErrMalformed)
	}
	return meta, lst, bits, nil
}

// FreshUntil returns when a list that was fetched at a time has to be fetched
// again; the zero time means never.
func (m StatusMeta) FreshUntil(fetched time.Time) time.Time {
	if fetched.IsZero() {
		fetched = m.IssuedAt
	}
	until := m.Expires
	if m.TTL > 0 && (until.IsZero() || fetched.Add(m.TTL).Before(until)) {
		until = fetched.Add(m.TTL)
	}
	return until
}

func (m StatusMeta) checkFresh(fetched, now time.Time) error {
	if fetched.After(now) { // a clock was set back: it was fetched now at the latest
		fetched = now
	}
	switch until := m.FreshUntil(fetched); {
	case m.IssuedAt.After(now.Add(statusSkew)):
		return fmt.Errorf("%w: issued in the future, %s", ErrStale, m.IssuedAt.Format(time.RFC3339))
	case !m.Expires.IsZero() && !now.Before(m.Expires):
		return fmt.Errorf("%w: expired on %s", ErrStale, m.Expires.Format(time.RFC3339))
	case !until.IsZero() && now.After(until):
		return fmt.Errorf("%w: to be fetched again after %s", ErrStale, until.Format(time.RFC3339))
	}
	return nil
}
