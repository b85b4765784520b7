package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gateway "github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onewindow/onewindow/exchange/access"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

func newLogger(w *lockedBuffer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

func (h *hub) as(role access.Role) context.Context {
	return metadata.AppendToOutgoingContext(h.t.Context(), "authorization", "Bearer "+h.tokens[role])
}

func TestAccessMatrix(t *testing.T) {
	h := start(t, nil)
	client := exchangev1.NewCatalogServiceClient(h.conn)
	put := func(ctx context.Context) error {
		_, err := client.PutDepartment(ctx, &exchangev1.PutDepartmentRequest{})
		return err
	}
	resource := func(ctx context.Context) error {
		_, err := client.PutResource(ctx, &exchangev1.PutResourceRequest{})
		return err
	}
	list := func(ctx context.Context) error {
		_, err := client.ListDepartments(ctx, &exchangev1.ListDepartmentsRequest{})
		return err
	}
	const ok, no, who = codes.OK, codes.PermissionDenied, codes.Unauthenticated
	tests := []struct {
		name string
		call func(context.Context) error
		want map[access.Role]codes.Code
	}{
		{"administrators alone", put, map[access.Role]codes.Code{"": who, access.Administrator: ok, access.Department: no, access.Clerk: no, access.Analyst: no}},
		{"departments", resource, map[access.Role]codes.Code{"": who, access.Administrator: ok, access.Department: ok, access.Clerk: no, access.Analyst: no}},
		{"public", list, map[access.Role]codes.Code{"": ok, access.Administrator: ok, access.Department: ok, access.Clerk: ok, access.Analyst: ok}},
	}
	for _, tt := range tests {
		for role, want := range tt.want {
			ctx := t.Context()
			if role != "" {
				ctx = h.as(role)
			}
			if got := status.Code(tt.call(ctx)); got != want {
				t.Errorf("%s: %q got %v, want %v", tt.name, role, got, want)
			}
		}
	}
}

func TestErrorInfoAndRequestID(t *testing.T) {
	h := start(t, nil)
	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(h.as(access.Clerk), "x-request-id", "case-7.a")
	_, err := exchangev1.NewCatalogServiceClient(h.conn).GetResource(ctx, &exchangev1.GetResourceRequest{Name: "a.b"}, grpc.Header(&header))
	s := status.Convert(err)
	if s.Code() != codes.NotFound || len(s.Details()) != 1 {
		t.Fatalf("%v", err)
	}
	want := &errdetails.ErrorInfo{Reason: "RESOURCE_UNKNOWN", Domain: "onewindow", Metadata: map[string]string{"request_id": "case-7.a"}}
	if got, ok := s.Details()[0].(*errdetails.ErrorInfo); !ok || !proto.Equal(got, want) {
		t.Errorf("details %v", s.Details())
	}
	if got := header.Get("x-request-id"); !slices.Equal(got, []string{"case-7.a"}) {
		t.Errorf("header %v", header)
	}
}

func TestOversizeOverGRPC(t *testing.T) {
	h := start(t, nil)
	_, err := exchangev1.NewCatalogServiceClient(h.conn).PutResource(h.as(access.Department),
		&exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{Schema: make([]byte, maxMessage+1)}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
}

// A caller that knows nothing but the port asks what there is and calls it.
func TestReflection(t *testing.T) {
	h := start(t, nil)
	stream, err := reflectionv1.NewServerReflectionClient(h.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	var names []string
	for _, s := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	slices.Sort(names)
	want := []string{"exchange.v1.CatalogService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
	if !slices.Equal(names, want) {
		t.Errorf("services %v", names)
	}
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(files [][]byte)
	add = func(files [][]byte) {
		for _, raw := range files {
			file := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(raw, file); err != nil {
				t.Fatal(err)
			}
			if seen[file.GetName()] {
				continue
			}
			seen[file.GetName()] = true
			set.File = append(set.File, file)
			for _, dependency := range file.GetDependency() {
				if !seen[dependency] {
					add(ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: dependency}}).GetFileDescriptorResponse().GetFileDescriptorProto())
				}
			}
		}
	}
	add(ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "exchange.v1.CatalogService"}}).GetFileDescriptorResponse().GetFileDescriptorProto())
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	req, resp := dynamic(t, files, "exchange.v1.PutDepartmentRequest"), dynamic(t, files, "exchange.v1.PutDepartmentResponse")
	field := req.Descriptor().Fields().ByName("department")
	department := req.Mutable(field).Message()
	department.Set(field.Message().Fields().ByName("code"), protoreflect.ValueOfString("market"))
	if err := h.conn.Invoke(h.as(access.Administrator), "/exchange.v1.CatalogService/PutDepartment", req, resp); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(resp.String(), `"market"`) {
		t.Errorf("answer %v", resp)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func dynamic(t *testing.T, files *protoregistry.Files, name protoreflect.FullName) *dynamicpb.Message {
	t.Helper()
	d, err := files.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
}

func TestDrain(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("serve", func(t *testing.T) {
		h := start(t, func(_ *Config, c *catalog) {
			c.entered, c.leave = make(chan struct{}), make(chan struct{})
		})
		// On the gRPC port: a watcher that would wait for ever, and a call that is running.
		health := grpc_health_v1.NewHealthClient(h.conn)
		watch, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "exchange.v1.CatalogService"})
		if err != nil {
			t.Fatal(err)
		}
		next := func() grpc_health_v1.HealthCheckResponse_ServingStatus {
			t.Helper()
			resp, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetStatus()
		}
		for next() != grpc_health_v1.HealthCheckResponse_SERVING { // Serve may not have begun
		}
		direct, rest := make(chan error, 1), make(chan int, 1)
		go func() {
			_, err := exchangev1.NewCatalogServiceClient(h.conn).ListDepartments(t.Context(), &exchangev1.ListDepartmentsRequest{})
			direct <- err
		}()
		<-h.catalog.entered
		go func() {
			resp, err := http.Get(h.rest + "/v1/departments")
			if err != nil {
				rest <- 0
				return
			}
			_ = resp.Body.Close()
			rest <- resp.StatusCode
		}()
		<-h.catalog.entered
		h.stop()
		if got := next(); got != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("health at drain: %v", got)
		}
		close(h.catalog.leave)
		if code := <-rest; code != http.StatusOK {
			t.Errorf("the running REST call got %d", code)
		}
		if err := <-direct; err != nil {
			t.Errorf("the running gRPC call: %v", err)
		}
	})
	http.DefaultClient.CloseIdleConnections()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
}

func TestDrainGivesUp(t *testing.T) {
	h := start(t, func(cfg *Config, c *catalog) {
		cfg.DrainTimeout = 50 * time.Millisecond
		c.entered, c.leave = make(chan struct{}), make(chan struct{})
	})
	failed := make(chan error, 1)
	go func() {
		_, err := exchangev1.NewCatalogServiceClient(h.conn).ListDepartments(t.Context(), &exchangev1.ListDepartmentsRequest{})
		failed <- err
	}()
	<-h.catalog.entered
	h.stop()
	if err := <-failed; status.Code(err) != codes.Unavailable {
		t.Errorf("the call that was cut off: %v", err)
	}
	if !strings.Contains(h.log.String(), "gRPC calls were cut off") {
		t.Error("no warning in the log")
	}
}

func TestNewRefuses(t *testing.T) {
	c := &catalog{}
	good := Config{Logger: slog.New(slog.DiscardHandler), Authenticator: &access.Tokens{}}
	service := c.service()
	delete(service.Access, exchangev1.CatalogService_GetResource_FullMethodName)
	service.Access["/exchange.v1.CatalogService/GetResouce"] = access.Policy{}
	service.Errors = append(service.Errors, ErrorRule{Err: errUnknown, Code: codes.OK, Reason: "X"})
	_, err := New(good, service)
	for _, want := range []string{"CatalogService/GetResource has no policy", "CatalogService/GetResouce, which no service has", `a rule "X" that lacks`} {
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	_, err = New(good, Service{
		Register: func(r grpc.ServiceRegistrar) { reflectionv1.RegisterServerReflectionServer(r, nil) },
		Gateway:  func(context.Context, *gateway.ServeMux, *grpc.ClientConn) error { return nil },
		Access:   map[string]access.Policy{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": {}},
	})
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "streams") {
		t.Errorf("a streaming method: %v", err)
	}
	_, err = New(Config{Parts: []Part{{}}}, c.service())
	for _, want := range []string{"no logger", "no authenticator", "part 0"} {
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

func TestListen(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address := l.Addr().String()
	_, err = Listen(t.Context(), address)
	if !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a busy port: %v", err)
	}
	if _, err = Listen(t.Context(), "nonsense"); !errors.Is(err, ErrListen) {
		t.Errorf("no address: %v", err)
	}
}
