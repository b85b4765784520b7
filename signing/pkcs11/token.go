package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxSessions bounds the operations under way on one Token at a time. HSMs have
// between 1 and a few dozen signing units, and each waiting call holds a thread.
const maxSessions = 16

// Config says which token to use.
type Config struct {
	// Module is the absolute path of the vendor's PKCS#11 library.
	Module string
	// TokenLabel is the label that the token was initialised with. It must
	// name one token of those that are plugged in.
	TokenLabel string
	// PIN is the user's PIN (CKU_USER), not the security officer's.
	PIN string
}

// Token is a token (PKCS #11 §2) on which this process is logged in. It is safe
// for concurrent use; Close it to log out.
type Token struct {
	module  *module
	label   string
	pin     []byte
	permits chan struct{} // holds one element per session in use

	mu     sync.Mutex
	slot   uintptr
	serial string // of the token that was opened; another is not taken for it
	epoch  uint64 // counts logins: sessions and handles of an older one are void
	anchor uintptr
	idle   []session
	// refused is why the token did not take the PIN. Once set it stays, so
	// that the PIN is never sent again.
	refused error
	closed  bool
}

// session is one session, used by one operation at a time.
type session struct {
	*module
	handle uintptr
	epoch  uint64
	flags  uintptr
}

// Open loads the library, finds the token and logs in. The PIN is sent once:
// ErrPIN if the token refuses it, ErrPINLocked if it is locked or has a single
// attempt left. ErrModule and ErrToken report what is not there. If another
// Token of this process is logged in on the same token, the PIN is not compared
// with anything, as PKCS#11 has one login per process.
func Open(c Config) (*Token, error) {
	switch {
	case c.TokenLabel == "" || len(c.TokenLabel) > len(tokenInfo{}.label):
		return nil, fmt.Errorf("%w: a label has 1 to 32 bytes, %q has not", ErrToken, c.TokenLabel)
	case c.PIN == "":
		return nil, fmt.Errorf("%w: none is configured for token %q", ErrPIN, c.TokenLabel)
	}
	m, err := loadModule(c.Module)
	if err != nil {
		return nil, err
	}
	t := &Token{module: m, label: c.TokenLabel, pin: []byte(c.PIN)}
	if err := t.connect(0, nil); err != nil {
		return nil, fmt.Errorf("token %q: %w", c.TokenLabel, err)
	}
	return t, nil
}

// Close closes every session, which logs out unless another Token of the
// process uses the same token. It does not wait: an operation under way goes on
// and closes its own session at its end. A second Close does nothing.
func (t *Token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	clear(t.pin)
	return t.dropSessions()
}

// connect finds the token and logs in, unless someone else has since the epoch
// that the caller saw lost with that cause.
func (t *Token) connect(seen uint64, cause error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrClosed
	case t.refused != nil:
		return t.refused
	case t.epoch != seen:
		return nil
	}
	if sessionsVoid(cause) {
		t.idle, t.anchor = nil, 0
	}
	_ = t.dropSessions()
	if err := t.module.start(); err != nil {
		return err
	}
	found, err := t.locate()
	if err != nil {
		return err
	}
	var anchor uintptr
	if err := check("C_OpenSession", t.module.openSession(found.id, sessionSerial, 0, 0, &anchor)); err != nil {
		return err
	}
	if err := t.login(anchor, found.info.flags); err != nil {
		_ = t.module.closeSession(anchor)
		return err
	}
	t.slot, t.serial, t.anchor = found.id, found.serial(), anchor
	if t.permits == nil {
		t.permits = make(chan struct{}, sessionLimit(found.info.maxSessions))
	}
	t.epoch++
	return nil
}

// locate finds the slot of the token by its label and, after the first login,
// its serial number: the PIN is not for another token.
func (t *Token) locate() (slot, error) {
	slots, err := t.module.slots()
	if err != nil {
		return slot{}, err
	}
	var found []slot
	var silent error
	for _, s := range slots {
		switch {
		case s.err != nil: // another token perhaps, which is no reason to stop
			silent = s.err
		case s.label() == t.label:
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0 && silent != nil:
		return slot{}, fmt.Errorf("%w: of %d slots with a token, one or more do not answer and none has this label: %w", ErrToken, len(slots), silent)
	case len(found) == 0:
		return slot{}, fmt.Errorf("%w: none of the %d that are plugged in has this label", ErrToken, len(slots))
	case len(found) > 1:
		return slot{}, fmt.Errorf("%w: %d tokens have this label, serial numbers %s and %s among them; give each its own label",
			ErrToken, len(found), found[0].serial(), found[1].serial())
	case t.epoch > 0 && found[0].serial() != t.serial:
		return slot{}, fmt.Errorf("%w: serial number %s was replaced by %s; restart to use the new token", ErrToken, t.serial, found[0].serial())
	}
	return found[0], nil
}

// login sends the PIN, at most once in the life of the Token if it is refused.
func (t *Token) login(anchor, flags uintptr) error {
	if err := spareAttempts(flags); err != nil {
		t.refused = err
		return err
	}
	err := check("C_Login", t.module.login(anchor, 1, &t.pin[0], uintptr(len(t.pin)))) // 1 is CKU_USER
	switch {
	case returned(err, ckrAlreadyLoggedIn):
		return nil
	case errors.Is(err, ErrPIN):
		t.refused = fmt.Errorf("%w; it will not be tried again before a restart: correct the PIN first, since a few wrong ones lock the token", err)
		return t.refused
	case errors.Is(err, ErrPINLocked):
		t.refused = fmt.Errorf("%w; the security officer must unlock it with the vendor's tool", err)
		return t.refused
	}
	return err
}

// spareAttempts reads CK_TOKEN_INFO's flags: whether a wrong PIN could be afforded.
func spareAttempts(flags uintptr) error {
	switch {
	case flags&flagUserPINLocked != 0:
		return fmt.Errorf("%w: the security officer must unlock it with the vendor's tool", ErrPINLocked)
	case flags&flagUserPINFinalTry != 0:
		return fmt.Errorf("%w: one attempt is left and is not used up here; log in once with the right PIN by the vendor's tool, then correct the configuration", ErrPINLocked)
	default:
		return nil
	}
}

// sessionLimit is how many sessions operations may have, beside the anchor and
// the one that makes a key, when the token allows that many in all. 0 and the
// largest number mean that there is no limit or none is known.
func sessionLimit(allowed uintptr) int {
	if allowed == 0 || allowed > maxSessions+2 {
		return maxSessions
	}
	return int(max(allowed, 3) - 2)
}

// dropSessions closes the sessions that nobody is using. The caller holds mu.
func (t *Token) dropSessions() error {
	handles := make([]uintptr, 0, len(t.idle)+1)
	for _, s := range t.idle {
		handles = append(handles, s.handle)
	}
	if t.anchor != 0 { // last, since it holds the login
		handles = append(handles, t.anchor)
	}
	t.idle, t.anchor = nil, 0
	var failed error
	for _, handle := range handles {
		if err := check("C_CloseSession", t.module.closeSession(handle)); !connectionLost(err) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// sessionsVoid reports whether an error means that no session of this Token
// exists any more (PKCS #11 §5.1.2 to §5.1.6). Such handles are forgotten, not
// closed: a library that starts anew may give their numbers to another Token.
func sessionsVoid(err error) bool {
	return returned(err, ckrNotInitialized, ckrDeviceRemoved, ckrTokenNotPresent, ckrSlotIDInvalid)
}

// repeat runs f with a session, and once more after a new login if the session
// turned out to be lost. f must be harmless to repeat.
func (t *Token) repeat(ctx context.Context, flags uintptr, f func(session) error) error {
	seen, err := t.once(ctx, flags, f)
	if !connectionLost(err) {
		return err
	}
	if again := t.connect(seen, err); again != nil {
		return fmt.Errorf("token %q: %w (after %w)", t.label, again, err)
	}
	_, err = t.once(ctx, flags, f)
	return err
}

// once runs f with a session and returns the epoch of that session.
func (t *Token) once(ctx context.Context, flags uintptr, f func(session) error) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	select {
	case t.permits <- struct{}{}:
		defer func() { <-t.permits }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	s, err := t.take(flags)
	if err != nil {
		return s.epoch, err
	}
	err = f(s)
	t.put(s, err)
	return s.epoch, err
}

// take returns an idle session or opens one. Only sessions that write are
// opened read-write: a token may be protected against writing.
func (t *Token) take(flags uintptr) (session, error) {
	t.mu.Lock()
	s := session{module: t.module, epoch: t.epoch, flags: flags}
	slot := t.slot
	switch {
	case t.closed:
		t.mu.Unlock()
		return s, ErrClosed
	case t.refused != nil:
		defer t.mu.Unlock()
		return s, t.refused
	case flags == 0 && len(t.idle) > 0:
		last := len(t.idle) - 1
		s, t.idle = t.idle[last], t.idle[:last]
		t.mu.Unlock()
		return s, nil
	}
	t.mu.Unlock()
	return s, check("C_OpenSession", t.module.openSession(slot, sessionSerial|flags, 0, 0, &s.handle))
}

// put keeps a session for the next operation. One that failed may have an
// operation active inside the token, so it is closed.
func (t *Token) put(s session, failed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if failed == nil && s.flags == 0 && s.epoch == t.epoch && !t.closed {
		t.idle = append(t.idle, s)
		return
	}
	if !sessionsVoid(failed) && !returned(failed, ckrSessionHandleInvalid, ckrSessionClosed) {
		_ = t.module.closeSession(s.handle)
	}
}
