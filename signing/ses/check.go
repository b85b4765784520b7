package ses

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
)

// clockSkew is how far two honest clocks may be apart.
const clockSkew = 5 * time.Minute

// Check judges a seal as of a time: before signing the present, afterwards the
// signing time. Every step is judged, whatever the others say; none is left
// out. Without trust no certificate holds.
func (s *Seal) Check(trust *pki.Trust, at time.Time) []Step {
	steps := []Step{s.checkMakerSignature()}
	steps = append(steps, s.maker(trust, at).steps(at, time.Time{})...)
	return append(steps, s.checkPeriod(at), s.checkPicture(), checkExtensions(StepSealExtensions, s.Extensions))
}

// Check judges a seal signature in the order of GM/T 0031-2014, 6.2.3, with
// the time that the signer states. Every step is judged, whatever the others
// say. It does not know the sealed data: comparing DataHash with its SM3 is
// the caller's.
//
// A certificate that expired or was revoked after the signing time does not
// fail. But that time is the signer's own word: unless a timestamp proves that
// the signature is older, a later revocation warns, and fails if a key was lost.
func (g *Signature) Check(trust *pki.Trust, o Options) []Step {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	stamped, timestamp := g.checkTimestamp(o)
	steps := []Step{
		g.checkSignerSignature(),
		checkExtensions(StepSignatureExtensions, g.Extensions),
		g.checkListed(),
		g.checkTime(o.Now),
	}
	steps = append(steps, g.signer(trust).steps(g.Time, stamped)...)
	steps = append(steps, g.Seal.checkMakerSignature())
	steps = append(steps, g.Seal.maker(trust, g.Time).steps(g.Time, stamped)...)
	return append(steps,
		g.Seal.checkPeriod(g.Time),
		g.Seal.checkPicture(),
		checkExtensions(StepSealExtensions, g.Seal.Extensions),
		g.checkStatus(o),
		timestamp,
	)
}

func passed(name, detail string) Step { return Step{Name: name, Status: Passed, Detail: detail} }

func skipped(name, detail string) Step { return Step{Name: name, Status: Skipped, Detail: detail} }

func warned(name, detail string, err error) Step {
	return Step{Name: name, Status: Warned, Detail: detail, Err: err}
}

func failed(name, detail string, err error) Step {
	return Step{Name: name, Status: Failed, Detail: detail, Err: err}
}

// clock writes a time as clerks read it.
func clock(t time.Time) string { return t.In(chinaTime).Format(textLayout) }

func (g *Signature) checkSignerSignature() Step {
	if err := verify(g.Certificate, g.Algorithm, g.TBS, g.Value); err != nil {
		return failed(StepSignerSignature, "签章人的签名无效："+signatureFault(err), err)
	}
	return passed(StepSignerSignature, "签章人的签名有效")
}

func (s *Seal) checkMakerSignature() Step {
	if err := s.verifyMaker(); err != nil {
		return failed(StepMakerSignature, "制章人的签名无效："+signatureFault(err), err)
	}
	return passed(StepMakerSignature, "制章人的签名有效")
}

func signatureFault(err error) string {
	switch {
	case errors.Is(err, ErrAlgorithm):
		return "算法不是 SM2/SM3"
	case errors.Is(err, ErrSignature):
		return "内容被改动，或不是该证书的持有者所签"
	}
	return "证书无法读取"
}

// checkExtensions refuses what its maker calls critical: none is known here.
func checkExtensions(name string, all []Extension) Step {
	for _, x := range all {
		if x.Critical {
			return failed(name, "含有不认识的关键扩展项 "+x.OID, fmt.Errorf("%w: unknown critical extension %s", ErrMalformed, x.OID))
		}
	}
	if len(all) == 0 {
		return passed(name, "没有扩展项")
	}
	return passed(name, "没有关键扩展项")
}

func (g *Signature) checkListed() Step {
	if err := g.Seal.lists(g.Certificate); err != nil {
		return failed(StepSignerListed, "签章人的证书不在印章的签章人证书列表中", err)
	}
	return passed(StepSignerListed, "签章人的证书在印章的签章人证书列表中")
}

func (g *Signature) checkTime(now time.Time) Step {
	switch {
	case g.TimeToken != nil:
		err := fmt.Errorf("%w: the signing time is a timestamp token inside the signed data", ErrPeriod)
		return failed(StepSigningTime, "签章时间是内嵌的时间戳，无法核验", err)
	case g.Time.After(now.Add(clockSkew)):
		return failed(StepSigningTime, "签章时间 "+clock(g.Time)+" 在当前时间之后", fmt.Errorf("%w: signed in the future", ErrPeriod))
	}
	return passed(StepSigningTime, "签章时间 "+clock(g.Time))
}

func (s *Seal) checkPeriod(at time.Time) Step {
	period := clock(s.ValidFrom) + " 至 " + clock(s.ValidUntil)
	if err := s.holdsAt(at); err != nil {
		return failed(StepSealPeriod, clock(at)+" 不在印章有效期内（"+period+"）", err)
	}
	return passed(StepSealPeriod, "在印章有效期内（"+period+"）")
}

// checkPicture looks at the head of the picture only: decoding takes longer
// than all the rest, and is the page's business.
func (s *Seal) checkPicture() Step {
	p := s.Picture
	size := fmt.Sprintf("%s，%d×%d 毫米", strings.ToUpper(p.Type), p.Width, p.Height)
	if _, ok := p.format(); ok {
		if _, err := p.Config(); err != nil {
			return failed(StepSealPicture, "印章图像无法读取："+size, err)
		}
		return passed(StepSealPicture, "印章图像："+size)
	}
	switch strings.ToUpper(p.Type) {
	case "SVG", "OFD":
		return skipped(StepSealPicture, "印章图像未解码："+size)
	}
	return warned(StepSealPicture, "印章图像的类型不常见："+size, fmt.Errorf("%w: picture type %.16q", ErrMalformed, p.Type))
}

func (g *Signature) checkStatus(o Options) Step {
	if o.SealStatus == nil {
		return skipped(StepSealStatus, "未查印章状态")
	}
	state, err := o.SealStatus(g.Seal.ID, g.Time)
	current := state
	if err == nil {
		current, err = o.SealStatus(g.Seal.ID, o.Now)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return skipped(StepSealStatus, "印章未在本系统登记，未查状态")
	case err != nil:
		return failed(StepSealStatus, "印章状态查询失败", fmt.Errorf("status of seal: %w", err))
	case state != StateActive:
		return failed(StepSealStatus, "签章时印章已"+state.chinese(), fmt.Errorf("%w: %s when it was used", ErrState, state))
	case current != StateActive:
		return warned(StepSealStatus, "签章时印章有效，现已"+current.chinese(), fmt.Errorf("%w: %s since it was used", ErrState, current))
	}
	return passed(StepSealStatus, "印章状态正常")
}

func (s State) chinese() string {
	switch s {
	case StateActive:
		return "启用"
	case StateSuspended:
		return "停用"
	case StateRevoked:
		return "废止"
	}
	return "变为未知状态"
}

// checkTimestamp returns the time that the token proves, or zero, and the
// step. The token says that the signature existed then; one from before the
// stated time contradicts it.
func (g *Signature) checkTimestamp(o Options) (time.Time, Step) {
	switch {
	case g.Timestamp == nil:
		return time.Time{}, skipped(StepTimestamp, "没有时间戳")
	case o.Timestamp == nil:
		return time.Time{}, skipped(StepTimestamp, "有时间戳，未核验")
	}
	t, err := o.Timestamp(g.Timestamp, g.Value)
	switch {
	case err != nil:
		return time.Time{}, failed(StepTimestamp, "时间戳无效", fmt.Errorf("%w: timestamp: %w", ErrSignature, err))
	case t.Before(g.Time.Add(-clockSkew)):
		err := fmt.Errorf("%w: timestamp is older than the signing time", ErrPeriod)
		return time.Time{}, failed(StepTimestamp, "时间戳 "+clock(t)+" 早于签章时间", err)
	case t.After(g.Time.Add(24 * time.Hour)):
		err := fmt.Errorf("%w: timestamp is more than a day after the signing time", ErrPeriod)
		return t, warned(StepTimestamp, "时间戳 "+clock(t)+" 晚于签章时间一天以上", err)
	}
	return t, passed(StepTimestamp, "时间戳有效："+clock(t))
}
