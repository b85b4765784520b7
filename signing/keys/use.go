package keys

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"
)

// maxUseText bounds each text of a Use, in bytes.
const maxUseText = 256

// Use says who uses a key and what for; it goes into the use log. Caller and
// Purpose are needed. No text may hold a citizen's data.
type Use struct {
	// Caller is the name that the transport has established.
	Caller string `json:"caller"`
	// Purpose is what is made, such as "license" or "seal a page".
	Purpose string `json:"purpose"`
	// RequestID joins the uses of one request; it may be empty.
	RequestID string `json:"request,omitempty"`
}

func (u Use) validate() error {
	if u.Caller == "" || u.Purpose == "" {
		return fmt.Errorf("%w: the use of a key needs a caller and a purpose", ErrInvalid)
	}
	for _, text := range []string{u.Caller, u.Purpose, u.RequestID} {
		if len(text) > maxUseText || !utf8.ValidString(text) {
			return fmt.Errorf("%w: caller, purpose and request id are UTF-8 of at most %d bytes", ErrInvalid, maxUseText)
		}
	}
	return nil
}

// Entry is one signature in the use log, or a [Series] of them.
type Entry struct {
	Time  time.Time `json:"time"`
	KeyID string    `json:"key"`
	Line  string    `json:"line"`
	Use
	// Digest says what was signed: "sha-256:" and the hexadecimal digest of the
	// token's payload or of the signed message. A message that is signed by its
	// digest (ECDSA) has that digest here, for ES384 with "sha-384:".
	// For a series it is "series" at its beginning and "sha-256-chain:" with the
	// chained digest at its end.
	Digest string `json:"digest"`
	// Count is how many signatures a series had, at its end; else 0, meaning one.
	Count int `json:"count,omitempty"`
}

// UseLog records each use of a key before and after it. Both methods are
// called concurrently; different uses are in no order. Nothing is retried:
// an error forbids the use, or withholds its result, and goes to the caller.
type UseLog interface {
	// Intend records uses that are about to begin. It returns only when the
	// record is durable, since the key is used next. The id is Conclude's.
	Intend(ctx context.Context, entries []Entry) (id uint64, err error)
	// Conclude records how the uses ended, nil meaning well. It is called once
	// for each id, also when the caller has gone; it need not be durable yet
	// when it returns. A use without a conclusion may have happened.
	Conclude(ctx context.Context, id uint64, outcome error) error
}
