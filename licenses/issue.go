package licenses

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

const (
	// MaxBatch is how many licences [Registry.BatchIssue] issues at most.
	MaxBatch = 500
	// firstVersion is the version of every number; renewal is yet to come.
	firstVersion = "001"
	// vctPrefix and a licence type code are the vct of a token.
	vctPrefix = "urn:onewindow:license:"
	// issueAttempts bounds how often a batch is begun again because another
	// call issued one of its requests in the meantime.
	issueAttempts = 5
	// countShards spreads the running totals over rows, so that processes
	// seldom wait for each other.
	countShards = 16
)

// requestKey is what a request is repeated by.
type requestKey struct{ department, id string }

// Issue issues one licence; see [Registry.BatchIssue].
func (r *Registry) Issue(ctx context.Context, q Request) (License, error) {
	issued, err := r.BatchIssue(ctx, []Request{q})
	if err != nil {
		return License{}, err
	}
	return issued[0], nil
}

// BatchIssue issues 1 to [MaxBatch] licences, all or none, and returns them in
// the order of the requests when they are on disk. A request id that the
// department has used before stands for the licence of then, which is returned
// in its present state. The caller must be an administrator or the system of
// every department named.
//
// Errors name the first faulty request: [ErrInvalid], [ErrForbidden],
// [ErrUnknownType], [ErrConflict], [exchange.ErrUnknownDepartment]. After
// another error the same requests may be sent again without harm. Serials of
// a type and issuer rise but may have gaps.
func (r *Registry) BatchIssue(ctx context.Context, requests []Request) ([]License, error) {
	if len(requests) == 0 || len(requests) > MaxBatch {
		return nil, fmt.Errorf("%w: a batch has 1 to %d requests, not %d", ErrInvalid, MaxBatch, len(requests))
	}
	drafts := make([]draft, len(requests))
	for i, q := range requests {
		if !access.MayActFor(ctx, q.Department) {
			return nil, fmt.Errorf("request %d: %w: the caller may not issue for department %q", i, ErrForbidden, q.Department)
		}
		var err error
		if drafts[i], err = newDraft(q); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	var issued []License
	var err error
	for range issueAttempts {
		// A unique key is violated when another call used one of the request
		// ids in the meantime: the next attempt finds its licence.
		if issued, err = r.issueMissing(ctx, drafts); !sqldb.Unique(err) {
			return issued, err
		}
	}
	return nil, fmt.Errorf("licenses: issue: gave up after %d attempts: %w", issueAttempts, err)
}

// issueMissing returns the licences of the drafts and issues those that do
// not exist yet.
func (r *Registry) issueMissing(ctx context.Context, drafts []draft) ([]License, error) {
	known, err := r.issuedBefore(ctx, drafts)
	if err != nil {
		return nil, err
	}
	var missing []draft
	for i, d := range drafts {
		key := requestKey{d.Department, d.RequestID}
		first, ok := known[key]
		if ok && string(first.digest) != string(d.digest) {
			return nil, fmt.Errorf("request %d: %w: department %s sent request id %q with other content; use a new id for a new licence",
				i, ErrConflict, d.Department, d.RequestID)
		}
		if !ok {
			known[key] = issuedLicense{digest: d.digest}
			missing = append(missing, d)
		}
	}
	if len(missing) > 0 {
		fresh, err := r.issueNew(ctx, missing)
		if err != nil {
			return nil, err
		}
		for i, d := range missing {
			known[requestKey{d.Department, d.RequestID}] = issuedLicense{License: fresh[i]}
		}
	}
	all := make([]License, len(drafts))
	for i, d := range drafts {
		all[i] = known[requestKey{d.Department, d.RequestID}].License
	}
	return all, nil
}

// issueNew reserves numbers, signs without holding a transaction, and stores
// all in one.
func (r *Registry) issueNew(ctx context.Context, drafts []draft) ([]License, error) {
	now := r.cfg.Now().UTC().Truncate(time.Microsecond)
	licenses := make([]License, len(drafts))
	types := map[string]Type{}
	issuers := map[string]string{} // USCC by department code
	counts := map[series]int{}
	for i, d := range drafts {
		if _, ok := types[d.Type]; !ok {
			t, err := r.licenseType(ctx, d.Type)
			if err != nil {
				return nil, fmt.Errorf("request id %q: %w", d.RequestID, err)
			}
			types[d.Type] = t
		}
		if _, ok := issuers[d.Department]; !ok {
			department, err := r.cfg.Departments.Department(ctx, d.Department)
			if err != nil {
				return nil, fmt.Errorf("request id %q: %w", d.RequestID, err)
			}
			issuers[d.Department] = department.USCC
		}
		if !d.ValidUntil.IsZero() && !d.ValidUntil.After(now) {
			return nil, fmt.Errorf("request id %q: %w: valid_until has passed: an expired licence cannot be issued", d.RequestID, ErrInvalid)
		}
		licenses[i] = d.license(issuers[d.Department], now)
		counts[series{d.Type, issuers[d.Department]}]++
	}
	got, err := r.reserve(ctx, counts)
	if err != nil {
		return nil, err
	}
	for i := range licenses {
		l := &licenses[i]
		s := series{l.Type, l.Issuer}
		number, err := NewNumber(l.Type, l.Issuer, fmt.Sprintf("%09d", got.serials[s]), firstVersion)
		if err != nil {
			return nil, err
		}
		got.serials[s]++
		l.Number, l.slot = number.String(), got.slots[i]
	}
	if err := r.signAll(ctx, licenses, drafts, types); err != nil {
		return nil, err
	}
	if err := r.store(ctx, licenses, drafts); err != nil {
		return nil, err
	}
	r.cfg.Logger.InfoContext(ctx, "licences issued", slog.Int("count", len(licenses)), slog.String("first", licenses[0].Number))
	return licenses, nil
}

// license is the draft without what is still to be reserved and signed.
func (d draft) license(issuer string, now time.Time) License {
	l := License{
		Type: d.Type, Issuer: issuer, Department: d.Department, Holder: d.Holder, HolderName: d.HolderName,
		Status: Valid, IssueTime: now, ValidFrom: d.ValidFrom, ValidUntil: d.ValidUntil,
	}
	if l.ValidFrom.IsZero() {
		l.ValidFrom = now.Truncate(time.Second)
	}
	return l
}

// signAll makes the SD-JWT VCs of the licences, all or none.
func (r *Registry) signAll(ctx context.Context, licenses []License, drafts []draft, types map[string]Type) error {
	claims := make([]sdjwt.Claims, len(licenses))
	for i, l := range licenses {
		claims[i] = r.claims(l, drafts[i], types[l.Type])
	}
	tokens, err := sdjwt.Issue(ctx, r.cfg.Keys, claims...)
	if errors.Is(err, signing.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err != nil {
		return fmt.Errorf("licenses: sign: %w", err)
	}
	for i := range licenses {
		licenses[i].Token = tokens[i]
	}
	return nil
}

// claims are what the token of a licence says.
func (r *Registry) claims(l License, d draft, t Type) sdjwt.Claims {
	body := map[string]any{
		claimNumber: l.Number, claimIssuer: l.Issuer, claimHolder: l.Holder, claimHolderName: l.HolderName,
	}
	disclosable := []string{claimHolder, claimHolderName}
	for name, raw := range d.claims {
		body[name] = raw
	}
	for _, name := range t.Disclosable {
		if _, ok := d.claims[name]; ok {
			disclosable = append(disclosable, name)
		}
	}
	return sdjwt.Claims{
		Issuer: r.cfg.BaseURL, Type: vctPrefix + l.Type,
		IssuedAt: l.IssueTime, NotBefore: l.ValidFrom, Expires: l.ValidUntil,
		Status: &sdjwt.StatusRef{URI: r.statusListURI(l.slot.list), Index: int(l.slot.index)},
		Body:   body, Disclosable: disclosable,
	}
}

// store writes licences and their events in one transaction.
func (r *Registry) store(ctx context.Context, licenses []License, drafts []draft) error {
	msgs := make([]bus.Message, len(licenses))
	for i, l := range licenses {
		var err error
		if msgs[i], err = event(l, TypeIssued, l.IssueTime); err != nil {
			return err
		}
	}
	return r.cfg.DB.InTx(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO licenses (request_id, request_digest, `+licenseColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`)
		if err != nil {
			return fmt.Errorf("licenses: store: %w", err)
		}
		defer func() { _ = insert.Close() }() // the transaction's end closes it anyway
		for i, l := range licenses {
			var until sql.NullInt64
			if !l.ValidUntil.IsZero() {
				until = sql.NullInt64{Int64: l.ValidUntil.UnixMicro(), Valid: true}
			}
			if _, err := insert.ExecContext(ctx, drafts[i].RequestID, drafts[i].digest,
				l.Number, l.Type, l.Issuer, l.Department, l.Holder, l.HolderName, string(l.Status), l.StatusReason, l.changes,
				l.IssueTime.UnixMicro(), l.ValidFrom.UnixMicro(), until, l.slot.list, l.slot.index, l.Token); err != nil {
				return fmt.Errorf("licenses: store: %w", err)
			}
		}
		if err := count(ctx, tx, licenses[0].slot, Valid, len(licenses)); err != nil {
			return err
		}
		return r.cfg.Outbox.Put(ctx, tx, msgs...)
	})
}

// count adds to the running total of a status.
func count(ctx context.Context, tx *sql.Tx, at slot, status Status, change int) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO license_counts (shard, status, total) VALUES ($1, $2, $3)
		ON CONFLICT (shard, status) DO UPDATE SET total = license_counts.total + excluded.total`,
		at.index%countShards, string(status), change); err != nil {
		return fmt.Errorf("licenses: count: %w", err)
	}
	return nil
}

// issuedLicense is a licence with what it was asked by.
type issuedLicense struct {
	License
	requestID string
	digest    []byte
}

// issuedBefore finds the licences of the requests that were made before.
func (r *Registry) issuedBefore(ctx context.Context, drafts []draft) (map[requestKey]issuedLicense, error) {
	known := map[requestKey]issuedLicense{}
	ids := map[string][]any{}
	for _, d := range drafts {
		ids[d.Department] = append(ids[d.Department], d.RequestID)
	}
	for department, of := range ids {
		marks := make([]string, len(of))
		for i := range of {
			marks[i] = "$" + strconv.Itoa(i+2)
		}
		found, err := collect(ctx, r.cfg.DB, scanIssued, `SELECT `+licenseColumns+`, request_id, request_digest FROM licenses
			WHERE department = $1 AND request_id IN (`+strings.Join(marks, ", ")+`)`, append([]any{department}, of...)...)
		if err != nil {
			return nil, fmt.Errorf("licenses: find requests: %w", err)
		}
		for _, l := range found {
			known[requestKey{department, l.requestID}] = l
		}
	}
	return known, nil
}

func scanIssued(scan func(...any) error) (issuedLicense, error) {
	var row licenseRow
	var l issuedLicense
	if err := scan(append(row.columns(), &row.Token, &l.requestID, &l.digest)...); err != nil {
		return issuedLicense{}, err
	}
	l.License = row.license()
	return l, nil
}
