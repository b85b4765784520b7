package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/proto/message"
)

// errorDomain is the domain of every ErrorInfo of this system.
const errorDomain = "onewindow"

// The reasons that the server itself gives; the domains name their own.
const (
	reasonCanceled       = "CANCELED"
	reasonDeadline       = "DEADLINE_EXCEEDED"
	reasonStopping       = "STOPPING"
	reasonInternal       = "INTERNAL"
	reasonTokenMissing   = "TOKEN_MISSING"
	reasonTokenInvalid   = "TOKEN_INVALID"
	reasonTokenUnchecked = "TOKEN_UNCHECKED"
	reasonRole           = "ROLE_NOT_ALLOWED"
	reasonRouteUnknown   = "ROUTE_UNKNOWN"
	reasonMethod         = "METHOD_NOT_ALLOWED"
	reasonBodyTooLarge   = "BODY_TOO_LARGE"
	reasonBodyIncomplete = "BODY_INCOMPLETE"
	reasonContentType    = "CONTENT_TYPE"
	reasonMalformedJSON  = "MALFORMED_JSON"
	reasonUnknownField   = "UNKNOWN_FIELD"
	reasonDuplicateField = "DUPLICATE_FIELD"
	reasonInvalidValue   = "INVALID_VALUE"
	// reasonDiskFull is given by the domains and by [Config.Errors]; REST answers it with 507.
	reasonDiskFull = "DISK_FULL"
)

// toStatus turns the error of a domain into the status that crosses the
// border. It is the only place that does. In order: the caller gave up or ran
// out of time; the first rule that matches, with the error's own text; an error
// that is a status already; a deadline or cancellation within the server; and
// everything else is opaque, its cause going to the log alone.
func toStatus(ctx context.Context, logger *slog.Logger, method string, rules []ErrorRule, err error) error {
	id := RequestID(ctx)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return newStatus(codes.Canceled, "the caller gave up", reasonCanceled, id)
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return newStatus(codes.DeadlineExceeded, "the caller's time was up before there was an answer; allow more time, or ask for less at once", reasonDeadline, id)
	}
	for _, rule := range rules {
		if rule.matches(err) {
			return newStatus(rule.Code, cmp.Or(rule.Text, err.Error()), rule.Reason, id, argsOf(err)...)
		}
	}
	var already interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &already):
		return already.GRPCStatus().Err()
	case errors.Is(err, context.DeadlineExceeded):
		return newStatus(codes.DeadlineExceeded, "a part of the system did not answer in time; try again", reasonDeadline, id)
	case errors.Is(err, context.Canceled):
		return newStatus(codes.Unavailable, "the server is stopping; try again", reasonStopping, id)
	}
	logger.LogAttrs(ctx, slog.LevelError, "internal error",
		slog.String("method", method), slog.String("request_id", id), slog.String("cause", err.Error()))
	return internalStatus(id)
}

// internalStatus tells the caller nothing but where to look.
func internalStatus(requestID string) error {
	return newStatus(codes.Internal, "internal error; the log has the cause under request id "+requestID, reasonInternal, requestID)
}

// newStatus makes a status with its reason; args are the names and values of the arguments of the reason's message.
func newStatus(code codes.Code, text, reason, requestID string, args ...string) error {
	values := message.New(reason, args...).Args
	values["request_id"] = requestID
	s, err := status.New(code, text).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: errorDomain, Metadata: values})
	if err != nil { // only for code OK, which no rule may have
		return status.Error(codes.Internal, text)
	}
	return s.Err()
}

// reasonOf returns the reason that a status carries, or one made of its code.
func reasonOf(s *status.Status) string {
	if info := infoOf(s); info != nil {
		return info.GetReason()
	}
	return codeName(s.Code())
}

// infoOf returns the reason and arguments that a status of this system carries, or nil.
func infoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			return info
		}
	}
	return nil
}

// codeName is the name of a code as the gRPC specification writes it.
func codeName(code codes.Code) string {
	names := [...]string{
		"OK", "CANCELED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if int(code) < len(names) {
		return names[code]
	}
	return "UNKNOWN"
}
