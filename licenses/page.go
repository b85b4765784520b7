package licenses

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
	"github.com/onewindow/onewindow/signing/ses"
)

const (
	// metaNumber and metaToken are the custom data that tie a page to its
	// licence: 证照标识 (GB/T 36903), and the SHA-256 of the token's signed part.
	metaNumber = "ZZBS"
	metaToken  = "KZ_TOKEN"

	maxCopyReason = 60
	copyLife      = 30 * 24 * time.Hour
)

// Page returns the sealed page of a licence, an OFD file. The original (原件)
// is made when it is first asked for, kept, and the same ever after; with a
// reason it is a copy for one purpose (加注件), made anew, with reason, caller
// and expiry printed across it. Only a licence that holds has a page.
//
// Errors are those of [Registry.Get], [ErrState], [ErrNoSeal] and [ErrInvalid].
func (r *Registry) Page(ctx context.Context, number, copyReason string) ([]byte, error) {
	l, err := r.Get(ctx, number)
	if err != nil {
		return nil, err
	}
	now := r.cfg.Now().UTC()
	if verdict, detail := l.standing(now); verdict != VerdictValid {
		return nil, fmt.Errorf("%w: the licence is %s and has no page: %s", ErrState, verdict, detail)
	}
	if copyReason != "" {
		if !plainText(copyReason, maxCopyReason) {
			return nil, fmt.Errorf("%w: copy_reason must have 1 to %d characters on one line", ErrInvalid, maxCopyReason)
		}
		req, err := r.pageRequest(ctx, l, now)
		if err != nil {
			return nil, err
		}
		caller, _ := access.FromContext(ctx)
		until := now.Add(copyLife)
		req.CopyNote = fmt.Sprintf("仅供%s使用 %s 有效期至%s", copyReason, caller.Name, localDate(until))
		req.Metadata = append(req.Metadata, field("JZJZZSY", copyReason), field("JZJZZZ", caller.Name),
			field("JZJZZSJ", compactDate(now)), field("JZJYXQJZSJ", compactDate(until)))
		return r.sealedPage(ctx, req)
	}
	file, err := r.keptPage(ctx, number)
	if file != nil || err != nil {
		return file, err
	}
	req, err := r.pageRequest(ctx, l, now)
	if err != nil {
		return nil, err
	}
	if file, err = r.sealedPage(ctx, req); err != nil {
		return nil, err
	}
	// Two callers may have made one: the first that is stored is the original.
	if _, err := r.cfg.DB.ExecContext(ctx, `INSERT INTO license_pages (number, file) VALUES ($1, $2) ON CONFLICT (number) DO NOTHING`, number, file); err != nil {
		return nil, fmt.Errorf("licenses: page: %w", err)
	}
	return r.keptPage(ctx, number)
}

// keptPage returns the original page, or nil if there is none yet.
func (r *Registry) keptPage(ctx context.Context, number string) (file []byte, err error) {
	err = r.cfg.DB.QueryRowContext(ctx, `SELECT file FROM license_pages WHERE number = $1`, number).Scan(&file)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("licenses: page: %w", err)
	}
	return file, nil
}

func (r *Registry) sealedPage(ctx context.Context, req *signingv1.SealPageRequest) ([]byte, error) {
	resp, err := r.cfg.Pages.SealPage(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("licenses: page of %s: %w", req.GetNumber(), err)
	}
	return resp.GetFile(), nil
}

// pageRequest says what stands on the page of a licence.
func (r *Registry) pageRequest(ctx context.Context, l License, now time.Time) (*signingv1.SealPageRequest, error) {
	kind, err := r.licenseType(ctx, l.Type)
	if err != nil {
		return nil, err
	}
	department, err := r.cfg.Departments.Department(ctx, l.Department)
	if err != nil {
		return nil, err
	}
	seal, err := r.sealOf(ctx, department, now)
	if err != nil {
		return nil, err
	}
	verified, err := sdjwt.Verify(l.Token, r.trust, now, sdjwt.Policy{})
	if err != nil {
		return nil, fmt.Errorf("licenses: page of %s: its token does not verify: %w", l.Number, err)
	}
	_, _, claims, _ := face(verified.Claims)
	fields := []*signingv1.Field{field("持证主体", l.HolderName), field("持证主体代码", l.Holder)}
	more, err := faceFields(kind, claims)
	if err != nil {
		return nil, fmt.Errorf("licenses: page of %s: %w", l.Number, err)
	}
	until, untilCompact := "长期", ""
	if !l.ValidUntil.IsZero() {
		// The last day of validity, as licences print it.
		last := l.ValidUntil.Add(-time.Second)
		until, untilCompact = localDate(last), compactDate(last)
	}
	fields = append(append(fields, more...), field("有效期限", localDate(l.ValidFrom)+" 至 "+until))
	return &signingv1.SealPageRequest{
		SealId: seal, Title: kind.Title, Number: l.Number, IssuerName: department.Title,
		Fields: fields, Qr: l.Number, IssueDate: localDate(l.IssueTime),
		Metadata: []*signingv1.Field{
			field("ZZMC", kind.Title), field("ZZLXDM", kind.Code), field(metaNumber, l.Number), field("ZZBFJG", department.Title),
			field("ZZBFJGDM", department.USCC), field("ZZBFRQ", compactDate(l.IssueTime)), field("ZZYXQQSRQ", compactDate(l.ValidFrom)),
			field("ZZYXQJZRQ", untilCompact), field("CZZT", l.HolderName), field("CZZTDM", l.Holder), field(metaToken, tokenDigest(l.Token)),
		},
	}, nil
}

// sealOf is the id of the department's newest seal in force.
func (r *Registry) sealOf(ctx context.Context, department exchange.Department, now time.Time) (string, error) {
	resp, err := r.cfg.Pages.ListSeals(ctx, &signingv1.ListSealsRequest{})
	if err != nil {
		return "", fmt.Errorf("licenses: seals: %w", err)
	}
	for _, seal := range slices.Backward(resp.GetSeals()) {
		inForce := seal.GetStatus() == signingv1.SealStatus_SEAL_STATUS_VALID &&
			!now.Before(seal.GetValidFrom().AsTime()) && now.Before(seal.GetValidUntil().AsTime())
		if seal.GetDepartment() == department.USCC && inForce {
			return seal.GetId(), nil
		}
	}
	return "", fmt.Errorf("%w: %s has no e-seal in force; an administrator makes one with POST /v1/signing/seals", ErrNoSeal, department.Title)
}

// faceFields are the rows that the type's face names, or all claims by name.
func faceFields(kind Type, claims json.RawMessage) ([]*signingv1.Field, error) {
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(claims, &values); err != nil {
		return nil, err
	}
	for _, own := range []string{claimNumber, claimIssuer, claimHolder, claimHolderName} {
		delete(values, own)
	}
	face := kind.Face
	if len(face) == 0 {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			face = append(face, FaceField{Claim: name, Label: name})
		}
	}
	var fields []*signingv1.Field
	for _, f := range face {
		raw, ok := values[f.Claim]
		if !ok {
			continue
		}
		text := string(raw)
		var plain string
		if json.Unmarshal(raw, &plain) == nil {
			text = plain
		}
		fields = append(fields, field(f.Label, text))
	}
	return fields, nil
}

// The reasons of verdicts on files.
const (
	// ReasonUnreadable: it is no OFD file, or one that is damaged; whether it has a
	// seal cannot be said.
	ReasonUnreadable = "FILE_UNREADABLE"
	// ReasonUnsigned: it can be read and has no seal.
	ReasonUnsigned = "FILE_UNSIGNED"
	// ReasonNoNumber: its seal holds, and it is no licence.
	ReasonNoNumber = "FILE_NO_NUMBER"
	// ReasonUncovered: its seal leaves a part of it open.
	ReasonUncovered = "FILE_UNCOVERED"
)

// VerifyFile checks a licence's page: its seal, that the page is that of a
// licence issued here, and the licence itself. An error means that no verdict
// was reached; the call may be repeated.
func (r *Registry) VerifyFile(ctx context.Context, file []byte) (Verification, error) {
	now := r.cfg.Now().UTC()
	report, err := r.cfg.Pages.VerifyFile(ctx, &signingv1.VerifyFileRequest{File: file})
	if errors.Is(err, service.ErrInvalid) {
		return fileFault(ReasonUnreadable, notOFD(ofd.KindOf(file)), now), nil
	}
	if err != nil {
		return Verification{}, fmt.Errorf("licenses: verify file: %w", err)
	}
	out, err := r.fileVerdict(ctx, report, now)
	out.Signatures = report.GetSignatures()
	return out, err
}

// fileFault is the verdict on a file that is no licence's page.
func fileFault(reason, detail string, now time.Time) Verification {
	out := malformed(detail, now)
	out.Reason = reason
	return out
}

// notOFD says what was sent in place of an OFD file.
func notOFD(kind ofd.Kind) string {
	switch kind {
	case ofd.KindZIP:
		return "这不是完整的 OFD 证照文件，无法读取。请让申请人重新提供。"
	case ofd.KindEmpty:
		return "这是空文件。请让申请人重新提供 OFD 证照文件。"
	case ofd.KindPDF, ofd.KindPNG, ofd.KindJPEG, ofd.KindGIF, ofd.KindBMP, ofd.KindTIFF:
		return fmt.Sprintf("这是 %s 文件，不是 OFD 证照文件：截图、扫描件和转换件没有电子印章，不能核验。请让申请人提供 OFD 原件。", string(kind))
	case ofd.KindOffice, ofd.KindArchive, ofd.KindPEM, ofd.KindXML, ofd.KindText, ofd.KindUnknown:
	}
	return "这不是 OFD 证照文件。请让申请人提供 OFD 原件。"
}

func (r *Registry) fileVerdict(ctx context.Context, report *signingv1.VerifyFileResponse, now time.Time) (Verification, error) {
	if len(report.GetSignatures()) == 0 {
		// What cannot be read may have a seal.
		if step := failedStep(report.GetSteps()); step != nil {
			return fileFault(ReasonUnreadable, "无法判断文件是否有电子印章："+step.GetDetail()+"。请让申请人重新提供。", now), nil
		}
		return fileFault(ReasonUnsigned, "文件没有电子印章，不是电子证照原件，不能采信。", now), nil
	}
	if !report.GetValid() {
		return fileRefusal(report, now), nil
	}
	number, digest := once(report.GetMetadata(), metaNumber), once(report.GetMetadata(), metaToken)
	if number == "" {
		return fileFault(ReasonNoNumber, "印章有效，但文件中没有证照标识，不是电子证照。", now), nil
	}
	l, err := find(ctx, r.cfg.DB, number)
	unknown := errors.Is(err, ErrNotFound)
	if err != nil && !unknown {
		return Verification{}, err
	}
	if unknown || digest != tokenDigest(l.Token) {
		return Verification{
			Verdict: VerdictUnknown, Number: number, StatusAsOf: now,
			Detail: "印章有效，但签发记录中没有这份证照，不能采信。请联系平台管理员核查。",
		}, nil
	}
	return r.standing(l, now), nil
}

// once is the value of the metadata of that name, empty unless it is there
// exactly once: of two, another reader might take the other.
func once(metadata []*signingv1.Field, name string) (value string) {
	times := 0
	for _, m := range metadata {
		if m.GetName() == name {
			value = m.GetValue()
			times++
		}
	}
	if times != 1 {
		return ""
	}
	return value
}

// fileRefusal names the first step that failed.
func fileRefusal(report *signingv1.VerifyFileResponse, now time.Time) Verification {
	steps := report.GetSteps()
	for _, signature := range report.GetSignatures() {
		steps = append(steps, signature.GetSteps()...)
	}
	step := failedStep(steps)
	if step == nil {
		return Verification{Verdict: VerdictBadSignature, Reason: ReasonUncovered, StatusAsOf: now, Detail: "文件内容有印章未覆盖的部分，不能采信。"}
	}
	out := Verification{Verdict: VerdictBadSignature, Reason: step.GetName(), StatusAsOf: now, Detail: "不能采信：" + step.GetDetail() + "。"}
	if out.Reason == ses.StepSignerCertificate || out.Reason == ses.StepMakerCertificate {
		out.Verdict = VerdictUnknownIssuer
	}
	return out
}

// failedStep is the first step that failed, nil if none did.
func failedStep(steps []*signingv1.Step) *signingv1.Step {
	i := slices.IndexFunc(steps, func(s *signingv1.Step) bool { return s.GetResult() == signingv1.StepResult_STEP_RESULT_FAILED })
	if i < 0 {
		return nil
	}
	return steps[i]
}

// tokenDigest ties a page to the token: base64url of SHA-256 over what the
// token's signature covers.
func tokenDigest(token string) string {
	sum := sha256.Sum256([]byte(signedPart(token)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func field(name, value string) *signingv1.Field {
	return &signingv1.Field{Name: name, Value: strings.ToValidUTF8(value, string(utf8.RuneError))}
}

// localDate is a day as licences print it, compactDate as their data has it.
func localDate(t time.Time) string   { return inChina(t).Format("2006年1月2日") }
func compactDate(t time.Time) string { return inChina(t).Format("20060102") }

func inChina(t time.Time) time.Time { return t.In(time.FixedZone("CST", 8*60*60)) }
