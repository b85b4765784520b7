package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/sqldb"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

// Whatever the body is, the decoder ends, and an error has a reason.
func FuzzCodec(f *testing.F) {
	f.Add([]byte(`{"matters":[{"code":"a","type":"MATTER_TYPE_JOINT","materials":[{}]}]}`))
	f.Add([]byte(`{"token":"a","number":"b"}`))
	f.Add([]byte(`{"resource":"a.b","records":[{"key":"k","payload":{"a":[1.0]}}]}`))
	f.Add([]byte("{\"a\":\n\u00a0}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range []proto.Message{
			&exchangev1.BatchPutMattersRequest{}, &licensesv1.VerifyLicenseRequest{},
			&exchangev1.PushRecordsRequest{}, &licensesv1.BatchIssueLicensesRequest{},
		} {
			err := codec{}.Unmarshal(data, m)
			if err != nil {
				if p := bodyProblem(explain(data, err), 1); p.Status != http.StatusBadRequest || p.Reason == "" || !strings.HasPrefix(p.Detail, "body ") {
					t.Fatalf("%v became %+v", err, p)
				}
				continue
			}
			if _, err := (codec{}).Marshal(m); err != nil {
				t.Fatalf("decoded but cannot be encoded: %v", err)
			}
		}
	})
}

// sink takes records and forgets them.
type sink struct {
	exchangev1.UnimplementedSharingServiceServer
}

func (sink) PushRecords(_ context.Context, r *exchangev1.PushRecordsRequest) (*exchangev1.PushRecordsResponse, error) {
	n := int32(len(r.GetRecords()))
	return &exchangev1.PushRecordsResponse{Accepted: n}, nil
}

// BenchmarkPushOverREST prints what the way from the HTTP handler to the
// service costs, with 5,000 records of 500 bytes in a call.
func BenchmarkPushOverREST(b *testing.B) {
	db, err := sqldb.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tokens, err := access.NewTokens(b.Context(), db)
	if err != nil {
		b.Fatal(err)
	}
	token, err := tokens.Issue(b.Context(), access.Identity{Name: "bench", Role: access.Administrator})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler), Authenticator: tokens}, Service{
		Register: func(r grpc.ServiceRegistrar) { exchangev1.RegisterSharingServiceServer(r, sink{}) },
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return exchangev1.RegisterSharingServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			exchangev1.SharingService_PushRecords_FullMethodName:   {},
			exchangev1.SharingService_LookupRecords_FullMethodName: {},
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	g, err := Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	r, err := Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, g, r) }()

	var body bytes.Buffer
	body.WriteString(`{"records":[`)
	for i := range 5000 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"key":"%08d","eventTime":"2025-11-03T08:00:00+08:00","payload":{"text":%q}}`, i, strings.Repeat("x", 480))
	}
	body.WriteString("]}")
	b.SetBytes(int64(body.Len()))
	for b.Loop() {
		req := httptest.NewRequestWithContext(b.Context(), "POST", "/v1/resources/market.enterprise/records:push", bytes.NewReader(body.Bytes()))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.rest.Handler.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "records/s")
	stop()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
