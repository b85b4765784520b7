package pki

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/durable"
	"github.com/onewindow/onewindow/signing/internal/strict"
)

const revokedFile = "revoked.json"

// revocations is what revoked.json holds.
type revocations struct {
	number  int64 // of the last revocation list
	entries map[string]revocation
}

type revocationsFile struct {
	Number  int64        `json:"number"`
	Revoked []revokedRow `json:"revoked"`
}

type revokedRow struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`
	Reason Reason    `json:"reason"`
}

func parseRevocations(data []byte) (revocations, error) {
	var file revocationsFile
	if _, err := strict.Object(data); err != nil {
		return revocations{}, err
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return revocations{}, err
	}
	r := revocations{number: file.Number, entries: map[string]revocation{}}
	for _, row := range file.Revoked {
		if _, err := hex.DecodeString(row.Serial); err != nil || row.At.IsZero() || !row.Reason.known() || file.Number < 0 {
			return revocations{}, fmt.Errorf("bad entry %.80q", row.Serial)
		}
		if _, twice := r.entries[row.Serial]; twice {
			return revocations{}, fmt.Errorf("serial number %.80q appears twice", row.Serial)
		}
		r.entries[row.Serial] = revocation{row.At, row.Reason}
	}
	return r, nil
}

func (r revocations) marshal() ([]byte, error) {
	file := revocationsFile{Number: r.number, Revoked: []revokedRow{}}
	for _, serial := range slices.Sorted(maps.Keys(r.entries)) {
		e := r.entries[serial]
		file.Revoked = append(file.Revoked, revokedRow{serial, e.at, e.reason})
	}
	return json.MarshalIndent(file, "", " ")
}

func (r Reason) known() bool {
	return r >= Unspecified && r <= AACompromise && r != 7 && r != 8
}

// Revoke revokes a certificate issued here, for good, from at on (whole
// seconds, not in the future). It is on disk when Revoke returns; the next CRL
// holds it. Repeating a call is no error; another reason or time for a
// certificate already revoked is ErrRevoked, a serial number never issued
// ErrNotFound. A hold (CertificateHold) cannot be lifted.
func (a *Authority) Revoke(ctx context.Context, serial *big.Int, reason Reason, at time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	at = at.UTC().Truncate(time.Second)
	name := serialName(serial)
	cert := a.issued[name]
	if cert == nil {
		return fmt.Errorf("%w: serial number %s was not issued here", ErrNotFound, name)
	}
	if !reason.known() {
		return fmt.Errorf("%w: revocation for %v", ErrProfile, reason)
	}
	if at.Before(cert.NotBefore) || at.After(a.now()) {
		return fmt.Errorf("%w: revocation at %s, before the certificate or in the future", ErrProfile, at.Format(time.RFC3339))
	}
	if e, done := a.revoked.entries[name]; done {
		if e.at.Equal(at) && e.reason == reason {
			return nil
		}
		return fmt.Errorf("%w: already at %s: %v", ErrRevoked, e.at.Format(time.RFC3339), e.reason)
	}
	next := revocations{a.revoked.number, maps.Clone(a.revoked.entries)}
	if next.entries == nil {
		next.entries = map[string]revocation{}
	}
	next.entries[name] = revocation{at, reason}
	return a.keep(next)
}

// keep makes next the revocations, on disk first.
func (a *Authority) keep(next revocations) error {
	data, err := next.marshal()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(a.dir, revokedFile, data); err != nil {
		return fmt.Errorf("%w: keep the revocations: %w", ErrFolder, err)
	}
	a.revoked, a.list = next, nil
	return nil
}

// currentList is the last revocation list made.
type currentList struct {
	der []byte
	at  time.Time
}

// CRL returns the revocation list in DER (RFC 5280 §5): all that was ever
// revoked, also what has expired, as it says in the extension
// expiredCertsOnCRL (X.509 §9.5.2). Until something is revoked, or half of the
// list's life is over, it is the same one; then its number rises. The number
// is on disk before the list is handed out, and follows the clock so that it
// rises even after a backup was restored.
func (a *Authority) CRL(ctx context.Context) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := a.now().UTC().Truncate(time.Second)
	if l := a.list; l != nil && !now.Before(l.at) && now.Before(l.at.Add(a.life/2)) {
		return slices.Clone(l.der), nil
	}
	next := revocations{max(a.revoked.number+1, now.Unix()), a.revoked.entries}
	if err := a.keep(next); err != nil {
		return nil, err
	}
	data, err := a.signList(now)
	if err != nil {
		return nil, err
	}
	a.list = &currentList{data, now}
	return slices.Clone(data), nil
}

func (a *Authority) signList(now time.Time) ([]byte, error) {
	since, err := asn1.MarshalWithParams(a.by.cert.NotBefore.UTC(), "generalized")
	if err != nil {
		return nil, err
	}
	template := &x509.RevocationList{
		Number: big.NewInt(a.revoked.number), ThisUpdate: now, NextUpdate: now.Add(a.life),
		ExtraExtensions: []pkix.Extension{{Id: oidExpiredOnList, Value: since}},
	}
	for _, name := range slices.Sorted(maps.Keys(a.revoked.entries)) {
		serial, ok := new(big.Int).SetString(name, 16)
		if !ok {
			return nil, fmt.Errorf("%w: serial number %q", ErrFolder, name)
		}
		e := a.revoked.entries[name]
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.at, ReasonCode: int(e.reason)})
	}
	data, err := smx509.CreateRevocationList(rand.Reader, template, a.by.cert, a.by.signer)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	list, err := parseRevocationList(data)
	if err != nil {
		return nil, fmt.Errorf("read the revocation list again: %w", err)
	}
	if !list.signedBy(a.by.cert) || len(list.entries) != len(a.revoked.entries) {
		return nil, errors.New("pki: the revocation list came out wrong")
	}
	return data, nil
}
