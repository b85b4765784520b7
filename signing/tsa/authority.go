package tsa

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/pki"
)

// Config is what an Authority works with.
type Config struct {
	// Signer is a key on P-256, which gets digests of SHA-256, or on SM2,
	// which gets whole messages and sm2.DefaultSM2SignerOpts. It must allow
	// concurrent use.
	Signer crypto.Signer
	// Chain has the signer's certificate, for timestamps alone, and then the
	// certificates above it. Tokens carry all but self-signed authorities.
	Chain [][]byte
	// Policy is the policy that tokens name. Without one it is anyPolicy,
	// 2.5.29.32.0 (RFC 5280 §4.2.1.4), which promises nothing in particular.
	Policy asn1.ObjectIdentifier
	// Accuracy is how far the clock may be off, in whole microseconds; it is
	// at least one second, since tokens have whole seconds. 0 leaves it out.
	Accuracy time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger gets the authority's own failures; nil is none.
	Logger *slog.Logger
}

// Authority answers requests for timestamps (RFC 3161). It is cheap to make,
// holds no state and is safe for concurrent use.
type Authority struct {
	signer   signer
	leaf     *smx509.Certificate
	policy   asn1.ObjectIdentifier
	accuracy time.Duration
	now      func() time.Time
	logger   *slog.Logger
}

// New checks the configuration: ErrConfig if something is missing or the
// certificate is not the key's, ErrAlgorithm for other kinds of keys,
// ErrCertificate if it may not sign timestamps.
func New(config Config) (*Authority, error) {
	if config.Signer == nil || len(config.Chain) == 0 || len(config.Chain) > maxMembers {
		return nil, fmt.Errorf("%w: give a signer and a chain of 1 to %d certificates", ErrConfig, maxMembers)
	}
	if config.Accuracy != 0 && config.Accuracy < time.Second || config.Accuracy%time.Microsecond != 0 {
		return nil, fmt.Errorf("%w: accuracy %v; at least a second, in whole microseconds", ErrConfig, config.Accuracy)
	}
	a := &Authority{policy: config.Policy, accuracy: config.Accuracy, now: config.Now, logger: config.Logger}
	if a.policy == nil {
		a.policy = asn1.ObjectIdentifier{2, 5, 29, 32, 0}
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.logger == nil {
		a.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if a.signer, err = newSigner(config.Signer); err != nil {
		return nil, err
	}
	for i, data := range config.Chain {
		cert, err := pki.ParseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("%w: chain: certificate %d: %w", ErrConfig, i, err)
		}
		if i == 0 {
			a.leaf = cert
		}
		if i == 0 || !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			a.signer.certificates = append(a.signer.certificates, data)
		}
	}
	if sortSet(a.signer.certificates); !sortedSet(a.signer.certificates) {
		return nil, fmt.Errorf("%w: chain: a certificate twice", ErrConfig)
	}
	if err := checkLeaf(a.leaf, config.Signer.Public()); err != nil {
		return nil, err
	}
	return a, a.signer.setCertificate(a.leaf)
}

// checkLeaf refuses a certificate that is not the key's or not for timestamps.
func checkLeaf(leaf *smx509.Certificate, public crypto.PublicKey) error {
	if key, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(public) {
		return fmt.Errorf("%w: the first certificate of the chain is not the signer's", ErrConfig)
	}
	nobody, err := pki.NewTrust(pki.TrustConfig{}) // the use is judged without a path, too
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := nobody.Check(leaf.Raw, nil, leaf.NotBefore, pki.UsageTimestamp).Usage; err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return nil
}

// Reply answers a TimeStampReq with a TimeStampResp. There is always an answer:
// a request that is refused gets its reason in it and a nil error. An error,
// which wraps ErrUnavailable or the context's, is the authority's own failure
// for the log; the answer then says systemFailure and may be sent as well.
// Extensions are all refused (unacceptedExtension), and so are SHA-1 and other
// digests not on the list of Hash (badAlg).
func (a *Authority) Reply(ctx context.Context, data []byte) ([]byte, error) {
	token, err := a.answer(ctx, data)
	if err == nil {
		return encodeReply(token, nil)
	}
	if why := (*rejection)(nil); errors.As(err, &why) {
		return encodeReply(nil, why)
	}
	reply, encodeErr := encodeReply(nil, &rejection{systemFailure, "the authority cannot sign now; try again later"})
	return reply, errors.Join(err, encodeErr)
}

func (a *Authority) answer(ctx context.Context, data []byte) ([]byte, error) {
	r, err := parseRequest(data)
	if err != nil {
		return nil, err
	}
	if r.extensions {
		return nil, reject(unacceptedExtension, "no extension is known here")
	}
	if r.policy != nil && !r.policy.Equal(a.policy) {
		return nil, reject(unacceptedPolicy, "the policy here is %v", a.policy)
	}
	return a.issue(ctx, r)
}

// Stamp returns a timestamp token of data made now, as a Client would get it.
// The imprint is made with the hash of the authority's key. Errors as in Reply.
func (a *Authority) Stamp(ctx context.Context, data []byte) ([]byte, error) {
	h := a.signer.scheme.hash
	return a.issue(ctx, request{imprint: imprint{h, h.Sum(data)}, certReq: true})
}

// issue signs a token and verifies it before it is handed out: a key in
// hardware may go wrong in ways that nobody else would notice for years.
func (a *Authority) issue(ctx context.Context, r request) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := a.now().UTC().Truncate(time.Second)
	if now.Before(a.leaf.NotBefore) || now.After(a.leaf.NotAfter) {
		return nil, fmt.Errorf("%w: the authority's certificate is good from %s to %s; renew it", ErrUnavailable,
			a.leaf.NotBefore.UTC().Format(time.RFC3339), a.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	content, err := stampInfo{
		policy: a.policy, imprint: r.imprint, serial: newSerial(), time: now, accuracy: a.accuracy, nonce: r.nonce,
	}.encode()
	if err != nil {
		return nil, err
	}
	token, err := a.signer.token(content, r.certReq)
	if err != nil {
		return nil, fmt.Errorf("%w: signing: %w", ErrUnavailable, err)
	}
	cms, err := parseSignedData(token)
	if err != nil {
		return nil, fmt.Errorf("%w: own token: %w", ErrUnavailable, err)
	}
	s := cms.signer
	if err := verifySignature(a.leaf.PublicKey, s.scheme, s.digest, s.attributes.raw, s.signature); err != nil {
		return nil, fmt.Errorf("%w: own token: %w", ErrUnavailable, err)
	}
	return token, nil
}

// newSerial returns 128 random bits below a leading 1, so that all serial
// numbers have one length: unique without a count that a crash could set back.
func newSerial() *big.Int {
	random := make([]byte, 17)
	_, _ = rand.Read(random[1:]) // never fails
	random[0] = 1
	return new(big.Int).SetBytes(random)
}
