package sdjwt

import (
	"fmt"
	"strings"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/strict"
)

// parts is a token taken apart, nothing verified.
type parts struct {
	jwt         string
	disclosures []*disclosure
	bound       string // the token up to and including the last "~": what sd_hash covers.
	binding     string // key binding JWT; empty if there is none.
}

// disclosure is one disclosure and what the walk finds out about it.
type disclosure struct {
	encoded string
	content []any // [salt, value] or [salt, name, value].
	used    bool
	within  string // top-level claim that it belongs to, once used.
}

// split takes a token apart and decodes its disclosures (RFC 9901 §4).
func split(token string) (parts, error) {
	if len(token) > MaxToken {
		return parts{}, fmt.Errorf("%w: token of %d bytes, limit %d", signing.ErrMalformed, len(token), MaxToken)
	}
	pieces := strings.Split(token, "~")
	if len(pieces) < 2 {
		return parts{}, fmt.Errorf("%w: token has no ~; a JWT without disclosures ends in one too", signing.ErrMalformed)
	}
	last := len(pieces) - 1
	if last-1 > MaxDisclosures {
		return parts{}, fmt.Errorf("%w: %d disclosures, limit %d", signing.ErrMalformed, last-1, MaxDisclosures)
	}
	p := parts{jwt: pieces[0], binding: pieces[last], bound: token[:len(token)-len(pieces[last])]}
	for i, encoded := range pieces[1:last] {
		d, err := parseDisclosure(encoded)
		if err != nil {
			return parts{}, fmt.Errorf("disclosure %d: %w", i+1, err)
		}
		p.disclosures = append(p.disclosures, d)
	}
	return p, nil
}

func parseDisclosure(encoded string) (*disclosure, error) {
	raw, err := strict.Base64URL(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisclosure, err)
	}
	v, err := strict.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisclosure, err)
	}
	content, ok := v.([]any)
	if !ok || len(content) < 2 || len(content) > 3 {
		return nil, fmt.Errorf("%w: not an array of 2 or 3", ErrDisclosure)
	}
	if _, ok := content[0].(string); !ok {
		return nil, fmt.Errorf("%w: salt is not a string", ErrDisclosure)
	}
	return &disclosure{encoded: encoded, content: content}, nil
}

// walk puts the disclosed claims in the place of their digests and removes
// all digests (RFC 9901 §7.1 steps 3 to 5). It changes payload.
func walk(payload map[string]any, disclosures []*disclosure) error {
	if alg, present := payload[sdAlgMember]; present && alg != sdAlgorithm {
		return fmt.Errorf("%w: _sd_alg %.40q", signing.ErrAlgorithm, fmt.Sprint(alg))
	}
	delete(payload, sdAlgMember)
	w := walker{byDigest: make(map[string]*disclosure, len(disclosures)), seen: map[string]bool{}}
	for _, d := range disclosures {
		sum := digest(d.encoded)
		if w.byDigest[sum] != nil {
			return fmt.Errorf("%w: one is there twice", ErrDisclosure)
		}
		w.byDigest[sum] = d
	}
	for name, v := range payload {
		if alwaysVisible(name) && holdsReserved(v) {
			return fmt.Errorf("%w: claim %s must be visible as a whole", ErrDisclosure, name)
		}
	}
	if err := w.object(payload, "", 0); err != nil {
		return err
	}
	for i, d := range disclosures {
		if !d.used {
			return fmt.Errorf("%w: disclosure %d belongs to no digest", ErrDisclosure, i+1)
		}
	}
	return nil
}

type walker struct {
	byDigest map[string]*disclosure
	seen     map[string]bool // every digest met, with or without a disclosure.
}

// value handles what stands below the top-level claim within.
func (w walker) value(v any, within string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: claims nested deeper than %d", signing.ErrMalformed, maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		return v, w.object(v, within, depth)
	case []any:
		return w.array(v, within, depth)
	}
	return v, nil
}

func (w walker) object(obj map[string]any, within string, depth int) error {
	digests, hasDigests := obj[sdMember]
	delete(obj, sdMember)
	for name, v := range obj {
		if reserved(name) { // ... is legal only alone in an array, _sd_alg only at the top
			return fmt.Errorf("%w: member %s out of place", ErrDisclosure, name)
		}
		if depth == 0 {
			within = name
		}
		var err error
		if obj[name], err = w.value(v, within, depth+1); err != nil {
			return err
		}
	}
	if !hasDigests {
		return nil
	}
	list, ok := digests.([]any)
	if !ok {
		return fmt.Errorf("%w: _sd is not an array", ErrDisclosure)
	}
	for _, item := range list {
		d, err := w.match(item)
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		if err := w.addMember(obj, d, within, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w walker) addMember(obj map[string]any, d *disclosure, within string, depth int) error {
	if len(d.content) != 3 {
		return fmt.Errorf("%w: an array element stands for an object member", ErrDisclosure)
	}
	name, ok := d.content[1].(string)
	if !ok || reserved(name) {
		return fmt.Errorf("%w: forbidden claim name", ErrDisclosure)
	}
	if _, exists := obj[name]; exists {
		return fmt.Errorf("%w: claim %.40q is there already", ErrDisclosure, name)
	}
	if depth == 0 {
		if alwaysVisible(name) {
			return fmt.Errorf("%w: claim %s must be visible", ErrDisclosure, name)
		}
		within = name
	}
	d.used, d.within = true, within
	v, err := w.value(d.content[2], within, depth+1)
	if err != nil {
		return err
	}
	obj[name] = v
	return nil
}

func (w walker) array(list []any, within string, depth int) ([]any, error) {
	kept := list[:0]
	for _, element := range list {
		if obj, ok := element.(map[string]any); ok {
			if item, isDigest := obj[elementMember]; isDigest {
				if len(obj) != 1 {
					return nil, fmt.Errorf("%w: ... is not alone", ErrDisclosure)
				}
				d, err := w.match(item)
				if err != nil {
					return nil, err
				}
				if d == nil {
					continue // not disclosed, or a decoy
				}
				if len(d.content) != 2 {
					return nil, fmt.Errorf("%w: an object member stands for an array element", ErrDisclosure)
				}
				d.used, d.within = true, within
				element = d.content[1]
			}
		}
		v, err := w.value(element, within, depth+1)
		if err != nil {
			return nil, err
		}
		kept = append(kept, v)
	}
	return kept, nil
}

// match finds the disclosure of a digest, nil if it was not sent.
func (w walker) match(item any) (*disclosure, error) {
	sum, ok := item.(string)
	if !ok {
		return nil, fmt.Errorf("%w: a digest is not a string", ErrDisclosure)
	}
	if w.seen[sum] {
		return nil, fmt.Errorf("%w: a digest is there twice", ErrDisclosure)
	}
	w.seen[sum] = true
	return w.byDigest[sum], nil
}

// Present removes disclosures from a token, for the holder to show it: kept
// are those within the top-level claims named in disclose, with everything
// disclosable inside them. A name that the token does not hold is
// ErrDisclosure, so that nothing is held back by a slip of the pen. The
// holder checks the token with Verify on receiving it; Present checks no
// signature. A key binding JWT is dropped, since it covers the old selection.
func Present(token string, disclose []string) (string, error) {
	p, err := split(token)
	if err != nil {
		return "", fmt.Errorf("present: %w", err)
	}
	payload, err := unverifiedPayload(p.jwt)
	if err != nil {
		return "", fmt.Errorf("present: %w", err)
	}
	if err := walk(payload, p.disclosures); err != nil {
		return "", fmt.Errorf("present: %w", err)
	}
	wanted := make(map[string]bool, len(disclose))
	for _, name := range disclose {
		if _, held := payload[name]; !held {
			return "", fmt.Errorf("present: %w: the token holds no claim %.40q", ErrDisclosure, name)
		}
		wanted[name] = true
	}
	var kept []string
	for _, d := range p.disclosures {
		if wanted[d.within] {
			kept = append(kept, d.encoded)
		}
	}
	return join(p.jwt, kept), nil
}

func unverifiedPayload(jwt string) (map[string]any, error) {
	pieces := strings.Split(jwt, ".")
	if len(pieces) != 3 || len(jwt) > signing.MaxToken {
		return nil, fmt.Errorf("%w: not a compact JWS", signing.ErrMalformed)
	}
	raw, err := strict.Base64URL(pieces[1])
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w", signing.ErrMalformed, err)
	}
	return decodePayload(raw)
}

func decodePayload(raw []byte) (map[string]any, error) {
	payload, err := strict.Object(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: payload: %w", signing.ErrMalformed, err)
	}
	return payload, nil
}
