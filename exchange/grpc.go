package exchange

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/server"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

const (
	defaultPage  = 100
	maxPage      = 1000
	maxPush      = 5000
	maxMatterPut = 2000
)

// api carries the exchange's three gRPC services.
type api struct {
	exchangev1.UnimplementedCatalogServiceServer
	exchangev1.UnimplementedSharingServiceServer
	exchangev1.UnimplementedMaterialsServiceServer
	exchange *Exchange
}

// Service returns the catalogue, sharing and materials services for the server.
func (e *Exchange) Service() server.Service {
	a := &api{exchange: e}
	admin := access.Policy{}
	all := access.Policy{Roles: []access.Role{access.Department, access.Clerk, access.Analyst}}
	return server.Service{
		Register: func(r grpc.ServiceRegistrar) {
			exchangev1.RegisterCatalogServiceServer(r, a)
			exchangev1.RegisterSharingServiceServer(r, a)
			exchangev1.RegisterMaterialsServiceServer(r, a)
		},
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			if err := exchangev1.RegisterCatalogServiceHandler(ctx, mux, conn); err != nil {
				return err
			}
			if err := exchangev1.RegisterSharingServiceHandler(ctx, mux, conn); err != nil {
				return err
			}
			return exchangev1.RegisterMaterialsServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			exchangev1.CatalogService_PutDepartment_FullMethodName:      admin,
			exchangev1.CatalogService_ListDepartments_FullMethodName:    all,
			exchangev1.CatalogService_PutResource_FullMethodName:        {Roles: []access.Role{access.Department}},
			exchangev1.CatalogService_GetResource_FullMethodName:        all,
			exchangev1.CatalogService_ListResources_FullMethodName:      all,
			exchangev1.CatalogService_BatchPutMatters_FullMethodName:    admin,
			exchangev1.CatalogService_ListMatters_FullMethodName:        all,
			exchangev1.SharingService_PushRecords_FullMethodName:        {Roles: []access.Role{access.Department}},
			exchangev1.SharingService_LookupRecords_FullMethodName:      {Roles: []access.Role{access.Department, access.Clerk}},
			exchangev1.MaterialsService_ResolveMaterials_FullMethodName: {Roles: []access.Role{access.Clerk}},
		},
		Errors: []server.ErrorRule{
			{Err: ErrInvalid, Code: codes.InvalidArgument, Reason: "INVALID"},
			{Err: ErrUnknownDepartment, Code: codes.NotFound, Reason: "DEPARTMENT_UNKNOWN"},
			{Err: ErrUnknownResource, Code: codes.NotFound, Reason: "RESOURCE_UNKNOWN"},
			{Err: ErrUnknownMatter, Code: codes.NotFound, Reason: "MATTER_UNKNOWN"},
			{Err: ErrConflict, Code: codes.AlreadyExists, Reason: "CONFLICT"},
			{Err: ErrForbidden, Code: codes.PermissionDenied, Reason: "FORBIDDEN"},
			{Err: ErrNotStored, Code: codes.Unavailable, Reason: "NOT_STORED_YET"},
			{Err: ErrDiskFull, Code: codes.ResourceExhausted, Reason: "DISK_FULL"},
			{Err: bus.ErrFull, Code: codes.ResourceExhausted, Reason: "LOG_FULL"},
			{Err: bus.ErrTooLarge, Code: codes.InvalidArgument, Reason: "RECORD_TOO_LARGE"},
		},
	}
}

func (a *api) PutDepartment(ctx context.Context, req *exchangev1.PutDepartmentRequest) (*exchangev1.PutDepartmentResponse, error) {
	d := req.GetDepartment()
	err := a.exchange.PutDepartment(ctx, Department{Code: d.GetCode(), USCC: d.GetUscc(), Title: d.GetTitle(), Region: d.GetRegion()})
	if err != nil {
		return nil, err
	}
	return &exchangev1.PutDepartmentResponse{Department: d}, nil
}

func (a *api) ListDepartments(ctx context.Context, req *exchangev1.ListDepartmentsRequest) (*exchangev1.ListDepartmentsResponse, error) {
	p, err := newPage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	departments, err := a.exchange.Departments(ctx, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	departments, next := cut(p, departments, func(d Department) string { return d.Code })
	resp := &exchangev1.ListDepartmentsResponse{NextPageToken: next}
	for _, d := range departments {
		resp.Departments = append(resp.Departments, &exchangev1.Department{Code: d.Code, Uscc: d.USCC, Title: d.Title, Region: d.Region})
	}
	return resp, nil
}

func (a *api) PutResource(ctx context.Context, req *exchangev1.PutResourceRequest) (*exchangev1.PutResourceResponse, error) {
	r := req.GetResource()
	if err := mayActFor(ctx, DepartmentOf(r.GetName())); err != nil {
		return nil, err
	}
	kind, ok := kindOf[r.GetKind()]
	if !ok {
		return nil, fmt.Errorf("%w: resource %s: %s", ErrInvalid, r.GetName(), server.OneOf("kind", r.GetKind()))
	}
	shareType, ok := shareTypeOf[r.GetShareType()]
	if !ok {
		return nil, fmt.Errorf("%w: resource %s: %s", ErrInvalid, r.GetName(), server.OneOf("shareType", r.GetShareType()))
	}
	if schema := bytes.TrimSpace(r.GetSchema()); len(schema) == 0 || schema[0] != '{' {
		return nil, fmt.Errorf("%w: resource %s: the schema is not a JSON object", ErrInvalid, r.GetName())
	}
	err := a.exchange.PutResource(ctx, Resource{
		Name: r.GetName(), Title: r.GetTitle(), Kind: kind, ShareType: shareType,
		Schema: r.GetSchema(), AgreedDelaySeconds: r.GetAgreedDelaySeconds(),
	})
	if err != nil {
		return nil, err
	}
	return &exchangev1.PutResourceResponse{Resource: r}, nil
}

func (a *api) GetResource(ctx context.Context, req *exchangev1.GetResourceRequest) (*exchangev1.GetResourceResponse, error) {
	r, err := a.exchange.Resource(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &exchangev1.GetResourceResponse{Resource: resourceMessage(r)}, nil
}

func (a *api) ListResources(ctx context.Context, req *exchangev1.ListResourcesRequest) (*exchangev1.ListResourcesResponse, error) {
	p, err := newPage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	resources, err := a.exchange.Resources(ctx, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	resources, next := cut(p, resources, func(r Resource) string { return r.Name })
	resp := &exchangev1.ListResourcesResponse{NextPageToken: next}
	for _, r := range resources {
		resp.Resources = append(resp.Resources, resourceMessage(r))
	}
	return resp, nil
}

func (a *api) BatchPutMatters(ctx context.Context, req *exchangev1.BatchPutMattersRequest) (*exchangev1.BatchPutMattersResponse, error) {
	if n := len(req.GetMatters()); n == 0 || n > maxMatterPut {
		return nil, fmt.Errorf("%w: send 1 to %d matters, not %d", ErrInvalid, maxMatterPut, n)
	}
	matters := make([]Matter, 0, len(req.GetMatters()))
	for _, m := range req.GetMatters() {
		matterType, ok := matterTypeOf[m.GetType()]
		if !ok {
			return nil, fmt.Errorf("%w: matter %s: %s", ErrInvalid, m.GetCode(), server.OneOf("type", m.GetType()))
		}
		matter := Matter{
			Code: m.GetCode(), Title: m.GetTitle(), Department: m.GetDepartment(), Type: matterType,
			PromisedDays: m.GetPromisedDays(), StatutoryDays: m.GetStatutoryDays(),
		}
		for _, material := range m.GetMaterials() {
			matter.Materials = append(matter.Materials, Material{
				Code: material.GetCode(), Title: material.GetTitle(), LicenseType: material.GetLicenseType(), Resource: material.GetResource(),
			})
		}
		matters = append(matters, matter)
	}
	if err := a.exchange.PutMatters(ctx, matters); err != nil {
		return nil, err
	}
	return &exchangev1.BatchPutMattersResponse{Stored: int32(len(matters))}, nil //nolint:gosec // at most maxMatterPut
}

func (a *api) ListMatters(ctx context.Context, req *exchangev1.ListMattersRequest) (*exchangev1.ListMattersResponse, error) {
	p, err := newPage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetDepartment() != "" {
		if _, err := a.exchange.Department(ctx, req.GetDepartment()); err != nil {
			return nil, err
		}
	}
	matters, err := a.exchange.Matters(ctx, req.GetDepartment(), p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	matters, next := cut(p, matters, func(m Matter) string { return m.Code })
	resp := &exchangev1.ListMattersResponse{NextPageToken: next}
	for _, m := range matters {
		resp.Matters = append(resp.Matters, matterMessage(m))
	}
	return resp, nil
}

func (a *api) PushRecords(ctx context.Context, req *exchangev1.PushRecordsRequest) (*exchangev1.PushRecordsResponse, error) {
	department := DepartmentOf(req.GetResource())
	if err := mayActFor(ctx, department); err != nil {
		return nil, err
	}
	if n := len(req.GetRecords()); n == 0 || n > maxPush {
		return nil, fmt.Errorf("%w: push 1 to %d records at once, not %d", ErrInvalid, maxPush, n)
	}
	drafts := make([]Draft, len(req.GetRecords()))
	for i, r := range req.GetRecords() {
		if r.GetOperation() != 0 && operationOf[r.GetOperation()] == "" {
			return nil, fmt.Errorf("%w: record %d: %s", ErrInvalid, i, server.OneOf("operation", r.GetOperation()))
		}
		drafts[i] = Draft{Key: r.GetKey(), Operation: operationOf[r.GetOperation()], Payload: r.GetPayload(), Origin: "push:" + r.GetKey()}
		if r.GetEventTime() != nil {
			drafts[i].EventTime = r.GetEventTime().AsTime()
		}
		if r.GetRecordedTime() != nil {
			drafts[i].RecordedTime = r.GetRecordedTime().AsTime()
		}
	}
	outcomes, err := a.exchange.Publish(ctx, req.GetResource(), department+"/push", drafts)
	if err != nil {
		return nil, err
	}
	resp := &exchangev1.PushRecordsResponse{Results: make([]*exchangev1.PushResult, len(outcomes))}
	for i, o := range outcomes {
		resp.Results[i] = &exchangev1.PushResult{Id: o.ID}
		if o.Rejection != nil {
			resp.Rejected++
			resp.Results[i].Rejection = &exchangev1.Rejection{Rule: o.Rejection.Rule, Field: o.Rejection.Field, Detail: o.Rejection.Detail}
			continue
		}
		resp.Accepted++
		resp.Results[i].Position = strconv.Itoa(o.Position.Partition) + ":" + strconv.FormatInt(o.Position.Offset, 10)
	}
	return resp, nil
}

func (a *api) LookupRecords(ctx context.Context, req *exchangev1.LookupRecordsRequest) (*exchangev1.LookupRecordsResponse, error) {
	waitFor := make([]bus.Position, len(req.GetWaitFor()))
	for i, text := range req.GetWaitFor() {
		partition, offset, _ := strings.Cut(text, ":")
		p, err1 := strconv.Atoi(partition)
		o, err2 := strconv.ParseInt(offset, 10, 64)
		if err1 != nil || err2 != nil || p < 0 || o < 0 {
			return nil, fmt.Errorf("%w: waitFor %q is not a position of a push (<partition>:<offset>)", ErrInvalid, text)
		}
		waitFor[i] = bus.Position{Partition: p, Offset: o}
	}
	purpose := Purpose{Matter: req.GetPurpose().GetMatter(), CaseNumber: req.GetPurpose().GetCaseNumber()}
	records, err := a.exchange.Lookup(ctx, req.GetResource(), req.GetKeys(), purpose, waitFor)
	if err != nil {
		return nil, err
	}
	resp := &exchangev1.LookupRecordsResponse{Records: make([]*exchangev1.Record, len(records))}
	for i, r := range records {
		resp.Records[i] = &exchangev1.Record{
			Key: r.Key, Operation: exchangev1.Operation_OPERATION_UPSERT, EventTime: timestamppb.New(r.EventTime), Payload: r.Payload,
		}
		if !r.RecordedTime.IsZero() {
			resp.Records[i].RecordedTime = timestamppb.New(r.RecordedTime)
		}
	}
	return resp, nil
}

func (a *api) ResolveMaterials(ctx context.Context, req *exchangev1.ResolveMaterialsRequest) (*exchangev1.ResolveMaterialsResponse, error) {
	materials, err := a.exchange.ResolveMaterials(ctx, req.GetApplicant(), req.GetMatters(), req.GetCaseNumber())
	if err != nil {
		return nil, err
	}
	resp := &exchangev1.ResolveMaterialsResponse{Required: int32(len(materials))} //nolint:gosec // bounded by maxMatters
	for _, m := range materials {
		if m.State == ToBeSubmitted {
			resp.ToBeSubmitted++
		}
		resp.Materials = append(resp.Materials, &exchangev1.ResolvedMaterial{
			Code: m.Code, Title: m.Title, State: materialStateMessage[m.State], Held: m.Held, Matters: m.Matters, Note: m.Note,
		})
	}
	return resp, nil
}

func mayActFor(ctx context.Context, department string) error {
	if access.MayActFor(ctx, department) {
		return nil
	}
	caller, _ := access.FromContext(ctx)
	return fmt.Errorf("%w: this token acts for department %q, not for %q", ErrForbidden, caller.Department, department)
}

// page is one page of a list: size rows after a key.
type page struct {
	size  int
	after string
}

func newPage(size int32, token string) (page, error) {
	if size < 0 || size > maxPage {
		return page{}, fmt.Errorf("%w: pageSize must be 0 to %d, not %d", ErrInvalid, maxPage, size)
	}
	if size == 0 {
		size = defaultPage
	}
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return page{}, fmt.Errorf("%w: pageToken is not one that a list returned", ErrInvalid)
	}
	return page{size: int(size), after: string(after)}, nil
}

// cut returns the rows of the page and the token of the next one, from a
// query that asked for one row more.
func cut[T any](p page, rows []T, key func(T) string) ([]T, string) {
	if len(rows) <= p.size {
		return rows, ""
	}
	rows = rows[:p.size]
	return rows, base64.RawURLEncoding.EncodeToString([]byte(key(rows[p.size-1])))
}
