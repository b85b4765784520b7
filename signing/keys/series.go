package keys

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Series is the use of a line for many small signatures that anybody may ask
// for, such as timestamps: one intent opens it before its first signature, and
// one entry closes it, with the number of signatures and the digest of all that
// was signed. So the use log grows with time, not with those who ask.
//
// The digest is a chain: it begins with 32 zero bytes, and each signature makes
// it the SHA-256 of the digest before and of the text that a use of its own
// would have had. A process that dies leaves the intent without an outcome: some
// signatures may have been made since its time. A period without signatures
// writes nothing: the one before is closed by the next signature, or by Close.
//
// It is safe for concurrent use.
type Series struct {
	ring  *Ring
	line  string
	use   Use
	every time.Duration

	mu      sync.Mutex
	current *interval
	closed  bool
}

// interval is a series between its intent and its end.
type interval struct {
	intent uint64
	first  Entry
	end    time.Time
	count  int
	chain  [sha256.Size]byte
}

// Series returns the use of a line whose signatures are recorded once in every
// period.
func (r *Ring) Series(line string, use Use, every time.Duration) *Series {
	return &Series{ring: r, line: line, use: use, every: every}
}

// Signer returns the line's active key for one operation, as Ring.Signer does,
// and records its signatures with the series.
func (s *Series) Signer(ctx context.Context) (*Signer, error) {
	signer, err := s.ring.Signer(ctx, s.line, s.use)
	if err != nil {
		return nil, err
	}
	signer.series = s
	return signer, nil
}

// note records one signature that is about to be made by a key.
func (s *Series) note(ctx context.Context, e *entry, digest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("%w: the series has ended", ErrClosed)
	}
	now := s.ring.now()
	if c := s.current; c != nil && (!now.Before(c.end) || c.first.KeyID != e.ID) {
		if err := s.finish(); err != nil {
			return err
		}
	}
	if s.current == nil {
		first := Entry{Time: now, KeyID: e.ID, Line: e.Line, Use: s.use, Digest: "series"}
		intent, err := s.ring.uses.Intend(ctx, []Entry{first})
		if err != nil {
			return fmt.Errorf("write use log: %w", err)
		}
		s.current = &interval{intent: intent, first: first, end: now.Add(s.every)}
	}
	c := s.current
	c.chain = sha256.Sum256(append(c.chain[:], digest...))
	c.count++
	return nil
}

// finish closes the current interval. The caller holds mu. Its last entry is on
// disk before its intent gets an outcome, so that a crash in between leaves more
// than was, not less. After an error the interval stays, and is closed later.
func (s *Series) finish() error {
	c := s.current
	if c == nil {
		return nil
	}
	ctx := context.Background() // it is not the affair of whoever asks just now
	last := c.first
	last.Time, last.Count, last.Digest = s.ring.now(), c.count, "sha-256-chain:"+hex.EncodeToString(c.chain[:])
	id, err := s.ring.uses.Intend(ctx, []Entry{last})
	if err != nil {
		return fmt.Errorf("write use log: %w", err)
	}
	s.current = nil
	if err := errors.Join(s.ring.uses.Conclude(ctx, id, nil), s.ring.uses.Conclude(ctx, c.intent, nil)); err != nil {
		return fmt.Errorf("write use log: %w", err)
	}
	return nil
}

// Close ends the series and records what is not recorded yet.
func (s *Series) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.finish()
}

// sign makes one signature of a series.
func (s *Series) sign(ctx context.Context, e *entry, digest string, do func(crypto.Signer) error) error {
	if err := s.note(ctx, e, digest); err != nil {
		return err
	}
	return e.private.use(do)
}
