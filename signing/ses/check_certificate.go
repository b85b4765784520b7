package ses

import (
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
)

// judgement is what the trust says of one certificate, and what the three
// steps about it are called.
type judgement struct {
	who                          string // Chinese
	certificate, period, revoked string
	result                       pki.Result
}

func (g *Signature) signer(trust *pki.Trust) judgement {
	return judgement{
		who: "签章人证书", certificate: StepSignerCertificate, period: StepSignerPeriod, revoked: StepSignerRevocation,
		result: judge(trust, g.Certificate, g.Time, pki.UsageSeal),
	}
}

func (s *Seal) maker(trust *pki.Trust, at time.Time) judgement {
	return judgement{
		who: "制章人证书", certificate: StepMakerCertificate, period: StepMakerPeriod, revoked: StepMakerRevocation,
		result: judge(trust, s.MakerCertificate, at, pki.UsageSealMaker),
	}
}

func judge(trust *pki.Trust, cert []byte, at time.Time, usage pki.Usage) pki.Result {
	if trust == nil {
		err := fmt.Errorf("%w: there are no trusted roots", ErrCertificate)
		return pki.Result{Chain: err, Usage: err, Period: err, Revocation: err}
	}
	return trust.Check(cert, nil, at, usage)
}

// steps turns the result into three steps. A fault of chain or use fails
// whatever the time; expiry and revocation count only if they came before at
// (GM/T 0031-2014, 6.2.3 c and d). stamped is the time that a timestamp
// proves, or zero.
func (j judgement) steps(at, stamped time.Time) []Step {
	return []Step{j.checkCertificate(), j.checkPeriod(at), j.checkRevocation(stamped)}
}

func (j judgement) checkCertificate() Step {
	switch r := j.result; {
	case r.Chain != nil:
		return failed(j.certificate, j.who+"不受信任：证书链不成立", fmt.Errorf("%w: %w", ErrCertificate, r.Chain))
	case r.Usage != nil:
		return failed(j.certificate, j.who+"的用途不符", fmt.Errorf("%w: %w", ErrCertificate, r.Usage))
	}
	return passed(j.certificate, j.who+"受信任，用途相符")
}

func (j judgement) checkPeriod(at time.Time) Step {
	if err := j.result.Period; err != nil {
		return failed(j.period, clock(at)+" 不在"+j.who+"的有效期内", fmt.Errorf("%w: %w", ErrPeriod, err))
	}
	return passed(j.period, "在"+j.who+"的有效期内")
}

// checkRevocation passes a revocation after the signing time only as far as
// that time can be believed. Whoever has the key states what time he likes, so
// without a timestamp the loss of a key counts whenever it was reported.
func (j judgement) checkRevocation(stamped time.Time) Step {
	r := j.result
	when := clock(r.RevokedAt)
	fault := fmt.Errorf("%w: %w: %v at %s", ErrCertificate, pki.ErrRevoked, r.RevokedFor, r.RevokedAt.UTC().Format(time.RFC3339))
	lost := r.RevokedFor.Compromise()
	switch {
	case errors.Is(r.Revocation, pki.ErrRevoked):
		return failed(j.revoked, j.who+"在签章前已被吊销（"+when+"）", fmt.Errorf("%w: %w", ErrCertificate, r.Revocation))
	case r.Revocation != nil:
		return failed(j.revoked, j.who+"的吊销状态无法确认", fmt.Errorf("%w: %w", ErrCertificate, r.Revocation))
	case r.RevokedAt.IsZero() && r.Chain != nil: // without an issuer there is no list to ask
		return skipped(j.revoked, j.who+"的证书链不成立，未查吊销")
	case r.RevokedAt.IsZero() && !r.Listed:
		return skipped(j.revoked, "没有当时有效的吊销列表，未查"+j.who+"是否被吊销")
	case r.RevokedAt.IsZero():
		return passed(j.revoked, j.who+"没有吊销记录")
	case stamped.IsZero() && lost:
		return failed(j.revoked, j.who+"因密钥泄露被吊销（"+when+"），没有时间戳证明签章在先", fault)
	case stamped.IsZero():
		return warned(j.revoked, j.who+"在签章后被吊销（"+when+"），没有时间戳证明签章在先", fault)
	case !stamped.Before(r.RevokedAt):
		return failed(j.revoked, j.who+"在加盖时间戳前已被吊销（"+when+"）", fault)
	}
	return passed(j.revoked, j.who+"在签章后被吊销（"+when+"），时间戳证明签章在先")
}
