package licenses

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

// Verdict is the outcome of a verification. The list is closed.
type Verdict string

// The verdicts.
const (
	VerdictValid         Verdict = "valid"
	VerdictExpired       Verdict = "expired"
	VerdictNotYetValid   Verdict = "not_yet_valid"
	VerdictSuspended     Verdict = "suspended"
	VerdictRevoked       Verdict = "revoked"
	VerdictUnknown       Verdict = "unknown"
	VerdictUnknownIssuer Verdict = "unknown_issuer"
	VerdictBadSignature  Verdict = "bad_signature"
	VerdictMalformed     Verdict = "malformed"
)

// Verification says whether a licence holds.
type Verification struct {
	Verdict Verdict
	// Detail is what a clerk should read, in Chinese: what was found and what
	// to do.
	Detail string
	// Number, Type, Issuer and ValidUntil (zero: unlimited) are set when the
	// licence is one of ours.
	Number, Type, Issuer string
	ValidUntil           time.Time
	// HolderName is empty when the holder has not disclosed it in a token.
	HolderName string
	// StatusAsOf is the moment at which the status was read.
	StatusAsOf time.Time
	// Claims is a JSON object of the face of the licence as far as a token
	// discloses it; nil otherwise.
	Claims json.RawMessage
	// Reason is why a file has no better verdict: one of the reasons below or the
	// name of the step that failed; empty otherwise.
	Reason string
	// Signatures are those of a file, step by step.
	Signatures []*signingv1.FileSignature
}

// VerifyToken checks an SD-JWT VC, with or without all its disclosures:
// signature, issuer, disclosures, the licence itself, validity in time, and
// status, in this order; time comes before status as draft-ietf-oauth-status-list
// asks. An error means that no verdict was reached; the call may be repeated.
func (r *Registry) VerifyToken(ctx context.Context, token string) (Verification, error) {
	now := r.cfg.Now().UTC()
	// No licence is bound to a holder's key yet, so nothing may follow the last
	// "~": sdjwt would take it for a key binding and ignore it.
	if !strings.HasSuffix(token, "~") {
		return malformed("这不是完整的电子证照凭证。请让申请人重新出示。", now), nil
	}
	v, err := sdjwt.Verify(token, r.trust, now, sdjwt.Policy{})
	if v == nil {
		return refusal(err, now)
	}
	number, holderName, claims, ok := face(v.Claims)
	if !ok {
		return malformed("凭证中没有证照标识，不是本平台签发的证照。请让申请人重新出示。", now), nil
	}
	l, ok, err := r.issuedAs(ctx, number, token)
	if err != nil {
		return Verification{}, err
	}
	if !ok {
		return Verification{
			Verdict: VerdictUnknown, Number: number, StatusAsOf: now,
			Detail: "签名有效，但签发记录中没有这份证照，不能采信。请联系平台管理员核查。",
		}, nil
	}
	out := r.standing(l, now)
	out.Claims, out.HolderName = claims, holderName
	return out, nil
}

// issuedAs finds the licence that a token signed with our key says it is. It is
// not ok unless the token is what we issued: the key may have been stolen, or
// the state database be older than the token.
func (r *Registry) issuedAs(ctx context.Context, number, token string) (l License, ok bool, err error) {
	l, err = find(ctx, r.cfg.DB, number)
	if errors.Is(err, ErrNotFound) {
		return License{}, false, nil
	}
	return l, err == nil && signedPart(l.Token) == signedPart(token), err
}

// VerifyNumber checks a licence by its number. White space around it and
// lower-case letters are put right. An error means that no verdict was reached.
func (r *Registry) VerifyNumber(ctx context.Context, number string) (Verification, error) {
	now := r.cfg.Now().UTC()
	number = strings.ToUpper(strings.TrimSpace(number))
	parsed, err := ParseNumber(number)
	if err != nil {
		return malformed(numberFault(err), now), nil
	}
	l, err := find(ctx, r.cfg.DB, number)
	if errors.Is(err, ErrNotFound) {
		detail := "本平台没有签发过这个标识的证照。请核对标识；外地证照请到签发地平台核验。"
		if parsed.LegacyCheck {
			detail += "（该标识使用旧式校验位，不符合 GB/T 36904，应为外地早期系统签发。）"
		}
		return Verification{Verdict: VerdictUnknown, Number: number, Detail: detail, StatusAsOf: now}, nil
	}
	if err != nil {
		return Verification{}, err
	}
	return r.standing(l, now), nil
}

func numberFault(err error) string {
	if errors.Is(err, ErrCheck) {
		return "证照标识的校验位不符，多半是某一位录错或漏录。请逐位核对后重新输入。"
	}
	return "这不是证照标识。证照标识以 1.2.156.3005.2. 开头，共六段，请核对后重新输入。"
}

// standing is the verdict on a licence of ours.
func (r *Registry) standing(l License, now time.Time) Verification {
	verdict, detail := l.standing(now)
	return Verification{
		Verdict: verdict, Detail: detail, Number: l.Number, Type: l.Type, Issuer: l.Issuer,
		ValidUntil: l.ValidUntil, HolderName: l.HolderName, StatusAsOf: now,
	}
}

// standing says whether the licence holds at a time. Expiry comes first: an
// expired licence is expired whatever its status, which is named beside it.
func (l License) standing(now time.Time) (Verdict, string) {
	status := ""
	switch l.Status {
	case Suspended:
		status = "证照已被暂扣，原因：" + l.StatusReason + "。"
	case Revoked:
		status = "证照已被撤销，原因：" + l.StatusReason + "。"
	case Valid:
	}
	switch {
	case !l.ValidUntil.IsZero() && !now.Before(l.ValidUntil):
		return VerdictExpired, "证照已过期，有效期至 " + localTime(l.ValidUntil) + "。" + status + "请申请人换领后再办理。"
	case now.Before(l.ValidFrom):
		return VerdictNotYetValid, "证照尚未生效，自 " + localTime(l.ValidFrom) + " 起有效。" + status
	case l.Status == Suspended:
		return VerdictSuspended, status + "暂不能使用，请联系发证部门。"
	case l.Status == Revoked:
		return VerdictRevoked, status + "不能使用，请联系发证部门。"
	case l.ValidUntil.IsZero():
		return VerdictValid, "证照有效，长期有效。"
	default:
		return VerdictValid, "证照有效，有效期至 " + localTime(l.ValidUntil) + "。"
	}
}

// localTime writes a time as clerks read it.
func localTime(t time.Time) string {
	return inChina(t).Format("2006-01-02 15:04:05")
}

func malformed(detail string, now time.Time) Verification {
	return Verification{Verdict: VerdictMalformed, Detail: detail, StatusAsOf: now}
}

// refusal turns an error of sdjwt into a verdict, or passes on what says
// nothing about the token.
func refusal(err error, now time.Time) (Verification, error) {
	out := Verification{StatusAsOf: now}
	switch {
	case errors.Is(err, signing.ErrUnknownKey), errors.Is(err, sdjwt.ErrIssuer):
		out.Verdict, out.Detail = VerdictUnknownIssuer, "签发者不在本平台的信任范围内。请到签发地平台核验，或要求提供其他证明。"
	case errors.Is(err, signing.ErrSignature), errors.Is(err, signing.ErrAlgorithm), errors.Is(err, sdjwt.ErrDisclosure):
		out.Verdict, out.Detail = VerdictBadSignature, "签名不符，内容可能被改动过，不能采信。请让申请人重新出示。"
	case errors.Is(err, signing.ErrMalformed), errors.Is(err, signing.ErrType), errors.Is(err, sdjwt.ErrAudience):
		out.Verdict, out.Detail = VerdictMalformed, "这不是电子证照凭证，或内容不完整。请让申请人重新出示。"
	default:
		return Verification{}, fmt.Errorf("licenses: verify: %w", err)
	}
	return out, nil
}

// face takes the number and, if disclosed, the holder's name out of a processed
// payload, and returns what remains when the claims of the token format are
// taken away. It is not ok if the payload is not that of a licence.
func face(payload json.RawMessage) (number, holderName string, claims json.RawMessage, ok bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || json.Unmarshal(members[claimNumber], &number) != nil {
		return "", "", nil, false
	}
	if name, disclosed := members[claimHolderName]; disclosed && json.Unmarshal(name, &holderName) != nil {
		return "", "", nil, false
	}
	for _, name := range []string{"iss", "iat", "nbf", "exp", "vct", "status", "cnf"} {
		delete(members, name)
	}
	claims, err := json.Marshal(members)
	return number, holderName, claims, err == nil
}

// signedPart is the header and payload of a token. The signature is left out,
// since an ECDSA signature can be rewritten without the key.
func signedPart(token string) string {
	jwt, _, _ := strings.Cut(token, "~")
	return jwt[:max(strings.LastIndexByte(jwt, '.'), 0)]
}
