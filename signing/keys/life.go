package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/durable"
)

// requestLife is how long a request for destruction may be approved.
const requestLife = 24 * time.Hour

// Spec says what key to make.
type Spec struct {
	// Line is what the key is for: letters, digits, "-" and "/", at most 64.
	Line string
	// Algorithm is signing.ES256, ES384, EdDSA or SM2SM3; a line has one for ever.
	Algorithm string
	// Token is the name of the device it lives in; empty means a sealed file.
	Token string
}

// Create makes a key. Nobody can use it or see it in a key set yet. Its private
// part is stored before the manifest names it: a crash in between leaves a
// private key that nothing uses.
func (r *Ring) Create(ctx context.Context, spec Spec) (Key, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	e, err := r.make(ctx, spec)
	if err != nil {
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	if err := r.commit(append(slices.Clone(r.current.Load().keys), e)); err != nil {
		// The private part stays: the manifest on disk may name it already.
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	r.logger.InfoContext(ctx, "key created", slog.String("kid", e.ID), slog.String("line", e.Line), slog.String("token", e.Token))
	return r.view(&e), nil
}

// EnsureActive returns the active key of a line. A line that never had one gets
// it: its newest key, or a new one, is published and activated in one step,
// which needs no cache period since nobody can hold an older key of it. A line
// that had one and has none now is ErrNoActiveKey: that takes Publish and
// Activate.
func (r *Ring) EnsureActive(ctx context.Context, spec Spec) (Key, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	s := r.current.Load()
	if err := r.check(ctx, spec); err != nil {
		return Key{}, fmt.Errorf("ensure active key: %w", err)
	}
	if e, err := s.activeOf(spec.Line); err == nil {
		return r.view(e), nil
	}
	if s.everActive(spec.Line) {
		return Key{}, fmt.Errorf("%w: line %s had one before; publish a new key and activate it after the cache period", ErrNoActiveKey, spec.Line)
	}
	keys := slices.Clone(s.keys)
	index := -1
	for i, e := range keys {
		if e.Line == spec.Line && e.private != nil {
			index = i
		}
	}
	if index < 0 {
		e, err := r.make(ctx, spec)
		if err != nil {
			return Key{}, fmt.Errorf("ensure active key: %w", err)
		}
		keys, index = append(keys, e), len(keys)
	}
	e, now := &keys[index], r.now()
	if e.State == Created {
		e.Published = now
	}
	e.State, e.Active = Active, now
	if err := r.commit(keys); err != nil {
		return Key{}, fmt.Errorf("ensure active key: %w", err)
	}
	r.logger.InfoContext(ctx, "first key of a line is active", slog.String("kid", e.ID), slog.String("line", e.Line), slog.String("token", e.Token))
	return r.view(e), nil
}

// check says whether a key of that kind may be made. The caller holds changing.
func (r *Ring) check(ctx context.Context, spec Spec) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	if err := validLine(spec.Line); err != nil {
		return err
	}
	if !slices.Contains([]string{signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3}, spec.Algorithm) {
		return fmt.Errorf("%w: algorithm %.40q; use %s, %s, %s or %s", ErrInvalid, spec.Algorithm, signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3)
	}
	if _, ok := r.tokens[spec.Token]; spec.Token != "" && !ok {
		return fmt.Errorf("%w: token %.80q is not configured", ErrInvalid, spec.Token)
	}
	for _, e := range r.current.Load().keys {
		if e.Line == spec.Line && e.Algorithm != spec.Algorithm {
			return fmt.Errorf("%w: line %s has the algorithm %s for ever; take another line for %s", ErrInvalid, e.Line, e.Algorithm, spec.Algorithm)
		}
	}
	return nil
}

// ready says whether the ring can change. The caller holds changing.
func (r *Ring) ready(ctx context.Context) error {
	if r.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// make makes a key and stores its private part. The caller holds changing.
func (r *Ring) make(ctx context.Context, spec Spec) (entry, error) {
	if err := r.check(ctx, spec); err != nil {
		return entry{}, err
	}
	e := entry{Line: spec.Line, Algorithm: spec.Algorithm, Token: spec.Token, State: Created, Created: r.now()}
	if err := r.generate(ctx, &e); err != nil {
		return entry{}, err
	}
	signer := e.private.signer
	algorithm, err := signing.AlgorithmOf(signer.Public())
	if err == nil && algorithm != spec.Algorithm {
		err = fmt.Errorf("%w: the new key is for %s instead of %s", ErrInvalid, algorithm, spec.Algorithm)
	}
	if err != nil {
		return entry{}, err
	}
	if e.Public, err = smx509.MarshalPKIXPublicKey(signer.Public()); err != nil {
		return entry{}, fmt.Errorf("encode public key: %w", err)
	}
	if e.ID, err = signing.Thumbprint(signer.Public()); err != nil {
		return entry{}, err
	}
	e.public = signer.Public()
	if e.Token != "" {
		return e, nil
	}
	file, err := r.vault.seal(e.ID, signer)
	if err != nil {
		return entry{}, err
	}
	if err := durable.WriteFile(r.dir, e.ID+keyFileSuffix, file); err != nil {
		return entry{}, fmt.Errorf("write key file: %w", err)
	}
	return e, nil
}

func (r *Ring) generate(ctx context.Context, e *entry) error {
	if e.Token == "" {
		signer, err := generate(e.Algorithm)
		e.private = &private{signer: signer}
		return err
	}
	e.TokenID = make([]byte, tokenIDSize)
	if _, err := rand.Read(e.TokenID); err != nil {
		return fmt.Errorf("read random bytes: %w", err)
	}
	token := r.tokens[e.Token]
	signer, err := token.Generate(ctx, e.TokenID, e.Line, e.Algorithm)
	if err != nil {
		// A part of it may be there; nobody has seen it.
		return errors.Join(fmt.Errorf("token %q: %w", e.Token, err), token.Destroy(context.WithoutCancel(ctx), e.TokenID))
	}
	e.private = &private{signer: signer}
	return nil
}

// Publish puts a created key into the key set.
func (r *Ring) Publish(ctx context.Context, kid string) (Key, error) {
	return r.change(ctx, "publish", kid, func(e *entry, _ []entry) error {
		if e.State != Created {
			return fmt.Errorf("%w: only a created key can be published, this one is %s", ErrState, e.State)
		}
		e.State, e.Published = Published, r.now()
		return nil
	})
}

// Activate makes a published key the one that signs and retires the one before
// in the same step. ErrTooEarly until it was published for one cache period,
// unless its line never had an active key. When Activate returns nil, the key
// before makes no signature any more.
func (r *Ring) Activate(ctx context.Context, kid string) (Key, error) {
	return r.change(ctx, "activate", kid, func(e *entry, keys []entry) error {
		if e.State != Published {
			return fmt.Errorf("%w: only a published key can be activated, this one is %s", ErrState, e.State)
		}
		now, ready := r.now(), e.Published.Add(r.cache)
		if now.Before(ready) && newSnapshot(keys).everActive(e.Line) {
			return fmt.Errorf("%w: verifiers may hold a key set without it until %s", ErrTooEarly, ready.Format(time.RFC3339))
		}
		for i := range keys {
			if before := &keys[i]; before.Line == e.Line && before.State == Active {
				before.retire(now)
			}
		}
		e.State, e.Active = Active, now
		return nil
	})
}

// Retire ends the use of a key that is not retired yet, be it the active one.
// When it returns nil, the key makes no signature any more.
func (r *Ring) Retire(ctx context.Context, kid string) (Key, error) {
	return r.change(ctx, "retire", kid, func(e *entry, _ []entry) error {
		if e.private == nil {
			return fmt.Errorf("%w: it is %s", ErrState, e.State)
		}
		e.retire(r.now())
		return nil
	})
}

func (e *entry) retire(now time.Time) { e.State, e.Retired, e.private = Retired, now, nil }

// SetChain stores the certificates of a key, leaf first, in DER, in place of
// those before. The leaf's key must be the key; whether the chain holds is for
// package pki to say.
func (r *Ring) SetChain(ctx context.Context, kid string, chain [][]byte) error {
	_, err := r.change(ctx, "set certificates", kid, func(e *entry, _ []entry) error {
		if e.State == Destroyed {
			return fmt.Errorf("%w: it is destroyed", ErrState)
		}
		if len(chain) == 0 || len(chain) > signing.MaxChain {
			return fmt.Errorf("%w: %d certificates; a chain has 1 to %d", ErrInvalid, len(chain), signing.MaxChain)
		}
		for i, der := range chain {
			if len(der) > maxCertificate {
				return fmt.Errorf("%w: certificate %d has %d bytes, limit %d", ErrInvalid, i+1, len(der), maxCertificate)
			}
			cert, err := smx509.ParseCertificate(der)
			if err != nil {
				return fmt.Errorf("%w: certificate %d: %w", ErrInvalid, i+1, err)
			}
			if i == 0 && !bytes.Equal(cert.RawSubjectPublicKeyInfo, e.Public) {
				return fmt.Errorf("%w: the first certificate is for another key", ErrInvalid)
			}
		}
		e.Chain = cloneChain(chain)
		return nil
	})
	return err
}

// RequestDestroy asks for the destruction of a retired key's private part.
// Within 24 hours somebody else may approve it; after that the request counts
// as never made. The same person may ask again, which renews it.
func (r *Ring) RequestDestroy(ctx context.Context, kid, who string) (Key, error) {
	return r.change(ctx, "request destruction", kid, func(e *entry, _ []entry) error {
		if e.State != Retired {
			return fmt.Errorf("%w: only a retired key can be destroyed, this one is %s", ErrState, e.State)
		}
		if who == "" || len(who) > maxUseText {
			return fmt.Errorf("%w: the destruction of a key needs the name of who asks, at most %d bytes", ErrInvalid, maxUseText)
		}
		if e.requested(r.now()) && e.DestroyRequestedBy != who {
			return fmt.Errorf("%w: %q has asked for its destruction already; approve that", ErrState, e.DestroyRequestedBy)
		}
		e.DestroyRequested, e.DestroyRequestedBy = r.now(), who
		return nil
	})
}

// ApproveDestroy destroys the private part of a key, as somebody other than
// who has asked for. The public part stays listed, so that what it signed
// verifies. If the private part cannot be removed, for instance from a token
// that is not there, the key counts as destroyed and an error says so; the
// removal is tried again by the next ApproveDestroy and the next Open.
func (r *Ring) ApproveDestroy(ctx context.Context, kid, who string) (Key, error) {
	_, err := r.change(ctx, "approve destruction", kid, func(e *entry, _ []entry) error {
		switch {
		case e.Remnant: // approved already
			return nil
		case who == "" || len(who) > maxUseText:
			return fmt.Errorf("%w: the destruction of a key needs the name of who approves, at most %d bytes", ErrInvalid, maxUseText)
		case e.State != Retired || !e.requested(r.now()):
			return fmt.Errorf("%w: nobody has asked for its destruction in the last %s", ErrState, requestLife)
		case e.DestroyRequestedBy == who:
			return fmt.Errorf("%w: %q has asked for it; somebody else must approve", ErrState, who)
		}
		e.State, e.Destroyed, e.Remnant = Destroyed, r.now(), true
		e.DestroyRequested, e.DestroyRequestedBy = time.Time{}, ""
		return nil
	})
	if err != nil {
		return Key{}, err
	}
	return r.change(ctx, "remove the private part of", kid, func(e *entry, _ []entry) error {
		if err := r.erase(ctx, e); err != nil {
			return err
		}
		e.Remnant = false
		return nil
	})
}

// requested says whether a request for destruction can still be approved.
func (e *entry) requested(now time.Time) bool {
	return e.DestroyRequestedBy != "" && now.Before(e.DestroyRequested.Add(requestLife))
}

func (r *Ring) erase(ctx context.Context, e *entry) error {
	if e.Token == "" {
		return durable.Remove(r.dir, e.ID+keyFileSuffix)
	}
	token, ok := r.tokens[e.Token]
	if !ok {
		return fmt.Errorf("%w: token %q is not configured", ErrInvalid, e.Token)
	}
	return token.Destroy(ctx, e.TokenID)
}

// finishDestructions removes private parts that an earlier run had to leave.
// What still cannot be removed is no reason to refuse the folder.
func (r *Ring) finishDestructions(ctx context.Context) error {
	keys := slices.Clone(r.current.Load().keys)
	removed := false
	for i := range keys {
		e := &keys[i]
		if !e.Remnant {
			continue
		}
		if err := r.erase(ctx, e); err != nil {
			r.logger.ErrorContext(ctx, "private part of a destroyed key is still there", slog.String("kid", e.ID), slog.String("token", e.Token), slog.Any("error", err))
			continue
		}
		e.Remnant, removed = false, true
	}
	if !removed {
		return nil
	}
	return r.commit(keys)
}

// change applies one step of a key's life to a copy of the keys and commits
// them. Keys that lost their private part by it are at rest when it returns.
func (r *Ring) change(ctx context.Context, step, kid string, apply func(e *entry, keys []entry) error) (Key, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.ready(ctx); err != nil {
		return Key{}, fmt.Errorf("%s key: %w", step, err)
	}
	before := r.current.Load()
	index, ok := before.byID[kid]
	if !ok {
		return Key{}, fmt.Errorf("%s key: %w: %.64q", step, signing.ErrUnknownKey, kid)
	}
	keys := slices.Clone(before.keys)
	e := &keys[index]
	if err := apply(e, keys); err != nil {
		return Key{}, fmt.Errorf("%s key %s of line %s: %w", step, kid, e.Line, err)
	}
	if err := r.commit(keys); err != nil {
		return Key{}, fmt.Errorf("%s key %s of line %s: %w", step, kid, e.Line, err)
	}
	for i, old := range before.keys {
		if keys[i].private == nil {
			old.private.end()
		}
	}
	r.logger.InfoContext(ctx, "key changed", slog.String("step", step), slog.String("kid", kid), slog.String("line", e.Line), slog.String("state", string(e.State)))
	return r.view(e), nil
}

// everActive says whether verifiers can hold a key set with a key of the line
// that has signed.
func (s *snapshot) everActive(line string) bool {
	return slices.ContainsFunc(s.keys, func(e entry) bool { return e.Line == line && !e.Active.IsZero() })
}
