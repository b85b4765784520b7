package licenses

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
)

// Counts are how many licences have each status.
type Counts struct{ Valid, Suspended, Revoked int64 }

// Page is a part of a list.
type Page struct {
	// Licenses come newest first, without their tokens.
	Licenses []License
	// Next is the token of the next page, empty at the end.
	Next string
	// Counts are of all licences, whatever the filter.
	Counts Counts
}

// cursor is what a page token holds: the last licence of the page before.
type cursor struct {
	IssuedAt int64  `json:"t"`
	Number   string `json:"n"`
	// Filter binds the token to its list. Two bytes of a digest find a token
	// used for another list, and are too few to tell whose list it was.
	Filter string `json:"f"`
}

// Filter narrows a list of licences; empty members do not.
type Filter struct {
	// Holder is a citizen number or USCC.
	Holder string
	// Department is the code of the issuing department.
	Department string
	// Type is the code of a licence type.
	Type string
}

// check refuses a filter that can match nothing: a holder that is no
// identifier, a department or type that does not exist, and for a department's
// own system another department.
func (r *Registry) check(ctx context.Context, f Filter, caller access.Identity) error {
	if f.Holder != "" && !exchange.ValidCitizenNumber(f.Holder) && !exchange.ValidUSCC(f.Holder) {
		return fmt.Errorf("%w: the holder must be an 18-character citizen number or unified social credit code with a right check character", ErrInvalid)
	}
	if f.Department != "" {
		if caller.Role == access.Department && caller.Department != f.Department {
			return fmt.Errorf("%w: this token lists the licences of department %q, not of %q", ErrForbidden, caller.Department, f.Department)
		}
		if _, err := r.cfg.Departments.Department(ctx, f.Department); err != nil {
			return err
		}
	}
	if f.Type != "" {
		if _, err := r.licenseType(ctx, f.Type); err != nil {
			return err
		}
	}
	return nil
}

// List returns up to size licences (0 means 50, the ceiling is 500) that pass
// the filter. A department's own system sees its own only. A page token
// belongs to the filter it was made for. Errors: [ErrInvalid], [ErrForbidden],
// [ErrUnknownType], [exchange.ErrUnknownDepartment].
func (r *Registry) List(ctx context.Context, f Filter, size int, pageToken string) (Page, error) {
	size, err := pageSize(size, 50, 500)
	if err != nil {
		return Page{}, err
	}
	id, ok := access.FromContext(ctx)
	if !ok {
		return Page{}, fmt.Errorf("%w: the caller is not known", ErrForbidden)
	}
	if err := r.check(ctx, f, id); err != nil {
		return Page{}, err
	}
	if id.Role == access.Department {
		f.Department = id.Department
	}
	digest := sha256.Sum256([]byte(f.Holder + "\x00" + f.Department + "\x00" + f.Type))
	filter := base64.RawURLEncoding.EncodeToString(digest[:2])
	from := cursor{IssuedAt: math.MaxInt64, Filter: filter}
	if pageToken != "" {
		from = cursor{}
		raw, err := base64.RawURLEncoding.DecodeString(pageToken)
		if err != nil || json.Unmarshal(raw, &from) != nil || from.Filter != filter {
			return Page{}, errPageToken()
		}
	}
	var page Page
	if page.Licenses, err = r.listFrom(ctx, f, from, size+1); err != nil {
		return Page{}, err
	}
	if len(page.Licenses) > size {
		page.Licenses = page.Licenses[:size]
		last := page.Licenses[size-1]
		raw, err := json.Marshal(cursor{IssuedAt: last.IssueTime.UnixMicro(), Number: last.Number, Filter: filter})
		if err != nil {
			return Page{}, fmt.Errorf("licenses: list: %w", err)
		}
		page.Next = base64.RawURLEncoding.EncodeToString(raw)
	}
	page.Counts, err = r.counts(ctx)
	return page, err
}

func (r *Registry) listFrom(ctx context.Context, f Filter, from cursor, limit int) ([]License, error) {
	query := `SELECT ` + listColumns + ` FROM licenses WHERE (issued_at, number) < ($1, $2)`
	args := []any{from.IssuedAt, from.Number}
	for _, narrow := range []struct{ column, value string }{{"holder", f.Holder}, {"department", f.Department}, {"type", f.Type}} {
		if narrow.value != "" {
			args = append(args, narrow.value)
			query += ` AND ` + narrow.column + ` = $` + strconv.Itoa(len(args))
		}
	}
	args = append(args, limit)
	query += ` ORDER BY issued_at DESC, number DESC LIMIT $` + strconv.Itoa(len(args))
	all, err := collect(ctx, r.cfg.DB, func(scan func(...any) error) (License, error) {
		var row licenseRow
		err := scan(row.columns()...)
		return row.license(), err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("licenses: list: %w", err)
	}
	return all, nil
}

// counts reads the running totals that issues and changes keep.
func (r *Registry) counts(ctx context.Context) (c Counts, err error) {
	err = r.cfg.DB.QueryRowContext(ctx, `SELECT
		COALESCE(SUM(CASE WHEN status = 'valid' THEN total ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN status = 'suspended' THEN total ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN status = 'revoked' THEN total ELSE 0 END), 0) FROM license_counts`).
		Scan(&c.Valid, &c.Suspended, &c.Revoked)
	if err != nil {
		return Counts{}, fmt.Errorf("licenses: count: %w", err)
	}
	return c, nil
}

// pageSize applies the default and the ceiling.
func pageSize(size, usual, ceiling int) (int, error) {
	if size < 0 {
		return 0, fmt.Errorf("%w: page size %d is negative", ErrInvalid, size)
	}
	if size == 0 {
		size = usual
	}
	return min(size, ceiling), nil
}

func errPageToken() error {
	return fmt.Errorf("%w: the page token is not one of this list: begin again without one", ErrInvalid)
}
