package licenses

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

// Media types of a licence's page.
const (
	pageType    = "application/ofd"
	pictureType = "image/png"
)

// Service returns the registry's API for the server: who may call what, and
// how errors cross the border. Clerks verify and look up; a department's own
// system issues and changes its own licences; licence types are the
// administrator's; status lists are public.
func (r *Registry) Service() server.Service {
	departments := access.Policy{Roles: []access.Role{access.Department}}
	windows := access.Policy{Roles: []access.Role{access.Clerk, access.Department}}
	return server.Service{
		Register: func(s grpc.ServiceRegistrar) {
			licensesv1.RegisterLicensesServiceServer(s, licensesService{registry: r})
		},
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return licensesv1.RegisterLicensesServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			licensesv1.LicensesService_PutLicenseType_FullMethodName: {},
			licensesv1.LicensesService_ListLicenseTypes_FullMethodName: {
				Roles: []access.Role{access.Clerk, access.Department, access.Analyst},
			},
			licensesv1.LicensesService_IssueLicense_FullMethodName:       departments,
			licensesv1.LicensesService_BatchIssueLicenses_FullMethodName: departments,
			licensesv1.LicensesService_SuspendLicense_FullMethodName:     departments,
			licensesv1.LicensesService_ResumeLicense_FullMethodName:      departments,
			licensesv1.LicensesService_RevokeLicense_FullMethodName:      departments,
			licensesv1.LicensesService_GetLicense_FullMethodName:         windows,
			licensesv1.LicensesService_GetLicensePage_FullMethodName:     windows,
			licensesv1.LicensesService_ListLicenses_FullMethodName:       windows,
			licensesv1.LicensesService_VerifyLicense_FullMethodName:      windows,
			licensesv1.LicensesService_GetStatusList_FullMethodName:      {Public: true},
		},
		Contents: map[string][]string{
			licensesv1.LicensesService_GetLicensePage_FullMethodName: {pageType, pictureType},
			licensesv1.LicensesService_GetStatusList_FullMethodName:  {"application/" + sdjwt.StatusListType},
		},
		Errors: []server.ErrorRule{
			{Err: ErrInvalid, Code: codes.InvalidArgument, Reason: "LICENSE_REQUEST_INVALID"},
			{Err: ErrNumber, Code: codes.InvalidArgument, Reason: "LICENSE_NUMBER_MALFORMED"},
			{Err: ErrCheck, Code: codes.InvalidArgument, Reason: "LICENSE_NUMBER_CHECK"},
			{Err: ErrUnknownType, Code: codes.FailedPrecondition, Reason: "LICENSE_TYPE_UNKNOWN"},
			{Err: ErrNotFound, Code: codes.NotFound, Reason: "LICENSE_NOT_FOUND"},
			{Err: ErrConflict, Code: codes.AlreadyExists, Reason: "LICENSE_REQUEST_ID_USED"},
			{Err: ErrState, Code: codes.FailedPrecondition, Reason: "LICENSE_STATUS"},
			{Err: ErrNoSeal, Code: codes.FailedPrecondition, Reason: "LICENSE_NO_SEAL"},
			{Err: ErrForbidden, Code: codes.PermissionDenied, Reason: "LICENSE_FORBIDDEN"},
			{Err: exchange.ErrUnknownDepartment, Code: codes.FailedPrecondition, Reason: "DEPARTMENT_UNKNOWN"},
		},
	}
}

// licensesService translates between the API and the registry.
type licensesService struct {
	licensesv1.UnimplementedLicensesServiceServer
	registry *Registry
}

func (s licensesService) PutLicenseType(ctx context.Context, req *licensesv1.PutLicenseTypeRequest) (*licensesv1.PutLicenseTypeResponse, error) {
	t := req.GetLicenseType()
	kind := Type{Code: t.GetCode(), Title: t.GetTitle(), Disclosable: t.GetDisclosableClaims()}
	for _, f := range t.GetFace() {
		kind.Face = append(kind.Face, FaceField{Claim: f.GetClaim(), Label: f.GetLabel()})
	}
	err := s.registry.PutType(ctx, kind)
	if err != nil {
		return nil, err
	}
	return &licensesv1.PutLicenseTypeResponse{LicenseType: t}, nil
}

func (s licensesService) ListLicenseTypes(ctx context.Context, req *licensesv1.ListLicenseTypesRequest) (*licensesv1.ListLicenseTypesResponse, error) {
	types, next, err := s.registry.ListTypes(ctx, int(req.GetPageSize()), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	resp := &licensesv1.ListLicenseTypesResponse{NextPageToken: next}
	for _, t := range types {
		kind := &licensesv1.LicenseType{Code: t.Code, Title: t.Title, DisclosableClaims: t.Disclosable}
		for _, f := range t.Face {
			kind.Face = append(kind.Face, &licensesv1.FaceField{Claim: f.Claim, Label: f.Label})
		}
		resp.LicenseTypes = append(resp.LicenseTypes, kind)
	}
	return resp, nil
}

func (s licensesService) IssueLicense(ctx context.Context, req *licensesv1.IssueLicenseRequest) (*licensesv1.IssueLicenseResponse, error) {
	q, err := fromProto(req)
	if err != nil {
		return nil, err
	}
	l, err := s.registry.Issue(ctx, q)
	if err != nil {
		return nil, err
	}
	return &licensesv1.IssueLicenseResponse{License: toProto(l)}, nil
}

func (s licensesService) BatchIssueLicenses(ctx context.Context, req *licensesv1.BatchIssueLicensesRequest) (*licensesv1.BatchIssueLicensesResponse, error) {
	requests := make([]Request, len(req.GetRequests()))
	for i, one := range req.GetRequests() {
		var err error
		if requests[i], err = fromProto(one); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	issued, err := s.registry.BatchIssue(ctx, requests)
	if err != nil {
		return nil, err
	}
	return &licensesv1.BatchIssueLicensesResponse{Licenses: allToProto(issued)}, nil
}

func (s licensesService) GetLicense(ctx context.Context, req *licensesv1.GetLicenseRequest) (*licensesv1.GetLicenseResponse, error) {
	l, err := s.registry.Get(ctx, req.GetNumber())
	if err != nil {
		return nil, err
	}
	return &licensesv1.GetLicenseResponse{License: toProto(l)}, nil
}

func (s licensesService) GetLicensePage(ctx context.Context, req *licensesv1.GetLicensePageRequest) (*httpbody.HttpBody, error) {
	switch req.GetFormat() {
	case licensesv1.PageFormat_PAGE_FORMAT_UNSPECIFIED, licensesv1.PageFormat_PAGE_FORMAT_OFD, licensesv1.PageFormat_PAGE_FORMAT_PNG:
	default:
		return nil, fmt.Errorf("%w: %s", ErrInvalid, server.OneOf("format", req.GetFormat()))
	}
	file, err := s.registry.Page(ctx, req.GetNumber(), req.GetCopyReason())
	if err != nil {
		return nil, err
	}
	if req.GetFormat() != licensesv1.PageFormat_PAGE_FORMAT_PNG {
		return &httpbody.HttpBody{ContentType: pageType, Data: file}, nil
	}
	picture, err := s.registry.cfg.Pages.RenderFile(ctx, &signingv1.RenderFileRequest{File: file})
	if err != nil {
		return nil, err
	}
	if notes := picture.GetNotes(); len(notes) > 0 {
		if err := grpc.SetHeader(ctx, metadata.Pairs(server.NotesHeader, noteHeader(notes))); err != nil {
			return nil, fmt.Errorf("licenses: page of %s: %w", req.GetNumber(), err)
		}
	}
	return &httpbody.HttpBody{ContentType: pictureType, Data: picture.GetPng()}, nil
}

// noteHeader names, in ASCII, what a picture does not show: code, page and object
// of each note, as parameters of a list (RFC 8941).
func noteHeader(notes []*signingv1.RenderNote) string {
	var list []string
	for _, n := range notes {
		list = append(list, fmt.Sprintf("%s;page=%d;object=%d", n.GetCode(), n.GetPage(), n.GetObject()))
	}
	return strings.Join(list, ", ")
}

func (s licensesService) ListLicenses(ctx context.Context, req *licensesv1.ListLicensesRequest) (*licensesv1.ListLicensesResponse, error) {
	page, err := s.registry.List(ctx, Filter{Holder: req.GetHolder(), Department: req.GetDepartment(), Type: req.GetType()}, int(req.GetPageSize()), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &licensesv1.ListLicensesResponse{
		Licenses: allToProto(page.Licenses), NextPageToken: page.Next,
		Valid: page.Counts.Valid, Suspended: page.Counts.Suspended, Revoked: page.Counts.Revoked,
	}, nil
}

func (s licensesService) SuspendLicense(ctx context.Context, req *licensesv1.SuspendLicenseRequest) (*licensesv1.SuspendLicenseResponse, error) {
	l, err := s.registry.Change(ctx, req.GetNumber(), Suspend, req.GetReason())
	if err != nil {
		return nil, err
	}
	return &licensesv1.SuspendLicenseResponse{License: toProto(l)}, nil
}

func (s licensesService) ResumeLicense(ctx context.Context, req *licensesv1.ResumeLicenseRequest) (*licensesv1.ResumeLicenseResponse, error) {
	l, err := s.registry.Change(ctx, req.GetNumber(), Resume, req.GetReason())
	if err != nil {
		return nil, err
	}
	return &licensesv1.ResumeLicenseResponse{License: toProto(l)}, nil
}

func (s licensesService) RevokeLicense(ctx context.Context, req *licensesv1.RevokeLicenseRequest) (*licensesv1.RevokeLicenseResponse, error) {
	l, err := s.registry.Change(ctx, req.GetNumber(), Revoke, req.GetReason())
	if err != nil {
		return nil, err
	}
	return &licensesv1.RevokeLicenseResponse{License: toProto(l)}, nil
}

func (s licensesService) VerifyLicense(ctx context.Context, req *licensesv1.VerifyLicenseRequest) (*licensesv1.VerifyLicenseResponse, error) {
	var v Verification
	var err error
	switch subject := req.GetSubject().(type) {
	case *licensesv1.VerifyLicenseRequest_Token:
		v, err = s.registry.VerifyToken(ctx, subject.Token)
	case *licensesv1.VerifyLicenseRequest_Number:
		v, err = s.registry.VerifyNumber(ctx, subject.Number)
	case *licensesv1.VerifyLicenseRequest_File:
		v, err = s.registry.VerifyFile(ctx, subject.File)
	default:
		err = fmt.Errorf("%w: give a token, a number or a file", ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return &licensesv1.VerifyLicenseResponse{
		Verdict: verdictToProto(v.Verdict), Detail: v.Detail, Number: v.Number, Type: v.Type, Issuer: v.Issuer,
		HolderName: v.HolderName, ValidUntil: timeToProto(v.ValidUntil), StatusAsOf: timeToProto(v.StatusAsOf), Claims: v.Claims,
		Signatures: v.Signatures, Reason: v.Reason,
	}, nil
}

func (s licensesService) GetStatusList(ctx context.Context, req *licensesv1.GetStatusListRequest) (*httpbody.HttpBody, error) {
	token, until, err := s.registry.StatusList(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	fresh, err := anypb.New(timestamppb.New(until))
	if err != nil {
		return nil, err
	}
	return &httpbody.HttpBody{ContentType: "application/" + sdjwt.StatusListType, Data: token, Extensions: []*anypb.Any{fresh}}, nil
}

func fromProto(req *licensesv1.IssueLicenseRequest) (Request, error) {
	q := Request{
		RequestID: req.GetRequestId(), Type: req.GetType(), Department: req.GetDepartment(),
		Holder: req.GetHolder(), HolderName: req.GetHolderName(), Claims: req.GetClaims(),
	}
	for _, t := range []struct {
		name string
		from *timestamppb.Timestamp
		to   *time.Time
	}{{"valid_from", req.GetValidFrom(), &q.ValidFrom}, {"valid_until", req.GetValidUntil(), &q.ValidUntil}} {
		if t.from == nil {
			continue
		}
		if err := t.from.CheckValid(); err != nil {
			return Request{}, fmt.Errorf("%w: %s: %w; write a time as in \"2026-11-22T09:30:00+08:00\"", ErrInvalid, t.name, err)
		}
		*t.to = t.from.AsTime()
	}
	return q, nil
}

func toProto(l License) *licensesv1.License {
	return &licensesv1.License{
		Number: l.Number, Type: l.Type, Issuer: l.Issuer, Holder: l.Holder, HolderName: l.HolderName,
		Status: statusToProto(l.Status), StatusReason: l.StatusReason, Token: l.Token,
		IssueTime: timeToProto(l.IssueTime), ValidFrom: timeToProto(l.ValidFrom), ValidUntil: timeToProto(l.ValidUntil),
	}
}

func allToProto(all []License) []*licensesv1.License {
	out := make([]*licensesv1.License, len(all))
	for i, l := range all {
		out[i] = toProto(l)
	}
	return out
}

// timeToProto leaves a zero time, which means unlimited, unset.
func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func statusToProto(s Status) licensesv1.LicenseStatus {
	switch s {
	case Valid:
		return licensesv1.LicenseStatus_LICENSE_STATUS_VALID
	case Suspended:
		return licensesv1.LicenseStatus_LICENSE_STATUS_SUSPENDED
	case Revoked:
		return licensesv1.LicenseStatus_LICENSE_STATUS_REVOKED
	}
	return licensesv1.LicenseStatus_LICENSE_STATUS_UNSPECIFIED
}

func verdictToProto(v Verdict) licensesv1.Verdict {
	switch v {
	case VerdictValid:
		return licensesv1.Verdict_VERDICT_VALID
	case VerdictExpired:
		return licensesv1.Verdict_VERDICT_EXPIRED
	case VerdictNotYetValid:
		return licensesv1.Verdict_VERDICT_NOT_YET_VALID
	case VerdictSuspended:
		return licensesv1.Verdict_VERDICT_SUSPENDED
	case VerdictRevoked:
		return licensesv1.Verdict_VERDICT_REVOKED
	case VerdictUnknown:
		return licensesv1.Verdict_VERDICT_UNKNOWN
	case VerdictUnknownIssuer:
		return licensesv1.Verdict_VERDICT_UNKNOWN_ISSUER
	case VerdictBadSignature:
		return licensesv1.Verdict_VERDICT_BAD_SIGNATURE
	case VerdictMalformed:
		return licensesv1.Verdict_VERDICT_MALFORMED
	}
	return licensesv1.Verdict_VERDICT_UNSPECIFIED
}
