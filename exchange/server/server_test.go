package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/sqldb"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

var (
	errUnknown = errors.New("catalog: unknown resource")
	errSecret  = errors.New("password=hunter2")
)

// catalog is a small real service.
type catalog struct {
	exchangev1.UnimplementedCatalogServiceServer
	mu          sync.Mutex
	departments []*exchangev1.Department
	resources   map[string]*exchangev1.Resource
	entered     chan struct{} // when not nil, ListDepartments tells it and waits for leave
	leave       chan struct{}
	gaveUp      chan error // when not nil, gets the reason of a wait that ended without leave
}

func (c *catalog) PutDepartment(_ context.Context, r *exchangev1.PutDepartmentRequest) (*exchangev1.PutDepartmentResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.departments = append(c.departments, r.GetDepartment())
	return &exchangev1.PutDepartmentResponse{Department: r.GetDepartment()}, nil
}

func (c *catalog) ListDepartments(ctx context.Context, _ *exchangev1.ListDepartmentsRequest) (*exchangev1.ListDepartmentsResponse, error) {
	if c.entered != nil {
		c.entered <- struct{}{}
		select {
		case <-c.leave:
		case <-ctx.Done():
			if c.gaveUp != nil {
				c.gaveUp <- ctx.Err()
			}
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &exchangev1.ListDepartmentsResponse{Departments: c.departments}, nil
}

func (c *catalog) PutResource(_ context.Context, r *exchangev1.PutResourceRequest) (*exchangev1.PutResourceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resources[r.GetResource().GetName()] = r.GetResource()
	return &exchangev1.PutResourceResponse{Resource: r.GetResource()}, nil
}

func (c *catalog) GetResource(_ context.Context, r *exchangev1.GetResourceRequest) (*exchangev1.GetResourceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.GetName() {
	case "panic":
		panic("a citizen's name")
	case "secret":
		return nil, errSecret
	case "full":
		return nil, &fs.PathError{Op: "write", Path: "/srv/secret/file", Err: syscall.ENOSPC}
	case "broken":
		return &exchangev1.GetResourceResponse{Resource: &exchangev1.Resource{Schema: []byte("{")}}, nil
	}
	found, ok := c.resources[r.GetName()]
	if !ok {
		return nil, fmt.Errorf("%w: %s", errUnknown, r.GetName())
	}
	return &exchangev1.GetResourceResponse{Resource: found}, nil
}

func (c *catalog) service() Service {
	all := access.Policy{Roles: []access.Role{access.Department, access.Clerk, access.Analyst}}
	return Service{
		Register: func(r grpc.ServiceRegistrar) { exchangev1.RegisterCatalogServiceServer(r, c) },
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return exchangev1.RegisterCatalogServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			exchangev1.CatalogService_PutDepartment_FullMethodName:   {},
			exchangev1.CatalogService_ListDepartments_FullMethodName: {Public: true},
			exchangev1.CatalogService_PutResource_FullMethodName:     {Roles: []access.Role{access.Department}},
			exchangev1.CatalogService_GetResource_FullMethodName:     all,
			exchangev1.CatalogService_ListResources_FullMethodName:   all,
			exchangev1.CatalogService_BatchPutMatters_FullMethodName: {},
			exchangev1.CatalogService_ListMatters_FullMethodName:     all,
		},
		Errors: []ErrorRule{{Err: errUnknown, Code: codes.NotFound, Reason: "RESOURCE_UNKNOWN"}},
	}
}

// hub is a running server with real tokens.
type hub struct {
	t       *testing.T
	catalog *catalog
	tokens  map[access.Role]string
	rest    string // URL
	conn    *grpc.ClientConn
	log     *lockedBuffer
	stop    context.CancelFunc
	done    chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, change func(*Config, *catalog)) *hub {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tokens, err := access.NewTokens(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, catalog: &catalog{resources: map[string]*exchangev1.Resource{}}, tokens: map[access.Role]string{}, log: &lockedBuffer{}, done: make(chan error, 1)}
	for _, role := range []access.Role{access.Administrator, access.Department, access.Clerk, access.Analyst} {
		id := access.Identity{Name: "the " + string(role), Role: role}
		if role == access.Department {
			id.Department = "market"
		}
		if h.tokens[role], err = tokens.Issue(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{Logger: slog.New(slog.NewJSONHandler(h.log, nil)), Authenticator: tokens, Version: "test", MaxBody: 64 << 10}
	if change != nil {
		change(&cfg, h.catalog)
	}
	s, err := New(cfg, h.catalog.service())
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = Listen(t.Context(), "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	h.stop, h.rest = stop, "http://"+listeners[1].Addr().String()
	go func() { h.done <- s.Serve(ctx, listeners[0], listeners[1]) }()
	h.conn, err = grpc.NewClient(listeners[0].Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = h.conn.Close()
		select {
		case err := <-h.done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve did not return")
		}
	})
	return h
}

// answer is what came back over REST.
type answer struct {
	*http.Response
	body string
}

// ask makes a REST call; headers are pairs, and role "" sends no token.
func (h *hub) ask(method, path string, role access.Role, body string, headers ...string) answer {
	h.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.rest+path, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+h.tokens[role])
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("not a problem (%s, %v): %s", a.Header.Get("Content-Type"), err, a.body)
	}
	return p
}

// Whoever hangs up, or allows no more time, ends the work for the call.
func TestCallThatNothingWaitsForEnds(t *testing.T) {
	h := start(t, func(_ *Config, c *catalog) {
		c.entered, c.leave, c.gaveUp = make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)
	})
	ctx, hangUp := context.WithCancel(t.Context())
	request := func(ctx context.Context, header string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.rest+"/v1/departments", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set("Grpc-Timeout", header)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("a call without time: %s", resp.Status)
		}
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- request(ctx, "") }()
	<-h.catalog.entered
	hangUp()
	if err := <-h.catalog.gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller hung up: %v", err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller: %v", err)
	}
	if err := request(t.Context(), "10m"); err != nil { // milliseconds
		t.Fatal(err)
	}
	<-h.catalog.entered
	if err := <-h.catalog.gaveUp; err == nil {
		t.Error("the time was up, and the work went on")
	}
}
