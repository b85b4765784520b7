package licenses

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/onewindow/onewindow/exchange/sqldb"
)

const (
	// slotBits gives lists of 262,144 entries: 64 KiB before compression, some
	// KiB after it, and a crowd large enough to hide one licence in.
	slotBits = 18
	listSize = 1 << slotBits
	// halfBits is the half of an index that one round of slotIndex changes.
	halfBits = slotBits / 2
)

// series is what a serial is unique in.
type series struct{ licenseType, issuer string }

// reservation is a set of numbers that nobody else gets.
type reservation struct {
	serials map[series]int64 // first serial of each
	slots   []slot
}

// reserve takes count serials of each series and as many status slots as
// there are serials. It is committed before anything is signed.
func (r *Registry) reserve(ctx context.Context, counts map[series]int) (reservation, error) {
	if err := lock(ctx, r.hot); err != nil {
		return reservation{}, err
	}
	defer func() { <-r.hot }()
	for {
		got, err := r.reserveOnce(ctx, counts)
		// Two processes opened the same new status list; the next attempt sees it.
		if sqldb.Unique(err) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return reservation{}, fmt.Errorf("licenses: reserve numbers: %w", err)
		}
		return got, nil
	}
}

func (r *Registry) reserveOnce(ctx context.Context, counts map[series]int) (reservation, error) {
	var got reservation
	ordered := make([]series, 0, len(counts))
	for s := range counts {
		ordered = append(ordered, s)
	}
	// One order for everybody, so that two processes cannot wait for each other.
	slices.SortFunc(ordered, func(a, b series) int {
		return slices.Compare([]string{a.licenseType, a.issuer}, []string{b.licenseType, b.issuer})
	})
	err := r.cfg.DB.InTx(ctx, func(tx *sql.Tx) error {
		got = reservation{serials: make(map[series]int64, len(counts))}
		total := 0
		for _, s := range ordered {
			n := counts[s]
			var last int64
			if err := tx.QueryRowContext(ctx, `INSERT INTO license_serials (type, issuer, last_serial) VALUES ($1, $2, $3)
				ON CONFLICT (type, issuer) DO UPDATE SET last_serial = license_serials.last_serial + excluded.last_serial
				RETURNING last_serial`, s.licenseType, s.issuer, n).Scan(&last); err != nil {
				return err
			}
			got.serials[s] = last - int64(n) + 1
			total += n
		}
		for len(got.slots) < total {
			slots, err := reserveSlots(ctx, tx, total-len(got.slots))
			if err != nil {
				return err
			}
			got.slots = append(got.slots, slots...)
		}
		return nil
	})
	return got, err
}

// reserveSlots takes up to n slots of the first list that has any left, or of
// a new list.
func reserveSlots(ctx context.Context, tx *sql.Tx, n int) ([]slot, error) {
	var id, used int64
	var secret []byte
	err := tx.QueryRowContext(ctx, `SELECT id, secret, used FROM license_status_lists WHERE used < $1 ORDER BY id LIMIT 1`, listSize).
		Scan(&id, &secret, &used)
	if errors.Is(err, sql.ErrNoRows) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails: crypto/rand aborts instead
		err = tx.QueryRowContext(ctx, `INSERT INTO license_status_lists (id, secret, used, revision)
			SELECT COALESCE(MAX(id), 0) + 1, $1, 0, 0 FROM license_status_lists RETURNING id`, secret).Scan(&id)
	}
	if err != nil {
		return nil, err
	}
	n = min(n, int(listSize-used))
	if _, err := tx.ExecContext(ctx, `UPDATE license_status_lists SET used = used + $1 WHERE id = $2`, n, id); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	slots := make([]slot, n)
	for i := range slots {
		slots[i] = slot{list: id, index: slotIndex(block, uint32(used)+uint32(i))} //nolint:gosec // both are below listSize
	}
	return slots, nil
}

// slotIndex maps the n-th use of a list to its index by a permutation of
// [0, listSize) under the list's secret (a Feistel network of eight rounds).
// Indexes look random, as the Token Status List asks for, yet none repeats and
// none has to be searched for, however full the list is.
func slotIndex(secret cipher.Block, n uint32) int64 {
	const mask = 1<<halfBits - 1
	left, right := n>>halfBits, n&mask
	var in, out [aes.BlockSize]byte
	for round := range byte(8) {
		in[0] = round
		binary.BigEndian.PutUint32(in[1:], right)
		secret.Encrypt(out[:], in[:])
		left, right = right, left^binary.BigEndian.Uint32(out[:])&mask
	}
	return int64(left<<halfBits | right)
}
