package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onewindow/onewindow/exchange/access"
)

const (
	maxMessage = 16 << 20 // gRPC, in bytes
	maxHeader  = 32 << 10 // in bytes, both ports
	// window is the flow control window of the in-memory connection: as large as any request, so that none waits.
	window = maxMessage
)

// Server serves services over gRPC and REST.
type Server struct {
	logger   *slog.Logger
	grpc     *grpc.Server
	health   *health.Server
	rest     *http.Server
	inner    *bufconn.Listener // from the gateway to grpc
	conn     *grpc.ClientConn  // over inner
	ready    *readiness
	draining chan struct{}
	drain    time.Duration
	served   atomic.Bool
}

// New builds a server of the services. It wraps [ErrConfig] and lists every
// fault: a method without a policy, a policy without a method, a method that
// streams, a rule that cannot be used.
func New(cfg Config, services ...Service) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{
		logger:   cfg.Logger,
		health:   health.NewServer(),
		inner:    bufconn.Listen(1 << 20),
		ready:    &readiness{parts: cfg.Parts, version: cfg.Version, now: time.Now},
		draining: make(chan struct{}),
		drain:    cfg.DrainTimeout,
	}
	steps := &calls{texts: texts{cfg.Messages, cfg.Language}, logger: cfg.Logger, authenticator: cfg.Authenticator, certificates: cfg.Certificates, metrics: m, methods: map[string]method{}, rules: cfg.Errors}
	s.grpc = grpc.NewServer(
		grpc.Creds(outerTLS(cfg.TLS)),
		steps.option(),
		grpc.ChainStreamInterceptor(streams(cfg.Logger, s.draining)),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxConcurrentStreams(4096),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	if err := s.register(steps, services); err != nil {
		return nil, err
	}
	s.conn, err = grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.inner.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithUnaryInterceptor(checkQuery),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
	)
	if err != nil {
		return nil, fmt.Errorf("server: in-memory connection: %w", err)
	}
	handler, err := newREST(cfg, m, s.ready, services)
	if err != nil {
		return nil, errors.Join(err, s.conn.Close())
	}
	for _, service := range services {
		if err := service.Gateway(context.Background(), handler.gateway, s.conn); err != nil {
			return nil, errors.Join(fmt.Errorf("server: gateway: %w", err), s.conn.Close())
		}
	}
	s.rest = &http.Server{
		TLSConfig:         cfg.TLS.Clone(),
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// register adds the services to the gRPC server and checks that what they say
// about their methods is complete.
func (s *Server) register(steps *calls, services []Service) error {
	var faults []error
	for i, service := range services {
		if service.Register == nil || service.Gateway == nil {
			faults = append(faults, fmt.Errorf("%w: service %d has no Register or no Gateway", ErrConfig, i))
			continue
		}
		service.Register(s.grpc)
		for name, policy := range service.Access {
			if _, twice := steps.methods[name]; twice {
				faults = append(faults, fmt.Errorf("%w: two policies for %s", ErrConfig, name))
			}
			steps.methods[name] = method{policy: policy, rules: slices.Concat(service.Errors, steps.rules)}
		}
		for _, rule := range service.Errors {
			if rule.Err == nil && rule.Match == nil || rule.Code == codes.OK || rule.Reason == "" {
				faults = append(faults, fmt.Errorf("%w: service %d has a rule %q that lacks an error, a code or a reason", ErrConfig, i, rule.Reason))
			}
		}
	}
	known := map[string]bool{}
	for service, info := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			known[name] = true
			if _, ok := steps.methods[name]; !ok {
				faults = append(faults, fmt.Errorf("%w: %s has no policy", ErrConfig, name))
			}
			if m.IsClientStream || m.IsServerStream {
				faults = append(faults, fmt.Errorf("%w: %s streams; calls must be unary", ErrConfig, name))
			}
		}
	}
	for name := range steps.methods {
		if !known[name] {
			faults = append(faults, fmt.Errorf("%w: a policy for %s, which no service has", ErrConfig, name))
		}
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(faults...)
	}
	s.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	for _, m := range grpc_health_v1.Health_ServiceDesc.Methods {
		name := "/" + grpc_health_v1.Health_ServiceDesc.ServiceName + "/" + m.MethodName
		steps.methods[name] = method{policy: access.Policy{Public: true}, quiet: true}
	}
	reflection.Register(s.grpc) // v1 and v1alpha
	return nil
}

// Serve answers calls on both listeners, which it closes, until ctx ends or a
// listener fails. Then health says NOT_SERVING, no new call is taken, running
// calls have the drain timeout to end, and what still runs is cut off with a
// warning. It returns nil when ctx ended, and can be called once.
func (s *Server) Serve(ctx context.Context, grpcListener, restListener net.Listener) error {
	if s.served.Swap(true) {
		return ErrServed
	}
	stopped := make(chan error, 3)
	serve := func(serve func(net.Listener) error, l net.Listener) {
		err := serve(l)
		if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
			err = nil
		}
		stopped <- err
	}
	go serve(s.grpc.Serve, s.inner)
	go serve(s.grpc.Serve, grpcListener)
	go serve(s.serveREST, restListener)
	s.health.Resume()
	s.logger.InfoContext(ctx, "serving", slog.String("grpc", grpcListener.Addr().String()), slog.String("rest", restListener.Addr().String()))

	var failure error
	running := 3
	select {
	case <-ctx.Done():
	case failure = <-stopped:
		running--
		failure = fmt.Errorf("server: a listener ended: %w", failure)
	}
	s.stop(context.WithoutCancel(ctx))
	for range running {
		failure = errors.Join(failure, <-stopped)
	}
	return errors.Join(failure, s.conn.Close())
}

// serveREST serves HTTP, or HTTPS when there is a TLS configuration.
func (s *Server) serveREST(l net.Listener) error {
	if s.rest.TLSConfig == nil {
		return s.rest.Serve(l)
	}
	return s.rest.ServeTLS(l, "", "")
}

// stop ends serving: health first, then REST, which needs gRPC, then gRPC.
func (s *Server) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.drain)
	defer cancel()
	s.health.Shutdown()
	s.ready.stopping.Store(true)
	if err := s.rest.Shutdown(ctx); err != nil {
		s.logger.WarnContext(ctx, "REST calls were cut off: they ran longer than the drain timeout", slog.Duration("timeout", s.drain))
		_ = s.rest.Close() // closes connections whose end nobody waits for
	}
	close(s.draining)
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.grpc.GracefulStop()
	}()
	select {
	case <-graceful:
	case <-ctx.Done():
		s.logger.WarnContext(ctx, "gRPC calls were cut off: they ran longer than the drain timeout", slog.Duration("timeout", s.drain))
		s.grpc.Stop()
		<-graceful
	}
}
