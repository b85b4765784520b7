package licenses

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
)

// TestEveryErrorHasARule reads errors.go, so that a new sentinel cannot be
// forgotten.
func TestEveryErrorHasARule(t *testing.T) {
	known := map[string]error{
		"ErrInvalid": ErrInvalid, "ErrNumber": ErrNumber, "ErrCheck": ErrCheck, "ErrUnknownType": ErrUnknownType,
		"ErrNotFound": ErrNotFound, "ErrConflict": ErrConflict, "ErrState": ErrState, "ErrForbidden": ErrForbidden,
		"ErrNoSeal": ErrNoSeal,
	}
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			declared = append(declared, spec.Names[0].Name)
		}
		return true
	})
	slices.Sort(declared)
	if names := slices.Sorted(maps.Keys(known)); !slices.Equal(names, declared) {
		t.Fatalf("errors.go declares %v, the test knows %v", declared, names)
	}
	rules := (&Registry{}).Service().Errors
	for name, sentinel := range known {
		i := slices.IndexFunc(rules, func(rule server.ErrorRule) bool { return errors.Is(sentinel, rule.Err) })
		if i < 0 || rules[i].Err != sentinel || rules[i].Reason == "" { //nolint:errorlint // the rule itself is meant
			t.Errorf("%s has no rule of its own", name)
		}
	}
}

func TestEveryMethodHasAPolicy(t *testing.T) {
	desc, policies := licensesv1.LicensesService_ServiceDesc, (&Registry{}).Service().Access
	if len(policies) != len(desc.Methods) {
		t.Errorf("%d policies for %d methods", len(policies), len(desc.Methods))
	}
	for _, m := range desc.Methods {
		name := "/" + desc.ServiceName + "/" + m.MethodName
		policy, ok := policies[name]
		public := m.MethodName == "GetStatusList"
		if !ok || policy.Public != public {
			t.Errorf("%s: policy %+v, %v; public must be %v", name, policy, ok, public)
		}
	}
}

func TestBaseURLMustBeAnIssuer(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://a", "http://", "https://a/", "https://a?b", "https://u:p@a", "https://a#b"} {
		cfg := e.cfg
		cfg.BaseURL = bad
		if _, err := New(t.Context(), cfg); !errors.Is(err, ErrInvalid) {
			t.Errorf("base URL %q: %v, want ErrInvalid", bad, err)
		}
	}
}

// TestAPI goes through gRPC: what is written must come back, and an offline
// verifier must get by with the public methods alone.
func TestAPI(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	conn := serve(t, e.Service())
	api := licensesv1.NewLicensesServiceClient(conn)
	ctx := t.Context()

	until := timestamppb.New(e.clock.now().Add(time.Hour).Truncate(time.Second))
	request := func(id string) *licensesv1.IssueLicenseRequest {
		return &licensesv1.IssueLicenseRequest{
			RequestId: id, Type: testType, Department: "market", Holder: alice, HolderName: "张三丰",
			ValidUntil: until, Claims: []byte(`{"scope":"热食","phone":"13800000000"}`),
		}
	}
	types, err := api.ListLicenseTypes(ctx, &licensesv1.ListLicenseTypesRequest{})
	if err != nil || len(types.GetLicenseTypes()) != 1 || types.GetLicenseTypes()[0].GetDisclosableClaims()[1] != "phone" {
		t.Fatalf("types: %v, %v", types, err)
	}
	if _, err := api.PutLicenseType(ctx, &licensesv1.PutLicenseTypeRequest{LicenseType: types.GetLicenseTypes()[0]}); err != nil {
		t.Fatal(err)
	}
	issued, err := api.IssueLicense(ctx, request("1"))
	if err != nil {
		t.Fatal(err)
	}
	batch, err := api.BatchIssueLicenses(ctx, &licensesv1.BatchIssueLicensesRequest{
		Requests: []*licensesv1.IssueLicenseRequest{request("1"), request("2")},
	})
	if err != nil || batch.GetLicenses()[0].GetNumber() != issued.GetLicense().GetNumber() {
		t.Fatalf("batch: %v, %v", batch, err)
	}
	l := batch.GetLicenses()[1]
	if l.GetHolder() != alice || l.GetStatus() != licensesv1.LicenseStatus_LICENSE_STATUS_VALID || !l.GetValidUntil().AsTime().Equal(until.AsTime()) {
		t.Errorf("issued %v", l)
	}
	if _, err := api.SuspendLicense(ctx, &licensesv1.SuspendLicenseRequest{Number: l.GetNumber(), Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ResumeLicense(ctx, &licensesv1.ResumeLicenseRequest{Number: l.GetNumber(), Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	revoked, err := api.RevokeLicense(ctx, &licensesv1.RevokeLicenseRequest{Number: l.GetNumber(), Reason: "吊销"})
	if err != nil || revoked.GetLicense().GetStatus() != licensesv1.LicenseStatus_LICENSE_STATUS_REVOKED {
		t.Fatalf("revoke: %v, %v", revoked, err)
	}
	got, err := api.GetLicense(ctx, &licensesv1.GetLicenseRequest{Number: l.GetNumber()})
	if err != nil || got.GetLicense().GetStatusReason() != "吊销" || got.GetLicense().GetToken() != l.GetToken() {
		t.Errorf("get: %v, %v", got, err)
	}
	list, err := api.ListLicenses(ctx, &licensesv1.ListLicensesRequest{Holder: alice})
	if err != nil || len(list.GetLicenses()) != 2 || list.GetValid() != 1 || list.GetRevoked() != 1 || list.GetSuspended() != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	for token, want := range map[string]licensesv1.Verdict{
		l.GetToken():                    licensesv1.Verdict_VERDICT_REVOKED,
		issued.GetLicense().GetToken():  licensesv1.Verdict_VERDICT_VALID,
		issued.GetLicense().GetNumber(): licensesv1.Verdict_VERDICT_VALID,
	} {
		req := &licensesv1.VerifyLicenseRequest{Subject: &licensesv1.VerifyLicenseRequest_Token{Token: token}}
		if !strings.Contains(token, "~") {
			req.Subject = &licensesv1.VerifyLicenseRequest_Number{Number: token}
		}
		v, err := api.VerifyLicense(ctx, req)
		if err != nil || v.GetVerdict() != want || v.GetDetail() == "" || v.GetStatusAsOf() == nil {
			t.Errorf("verify: %v, %v; want %s", v, err, want)
		}
	}
	if _, err := api.VerifyLicense(ctx, &licensesv1.VerifyLicenseRequest{}); err == nil {
		t.Error("a verdict on nothing")
	}

	verifyOffline(t, conn, e.keys.ring, l.GetToken())
}

// verifyOffline does what somebody else's program does with a revoked licence.
func verifyOffline(t *testing.T, conn *grpc.ClientConn, ring *keys.Ring, token string) {
	t.Helper()
	ctx := t.Context()
	set, err := signing.MarshalJWKS(ring.PublicKeys(service.LineLicense))
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.ParseJWKS(set)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := sdjwt.Verify(token, sdjwt.OneIssuer{Issuer: baseURL, KeyResolver: public}, time.Now(), sdjwt.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := licensesv1.NewLicensesServiceClient(conn).GetStatusList(ctx, &licensesv1.GetStatusListRequest{Id: strings.TrimPrefix(verified.Status.URI, baseURL+"/v1/status-lists/")})
	if err != nil || body.GetContentType() != "application/statuslist+jwt" {
		t.Fatalf("status list: %v, %v", body, err)
	}
	statuses, _, err := sdjwt.VerifyStatusList(string(body.GetData()), verified.Status.URI, public, time.Time{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := statuses.Get(verified.Status.Index); err != nil || entry != sdjwt.StatusInvalid {
		t.Errorf("offline status %d, %v; want revoked", entry, err)
	}
}

// serve runs services over memory for an administrator.
func serve(t *testing.T, services ...server.Service) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		return handle(as(ctx, access.Administrator, ""), req)
	}))
	for _, service := range services {
		service.Register(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}
