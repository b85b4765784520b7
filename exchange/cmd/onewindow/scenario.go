package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
	analyticsv1 "github.com/onewindow/onewindow/proto/analytics/v1"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

// How many licences the scenario takes through each part of their life.
const (
	licenseBatch   = 500
	suspendedEvery = 400 // every 400th licence is suspended, the one after it revoked
	verifiedEvery  = 20  // every 20th is verified by token, its number, and tampered with
)

// scenario plays the sample county through the API of a running hub, as its
// users would: the administrator, a clerk, an analyst.
type scenario struct {
	county   *county.County
	admin    *client
	clerk    *client
	analyst  *client
	progress func(format string, args ...any)
	report   Report
}

func newScenario(c *county.County, h *hub, progress func(string, ...any)) (*scenario, error) {
	s := &scenario{county: c, progress: progress, report: Report{Faults: []string{}}}
	for role, to := range map[access.Role]**client{access.Administrator: &s.admin, access.Clerk: &s.clerk, access.Analyst: &s.analyst} {
		connected, err := dial(h.cfg.Listen.GRPC, h.tokenDir(), role)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		*to = connected
	}
	return s, nil
}

func (s *scenario) close() error {
	var errs []error
	for _, c := range []*client{s.admin, s.clerk, s.analyst} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// loadCatalogue registers what the county shares and asks for. Everything in
// it is idempotent.
func (s *scenario) loadCatalogue(ctx context.Context) error {
	for _, d := range s.county.Departments() {
		if _, err := s.admin.catalog.PutDepartment(ctx, &exchangev1.PutDepartmentRequest{Department: d}); err != nil {
			return fmt.Errorf("department %s: %w", d.GetCode(), err)
		}
	}
	for _, r := range s.county.Resources() {
		if _, err := s.admin.catalog.PutResource(ctx, &exchangev1.PutResourceRequest{Resource: r}); err != nil {
			return fmt.Errorf("resource %s: %w", r.GetName(), err)
		}
	}
	matters := s.county.Matters()
	if _, err := s.admin.catalog.BatchPutMatters(ctx, &exchangev1.BatchPutMattersRequest{Matters: matters}); err != nil {
		return fmt.Errorf("matters: %w", err)
	}
	for _, t := range s.county.LicenseTypes() {
		if _, err := s.admin.licenses.PutLicenseType(ctx, &licensesv1.PutLicenseTypeRequest{LicenseType: t}); err != nil {
			return fmt.Errorf("licence type %s: %w", t.GetCode(), err)
		}
	}
	if err := s.makeSeals(ctx); err != nil {
		return err
	}
	s.progress("catalogue: %d departments, %d resources, %d matters", len(s.county.Departments()), len(s.county.Resources()), len(matters))
	return nil
}

// awaitSources returns once every source has been read to its end and the
// sink has stored all of it.
func (s *scenario) awaitSources(ctx context.Context) error {
	planted := s.county.Planted()
	var total int64
	for _, p := range planted.Sources {
		total += p.Read
	}
	for {
		sources, storage, err := s.state(ctx)
		if err != nil {
			return err
		}
		var read, rejected int64
		idle := len(sources) == len(planted.Sources)
		for _, source := range sources {
			read += source.GetRead()
			rejected += source.GetRejected()
			idle = idle && source.GetState() == connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP && source.GetRead() > 0
		}
		s.progress("sources: %d of %d rows read, %d rejected; %d stored, %d waiting", read, total, rejected, storage.GetStoredRows(), storage.GetLag())
		if idle && storage.GetLag() == 0 {
			return nil
		}
		// Counting distinct ids is not free: once a second is often enough for people.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (s *scenario) state(ctx context.Context) ([]*connectorsv1.Source, *analyticsv1.GetStorageResponse, error) {
	sources, err := s.admin.connectors.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
	if err != nil {
		return nil, nil, fmt.Errorf("sources: %w", err)
	}
	storage, err := s.admin.analytics.GetStorage(ctx, &analyticsv1.GetStorageRequest{})
	if err != nil {
		return nil, nil, fmt.Errorf("storage: %w", err)
	}
	return sources.GetSources(), storage, nil
}

// countRecords fills in what was read and stored, and compares it with what
// was planted.
func (s *scenario) countRecords(ctx context.Context) error {
	sources, storage, err := s.state(ctx)
	if err != nil {
		return err
	}
	found := map[string]int64{}
	var rejected int64
	for _, source := range sources {
		s.report.Sources = append(s.report.Sources, SourceReport{
			Name: source.GetName(), Read: source.GetRead(), Accepted: source.GetAccepted(), Rejected: source.GetRejected(),
		})
		rejected += source.GetRejected()
		for rule, n := range source.GetRejectedByRule() {
			found[rule] += n
		}
		for finding, n := range source.GetFindings() {
			found[finding] += n
		}
	}
	s.report.StoredRows, s.report.StoredDistinct = storage.GetStoredRows(), storage.GetStoredDistinct()
	s.report.Duplicates, s.report.RejectedKept = storage.GetDuplicates(), storage.GetRejected()
	s.report.require(rejected == s.report.RejectedKept, "%d rows were rejected, but %d are kept for mending", rejected, s.report.RejectedKept)
	s.report.compare(s.county.Planted(), found)
	return nil
}

// issueLicenses issues the county's licences; those that exist are returned
// as they are. It gives back the numbers and tokens of every verifiedEvery-th.
func (s *scenario) issueLicenses(ctx context.Context) ([]*licensesv1.License, error) {
	var sample []*licensesv1.License
	for batch := range slices.Chunk(slices.Collect(s.county.Licenses()), licenseBatch) {
		resp, err := s.admin.licenses.BatchIssueLicenses(ctx, &licensesv1.BatchIssueLicensesRequest{Requests: batch})
		if err != nil {
			return nil, fmt.Errorf("issue licences: %w", err)
		}
		for _, license := range resp.GetLicenses() {
			if s.report.LicensesIssued%verifiedEvery == 0 || s.report.LicensesIssued%suspendedEvery <= 1 {
				sample = append(sample, license)
			}
			s.report.LicensesIssued++
		}
		if s.report.LicensesIssued%5000 == 0 {
			s.progress("licences: %d issued", s.report.LicensesIssued)
		}
	}
	s.progress("licences: %d issued", s.report.LicensesIssued)
	return sample, nil
}

// verifyLicenses takes a sample of licences through their life: valid, then
// tampered with, suspended, resumed, revoked.
func (s *scenario) verifyLicenses(ctx context.Context, sample []*licensesv1.License) error {
	for i, license := range sample {
		verdict, err := s.verify(ctx, license.GetToken())
		if err != nil {
			return err
		}
		byNumber, err := s.clerk.licenses.VerifyLicense(ctx, &licensesv1.VerifyLicenseRequest{Subject: &licensesv1.VerifyLicenseRequest_Number{Number: license.GetNumber()}})
		if err != nil {
			return fmt.Errorf("verify by number: %w", err)
		}
		s.report.require(verdict == byNumber.GetVerdict(), "licence %s: by token %s, by number %s", license.GetNumber(), verdict, byNumber.GetVerdict())
		if verdict == licensesv1.Verdict_VERDICT_VALID {
			s.report.VerifiedOk++
		}
		s.report.TamperedTried++
		verdict, err = s.verify(ctx, tampered(license.GetToken(), i))
		if err != nil {
			return err
		}
		if verdict != licensesv1.Verdict_VERDICT_VALID {
			s.report.TamperedRejected++
		}
	}
	s.report.require(s.report.VerifiedOk == int64(len(sample)), "%d of %d licences hold", s.report.VerifiedOk, len(sample))
	s.report.require(s.report.TamperedRejected == s.report.TamperedTried, "%d of %d tampered licences were accepted",
		s.report.TamperedTried-s.report.TamperedRejected, s.report.TamperedTried)
	s.progress("verification: %d licences hold, %d of %d tampered ones rejected", s.report.VerifiedOk, s.report.TamperedRejected, s.report.TamperedTried)
	return nil
}

// tampered changes one byte of a token; which one depends on i.
func tampered(token string, i int) string {
	bytes := []byte(token)
	at := (i*7919 + 13) % (len(bytes) - 1)
	for !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", rune(bytes[at])) {
		at = (at + 1) % (len(bytes) - 1)
	}
	if bytes[at] == 'A' {
		bytes[at] = 'B'
	} else {
		bytes[at] = 'A'
	}
	return string(bytes)
}

func (s *scenario) verify(ctx context.Context, token string) (licensesv1.Verdict, error) {
	resp, err := s.clerk.licenses.VerifyLicense(ctx, &licensesv1.VerifyLicenseRequest{Subject: &licensesv1.VerifyLicenseRequest_Token{Token: token}})
	if err != nil {
		return 0, fmt.Errorf("verify by token: %w", err)
	}
	return resp.GetVerdict(), nil
}

// resolveMaterials asks the county's questions and compares the answers. It
// comes before any licence is revoked: the answers assume that all hold.
func (s *scenario) resolveMaterials(ctx context.Context) error {
	applications := s.county.Applications()
	for _, a := range applications {
		resp, err := s.clerk.materials.ResolveMaterials(ctx, &exchangev1.ResolveMaterialsRequest{Applicant: a.Applicant, Matters: a.Matters, CaseNumber: a.CaseNumber})
		if err != nil {
			return fmt.Errorf("materials for case %s: %w", a.CaseNumber, err)
		}
		s.report.MaterialsRequired += int64(resp.GetRequired())
		s.report.MaterialsAsked += int64(resp.GetToBeSubmitted())
		s.report.require(int(resp.GetRequired()) == a.Required && int(resp.GetToBeSubmitted()) == a.ToBeSubmitted,
			"case %s: %d materials, %d to be submitted; must be %d and %d", a.CaseNumber, resp.GetRequired(), resp.GetToBeSubmitted(), a.Required, a.ToBeSubmitted)
	}
	s.progress("materials: %d applications need %d, only %d have to be brought", len(applications), s.report.MaterialsRequired, s.report.MaterialsAsked)
	return nil
}

// endLicenses suspends and resumes some licences and revokes others, and
// checks that each change shows at once.
func (s *scenario) endLicenses(ctx context.Context, sample []*licensesv1.License) error {
	for i := 0; i+1 < len(sample); i += suspendedEvery / verifiedEvery {
		suspended, revoked := sample[i], sample[i+1]
		if err := s.change(ctx, suspended, func(number string) error {
			_, err := s.admin.licenses.SuspendLicense(ctx, &licensesv1.SuspendLicenseRequest{Number: number, Reason: "示例：暂扣"})
			return err
		}, licensesv1.Verdict_VERDICT_SUSPENDED); err != nil {
			return err
		}
		if err := s.change(ctx, suspended, func(number string) error {
			_, err := s.admin.licenses.ResumeLicense(ctx, &licensesv1.ResumeLicenseRequest{Number: number, Reason: "示例：暂扣发还"})
			return err
		}, licensesv1.Verdict_VERDICT_VALID); err != nil {
			return err
		}
		s.report.RevokedTried++
		rejected := len(s.report.Faults)
		if err := s.change(ctx, revoked, func(number string) error {
			_, err := s.admin.licenses.RevokeLicense(ctx, &licensesv1.RevokeLicenseRequest{Number: number, Reason: "示例：注销"})
			return err
		}, licensesv1.Verdict_VERDICT_REVOKED); err != nil {
			return err
		}
		if len(s.report.Faults) == rejected {
			s.report.RevokedRejected++
		}
	}
	s.progress("status: %d licences revoked, %d of them rejected at once", s.report.RevokedTried, s.report.RevokedRejected)
	return nil
}

// change changes the status of a licence and verifies it. A second start
// finds the change done: that is not an error.
func (s *scenario) change(ctx context.Context, license *licensesv1.License, act func(number string) error, want licensesv1.Verdict) error {
	if err := act(license.GetNumber()); err != nil && status.Code(err) != codes.FailedPrecondition {
		return fmt.Errorf("licence %s: %w", license.GetNumber(), err)
	}
	verdict, err := s.verify(ctx, license.GetToken())
	if err != nil {
		return err
	}
	s.report.require(verdict == want, "licence %s is %s, must be %s", license.GetNumber(), verdict, want)
	return nil
}

// askIndex fills in the efficiency index and compares it.
func (s *scenario) askIndex(ctx context.Context) error {
	resp, err := s.analyst.analytics.GetIndex(ctx, &analyticsv1.GetIndexRequest{})
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	t := resp.GetTotal()
	s.report.Index = IndexReport{
		Accepted: t.GetAccepted(), Completed: t.GetCompleted(), Decided: t.GetDecided(), DecidedOnTime: t.GetDecidedOnTime(),
		MaterialsRequired: t.GetMaterialsRequired(), MaterialsSubmitted: t.GetMaterialsSubmitted(),
		OnTimeRate: t.GetOnTimeRate(), CompletionRate: t.GetCompletionRate(), MaterialsNotAskedRate: t.GetMaterialsNotAskedRate(),
	}
	s.report.compareIndex(s.county.Index())
	s.progress("index: on time %.2f %%, completed %.2f %%, materials not asked for %.2f %% (%d departments)",
		100*t.GetOnTimeRate(), 100*t.GetCompletionRate(), 100*t.GetMaterialsNotAskedRate(), len(resp.GetRows()))
	return nil
}
