package connectors

import (
	"context"
	"fmt"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

// api implements connectors.v1.ConnectorsService.
type api struct {
	connectorsv1.UnimplementedConnectorsServiceServer
	runner *Runner
}

// Service returns the gRPC service of the runner's sources. A department acts
// for its own sources; definitions are the administrator's.
func (r *Runner) Service() server.Service {
	owner := access.Policy{Roles: []access.Role{access.Department}}
	admin := access.Policy{}
	return server.Service{
		Register: func(s grpc.ServiceRegistrar) {
			connectorsv1.RegisterConnectorsServiceServer(validResponses{s}, &api{runner: r})
		},
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return connectorsv1.RegisterConnectorsServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			connectorsv1.ConnectorsService_ListSources_FullMethodName: {
				Roles: []access.Role{access.Analyst, access.Clerk, access.Department},
			},
			connectorsv1.ConnectorsService_PutSource_FullMethodName:     admin,
			connectorsv1.ConnectorsService_GetDefinition_FullMethodName: admin,
			connectorsv1.ConnectorsService_DeleteSource_FullMethodName:  admin,
			connectorsv1.ConnectorsService_CheckSources_FullMethodName:  admin,
			connectorsv1.ConnectorsService_PauseSource_FullMethodName:   owner,
			connectorsv1.ConnectorsService_ResumeSource_FullMethodName:  owner,
			connectorsv1.ConnectorsService_StopSource_FullMethodName:    owner,
			connectorsv1.ConnectorsService_RereadSource_FullMethodName:  owner,
			connectorsv1.ConnectorsService_AcceptColumns_FullMethodName: owner,
			connectorsv1.ConnectorsService_ProveSource_FullMethodName:   owner,
			connectorsv1.ConnectorsService_ListProofs_FullMethodName: {
				Roles: []access.Role{access.Analyst, access.Department},
			},
			connectorsv1.ConnectorsService_ListRejected_FullMethodName: owner,
			connectorsv1.ConnectorsService_MendRejected_FullMethodName: owner,
		},
		Errors: []server.ErrorRule{
			{Err: ErrDefinition, Code: codes.InvalidArgument, Reason: "DEFINITION_INVALID"},
			{Err: ErrInvalid, Code: codes.InvalidArgument, Reason: "REQUEST_INVALID"},
			{Err: exchange.ErrInvalid, Code: codes.InvalidArgument, Reason: "REQUEST_INVALID"},
			{Err: ErrUnknownSource, Code: codes.NotFound, Reason: "SOURCE_UNKNOWN"},
			{Err: exchange.ErrUnknownRejected, Code: codes.NotFound, Reason: "REJECTED_UNKNOWN"},
			{Err: exchange.ErrUnknownResource, Code: codes.FailedPrecondition, Reason: "RESOURCE_UNKNOWN"},
			{Err: ErrFixed, Code: codes.FailedPrecondition, Reason: "DEFINITION_FIXED"},
			{Err: ErrNothingOffered, Code: codes.FailedPrecondition, Reason: "NOTHING_TO_ACCEPT"},
			{Err: ErrForbidden, Code: codes.PermissionDenied, Reason: "NOT_YOUR_DEPARTMENT"},
		},
	}
}

// owned says who calls, if the caller may act for the department of a source.
func owned(ctx context.Context, source string) (by string, err error) {
	if !access.MayActFor(ctx, department(source)) {
		return "", fmt.Errorf("%w: %s belongs to department %s", ErrForbidden, source, department(source))
	}
	id, _ := access.FromContext(ctx)
	return id.Name, nil
}

// caller is the name of who calls.
func caller(ctx context.Context) string {
	id, _ := access.FromContext(ctx)
	return id.Name
}

// ListSources returns every source with its counts, by name.
func (a *api) ListSources(ctx context.Context, _ *connectorsv1.ListSourcesRequest) (*connectorsv1.ListSourcesResponse, error) {
	res := &connectorsv1.ListSourcesResponse{}
	for _, s := range a.runner.Status() {
		source := &connectorsv1.Source{
			Name: s.Name, Kind: s.Kind, Resource: s.Resource,
			State: stateProto(s.State), Fault: s.Fault, FaultCode: string(s.Code),
			Read: s.Read, Accepted: s.Accepted, Rejected: s.Rejected,
			RejectedByRule: s.RejectedByRule, Findings: s.Findings,
			FailedAttempts: s.FailedAttempts, FailingSinceTime: timeProto(s.FailingSince),
			LastReadTime: timeProto(s.LastRead), NewestEventTime: timeProto(s.NewestEvent), CaughtUpTime: timeProto(s.CaughtUpAt),
		}
		report, ok, err := a.runner.newestProof(ctx, s.Name)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && source.GetFault() == "": // what is wrong with one source does not hide the others
			source.Fault, source.FaultCode = foreign("its newest proof cannot be read: "+err.Error(), maxFaultText), string(FaultUnclassified)
		case ok:
			keys := 0 // they are the department's own affair: they may be people's numbers
			if access.MayActFor(ctx, department(s.Name)) {
				keys = 20
			}
			source.Proof = proofProto(report, keys)
		}
		res.Sources = append(res.Sources, source)
	}
	return res, nil
}

// PutSource stores a definition and starts to read its source.
func (a *api) PutSource(ctx context.Context, req *connectorsv1.PutSourceRequest) (*connectorsv1.PutSourceResponse, error) {
	def, err := a.runner.PutDefinition(ctx, req.GetDefinition(), caller(ctx))
	if err != nil {
		return nil, err
	}
	return &connectorsv1.PutSourceResponse{Name: def.Name}, nil
}

// GetDefinition returns the YAML of a source that came by the API.
func (a *api) GetDefinition(ctx context.Context, req *connectorsv1.GetDefinitionRequest) (*connectorsv1.GetDefinitionResponse, error) {
	body, err := a.runner.Definition(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &connectorsv1.GetDefinitionResponse{Definition: body}, nil
}

// DeleteSource ends a source that came by the API.
func (a *api) DeleteSource(ctx context.Context, req *connectorsv1.DeleteSourceRequest) (*connectorsv1.DeleteSourceResponse, error) {
	if err := a.runner.DeleteDefinition(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return &connectorsv1.DeleteSourceResponse{}, nil
}

// CheckSources shows some rows of each source, and every fault.
func (a *api) CheckSources(ctx context.Context, req *connectorsv1.CheckSourcesRequest) (*connectorsv1.CheckSourcesResponse, error) {
	defs, err := ParseDefinitions([]byte(req.GetDefinitions()), a.runner.cfg.Dir)
	if err != nil {
		return nil, err
	}
	res := &connectorsv1.CheckSourcesResponse{}
	for _, def := range defs {
		checked := CheckSource(ctx, def, a.runner.cfg.Kinds[def.Kind], a.runner.cfg.Logger)
		rejections, err := a.runner.cfg.Publisher.Examine(ctx, def.Resource, checked.Rows)
		if err != nil {
			checked.Faults = append(checked.Faults, err)
			rejections = make([]*exchange.Rejection, len(checked.Rows))
		}
		res.Sources = append(res.Sources, checkedProto(checked, rejections))
	}
	return res, nil
}

// PauseSource closes a source for a while.
func (a *api) PauseSource(ctx context.Context, req *connectorsv1.PauseSourceRequest) (*connectorsv1.PauseSourceResponse, error) {
	return &connectorsv1.PauseSourceResponse{}, a.desire(ctx, req.GetName(), Pause)
}

// ResumeSource lets a source go on.
func (a *api) ResumeSource(ctx context.Context, req *connectorsv1.ResumeSourceRequest) (*connectorsv1.ResumeSourceResponse, error) {
	return &connectorsv1.ResumeSourceResponse{}, a.desire(ctx, req.GetName(), Run)
}

// StopSource closes a source until it is resumed.
func (a *api) StopSource(ctx context.Context, req *connectorsv1.StopSourceRequest) (*connectorsv1.StopSourceResponse, error) {
	return &connectorsv1.StopSourceResponse{}, a.desire(ctx, req.GetName(), Stop)
}

func (a *api) desire(ctx context.Context, source string, desired Desired) error {
	if _, err := owned(ctx, source); err != nil {
		return err
	}
	return a.runner.SetDesired(ctx, source, desired)
}

// RereadSource asks a source to read a range of keys again.
func (a *api) RereadSource(ctx context.Context, req *connectorsv1.RereadSourceRequest) (*connectorsv1.RereadSourceResponse, error) {
	by, err := owned(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	id, err := a.runner.Reread(ctx, req.GetName(), KeyRange{From: req.GetFrom(), To: req.GetTo()}, by)
	if err != nil {
		return nil, err
	}
	return &connectorsv1.RereadSourceResponse{Id: id}, nil
}

// AcceptColumns agrees to the changed columns of a source.
func (a *api) AcceptColumns(ctx context.Context, req *connectorsv1.AcceptColumnsRequest) (*connectorsv1.AcceptColumnsResponse, error) {
	if _, err := owned(ctx, req.GetName()); err != nil {
		return nil, err
	}
	if err := a.runner.AcceptColumns(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return &connectorsv1.AcceptColumnsResponse{}, nil
}

// ProveSource asks for a proof of completeness.
func (a *api) ProveSource(ctx context.Context, req *connectorsv1.ProveSourceRequest) (*connectorsv1.ProveSourceResponse, error) {
	by, err := owned(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	id, err := a.runner.Prove(ctx, req.GetName(), req.GetRepair(), req.GetAllowEmptied(), by)
	if err != nil {
		return nil, err
	}
	return &connectorsv1.ProveSourceResponse{Id: id}, nil
}

// ListProofs returns proofs, newest first.
func (a *api) ListProofs(ctx context.Context, req *connectorsv1.ListProofsRequest) (*connectorsv1.ListProofsResponse, error) {
	size, err := pageSize(req.GetPageSize(), 20)
	if err != nil {
		return nil, err
	}
	reports, err := a.runner.Reports(ctx, req.GetSource(), size)
	if err != nil {
		return nil, err
	}
	if len(reports) == 0 {
		if err := a.mustExist(ctx, req.GetSource()); err != nil {
			return nil, err
		}
	}
	res := &connectorsv1.ListProofsResponse{}
	for _, report := range reports {
		keys := 0
		if access.MayActFor(ctx, department(report.Source)) {
			keys = proofListed
		}
		res.Proofs = append(res.Proofs, proofProto(report, keys))
	}
	return res, nil
}

// ListRejected returns rejected rows, newest first.
func (a *api) ListRejected(ctx context.Context, req *connectorsv1.ListRejectedRequest) (*connectorsv1.ListRejectedResponse, error) {
	if a.runner.cfg.Holdings == nil {
		return nil, invalidf("this process does not know what is stored")
	}
	if id, _ := access.FromContext(ctx); id.Role != access.Administrator && exchange.DepartmentOf(req.GetResource()) != id.Department {
		return nil, fmt.Errorf("%w: name a resource of your department", ErrForbidden)
	}
	if err := a.mayNarrow(ctx, req); err != nil {
		return nil, err
	}
	size, err := pageSize(req.GetPageSize(), 50)
	if err != nil {
		return nil, err
	}
	rows, next, err := a.runner.cfg.Holdings.RejectedRecords(ctx, exchange.RejectedQuery{
		Resource: req.GetResource(), Source: req.GetSource(), Rule: req.GetRule(), After: req.GetPageToken(), Limit: size,
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 && req.GetPageToken() == "" {
		if err := a.mustExist(ctx, req.GetSource()); err != nil {
			return nil, err
		}
	}
	mended, err := a.runner.mended(ctx, rows)
	if err != nil {
		return nil, err
	}
	texts := a.newRawTexts(ctx)
	res := &connectorsv1.ListRejectedResponse{NextPageToken: next}
	for _, r := range rows {
		row := &connectorsv1.RejectedRow{
			Id: r.ID, Resource: r.Resource, Source: r.Source, Origin: r.Origin,
			Rule: r.Rule, Field: r.Field, Detail: r.Detail, Raw: r.Raw, RawText: texts.of(r.Source, r.Raw), Time: timeProto(r.Time),
		}
		if m, ok := mended[r.ID]; ok {
			row.MendTime, row.MendedBy = timeProto(m.at), m.by
		}
		res.Rows = append(res.Rows, row)
	}
	return res, nil
}

// MendRejected puts a rejected row right and publishes it.
func (a *api) MendRejected(ctx context.Context, req *connectorsv1.MendRejectedRequest) (*connectorsv1.MendRejectedResponse, error) {
	rejected, err := a.runner.Rejected(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	by, err := owned(ctx, rejected.Source)
	if err != nil {
		return nil, err
	}
	mended, err := a.runner.Mend(ctx, req.GetId(), req.GetColumns(), by)
	if err != nil {
		return nil, err
	}
	res := &connectorsv1.MendRejectedResponse{RecordId: mended.RecordID}
	if r := mended.Rejection; r != nil {
		res.Rule, res.Field, res.Detail = r.Rule, r.Field, r.Detail
	}
	return res, nil
}

// pageSize reads the size of a page; 0 is the default.
func pageSize(asked int32, fallback int) (int, error) {
	switch {
	case asked == 0:
		return fallback, nil
	case asked < 0 || asked > 500:
		return 0, invalidf("page_size is %d; it must be 1 to 500", asked)
	}
	return int(asked), nil
}

// timeProto is nil for the zero time.
func timeProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
