package pki

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"
)

// maxSent is the number of certificates that may come along with one.
const maxSent = 16

// TrustConfig says whom to trust. All fields are DER.
type TrustConfig struct {
	// Roots are the authorities at which a path may end. Each must be a
	// certification authority; it need not be self-signed.
	Roots [][]byte
	// Intermediates are authorities that may be used without being sent along.
	Intermediates [][]byte
	// CRLs are revocation lists (RFC 5280 §5), in any order; of several that
	// speak of a certificate the newest counts. Each is used once its issuer
	// is in a path and its signature holds.
	CRLs [][]byte
	// RequireRevocation makes a certificate of which no current list speaks
	// fail with ErrRevocationUnknown. Without it such a certificate passes.
	RequireRevocation bool
}

// Trust checks certificates against fixed roots and revocation lists. It never
// changes, has no clock and asks nobody: new lists need a new Trust. It is
// safe for concurrent use, and remembers the paths that it found lately.
type Trust struct {
	roots, intermediates *smx509.CertPool
	own                  []*smx509.Certificate // those in the two pools
	lists                map[string][]*revocationList
	required             bool
	seen                 *memory
}

// Result is what Check found. Each error is nil if that part holds; a
// certificate that cannot be read fails in all four.
type Result struct {
	// Chain: a path to a root whose authorities are valid at the moment
	// (ErrChain, ErrPeriod of an authority, ErrMalformed, ErrKey).
	Chain error
	// Usage: the certificate may be used so (ErrUsage).
	Usage error
	// Period: the moment is within the certificate's validity (ErrPeriod).
	Period error
	// Revocation: neither the certificate nor an authority of the path was
	// revoked at the moment (ErrRevoked, ErrRevocationUnknown).
	Revocation error
	// RevokedAt is when the first certificate of the path was revoked, also
	// if that was later than the moment; zero if none was. A caller who has
	// the moment only from the signer should not rely on "later" if
	// RevokedFor is a compromise.
	RevokedAt time.Time
	// RevokedFor is the reason of that revocation, unless a certificate of the
	// path was revoked for a compromise at any time: then it is that reason,
	// so that an earlier harmless one does not hide it.
	RevokedFor Reason
	// Listed reports whether a current list speaks of the certificate itself.
	// Without one, a nil Revocation means that nothing was checked.
	Listed bool
	// Path is the path, certificate first and root last; nil without one.
	// It is shared: do not change it.
	Path []*smx509.Certificate
}

// Err joins the four errors: nil if everything holds.
func (r Result) Err() error { return errors.Join(r.Chain, r.Usage, r.Period, r.Revocation) }

func (r Result) faults() int {
	n := 0
	for _, err := range []error{r.Chain, r.Usage, r.Period, r.Revocation} {
		if err != nil {
			n++
		}
	}
	return n
}

// NewTrust reads the configuration. A certificate or list that cannot be read,
// a root or intermediate that is no authority, or a damaged self-signed one is
// an error that names its place.
func NewTrust(config TrustConfig) (*Trust, error) {
	t := &Trust{
		roots: smx509.NewCertPool(), intermediates: smx509.NewCertPool(),
		lists: map[string][]*revocationList{}, required: config.RequireRevocation,
		seen: newMemory(),
	}
	for _, group := range []struct {
		name string
		ders [][]byte
		pool *smx509.CertPool
	}{{"root", config.Roots, t.roots}, {"intermediate", config.Intermediates, t.intermediates}} {
		for i, data := range group.ders {
			cert, err := parseAuthority(data)
			if err != nil {
				return nil, fmt.Errorf("%s %d: %w", group.name, i, err)
			}
			t.own = append(t.own, cert)
			group.pool.AddCert(timeless(cert))
		}
	}
	for i, data := range config.CRLs {
		list, err := parseRevocationList(data)
		if err != nil {
			return nil, fmt.Errorf("revocation list %d: %w", i, err)
		}
		name := string(list.issuer)
		t.lists[name] = append(t.lists[name], list)
	}
	for _, lists := range t.lists {
		slices.SortStableFunc(lists, func(a, b *revocationList) int {
			return cmp.Or(b.thisUpdate.Compare(a.thisUpdate), b.number.Cmp(a.number))
		})
	}
	return t, nil
}

func parseAuthority(data []byte) (*smx509.Certificate, error) {
	cert, err := ParseCertificate(data)
	if err != nil {
		return nil, err
	}
	if err := checkAuthority(cert); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	if bytes.Equal(cert.RawSubject, cert.RawIssuer) {
		if err := checkLink(cert, cert); err != nil {
			return nil, fmt.Errorf("%w: self-signed: %w", ErrChain, err)
		}
	}
	return cert, nil
}

// Check judges a certificate in DER, with the certificates that were sent
// along (at most 16, any order), at a moment and for a use. Expiry of the
// certificate itself is in Period alone, so a caller may judge by the time of
// signing; everything that needs a time uses at. Of several paths the one with
// the fewest faults counts.
func (t *Trust) Check(cert []byte, extra [][]byte, at time.Time, usage Usage) Result {
	leaf, err := t.look(cert, extra)
	if err != nil {
		return Result{Chain: err, Usage: err, Period: err, Revocation: err}
	}
	period := checkPeriod(leaf.cert, at)
	if len(leaf.paths) == 0 {
		r := Result{Chain: leaf.fault, Usage: checkUsage(leaf.cert, nil, usage), Period: period}
		if t.required {
			r.Revocation = fmt.Errorf("%w: no path", ErrRevocationUnknown)
		}
		return r
	}
	var best Result
	for i, p := range leaf.paths {
		r := Result{Period: period, Usage: checkUsage(leaf.cert, p.certs[1:], usage), Path: p.certs}
		for _, ca := range p.certs[1:] {
			if err := checkPeriod(ca, at); err != nil {
				r.Chain = fmt.Errorf("%w: authority %q: %w", ErrChain, ca.Subject.CommonName, err)
				break
			}
		}
		r.RevokedAt, r.RevokedFor, r.Revocation = p.revocation(at, t.required)
		if len(p.lists) > 0 { // a root has none
			_, _, r.Listed = verdict(p.lists[0], leaf.cert, at)
		}
		if i == 0 || r.faults() < best.faults() {
			best = r
		}
	}
	return best
}

func checkPeriod(cert *smx509.Certificate, at time.Time) error {
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return fmt.Errorf("%w: %s is not within %s to %s", ErrPeriod,
			at.UTC().Format(time.RFC3339), cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// revocation judges every certificate of the path but the root.
func (p path) revocation(at time.Time, required bool) (first time.Time, why Reason, err error) {
	for i, cert := range p.certs[:len(p.certs)-1] {
		entry, revoked, known := verdict(p.lists[i], cert, at)
		if revoked && !why.Compromise() && (entry.reason.Compromise() || first.IsZero() || entry.at.Before(first)) {
			why = entry.reason
		}
		if revoked && (first.IsZero() || entry.at.Before(first)) {
			first = entry.at
		}
		switch {
		case err != nil: // the first fault is told
		case revoked && !entry.at.After(at):
			err = fmt.Errorf("%w: %q at %s: %v", ErrRevoked, cert.Subject.CommonName, entry.at.UTC().Format(time.RFC3339), entry.reason)
		case !known && required:
			err = fmt.Errorf("%w: no current list speaks of %q; fetch the list of %q", ErrRevocationUnknown, cert.Subject.CommonName, cert.Issuer.CommonName)
		}
	}
	return first, why, err
}
