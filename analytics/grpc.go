package analytics

import (
	"context"
	"fmt"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	analyticsv1 "github.com/onewindow/onewindow/proto/analytics/v1"
)

// Departments finds a department by its code, or returns
// [exchange.ErrUnknownDepartment]. It is asked once a call and may be asked
// concurrently. *exchange.Exchange is one.
type Departments interface {
	Department(ctx context.Context, code string) (exchange.Department, error)
}

// Service is the gRPC service of a store.
func (s *Store) Service(departments Departments) server.Service {
	return server.Service{
		Register: func(r grpc.ServiceRegistrar) {
			analyticsv1.RegisterAnalyticsServiceServer(r, &api{store: s, departments: departments})
		},
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return analyticsv1.RegisterAnalyticsServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			analyticsv1.AnalyticsService_GetIndex_FullMethodName:   {Roles: []access.Role{access.Analyst, access.Clerk}},
			analyticsv1.AnalyticsService_GetStorage_FullMethodName: {Roles: []access.Role{access.Analyst, access.Department}},
		},
		Errors: []server.ErrorRule{
			{Err: ErrInvalid, Code: codes.InvalidArgument, Reason: "INVALID_QUERY"},
			{Err: ErrUnavailable, Code: codes.Unavailable, Reason: "ANALYTICS_UNAVAILABLE"},
			{Err: exchange.ErrUnknownDepartment, Code: codes.NotFound, Reason: "DEPARTMENT_UNKNOWN"},
		},
	}
}

// api answers the generated service from a store.
type api struct {
	analyticsv1.UnimplementedAnalyticsServiceServer
	store       *Store
	departments Departments
}

// GetIndex implements analyticsv1.AnalyticsServiceServer.
func (a *api) GetIndex(ctx context.Context, req *analyticsv1.GetIndexRequest) (*analyticsv1.GetIndexResponse, error) {
	q := Query{From: req.GetFrom(), Until: req.GetUntil(), Department: req.GetDepartment()}
	switch req.GetGroupBy() {
	case analyticsv1.IndexGroup_INDEX_GROUP_UNSPECIFIED, analyticsv1.IndexGroup_INDEX_GROUP_DEPARTMENT:
		q.Group = ByDepartment
	case analyticsv1.IndexGroup_INDEX_GROUP_REGION:
		q.Group = ByRegion
	case analyticsv1.IndexGroup_INDEX_GROUP_MATTER:
		q.Group = ByMatter
	case analyticsv1.IndexGroup_INDEX_GROUP_MONTH:
		q.Group = ByMonth
	default:
		return nil, fmt.Errorf("%w: %s", ErrInvalid, server.OneOf("groupBy", req.GetGroupBy()))
	}
	if q.Department != "" {
		if _, err := a.departments.Department(ctx, q.Department); err != nil {
			return nil, err
		}
	}
	rows, total, err := a.store.Index(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &analyticsv1.GetIndexResponse{Total: indexRow(IndexRow{Figures: total})}
	for _, row := range rows {
		out.Rows = append(out.Rows, indexRow(row))
	}
	return out, nil
}

func indexRow(row IndexRow) *analyticsv1.IndexRow {
	return &analyticsv1.IndexRow{
		Group: row.Group, Accepted: row.Accepted, Decided: row.Decided, DecidedOnTime: row.OnTime, Completed: row.Completed,
		MaterialsRequired: row.MaterialsRequired, MaterialsSubmitted: row.MaterialsSubmitted,
		OnTimeRate: optional(row.OnTimeRate()), CompletionRate: optional(row.CompletionRate()), MaterialsNotAskedRate: optional(row.NotAskedRate()),
	}
}

func optional(rate float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &rate
}

// GetStorage implements analyticsv1.AnalyticsServiceServer.
func (a *api) GetStorage(ctx context.Context, _ *analyticsv1.GetStorageRequest) (*analyticsv1.GetStorageResponse, error) {
	report, err := a.store.Storage(ctx)
	if err != nil {
		return nil, err
	}
	out := &analyticsv1.GetStorageResponse{
		StoredRows: report.Rows, StoredDistinct: report.Distinct,
		Duplicates: report.Duplicates, Rejected: report.Rejected, Lag: report.Lag,
	}
	for _, r := range report.Resources {
		out.Resources = append(out.Resources, &analyticsv1.ResourceStorage{
			Resource: r.Resource, Rows: r.Rows, Distinct: r.Distinct, Late: r.Late, Lag: r.Lag,
		})
	}
	return out, nil
}
