package main

import (
	"context"
	"fmt"

	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
)

// sealedSample is how many licences the scenario takes the sealed page of.
const sealedSample = 60

// makeSeals makes an e-seal for every department that issues licences and has none.
func (s *scenario) makeSeals(ctx context.Context) error {
	list, err := s.admin.signing.ListSeals(ctx, &signingv1.ListSealsRequest{})
	if err != nil {
		return fmt.Errorf("seals: %w", err)
	}
	sealed := map[string]bool{}
	for _, seal := range list.GetSeals() {
		sealed[seal.GetDepartment()] = true
	}
	for _, d := range s.county.Issuers() {
		if sealed[d.GetUscc()] {
			continue
		}
		if _, err := s.admin.signing.MakeSeal(ctx, &signingv1.MakeSealRequest{
			RequestId: "sample-seal-" + d.GetCode(), Department: d.GetUscc(), Name: d.GetTitle(), Label: "电子证照专用章",
		}); err != nil {
			return fmt.Errorf("seal of %s: %w", d.GetCode(), err)
		}
	}
	return nil
}

// sealPages takes the sealed pages of some licences, verifies them as a clerk
// does with a file, and changes a byte of each.
func (s *scenario) sealPages(ctx context.Context, sample []*licensesv1.License) error {
	step := max(len(sample)/sealedSample, 1)
	for i := 0; i < len(sample); i += step {
		number := sample[i].GetNumber()
		page, err := s.clerk.licenses.GetLicensePage(ctx, &licensesv1.GetLicensePageRequest{Number: number})
		if err != nil {
			return fmt.Errorf("page of %s: %w", number, err)
		}
		s.report.PagesSealed++
		resp, err := s.verifyFile(ctx, page.GetData())
		if err != nil {
			return err
		}
		s.report.require(resp.GetVerdict() == licensesv1.Verdict_VERDICT_VALID && resp.GetNumber() == number,
			"page of %s is %s: %s", number, resp.GetVerdict(), resp.GetDetail())
		if resp.GetVerdict() == licensesv1.Verdict_VERDICT_VALID {
			s.report.PagesVerified++
		}
		changed := append([]byte(nil), page.GetData()...)
		changed[len(changed)*(i%7+1)/9] ^= 0x20
		if resp, err = s.verifyFile(ctx, changed); err != nil {
			return err
		}
		if resp.GetVerdict() != licensesv1.Verdict_VERDICT_VALID {
			s.report.PagesTamperedRejected++
		}
	}
	s.report.require(s.report.PagesTamperedRejected == s.report.PagesSealed, "%d of %d tampered pages were accepted",
		s.report.PagesSealed-s.report.PagesTamperedRejected, s.report.PagesSealed)
	s.progress("pages: %d sealed, %d hold, %d of %d tampered ones rejected", s.report.PagesSealed, s.report.PagesVerified, s.report.PagesTamperedRejected, s.report.PagesSealed)
	return nil
}

func (s *scenario) verifyFile(ctx context.Context, file []byte) (*licensesv1.VerifyLicenseResponse, error) {
	resp, err := s.clerk.licenses.VerifyLicense(ctx, &licensesv1.VerifyLicenseRequest{Subject: &licensesv1.VerifyLicenseRequest_File{File: file}})
	if err != nil {
		return nil, fmt.Errorf("verify file: %w", err)
	}
	return resp, nil
}
