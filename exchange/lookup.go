package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/bus"
)

const (
	maxLookupKeys = 1000
	// maxWait bounds how long a lookup waits for a push to be stored.
	maxWait = 5 * time.Second
)

// Purpose is why somebody looks something up (用途).
type Purpose struct {
	Matter, CaseNumber string
}

// Lookup returns the current records of a resource for up to 1,000 keys, in
// the order of the keys; keys without a current record are left out. It waits
// up to five seconds until the positions in waitFor are stored. The purpose
// is required and logged. It wraps [ErrInvalid], [ErrUnknownResource],
// [ErrUnknownMatter] and [ErrForbidden].
func (e *Exchange) Lookup(ctx context.Context, resource string, keys []string, purpose Purpose, waitFor []bus.Position) ([]Record, error) {
	if len(keys) == 0 || len(keys) > maxLookupKeys {
		return nil, fmt.Errorf("%w: name 1 to %d keys, not %d", ErrInvalid, maxLookupKeys, len(keys))
	}
	if purpose.Matter == "" || purpose.CaseNumber == "" {
		return nil, fmt.Errorf("%w: purpose.matter and purpose.caseNumber are required: every lookup names the matter and case it is for", ErrInvalid)
	}
	r, err := e.Resource(ctx, resource)
	if err != nil {
		return nil, err
	}
	if err := maySee(ctx, r); err != nil {
		return nil, err
	}
	if _, err := e.Matter(ctx, purpose.Matter); err != nil {
		return nil, err
	}
	if len(waitFor) > 0 {
		wait, cancel := context.WithTimeout(ctx, maxWait)
		err := e.cfg.Records.WaitStored(wait, resource, waitFor)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return nil, fmt.Errorf("%w: the positions in waitFor are not stored after %s: ask again, or without waitFor", ErrNotStored, maxWait)
		}
		if err != nil {
			return nil, err
		}
	}
	found, err := e.Records(ctx, resource, keys)
	if err != nil {
		return nil, err
	}
	caller, _ := access.FromContext(ctx)
	e.cfg.Logger.InfoContext(ctx, "lookup", slog.String("caller", caller.Name), slog.String("resource", resource),
		slog.Int("keys", len(keys)), slog.Int("found", len(found)),
		slog.String("matter", purpose.Matter), slog.String("case", purpose.CaseNumber))
	return found, nil
}

// Records returns the current records of keys in the order of the keys.
func (e *Exchange) Records(ctx context.Context, resource string, keys []string) ([]Record, error) {
	records, err := e.cfg.Records.Lookup(ctx, resource, keys)
	if err != nil {
		return nil, fmt.Errorf("exchange: lookup %s: %w", resource, err)
	}
	byKey := make(map[string]Record, len(records))
	for _, record := range records {
		byKey[record.Key] = record
	}
	found := make([]Record, 0, len(records))
	for _, key := range keys {
		if record, ok := byKey[key]; ok {
			found = append(found, record)
			delete(byKey, key)
		}
	}
	return found, nil
}

// maySee applies the share type: an unconditional resource is open to every
// role that may look up, a conditional one to clerks and its own department,
// one that is not shared to its own department alone.
func maySee(ctx context.Context, r Resource) error {
	if r.ShareType == Unconditional || access.MayActFor(ctx, DepartmentOf(r.Name)) {
		return nil
	}
	caller, _ := access.FromContext(ctx)
	if r.ShareType == Conditional && caller.Role == access.Clerk {
		return nil
	}
	return fmt.Errorf("%w: resource %s is shared %s and you are a %s: ask its department", ErrForbidden, r.Name, r.ShareType, caller.Role)
}
