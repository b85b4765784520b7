package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/sqldb"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// noting sets two headers, of which one is for the caller.
type noting struct {
	exchangev1.UnimplementedSharingServiceServer
}

func (noting) LookupRecords(ctx context.Context, _ *exchangev1.LookupRecordsRequest) (*exchangev1.LookupRecordsResponse, error) {
	return &exchangev1.LookupRecordsResponse{}, grpc.SetHeader(ctx, metadata.Pairs(NotesHeader, "OFD_IMAGE_FORMAT;page=1;object=7", "onewindow-secret", "x"))
}

// TestNotesAreAHeaderOverREST: the header of notes passes the gateway, and no other does.
func TestNotesAreAHeaderOverREST(t *testing.T) {
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tokens, err := access.NewTokens(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Issue(t.Context(), access.Identity{Name: "test", Role: access.Administrator})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler), Authenticator: tokens}, Service{
		Register: func(r grpc.ServiceRegistrar) { exchangev1.RegisterSharingServiceServer(r, noting{}) },
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return exchangev1.RegisterSharingServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{
			exchangev1.SharingService_PushRecords_FullMethodName:   {},
			exchangev1.SharingService_LookupRecords_FullMethodName: {},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, g, r) }()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/resources/market.enterprise/records:lookup", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.rest.Handler.ServeHTTP(w, req)
	if got := w.Header().Get(NotesHeader); w.Code != http.StatusOK || got != "OFD_IMAGE_FORMAT;page=1;object=7" {
		t.Errorf("%d, %q, %s", w.Code, got, w.Body)
	}
	for name := range w.Header() {
		if http.CanonicalHeaderKey("onewindow-secret") == name || name == "Grpc-Metadata-Onewindow-Secret" {
			t.Errorf("%s passes", name)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
