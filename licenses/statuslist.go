package licenses

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/onewindow/onewindow/signing/sdjwt"
)

const (
	// statusListPath and an id follow the base URL in the URI of a list.
	statusListPath = "/v1/status-lists/"
	// statusBits holds valid (0), revoked (1) and suspended (2).
	statusBits = 2
	// statusTTL is how long an offline verifier may use a list it has fetched,
	// statusLife after what time it is worthless.
	statusTTL  = 15 * time.Minute
	statusLife = 24 * time.Hour
)

// signedList is a Status List Token kept for the next caller.
type signedList struct {
	token    []byte
	revision int64
	issued   time.Time
}

// StatusList returns the signed Token Status List (application/statuslist+jwt)
// with an id, or [ErrNotFound]. It holds every change that was committed before
// the call. A cache may give it out again before until, which is 7 to 15
// minutes ahead; whoever fetches it from there may use it for its ttl of 15
// minutes more.
func (r *Registry) StatusList(ctx context.Context, id string) (token []byte, until time.Time, err error) {
	list, err := strconv.ParseInt(id, 10, 64)
	if err != nil || strconv.FormatInt(list, 10) != id {
		return nil, time.Time{}, fmt.Errorf("%w: no status list %.40q", ErrNotFound, id)
	}
	kept, err := r.freshList(ctx, list)
	if kept.token != nil || err != nil {
		return kept.token, kept.issued.Add(statusTTL), err
	}
	// One caller builds; the others find its result.
	if err := lock(ctx, r.building); err != nil {
		return nil, time.Time{}, err
	}
	defer func() { <-r.building }()
	kept, err = r.freshList(ctx, list)
	if kept.token != nil || err != nil {
		return kept.token, kept.issued.Add(statusTTL), err
	}
	built, err := r.buildList(ctx, list)
	if err != nil {
		return nil, time.Time{}, err
	}
	r.mu.Lock()
	r.lists[list] = built
	r.mu.Unlock()
	return built.token, built.issued.Add(statusTTL), nil
}

func (r *Registry) statusListURI(id int64) string {
	return r.cfg.BaseURL + statusListPath + strconv.FormatInt(id, 10)
}

// freshList returns the kept list if no change was committed since, else none.
func (r *Registry) freshList(ctx context.Context, id int64) (signedList, error) {
	revision, err := listRevision(ctx, r.cfg.DB, id)
	if err != nil {
		return signedList{}, err
	}
	r.mu.Lock()
	kept, ok := r.lists[id]
	r.mu.Unlock()
	age := r.cfg.Now().Sub(kept.issued)
	if !ok || kept.revision != revision || age < 0 || age > statusTTL/2 {
		return signedList{}, nil
	}
	return kept, nil
}

func listRevision(ctx context.Context, q queryer, id int64) (revision int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT revision FROM license_status_lists WHERE id = $1`, id).Scan(&revision)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("%w: no status list %d", ErrNotFound, id)
	}
	if err != nil {
		return 0, fmt.Errorf("licenses: status list: %w", err)
	}
	return revision, nil
}

// buildList reads revision and statuses in one transaction and signs them.
func (r *Registry) buildList(ctx context.Context, id int64) (signedList, error) {
	var built signedList
	var list *sdjwt.StatusList
	err := r.cfg.DB.InTx(ctx, func(tx *sql.Tx) (err error) {
		if list, err = sdjwt.NewStatusList(listSize, statusBits); err != nil {
			return fmt.Errorf("licenses: status list: %w", err)
		}
		if built.revision, err = listRevision(ctx, tx, id); err != nil {
			return err
		}
		return fillList(ctx, tx, id, list)
	})
	if err != nil {
		return signedList{}, err
	}
	built.issued = r.cfg.Now()
	token, err := sdjwt.IssueStatusList(ctx, r.cfg.Keys, r.statusListURI(id), list, built.issued, built.issued.Add(statusLife), statusTTL)
	if err != nil {
		return signedList{}, fmt.Errorf("licenses: status list: %w", err)
	}
	built.token = []byte(token)
	return built, nil
}

func fillList(ctx context.Context, tx *sql.Tx, id int64, list *sdjwt.StatusList) error {
	_, err := collect(ctx, tx, func(scan func(...any) error) (struct{}, error) {
		var index int
		var status Status
		if err := scan(&index, &status); err != nil {
			return struct{}{}, err
		}
		entry := sdjwt.StatusInvalid
		if status == Suspended {
			entry = sdjwt.StatusSuspended
		}
		return struct{}{}, list.Set(index, entry)
	}, `SELECT status_index, status FROM licenses WHERE status_list = $1 AND status <> 'valid'`, id)
	if err != nil {
		return fmt.Errorf("licenses: status list: %w", err)
	}
	return nil
}
