package server

import (
	"context"
	"errors"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onewindow/onewindow/exchange/access"
)

// Service is what a domain package gives to the server: its gRPC service, the
// REST gateway to it, who may call each method, and how its errors cross the
// border. It is data, not behaviour: the domain's grpc.go builds one.
type Service struct {
	// Register adds the implementation to the gRPC server.
	Register func(grpc.ServiceRegistrar)
	// Gateway adds the REST routes; they call back over conn.
	Gateway func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error
	// Access has one entry for every full method name ("/exchange.v1.SharingService/PushRecords").
	Access map[string]access.Policy
	// Contents has the media types of every method that returns a google.api.HttpBody, by full method name. A method that
	// needs no token returns a document that may be cached: until the time of a google.protobuf.Timestamp among the
	// body's extensions, and not at all without one.
	Contents map[string][]string
	// Errors are tried in order; the first whose Err matches by errors.Is wins.
	Errors []ErrorRule
}

// ErrorRule maps a sentinel error of a domain to the API.
type ErrorRule struct {
	Err error
	// Match reports whether the rule is for an error that no sentinel marks; it is asked when Err is nil.
	Match func(error) bool
	Code  codes.Code
	// Reason is the machine-readable name in UPPER_SNAKE_CASE, e.g. "RESOURCE_UNKNOWN".
	Reason string
	// Text replaces the error's own text, which may name files of this machine; empty means the error's own.
	Text string
}

// matches reports whether the rule is for err.
func (r ErrorRule) matches(err error) bool {
	if r.Err == nil {
		return r.Match(err)
	}
	return errors.Is(err, r.Err)
}
