package licenses

import (
	"context"
	"fmt"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
)

// PublicKeys gives the JWK set (RFC 7517) of all keys that licences are
// verified with, from memory. *signing.Keys is one.
type PublicKeys interface {
	JWKS() ([]byte, error)
}

// KeyService returns the public API of the signing keys for the server. It is
// here because package signing knows no server.
func KeyService(keys PublicKeys) server.Service {
	return server.Service{
		Register: func(s grpc.ServiceRegistrar) {
			signingv1.RegisterSigningServiceServer(s, keyService{keys: keys})
		},
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return signingv1.RegisterSigningServiceHandler(ctx, mux, conn)
		},
		Access: map[string]access.Policy{signingv1.SigningService_GetKeySet_FullMethodName: {Public: true}},
	}
}

type keyService struct {
	signingv1.UnimplementedSigningServiceServer
	keys PublicKeys
}

func (s keyService) GetKeySet(context.Context, *signingv1.GetKeySetRequest) (*httpbody.HttpBody, error) {
	set, err := s.keys.JWKS()
	if err != nil {
		return nil, fmt.Errorf("licenses: key set: %w", err)
	}
	return &httpbody.HttpBody{ContentType: "application/jwk-set+json", Data: set}, nil
}
