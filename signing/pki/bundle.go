package pki

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/smx509"
)

// maxBundle is the size in bytes of the largest bundle of certificates read.
const maxBundle = 512 << 10

// ImportChain reads what an authority sent back for a request: PEM blocks
// CERTIFICATE with whatever text between them, or certificates in DER one
// after the other, in any order. It returns the certificates in DER, the one
// for the key public first, each followed by its issuer, as far as they go. A
// certificate that is not part of that chain, a link whose signature does not
// hold, and any other kind of PEM block are errors; a certificate that appears
// twice is taken once. Whether the chain is trusted is for Trust to say.
func ImportChain(data []byte, public crypto.PublicKey) ([][]byte, error) {
	certs, err := parseBundle(data)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(certs, func(c *smx509.Certificate) bool { return sameKey(c.PublicKey, public) })
	if i < 0 {
		return nil, fmt.Errorf("%w: none of the %d certificates is for this key; was the request sent made with it?", ErrKey, len(certs))
	}
	cert := certs[i]
	chain := [][]byte{cert.Raw}
	rest := slices.Delete(certs, i, i+1)
	for len(rest) > 0 {
		i := slices.IndexFunc(rest, func(c *smx509.Certificate) bool {
			return checkAuthority(c) == nil && checkLink(cert, c) == nil
		})
		if i < 0 {
			return nil, fmt.Errorf("%w: %q is not an issuer in the chain of %q", ErrChain, rest[0].Subject.CommonName, cert.Subject.CommonName)
		}
		cert = rest[i]
		chain = append(chain, cert.Raw)
		rest = slices.Delete(rest, i, i+1)
	}
	return chain, nil
}

// parseBundle reads the certificates in their order, each once.
func parseBundle(data []byte) ([]*smx509.Certificate, error) {
	if len(data) > maxBundle {
		return nil, fmt.Errorf("%w: bundle of %d bytes, the limit is %d", ErrMalformed, len(data), maxBundle)
	}
	ders, err := splitBundle(data)
	if err != nil {
		return nil, err
	}
	var certs []*smx509.Certificate
	for i, data := range ders {
		cert, err := ParseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the bundle: %w", i, err)
		}
		if !slices.ContainsFunc(certs, func(c *smx509.Certificate) bool { return bytes.Equal(c.Raw, cert.Raw) }) {
			certs = append(certs, cert)
		}
		if len(certs) > maxSent {
			return nil, fmt.Errorf("%w: more than %d certificates in the bundle", ErrMalformed, maxSent)
		}
	}
	return certs, nil
}

func splitBundle(data []byte) (ders [][]byte, err error) {
	begin := []byte("-----BEGIN ")
	if !bytes.Contains(data, begin) {
		for len(data) > 0 {
			_, _, rest, err := splitElement(data)
			if err != nil {
				return nil, fmt.Errorf("%w: bundle is neither PEM nor DER: %w", ErrMalformed, err)
			}
			ders = append(ders, data[:len(data)-len(rest)])
			data = rest
		}
		return ders, nil
	}
	for bytes.Contains(data, begin) {
		block, rest := pem.Decode(data)
		// pem.Decode passes over blocks that it cannot read: that would be
		// to accept half a file.
		if block == nil || bytes.Count(data[:len(data)-len(rest)], begin) != 1 {
			return nil, fmt.Errorf("%w: damaged PEM block", ErrMalformed)
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w: PEM block %.40q; send the certificates alone", ErrMalformed, block.Type)
		}
		ders, data = append(ders, block.Bytes), rest
	}
	return ders, nil
}
