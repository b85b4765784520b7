package service

import (
	"fmt"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/keys"
)

// Expiry is the end of a certificate that a key signs with.
type Expiry struct {
	Line, KeyID string
	// Subject is the common name in the certificate that ends first of the key's chain.
	Subject string
	End     time.Time
}

// FirstExpiry returns the certificate, of those of all active keys and the
// authorities above them, that ends first. Without certificates End is zero.
func (s *Service) FirstExpiry() (Expiry, error) {
	var first Expiry
	for _, key := range s.ring.List() {
		if key.State != keys.Active {
			continue
		}
		for _, der := range key.Chain {
			certificate, err := smx509.ParseCertificate(der)
			if err != nil {
				return Expiry{}, fmt.Errorf("certificate of key %s of line %s: %w", key.ID, key.Line, err)
			}
			if first.End.IsZero() || certificate.NotAfter.Before(first.End) {
				first = Expiry{Line: key.Line, KeyID: key.ID, Subject: certificate.Subject.CommonName, End: certificate.NotAfter}
			}
		}
	}
	return first, nil
}
