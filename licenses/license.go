package licenses

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange/access"
)

// Status is the state of a licence, apart from its validity in time.
type Status string

// The statuses: 有效, 暂扣, 撤销/吊销/注销.
const (
	Valid     Status = "valid"
	Suspended Status = "suspended"
	Revoked   Status = "revoked"
)

// License is an issued licence.
type License struct {
	// Number is its GB/T 36904 identifier (证照标识).
	Number string
	// Type is its licence type code, Issuer the USCC and Department the code
	// of the department that issued it.
	Type, Issuer, Department string
	// Holder is a citizen number or USCC.
	Holder, HolderName string
	Status             Status
	// StatusReason is why the status changed last; empty if it never did.
	StatusReason string
	// IssueTime is exact to the microsecond, the validity to the second.
	IssueTime, ValidFrom time.Time
	// ValidUntil is the first moment at which it is not valid any more; zero
	// means unlimited (长期).
	ValidUntil time.Time
	// Token is the SD-JWT VC with all disclosures. Lists leave it out.
	Token string

	changes int64 // of status
	slot    slot
}

// slot is a place in a status list.
type slot struct{ list, index int64 }

// The columns of a licence as [licenseRow] takes them.
const (
	listColumns = `number, type, issuer, department, holder, holder_name, status, status_reason, changes,
		issued_at, valid_from, valid_until, status_list, status_index`
	licenseColumns = listColumns + `, token`
)

// licenseRow is where a row of listColumns is scanned to.
type licenseRow struct {
	License
	issued, from int64
	until        sql.NullInt64
}

func (row *licenseRow) columns() []any {
	return []any{
		&row.Number, &row.Type, &row.Issuer, &row.Department, &row.Holder, &row.HolderName, &row.Status, &row.StatusReason, &row.changes,
		&row.issued, &row.from, &row.until, &row.slot.list, &row.slot.index,
	}
}

func (row *licenseRow) license() License {
	l := row.License
	l.IssueTime = time.UnixMicro(row.issued).UTC()
	l.ValidFrom = time.UnixMicro(row.from).UTC()
	if row.until.Valid {
		l.ValidUntil = time.UnixMicro(row.until.Int64).UTC()
	}
	return l
}

func scanLicense(scan func(...any) error) (License, error) {
	var row licenseRow
	if err := scan(append(row.columns(), &row.Token)...); err != nil {
		return License{}, err
	}
	return row.license(), nil
}

// Get returns one licence. A department's own system sees its own only. It
// returns [ErrNumber], [ErrCheck], [ErrNotFound] or [ErrForbidden].
func (r *Registry) Get(ctx context.Context, number string) (License, error) {
	if _, err := ParseNumber(number); err != nil {
		return License{}, err
	}
	l, err := find(ctx, r.cfg.DB, number)
	if err != nil {
		return License{}, err
	}
	if id, ok := access.FromContext(ctx); !ok || id.Role == access.Department && id.Department != l.Department {
		return License{}, fmt.Errorf("%w: %s was issued by another department", ErrForbidden, number)
	}
	return l, nil
}

// queryer is a database or a transaction of it.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, q queryer, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has told all there is
	var all []T
	for rows.Next() {
		item, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, rows.Err()
}

// find returns the licence with a number or [ErrNotFound].
func find(ctx context.Context, q queryer, number string) (License, error) {
	l, err := scanLicense(q.QueryRowContext(ctx, `SELECT `+licenseColumns+` FROM licenses WHERE number = $1`, number).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return License{}, fmt.Errorf("%w: no licence has the number %s here", ErrNotFound, number)
	}
	if err != nil {
		return License{}, fmt.Errorf("licenses: find: %w", err)
	}
	return l, nil
}
