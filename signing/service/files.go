package service

import (
	"context"
	"encoding/asn1"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ofd/render"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/tsa"
)

const (
	maxFile    = 4 << 20
	maxStamps  = 200
	defaultDPI = 150
	minDPI     = 36
	maxDPI     = 300

	// timestampAccuracy is what the clocks of the hub's machines must keep to; it stands in every timestamp.
	timestampAccuracy = time.Second
)

// SealFile implements signing.v1.
func (s *Service) SealFile(ctx context.Context, req *signingv1.SealFileRequest) (*signingv1.SealFileResponse, error) {
	caller, err := s.authorize(ctx, Seal, sealLine(departmentOf(req.GetSealId())))
	if err != nil {
		return nil, err
	}
	if err := checkFile(req.GetFile()); err != nil {
		return nil, err
	}
	resp := &signingv1.SealFileResponse{}
	err = s.results.once(ctx, caller, "SealFile", req.GetRequestId(), req, resp, func() error {
		pkg, err := ofd.Open(req.GetFile())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		stamps, err := sealStamps(req, pkg)
		if err != nil {
			return err
		}
		resp.File, err = s.seal(ctx, caller, req.GetRequestId(), req.GetSealId(), req.GetFile(), stamps, req.GetClose())
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func sealStamps(req *signingv1.SealFileRequest, pkg *ofd.Package) ([]ofd.Stamp, error) {
	if len(req.GetStamps()) > maxStamps {
		return nil, fmt.Errorf("%w: %d stamps; at most %d", ErrInvalid, len(req.GetStamps()), maxStamps)
	}
	var stamps []ofd.Stamp
	for _, at := range req.GetStamps() {
		box := ofd.Box{X: at.GetX(), Y: at.GetY(), Width: stampDiameter, Height: stampDiameter}
		stamps = append(stamps, ofd.Stamp{Page: int(at.GetPage()) - 1, Box: box})
	}
	if req.GetRiding() {
		riding, err := pkg.RidingStamps(stampDiameter, stampDiameter)
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, riding...)
	}
	if len(stamps) == 0 {
		return nil, fmt.Errorf("%w: say where the seal goes: stamps, or riding", ErrInvalid)
	}
	return stamps, nil
}

// SealPage implements signing.v1.
func (s *Service) SealPage(ctx context.Context, req *signingv1.SealPageRequest) (*signingv1.SealPageResponse, error) {
	caller, err := s.authorize(ctx, Seal, sealLine(departmentOf(req.GetSealId())))
	if err != nil {
		return nil, err
	}
	face, err := s.face()
	if err != nil {
		return nil, err
	}
	resp := &signingv1.SealPageResponse{}
	err = s.results.once(ctx, caller, "SealPage", req.GetRequestId(), req, resp, func() error {
		license := licenseOf(req)
		license.Created = s.cfg.Now()
		draft, err := ofd.LicensePage(license, face)
		if err != nil {
			return err
		}
		file, err := draft.Write(face)
		if err != nil {
			return err
		}
		at := ofd.SealPlace(stampDiameter, stampDiameter)
		resp.File, err = s.seal(ctx, caller, req.GetRequestId(), req.GetSealId(), file, []ofd.Stamp{at}, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func licenseOf(req *signingv1.SealPageRequest) ofd.License {
	license := ofd.License{
		Title: req.GetTitle(), Number: req.GetNumber(), IssuerName: req.GetIssuerName(),
		QR: req.GetQr(), IssueDate: req.GetIssueDate(), ValidUntil: req.GetValidUntil(), CopyNote: req.GetCopyNote(),
	}
	for _, f := range req.GetFields() {
		license.Fields = append(license.Fields, ofd.Field{Name: f.GetName(), Value: f.GetValue()})
	}
	for _, m := range req.GetMetadata() {
		license.Metadata = append(license.Metadata, ofd.CustomData{Name: m.GetName(), Value: m.GetValue()})
	}
	return license
}

// seal puts a seal on a file with a timestamp and verifies the result.
func (s *Service) seal(ctx context.Context, caller Caller, requestID, sealID string, file []byte, stamps []ofd.Stamp, last bool) ([]byte, error) {
	entry, err := s.seals.Get(sealID)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if entry.State != ses.StateActive {
		return nil, fmt.Errorf("%w: seal %s is %s", ses.ErrState, sealID, entry.State)
	}
	signer, err := s.ring.Signer(ctx, sealLine(departmentOf(sealID)), keys.Use{Caller: caller.Name, Purpose: "seal " + sealID, RequestID: requestID})
	if err != nil {
		return nil, err
	}
	sealed, err := ofd.Sign(file, ofd.SignSpec{Seal: entry.Seal.Raw, Stamps: stamps, Time: now, Close: last}, signer, signer.Chain()[0],
		func(signature []byte) ([]byte, error) { return s.timestamp(ctx, signature) })
	if err != nil {
		return nil, err
	}
	t, err := s.trustNow(ctx)
	if err != nil {
		return nil, err
	}
	report, err := ofd.Verify(sealed, s.verification(t))
	if err != nil || len(report.Signatures) == 0 {
		return nil, fmt.Errorf("%w: sealed file: %w", ErrLint, err)
	}
	// What others signed before may not hold here; what was signed just now must.
	own := report.Signatures[len(report.Signatures)-1]
	for _, step := range own.Steps {
		if step.Status == ses.Failed {
			return nil, fmt.Errorf("%w: sealed file: %s: %w", ErrLint, step.Name, step.Err)
		}
	}
	return sealed, nil
}

// timestamp is this hub's own RFC 3161 timestamp of data.
func (s *Service) timestamp(ctx context.Context, data []byte) ([]byte, error) {
	signer, err := s.ring.Signer(ctx, LineTimestamp, keys.Use{Caller: "hub", Purpose: "timestamp"})
	if err != nil {
		return nil, err
	}
	authority, err := s.timestampAuthority(signer)
	if err != nil {
		return nil, err
	}
	return authority.Stamp(ctx, data)
}

func (s *Service) timestampAuthority(signer *keys.Signer) (*tsa.Authority, error) {
	return tsa.New(tsa.Config{
		Signer: signer, Chain: signer.Chain(), Policy: s.cfg.timestampPolicy(), Accuracy: timestampAccuracy, Now: s.cfg.Now, Logger: s.cfg.Logger,
	})
}

// timestampPolicy is the policy that timestamps name.
func (c Config) timestampPolicy() asn1.ObjectIdentifier {
	if len(c.TimestampPolicy) > 0 {
		return c.TimestampPolicy
	}
	return asn1.ObjectIdentifier{2, 999, 3161, 1}
}

// TimestampHandler answers RFC 3161 queries over HTTP, without a token: a
// timestamp says nothing but when. One address may ask 5 times a second, and
// all together 50 times. They stand in the use log as a series, one entry a minute.
func (s *Service) TimestampHandler() http.Handler {
	limit := tsa.NewLimiter(tsa.Rate{PerSecond: 5, Burst: 20}, tsa.Rate{PerSecond: 50, Burst: 100}, nil)
	return limit.Handler(func(r *http.Request) (*tsa.Authority, error) {
		authority, err := s.publicTimestamps(r.Context())
		if err != nil {
			s.cfg.Logger.ErrorContext(r.Context(), "timestamp not issued", slog.Any("error", err))
		}
		return authority, err
	})
}

// publicTimestamps is the authority for one query of anybody.
func (s *Service) publicTimestamps(ctx context.Context) (*tsa.Authority, error) {
	signer, err := s.stamps.Signer(ctx)
	if err != nil {
		return nil, err
	}
	return s.timestampAuthority(signer)
}

// VerifyFile implements signing.v1. Anybody who may call may verify.
func (s *Service) VerifyFile(ctx context.Context, req *signingv1.VerifyFileRequest) (*signingv1.VerifyFileResponse, error) {
	if err := checkFile(req.GetFile()); err != nil {
		return nil, err
	}
	pkg, err := ofd.Open(req.GetFile())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	t, err := s.trustNow(ctx)
	if err != nil {
		return nil, err
	}
	report, err := pkg.Verify(s.verification(t))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	resp := reportMessage(report)
	if document, err := pkg.Document(); err == nil { // else a step of the report says so
		for _, data := range document.Info.Custom {
			resp.Metadata = append(resp.Metadata, &signingv1.Field{Name: data.Name, Value: data.Value})
		}
	}
	return resp, nil
}

// verification is how this hub verifies a file.
func (s *Service) verification(t *trusted) ofd.Options {
	return ofd.Options{
		Trust: t.trust, Now: s.cfg.Now(), SealStatus: s.seals.Status,
		Timestamp: func(token, signature []byte) (time.Time, error) {
			verified, err := tsa.Verify(token, signature, t.trust)
			if err != nil {
				return time.Time{}, err
			}
			return verified.Time, nil
		},
	}
}

func reportMessage(report *ofd.Report) *signingv1.VerifyFileResponse {
	resp := &signingv1.VerifyFileResponse{Valid: report.Verdict == ofd.Valid, Signed: report.Signed, Uncovered: report.Unsigned, Steps: stepMessages(report.Steps)}
	for _, sig := range report.Signatures {
		message := &signingv1.FileSignature{
			Id: sig.ID, Valid: sig.Verdict == ofd.Valid, Signer: sig.Signer, SignTime: stamp(sig.Time), Steps: stepMessages(sig.Steps),
		}
		if sig.Seal != nil {
			message.SealName, message.SealId = sig.Seal.Name, sig.Seal.ID
		}
		resp.Signatures = append(resp.Signatures, message)
	}
	return resp
}

func stepMessages(steps []ses.Step) []*signingv1.Step {
	var messages []*signingv1.Step
	for _, step := range steps {
		messages = append(messages, &signingv1.Step{Name: step.Name, Result: stepResult(step.Status), Detail: step.Detail})
	}
	return messages
}

func stepResult(status ses.Status) signingv1.StepResult {
	switch status {
	case ses.Passed:
		return signingv1.StepResult_STEP_RESULT_PASSED
	case ses.Warned:
		return signingv1.StepResult_STEP_RESULT_WARNED
	case ses.Skipped:
		return signingv1.StepResult_STEP_RESULT_SKIPPED
	default:
		return signingv1.StepResult_STEP_RESULT_FAILED
	}
}

// RenderFile implements signing.v1.
func (s *Service) RenderFile(ctx context.Context, req *signingv1.RenderFileRequest) (*signingv1.RenderFileResponse, error) {
	if err := checkFile(req.GetFile()); err != nil {
		return nil, err
	}
	pkg, err := ofd.Open(req.GetFile())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	document, err := pkg.Document()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	pages, page, dpi := len(document.Pages), max(int(req.GetPage()), 1), int(req.GetDpi())
	if dpi == 0 {
		dpi = defaultDPI
	}
	if page > pages || dpi < minDPI || dpi > maxDPI {
		return nil, fmt.Errorf("%w: page %d at %d dpi; the file has %d pages, and dpi must be %d to %d", ErrInvalid, page, dpi, pages, minDPI, maxDPI)
	}
	face, err := s.face()
	if err != nil {
		return nil, err
	}
	picture, notes, err := render.PNG(pkg, page-1, float64(dpi), render.Options{Face: face, Seals: true, Stopped: ctx.Err})
	if err != nil {
		return nil, err
	}
	resp := &signingv1.RenderFileResponse{Png: picture, Pages: int32(pages)} //nolint:gosec // at most 4,096 entries
	for _, n := range notes {
		resp.Notes = append(resp.Notes, &signingv1.RenderNote{
			Code: string(n.Code), Page: int32(page), Object: uint32(n.Object), Subject: n.Subject, Detail: n.String(), //nolint:gosec // at most pages
		})
	}
	return resp, nil
}

func checkFile(file []byte) error {
	if len(file) == 0 || len(file) > maxFile {
		return fmt.Errorf("%w: file of %d bytes; send 1 byte to %d MiB", ErrInvalid, len(file), maxFile>>20)
	}
	return nil
}
