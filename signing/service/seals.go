package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
	stamps "github.com/onewindow/onewindow/signing/stamp"
)

const (
	usccLength      = 18
	stampDiameter   = 42 // mm, that of a county department's round seal
	defaultYears    = 5
	maxSealYears    = 10
	maxReason       = 200
	defaultSealName = "专用章"
)

// MakeSeal implements signing.v1. The department's signer gets a key and a
// certificate first, if it has none.
func (s *Service) MakeSeal(ctx context.Context, req *signingv1.MakeSealRequest) (*signingv1.MakeSealResponse, error) {
	line := sealLine(req.GetDepartment())
	caller, err := s.authorize(ctx, Manage, line)
	if err != nil {
		return nil, err
	}
	if req.GetRequestId() == "" {
		return nil, fmt.Errorf("%w: request_id is missing: without one a repeated call would make a second seal", ErrInvalid)
	}
	resp := &signingv1.MakeSealResponse{}
	s.sealing.Lock() // so that two seals do not get the same number
	defer s.sealing.Unlock()
	err = s.results.once(ctx, caller, "MakeSeal", req.GetRequestId(), req, resp, func() error {
		der, err := s.makeSeal(ctx, caller, req)
		if err != nil {
			return err
		}
		entry, err := s.seals.Add(ctx, der)
		if err != nil {
			return err
		}
		resp.Seal = sealMessage(entry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *Service) makeSeal(ctx context.Context, caller Caller, req *signingv1.MakeSealRequest) ([]byte, error) {
	department, name := req.GetDepartment(), req.GetName()
	if len(department) != usccLength {
		return nil, fmt.Errorf("%w: department is not a USCC of %d characters", ErrInvalid, usccLength)
	}
	years := int(req.GetYears())
	if years == 0 {
		years = defaultYears
	}
	if years < 0 || years > maxSealYears {
		return nil, fmt.Errorf("%w: years must be 1 to %d", ErrInvalid, maxSealYears)
	}
	picture := req.GetPicture()
	if len(picture) == 0 {
		face, err := s.face()
		if err != nil {
			return nil, err
		}
		if _, picture, err = stamps.Round(stamps.RoundSpec{Name: name, Center: stamps.Star, Label: req.GetLabel(), Diameter: stampDiameter}, face); err != nil {
			return nil, err
		}
	}
	signer, err := s.ring.EnsureActive(ctx, keys.Spec{Line: sealLine(department), Algorithm: signing.SM2SM3})
	if err != nil {
		return nil, err
	}
	if err := s.certify(ctx, signer, pki.Subject{Country: "CN", Organization: name, OrganizationID: department, CommonName: name}); err != nil {
		return nil, err
	}
	if signer, err = s.ring.Active(sealLine(department)); err != nil {
		return nil, err
	}
	maker, err := s.ring.Signer(ctx, LineSealMaker, keys.Use{Caller: caller.Name, Purpose: "seal", RequestID: req.GetRequestId()})
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Second)
	until := now.AddDate(years, 0, 0)
	for _, der := range [][]byte{signer.Chain[0], maker.Chain()[0]} {
		certificate, err := pki.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if certificate.NotAfter.Before(until) {
			until = certificate.NotAfter // a seal cannot outlive its signer's certificate, nor its maker's
		}
	}
	der, err := ses.MakeSeal(ses.SealSpec{
		ID: s.nextSealID(department), VendorID: "Onewindow", Kind: ses.KindUnit, Name: name + labelOf(req),
		Certificates: [][]byte{signer.Chain[0]}, Created: now, ValidFrom: now, ValidUntil: until,
		Picture: ses.Picture{Type: "PNG", Data: picture, Width: stampDiameter, Height: stampDiameter},
	}, maker, maker.Chain()[0])
	if err != nil {
		return nil, err
	}
	return der, s.lintSeal(ctx, der)
}

func labelOf(req *signingv1.MakeSealRequest) string {
	if req.GetLabel() == "" {
		return defaultSealName
	}
	return req.GetLabel()
}

// lintSeal verifies a seal that was just made, as everybody else will.
func (s *Service) lintSeal(ctx context.Context, der []byte) error {
	seal, err := ses.ParseSeal(der)
	if err != nil {
		return fmt.Errorf("%w: seal: %w", ErrLint, err)
	}
	t, err := s.trustNow(ctx)
	if err != nil {
		return err
	}
	for _, step := range seal.Check(t.trust, s.cfg.Now()) {
		if step.Status == ses.Failed {
			return fmt.Errorf("%w: seal: %s: %w", ErrLint, step.Name, step.Err)
		}
	}
	return nil
}

// nextSealID is the department's USCC and a number of four digits. Seals are
// made one after the other and never removed, so counting finds a free one.
func (s *Service) nextSealID(department string) string {
	n := 1
	for _, entry := range s.seals.List() {
		if strings.HasPrefix(entry.Seal.ID, department) {
			n++
		}
	}
	return fmt.Sprintf("%s%04d", department, n)
}

// departmentOf is the USCC in a seal's id.
func departmentOf(sealID string) string { return sealID[:min(len(sealID), usccLength)] }

// subjectOf is whom the certificates of a line name.
func (s *Service) subjectOf(line string) (pki.Subject, error) {
	department, isSeal := strings.CutPrefix(line, "seal/")
	if !isSeal {
		return s.cfg.Operator, nil
	}
	key, err := s.ring.Active(line)
	if err != nil || len(key.Chain) == 0 {
		return pki.Subject{}, fmt.Errorf("%w: %s has no seal yet; make one first, which makes its key", ErrNotFound, department)
	}
	leaf, err := pki.ParseCertificate(key.Chain[0])
	if err != nil {
		return pki.Subject{}, err
	}
	return pki.SubjectOf(leaf.Subject), nil
}

// ListSeals implements signing.v1.
func (s *Service) ListSeals(ctx context.Context, _ *signingv1.ListSealsRequest) (*signingv1.ListSealsResponse, error) {
	if !s.mayHaveSeals(ctx) {
		return nil, fmt.Errorf("%w: seals are listed for the departments that have them, for administrators, and for whom a grant lets seal", ErrForbidden)
	}
	resp := &signingv1.ListSealsResponse{}
	for _, entry := range s.seals.List() {
		line := sealLine(departmentOf(entry.Seal.ID))
		_, manages := s.authorize(ctx, Manage, line)
		_, seals := s.authorize(ctx, Seal, line)
		if manages == nil || seals == nil {
			resp.Seals = append(resp.Seals, sealMessage(entry))
		}
	}
	return resp, nil
}

// mayHaveSeals reports whether there can be a seal that the caller may use or manage.
func (s *Service) mayHaveSeals(ctx context.Context) bool {
	caller, ok := s.cfg.Caller(ctx)
	return ok && (caller.Administrator || caller.Department != "" || slices.ContainsFunc(s.cfg.Grants, func(g Grant) bool {
		return g.Caller == caller.Name && (slices.Contains(g.Operations, Seal) || slices.Contains(g.Operations, Manage))
	}))
}

// ChangeSeal implements signing.v1.
func (s *Service) ChangeSeal(ctx context.Context, req *signingv1.ChangeSealRequest) (*signingv1.ChangeSealResponse, error) {
	caller, err := s.authorize(ctx, Manage, sealLine(departmentOf(req.GetSealId())))
	if err != nil {
		return nil, err
	}
	reason := req.GetReason()
	if n := utf8.RuneCountInString(reason); n < 1 || n > maxReason {
		return nil, fmt.Errorf("%w: reason must have 1 to %d characters", ErrInvalid, maxReason)
	}
	switch req.GetStatus() {
	case signingv1.SealStatus_SEAL_STATUS_SUSPENDED:
		err = s.seals.Suspend(ctx, req.GetSealId(), reason, caller.Name)
	case signingv1.SealStatus_SEAL_STATUS_VALID:
		err = s.seals.Resume(ctx, req.GetSealId(), reason, caller.Name)
	case signingv1.SealStatus_SEAL_STATUS_REVOKED:
		err = s.seals.Revoke(ctx, req.GetSealId(), reason, caller.Name)
	default:
		err = fmt.Errorf("%w: status must be one of SEAL_STATUS_VALID, SEAL_STATUS_SUSPENDED, SEAL_STATUS_REVOKED", ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	entry, err := s.seals.Get(req.GetSealId())
	if err != nil {
		return nil, err
	}
	return &signingv1.ChangeSealResponse{Seal: sealMessage(entry)}, nil
}

func sealMessage(entry ses.Entry) *signingv1.Seal {
	last := entry.History[len(entry.History)-1]
	states := map[ses.State]signingv1.SealStatus{
		ses.StateActive: signingv1.SealStatus_SEAL_STATUS_VALID, ses.StateSuspended: signingv1.SealStatus_SEAL_STATUS_SUSPENDED,
		ses.StateRevoked: signingv1.SealStatus_SEAL_STATUS_REVOKED,
	}
	return &signingv1.Seal{
		Id: entry.Seal.ID, Name: entry.Seal.Name, Department: departmentOf(entry.Seal.ID), Status: states[entry.State],
		CreateTime: stamp(entry.Seal.Created), ValidFrom: stamp(entry.Seal.ValidFrom), ValidUntil: stamp(entry.Seal.ValidUntil),
		StatusReason: last.Reason, ChangedBy: last.Who, Der: entry.Seal.Raw,
	}
}
