package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onewindow/onewindow/signing/durable"
)

const (
	maxRequestID = 128
	// resultLife is how long an answer is given again.
	resultLife = 24 * time.Hour
)

// results keeps the answers of calls with a request id, one file each: the
// SHA-256 of the request, then the answer in protobuf's wire format. The file's
// name is made of caller, method and request id, so that callers cannot see
// each other's.
type results struct {
	dir string
	now func() time.Time

	mu      sync.Mutex
	running map[string]chan struct{}
	swept   time.Time
}

func openResults(dir string, now func() time.Time) (*results, error) {
	if err := durable.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	return &results{dir: dir, now: now, running: map[string]chan struct{}{}}, nil
}

// once runs do unless the same request was answered before, in which case resp
// becomes that answer. A call without a request id just runs. Two calls of one
// id run one after the other.
func (r *results) once(ctx context.Context, caller Caller, method, requestID string, req, resp proto.Message, do func() error) error {
	if requestID == "" {
		return do()
	}
	if len(requestID) > maxRequestID {
		return fmt.Errorf("%w: request_id is longer than %d bytes", ErrInvalid, maxRequestID)
	}
	digest, err := digestOf(req)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(caller.Name + "\x00" + method + "\x00" + requestID))
	name := hex.EncodeToString(sum[:])
	if err := r.enter(ctx, name); err != nil {
		return err
	}
	defer r.leave(name)

	kept, err := os.ReadFile(filepath.Join(r.dir, name))
	switch {
	case err == nil && len(kept) >= len(digest):
		if string(kept[:len(digest)]) != string(digest) {
			return fmt.Errorf("%w: %.40q; take a new id for a new request", ErrConflict, requestID)
		}
		return proto.Unmarshal(kept[len(digest):], resp)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("results: %w", err)
	}
	if err := do(); err != nil {
		return err
	}
	answer, err := proto.Marshal(resp)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if err := durable.WriteFile(r.dir, name, append(digest, answer...)); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

func digestOf(req proto.Message) ([]byte, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// enter waits until no other call of that name runs.
func (r *results) enter(ctx context.Context, name string) error {
	for {
		r.mu.Lock()
		r.sweep()
		other, busy := r.running[name]
		if !busy {
			r.running[name] = make(chan struct{})
		}
		r.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *results) leave(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.running[name])
	delete(r.running, name)
}

// sweep removes old answers, once an hour. One that cannot be removed is tried
// again: it does no harm but for the space.
func (r *results) sweep() {
	now := r.now()
	if now.Sub(r.swept) < time.Hour {
		return
	}
	r.swept = now
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > resultLife {
			_ = os.Remove(filepath.Join(r.dir, e.Name()))
		}
	}
}
