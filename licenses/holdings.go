package licenses

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

// Holdings answers what licences a holder has, for the resolution of
// materials. It is apart from [Registry] because the exchange needs it before
// it has the outbox that a registry needs.
type Holdings struct {
	db  *sqldb.DB
	now func() time.Time
}

var _ exchange.Licenses = (*Holdings)(nil)

// NewHoldings returns holdings of a database that [New] has migrated before
// the first question.
func NewHoldings(db *sqldb.DB, now func() time.Time) *Holdings {
	return &Holdings{db: db, now: now}
}

// Held returns the best licence of a type that a holder (citizen number or
// USCC) has: of those that are valid now the one that lasts longest, else of
// all others the one that lasts longest, with a note why it does not count. It
// does not ask who calls: its caller has named a purpose.
func (h *Holdings) Held(ctx context.Context, holder, licenseType string) (exchange.HeldLicense, error) {
	now := h.now()
	l, err := scanLicense(h.db.QueryRowContext(ctx, `SELECT `+licenseColumns+` FROM licenses WHERE holder = $1 AND type = $2
		ORDER BY CASE WHEN status = 'valid' AND valid_from <= $3 AND (valid_until IS NULL OR valid_until > $3) THEN 0 ELSE 1 END,
		CASE WHEN valid_until IS NULL THEN 0 ELSE 1 END, valid_until DESC, issued_at DESC LIMIT 1`,
		holder, licenseType, now.UnixMicro()).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return exchange.HeldLicense{}, nil
	}
	if err != nil {
		return exchange.HeldLicense{}, fmt.Errorf("licenses: held: %w", err)
	}
	held := exchange.HeldLicense{Number: l.Number}
	verdict, detail := l.standing(now)
	if held.Valid = verdict == VerdictValid; !held.Valid {
		held.Note = detail
	}
	return held, nil
}
