package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing"
)

// MaxBatch is how many tokens one call of SignTokens makes.
const MaxBatch = 1000

// Signer is a crypto.Signer for one operation with one key. Each signature is
// in the use log before it is made. It holds the operation's context, for which
// crypto.Signer has no place: do not keep it, a retired key refuses. It is safe
// for concurrent use.
type Signer struct {
	ctx  context.Context
	ring *Ring
	key  entry
	use  Use
	// series records its signatures if it is not nil, else each is a use of its own.
	series *Series
}

// Signer returns the active key of a line for one operation. ErrNoActiveKey if
// there is none, ErrInvalid for a use without caller or purpose.
func (r *Ring) Signer(ctx context.Context, line string, use Use) (*Signer, error) {
	e, err := r.current.Load().activeOf(line)
	if err != nil {
		return nil, err
	}
	return r.signer(ctx, e, use)
}

// SignerOf is Signer for a key by its kid, which need not be active yet: it
// signs the request for its own certificate. A retired or destroyed key is
// ErrState.
func (r *Ring) SignerOf(ctx context.Context, kid string, use Use) (*Signer, error) {
	e, err := r.current.Load().entry(kid)
	if err != nil {
		return nil, err
	}
	return r.signer(ctx, e, use)
}

func (r *Ring) signer(ctx context.Context, e *entry, use Use) (*Signer, error) {
	if err := use.validate(); err != nil {
		return nil, err
	}
	if e.private == nil {
		return nil, fmt.Errorf("%w: key %s is %s and signs no more", ErrState, e.ID, e.State)
	}
	return &Signer{ctx: ctx, ring: r, key: *e, use: use}, nil
}

// KeyID is the kid of the key.
func (s *Signer) KeyID() string { return s.key.ID }

// Algorithm is that of the key: signing.ES256, ….
func (s *Signer) Algorithm() string { return s.key.Algorithm }

// Chain returns the key's certificates in DER, leaf first, or nil.
func (s *Signer) Chain() [][]byte { return cloneChain(s.key.Chain) }

// Public returns the public key.
func (s *Signer) Public() crypto.PublicKey { return s.key.public }

// Sign signs the way of the key's algorithm and no other, else ErrInvalid:
// ES256 and ES384 a digest with crypto.SHA256 or SHA384, Ed25519 the message
// with crypto.Hash(0), SM2 the message with sm2.DefaultSM2SignerOpts (SM3, the
// standard user id). The reader is not used: a bad one would give the key away.
// Errors of the use log mean that nothing was signed, or that the signature is
// withheld. ErrState: the key was retired meanwhile.
func (s *Signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	digest, err := digestOf(s.key.Algorithm, message, opts)
	if err != nil {
		return nil, err
	}
	var signature []byte
	do := func(private crypto.Signer) (err error) {
		signature, err = private.Sign(rand.Reader, message, opts)
		return err
	}
	if s.series != nil {
		err = s.series.sign(s.ctx, &s.key, digest, do)
	} else {
		err = s.ring.record(s.ctx, &s.key, s.use, []string{digest}, do)
	}
	if err != nil {
		return nil, fmt.Errorf("sign with key %s of line %s: %w", s.key.ID, s.key.Line, err)
	}
	return signature, nil
}

// digestOf checks that what a caller gives fits the algorithm, and returns its
// digest for the use log. A wrong kind of input can be signed just as well, but
// what comes out is a signature of something that nobody has looked at.
func digestOf(algorithm string, message []byte, opts crypto.SignerOpts) (string, error) {
	switch {
	case algorithm == signing.ES256 && opts == crypto.SHA256 && len(message) == crypto.SHA256.Size():
		return "sha-256:" + hex.EncodeToString(message), nil
	case algorithm == signing.ES384 && opts == crypto.SHA384 && len(message) == crypto.SHA384.Size():
		return "sha-384:" + hex.EncodeToString(message), nil
	case algorithm == signing.EdDSA && (opts == crypto.Hash(0) || plainEd25519(opts)), algorithm == signing.SM2SM3 && opts == sm2.DefaultSM2SignerOpts:
		return sha256Of(message), nil
	}
	return "", fmt.Errorf("%w: %d bytes with options %T are not what a key for %s signs", ErrInvalid, len(message), opts, algorithm)
}

func plainEd25519(opts crypto.SignerOpts) bool {
	options, ok := opts.(*ed25519.Options)
	return ok && options != nil && *options == ed25519.Options{}
}

func sha256Of(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha-256:" + hex.EncodeToString(sum[:])
}

// record does one use of a key between its intent and its outcome.
func (r *Ring) record(ctx context.Context, e *entry, use Use, digests []string, do func(crypto.Signer) error) error {
	now := r.now()
	entries := make([]Entry, len(digests))
	for i, digest := range digests {
		entries[i] = Entry{Time: now, KeyID: e.ID, Line: e.Line, Use: use, Digest: digest}
	}
	id, err := r.uses.Intend(ctx, entries)
	if err != nil {
		return fmt.Errorf("write use log: %w", err)
	}
	outcome := e.private.use(do)
	// The outcome is written even if the caller has gone.
	if err := r.uses.Conclude(context.WithoutCancel(ctx), id, outcome); err != nil {
		return errors.Join(outcome, fmt.Errorf("write use log: %w", err))
	}
	return outcome
}

// Line is the use of a line of keys for tokens. It satisfies sdjwt.TokenSigner.
type Line struct {
	ring  *Ring
	name  string
	use   Use
	chain bool
}

// Line returns the use of a line for tokens. The key is chosen by each call.
func (r *Ring) Line(name string, use Use) Line { return Line{ring: r, name: name, use: use} }

// WithChain returns a Line whose tokens carry the key's certificates (x5c, RFC
// 7515 §4.1.6), for verifiers who trust certificates and are offline.
func (l Line) WithChain() Line {
	l.chain = true
	return l
}

// SignTokens makes a compact JWS of typ from each payload, with the active key
// of a line: all or none, in the order of the payloads, at most MaxBatch. They
// are one record in the use log.
func (r *Ring) SignTokens(ctx context.Context, line string, use Use, typ string, payloads [][]byte) ([]string, error) {
	return r.Line(line, use).SignTokens(ctx, typ, payloads)
}

// SignTokens is Ring.SignTokens with the line and use given before. A key that
// is retired at this very moment is no error: the next one signs.
// ErrNoActiveKey, ErrInvalid (no use, no or too many payloads, no certificates
// for WithChain), signing.ErrMalformed for an empty typ or payload.
func (l Line) SignTokens(ctx context.Context, typ string, payloads [][]byte) ([]string, error) {
	if err := l.use.validate(); err != nil {
		return nil, err
	}
	if len(payloads) == 0 || len(payloads) > MaxBatch {
		return nil, fmt.Errorf("%w: %d payloads; one call signs 1 to %d", ErrInvalid, len(payloads), MaxBatch)
	}
	digests := make([]string, len(payloads))
	for i, payload := range payloads {
		digests[i] = sha256Of(payload)
	}
	for {
		e, err := l.ring.current.Load().activeOf(l.name)
		if err != nil {
			return nil, err
		}
		tokens, err := l.signWith(ctx, e, typ, payloads, digests)
		if errors.Is(err, errRetired) {
			if now, changed := l.ring.current.Load().activeOf(l.name); changed == nil && now.ID != e.ID {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("sign %d tokens with key %s of line %s: %w", len(payloads), e.ID, e.Line, err)
		}
		return tokens, nil
	}
}

func (l Line) signWith(ctx context.Context, e *entry, typ string, payloads [][]byte, digests []string) (tokens []string, err error) {
	header := signing.Header{Algorithm: e.Algorithm, KeyID: e.ID, Type: typ}
	if l.chain {
		if header.Chain = e.Chain; len(e.Chain) == 0 {
			return nil, fmt.Errorf("%w: it has no certificates yet", ErrInvalid)
		}
	}
	err = l.ring.record(ctx, e, l.use, digests, func(private crypto.Signer) (err error) {
		tokens, err = signAll(ctx, private, header, payloads)
		return err
	})
	return tokens, err
}

// signAll signs on all processors and stops at the first fault.
func signAll(ctx context.Context, private crypto.Signer, header signing.Header, payloads [][]byte) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tokens := make([]string, len(payloads))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(payloads)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(payloads) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				token, err := signing.SignCompact(private, header, payloads[i])
				if err != nil {
					cancel(fmt.Errorf("payload %d: %w", i+1, err))
					return
				}
				tokens[i] = token
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return tokens, nil
}
