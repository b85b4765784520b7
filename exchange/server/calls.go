package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/proto/message"
)

// requestIDKey is the metadata key and HTTP header of the request id.
const requestIDKey = "x-request-id"

// languageKey is the metadata key and HTTP header of the languages that a caller prefers.
const languageKey = "accept-language"

// calls are the steps that every unary call passes.
type calls struct {
	logger        *slog.Logger
	authenticator Authenticator
	certificates  func(commonName string) (access.Identity, bool)
	metrics       *metrics
	texts         texts
	methods       map[string]method // by full name
	rules         []ErrorRule       // for every method, after its own
}

// method is what the steps know of a method.
type method struct {
	policy access.Policy
	rules  []ErrorRule
	quiet  bool // not logged
}

// call is what the steps tell each other about one call.
type call struct {
	requestID string
	caller    string
	language  message.Language
}

type callKey struct{}

// RequestID returns the id of the call that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.requestID
	}
	return ""
}

// Language returns the language that the caller asked for, as far as ctx
// belongs to a call, or Chinese.
func Language(ctx context.Context) message.Language {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.language
	}
	return message.Chinese
}

// option chains the steps, outermost first.
func (c *calls) option() grpc.ServerOption {
	return grpc.ChainUnaryInterceptor(c.identify, c.observe, c.protect, c.authorize, c.translate)
}

// identify gives the call its request id, which it returns in the header, and its language, in which a failure is put
// beside its own text.
func (c *calls) identify(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	id := saneRequestID(metadata.ValueFromIncomingContext(ctx, requestIDKey))
	// Fails only when the transport is gone, and then nobody reads the answer.
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDKey, id))
	own := &call{requestID: id, language: message.Choose(metadata.ValueFromIncomingContext(ctx, languageKey), c.texts.language)}
	resp, err := next(context.WithValue(ctx, callKey{}, own), req)
	if err != nil {
		err = c.texts.localize(status.Convert(err), own.language).Err()
	}
	return resp, err
}

// observe writes the log line and the figures.
func (c *calls) observe(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c.metrics.running.Inc()
	defer c.metrics.running.Dec()
	start := time.Now()
	resp, err := next(ctx, req)
	took := time.Since(start)
	s := status.Convert(err)
	c.metrics.calls.WithLabelValues(info.FullMethod, codeName(s.Code())).Observe(took.Seconds())
	if c.methods[info.FullMethod].quiet {
		return resp, err
	}
	attrs := []slog.Attr{
		slog.String("method", info.FullMethod),
		slog.String("code", codeName(s.Code())),
		slog.Duration("took", took),
		slog.String("request_id", RequestID(ctx)),
	}
	if own, ok := ctx.Value(callKey{}).(*call); ok && own.caller != "" {
		attrs = append(attrs, slog.String("caller", own.caller))
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", reasonOf(s)))
	}
	c.logger.LogAttrs(ctx, levelOf(s.Code()), "call", attrs...)
	return resp, err
}

// protect turns a panic into an internal error.
func (c *calls) protect(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			logPanic(ctx, c.logger, info.FullMethod, RequestID(ctx), cause)
			resp, err = nil, internalStatus(RequestID(ctx))
		}
	}()
	return next(ctx, req)
}

// authorize lets a call pass that its method's policy allows.
func (c *calls) authorize(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	id := RequestID(ctx)
	policy := c.methods[info.FullMethod].policy // the zero policy lets administrators alone pass
	if policy.Public {
		return next(ctx, req)
	}
	caller, ok := c.byCertificate(ctx)
	if !ok {
		var err error
		if caller, err = c.byToken(ctx, info.FullMethod); err != nil {
			return nil, err
		}
	}
	if own, ok := ctx.Value(callKey{}).(*call); ok {
		own.caller = caller.Name
	}
	if !policy.Allows(caller) {
		return nil, newStatus(codes.PermissionDenied, fmt.Sprintf("the role %s may not call %s", caller.Role, info.FullMethod), reasonRole, id,
			"role", string(caller.Role), "method", info.FullMethod)
	}
	return next(access.WithIdentity(ctx, caller), req)
}

// byToken finds the caller by the token of the authorization header.
func (c *calls) byToken(ctx context.Context, fullMethod string) (access.Identity, error) {
	id := RequestID(ctx)
	token, ok := bearer(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if !ok {
		return access.Identity{}, newStatus(codes.Unauthenticated, "this call needs a token: send the header Authorization: Bearer <token>", reasonTokenMissing, id)
	}
	caller, err := c.authenticator.Authenticate(ctx, token)
	switch {
	case errors.Is(err, access.ErrUnauthenticated):
		return access.Identity{}, newStatus(codes.Unauthenticated, "the token is unknown or was revoked; ask an administrator for a new one", reasonTokenInvalid, id)
	case err != nil && ctx.Err() != nil:
		return access.Identity{}, toStatus(ctx, c.logger, fullMethod, nil, ctx.Err())
	case err != nil:
		c.logger.LogAttrs(ctx, slog.LevelError, "token not checked", slog.String("request_id", id), slog.String("cause", err.Error()))
		return access.Identity{}, newStatus(codes.Unavailable, "the token cannot be checked now; try again", reasonTokenUnchecked, id)
	}
	return caller, nil
}

// translate maps the errors of the domain.
func (c *calls) translate(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	if err != nil {
		return nil, toStatus(ctx, c.logger, info.FullMethod, c.methods[info.FullMethod].rules, err)
	}
	return resp, nil
}

// bearer returns the token of an authorization header (RFC 6750).
func bearer(headers []string) (string, bool) {
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "bearer") && token != ""
}

// saneRequestID returns the caller's request id if it is one of 1 to 64
// letters, digits, '-', '_' and '.', else a new one.
func saneRequestID(given []string) string {
	if len(given) == 1 && len(given[0]) >= 1 && len(given[0]) <= 64 && !strings.ContainsFunc(given[0], notInRequestID) {
		return given[0]
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return hex.EncodeToString(random[:])
}

func notInRequestID(r rune) bool {
	ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	return !ok
}

func levelOf(code codes.Code) slog.Level {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return slog.LevelError
	case codes.Unavailable, codes.Unimplemented:
		return slog.LevelWarn
	default: // the caller's doing
		return slog.LevelInfo
	}
}

func logPanic(ctx context.Context, logger *slog.Logger, where, requestID string, cause any) {
	logger.LogAttrs(ctx, slog.LevelError, "panic", slog.String("method", where), slog.String("request_id", requestID),
		slog.String("cause", fmt.Sprint(cause)), slog.String("stack", string(debug.Stack())))
}

// streams guards the only streams there are, reflection and health: a panic
// ends the stream alone, and the end of the server ends the wait.
func streams(logger *slog.Logger, draining <-chan struct{}) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		ctx, cancel := context.WithCancel(ss.Context())
		defer cancel()
		defer func() {
			if cause := recover(); cause != nil {
				logPanic(ctx, logger, info.FullMethod, "", cause)
				err = internalStatus("")
			}
		}()
		go func() {
			select {
			case <-draining:
				cancel()
			case <-ctx.Done():
			}
		}()
		return next(srv, endingStream{ss, func() context.Context { return ctx }})
	}
}

// endingStream is a stream whose context ends when the server drains.
type endingStream struct {
	grpc.ServerStream
	context func() context.Context
}

func (s endingStream) Context() context.Context { return s.context() }
