package connectors

import (
	"context"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

// api implements connectors.v1.ConnectorsService.
type api struct {
	connectorsv1.UnimplementedConnectorsServiceServer
	runner *Runner
}

// Service returns the gRPC service that shows the state of the runner's sources.
func (r *Runner) Service() server.Service {
	return server.Service{
		Register: func(s grpc.ServiceRegistrar) { connectorsv1.RegisterConnectorsServiceServer(s, &api{runner: r}) },
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return connectorsv1.RegisterConnectorsServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			connectorsv1.ConnectorsService_ListSources_FullMethodName: {
				Roles: []access.Role{access.Analyst, access.Clerk, access.Department},
			},
		},
	}
}

// ListSources returns every source with its counts, by name.
func (a *api) ListSources(context.Context, *connectorsv1.ListSourcesRequest) (*connectorsv1.ListSourcesResponse, error) {
	res := &connectorsv1.ListSourcesResponse{}
	for _, s := range a.runner.Status() {
		source := &connectorsv1.Source{
			Name: s.Name, Kind: s.Kind, Resource: s.Resource,
			State: stateProto(s.State), Fault: s.Fault,
			Read: s.Read, Accepted: s.Accepted, Rejected: s.Rejected,
			RejectedByRule: s.RejectedByRule, Findings: s.Findings,
		}
		if !s.LastRead.IsZero() {
			source.LastReadTime = timestamppb.New(s.LastRead)
		}
		if !s.NewestEvent.IsZero() {
			source.NewestEventTime = timestamppb.New(s.NewestEvent)
		}
		res.Sources = append(res.Sources, source)
	}
	return res, nil
}

func stateProto(s State) connectorsv1.SourceState {
	switch s {
	case Starting:
		return connectorsv1.SourceState_SOURCE_STATE_STARTING
	case Reading:
		return connectorsv1.SourceState_SOURCE_STATE_READING
	case CaughtUp:
		return connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP
	case Failing:
		return connectorsv1.SourceState_SOURCE_STATE_FAILING
	case Stopped:
		return connectorsv1.SourceState_SOURCE_STATE_STOPPED
	}
	return connectorsv1.SourceState_SOURCE_STATE_UNSPECIFIED
}
