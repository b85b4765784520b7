package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onewindow/onewindow/exchange/access"
	analyticsv1 "github.com/onewindow/onewindow/proto/analytics/v1"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
)

// maxAnswer bounds one answer: a list of 500 licences with their tokens.
const maxAnswer = 64 << 20

// client calls a hub's gRPC API with one bearer token.
type client struct {
	token      string
	conn       *grpc.ClientConn
	catalog    exchangev1.CatalogServiceClient
	sharing    exchangev1.SharingServiceClient
	materials  exchangev1.MaterialsServiceClient
	connectors connectorsv1.ConnectorsServiceClient
	licenses   licensesv1.LicensesServiceClient
	signing    signingv1.SigningServiceClient
	analytics  analyticsv1.AnalyticsServiceClient
}

// bearer sends a token with every call.
type bearer string

// GetRequestMetadata returns the authorization header.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false: the commands of this program call a hub on the same machine.
func (b bearer) RequireTransportSecurity() bool { return false }

// dial connects to the gRPC address with the token of a sample role.
func dial(address, tokenDir string, role access.Role) (*client, error) {
	text, err := os.ReadFile(filepath.Join(tokenDir, string(role)+".token"))
	if err != nil {
		return nil, fmt.Errorf("token of the %s: %w", role, err)
	}
	token := strings.TrimSpace(string(text))
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(token)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, err
	}
	return &client{
		token:      token,
		conn:       conn,
		catalog:    exchangev1.NewCatalogServiceClient(conn),
		sharing:    exchangev1.NewSharingServiceClient(conn),
		materials:  exchangev1.NewMaterialsServiceClient(conn),
		connectors: connectorsv1.NewConnectorsServiceClient(conn),
		licenses:   licensesv1.NewLicensesServiceClient(conn),
		signing:    signingv1.NewSigningServiceClient(conn),
		analytics:  analyticsv1.NewAnalyticsServiceClient(conn),
	}, nil
}

func (c *client) close() error { return c.conn.Close() }
