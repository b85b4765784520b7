package ofd

import (
	"errors"
	"fmt"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
)

// judgePlain judges a plain digital signature. Its time is SignatureDateTime, the
// signer's own word.
func (v *verifier) judgePlain(s *signed, r *SignatureReport) {
	r.Certificate = s.plain.cert
	at, known := signatureTime(s.file.time)
	r.Time = at
	r.Steps = append(r.Steps, dataHash(s.file.raw, s.plain.digest), plainValue(s.plain), v.references(s), v.coverage(s))
	switch {
	case !known:
		r.Steps = append(r.Steps, failed(ses.StepSigningTime, "签名时间无法识别", fmt.Errorf("%w: SignatureDateTime %.40q", ErrSignature, s.file.time)))
		return
	case at.After(v.options.Now.Add(clockSkew)):
		r.Steps = append(r.Steps, failed(ses.StepSigningTime, "签名时间在将来", fmt.Errorf("%w: signed at %s", ErrSignature, at.Format(time.RFC3339))))
	default:
		r.Steps = append(r.Steps, passed(ses.StepSigningTime, "签名时间为 "+at.In(time.FixedZone("CST", 8*60*60)).Format(time.DateTime)))
	}
	r.Steps = append(r.Steps, v.plainCertificate(s.plain, at)...)
}

// clockSkew is how far two honest clocks may be apart.
const clockSkew = 5 * time.Minute

func plainValue(c *cms) ses.Step {
	if err := c.verify(); err != nil {
		return failed(ses.StepSignerSignature, "签名无效", err)
	}
	return passed(ses.StepSignerSignature, "签名有效")
}

func (v *verifier) plainCertificate(c *cms, at time.Time) []ses.Step {
	if v.options.Trust == nil {
		return []ses.Step{failed(ses.StepSignerCertificate, "没有受信任的根证书", fmt.Errorf("%w: there are no trusted roots", ErrSignature))}
	}
	result := v.options.Trust.Check(c.cert, c.extra, at, pki.UsageSeal)
	var steps []ses.Step
	if err := errors.Join(result.Chain, result.Usage); err != nil {
		steps = append(steps, failed(ses.StepSignerCertificate, "签名人证书不受信任或用途不符", fmt.Errorf("%w: %w", ErrSignature, err)))
	} else {
		steps = append(steps, passed(ses.StepSignerCertificate, "签名人证书受信任，用途相符"))
	}
	if result.Period != nil {
		steps = append(steps, failed(ses.StepSignerPeriod, "签名时间不在签名人证书的有效期内", fmt.Errorf("%w: %w", ErrSignature, result.Period)))
	} else {
		steps = append(steps, passed(ses.StepSignerPeriod, "在签名人证书的有效期内"))
	}
	switch {
	case result.Revocation != nil:
		return append(steps, failed(ses.StepSignerRevocation, "签名人证书已被吊销，或其吊销状态无法确认", fmt.Errorf("%w: %w", ErrSignature, result.Revocation)))
	case !result.RevokedAt.IsZero():
		// Nothing but the signer's word says that the signature is older, and
		// whoever has stolen the key says so too.
		fault := fmt.Errorf("%w: %w: %v", ErrSignature, pki.ErrRevoked, result.RevokedFor)
		if result.RevokedFor.Compromise() {
			return append(steps, failed(ses.StepSignerRevocation, "签名人证书因密钥泄露被吊销，没有时间戳证明签名在先", fault))
		}
		return append(steps, warned(ses.StepSignerRevocation, "签名人证书在签名后被吊销，没有时间戳证明签名在先", fault))
	case !result.Listed:
		return append(steps, skipped(ses.StepSignerRevocation, "没有当时有效的吊销列表，未查签名人证书是否被吊销"))
	}
	return append(steps, passed(ses.StepSignerRevocation, "签名人证书未被吊销"))
}
