package service

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
)

const (
	keySetTimeout = 5 * time.Second
	// keySetPause is how long an unknown kid does not ask for the key set again:
	// a stranger's tokens must not make a call each.
	keySetPause = 10 * time.Second
	// maxAnswer holds the largest sealed file and 500 tokens.
	maxAnswer = 64 << 20
)

// Remote is the signing service in another process, over mTLS. Its calls fail
// with gRPC status errors; none is repeated here. Public keys are answered
// from memory: the key set is asked for again when a kid is not in it.
type Remote struct {
	conn   *grpc.ClientConn
	client signingv1.SigningServiceClient
	now    func() time.Time

	set    atomic.Pointer[signing.KeySet]
	asking sync.Mutex
	asked  time.Time // guarded by asking
}

// Dial prepares the connection, which is made at the first call and made again
// when it breaks. cfg holds the client certificate and the roots of the
// server's.
func Dial(address string, cfg *tls.Config, now func() time.Time) (*Remote, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("signing service %s: %w", address, err)
	}
	return &Remote{conn: conn, client: signingv1.NewSigningServiceClient(conn), now: now}, nil
}

// Close closes the connection.
func (r *Remote) Close() error { return r.conn.Close() }

// Ping asks the service for its key set.
func (r *Remote) Ping(ctx context.Context) error {
	_, err := r.client.GetKeySet(ctx, &signingv1.GetKeySetRequest{})
	return err
}

// SignTokens signs with the line of licences; it is an sdjwt.TokenSigner.
func (r *Remote) SignTokens(ctx context.Context, typ string, payloads [][]byte) ([]string, error) {
	resp, err := r.client.SignTokens(ctx, &signingv1.SignTokensRequest{Line: LineLicense, Type: typ, Payloads: payloads})
	if err != nil {
		return nil, fmt.Errorf("signing service: %w", err)
	}
	if len(resp.GetTokens()) != len(payloads) {
		return nil, fmt.Errorf("signing service: %d tokens for %d payloads", len(resp.GetTokens()), len(payloads))
	}
	return resp.GetTokens(), nil
}

// Key returns the public key with that kid; Remote is a signing.KeyResolver.
// When the service does not answer, the error is not signing.ErrUnknownKey.
func (r *Remote) Key(kid string) (crypto.PublicKey, error) {
	if set := r.set.Load(); set != nil {
		if key, err := set.Key(kid); err == nil {
			return key, nil
		}
	}
	set, err := r.refresh()
	if err != nil {
		return nil, err
	}
	return set.Key(kid)
}

// refresh asks for the key set, unless that was done a moment ago.
func (r *Remote) refresh() (*signing.KeySet, error) {
	r.asking.Lock()
	defer r.asking.Unlock()
	if set := r.set.Load(); set != nil && r.now().Sub(r.asked) < keySetPause {
		return set, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), keySetTimeout)
	defer cancel()
	body, err := r.client.GetKeySet(ctx, &signingv1.GetKeySetRequest{})
	if err != nil {
		return nil, fmt.Errorf("signing service: key set: %w", err)
	}
	set, err := signing.ParseJWKS(body.GetData())
	if err != nil {
		return nil, fmt.Errorf("signing service: %w", err)
	}
	r.set.Store(&set)
	r.asked = r.now()
	return &set, nil
}

// SealPage is the method of signing.v1.
func (r *Remote) SealPage(ctx context.Context, req *signingv1.SealPageRequest) (*signingv1.SealPageResponse, error) {
	return r.client.SealPage(ctx, req)
}

// ListSeals is the method of signing.v1.
func (r *Remote) ListSeals(ctx context.Context, req *signingv1.ListSealsRequest) (*signingv1.ListSealsResponse, error) {
	return r.client.ListSeals(ctx, req)
}

// VerifyFile is the method of signing.v1.
func (r *Remote) VerifyFile(ctx context.Context, req *signingv1.VerifyFileRequest) (*signingv1.VerifyFileResponse, error) {
	resp, err := r.client.VerifyFile(ctx, req)
	if status.Code(err) == codes.InvalidArgument {
		return nil, fmt.Errorf("%w: %s", ErrInvalid, status.Convert(err).Message())
	}
	return resp, err
}

// RenderFile is the method of signing.v1.
func (r *Remote) RenderFile(ctx context.Context, req *signingv1.RenderFileRequest) (*signingv1.RenderFileResponse, error) {
	return r.client.RenderFile(ctx, req)
}

// Public returns the part of the service that a hub shows under its own
// address: keys, certificates, seals and verification. Keys and seals are
// managed at the service itself.
func (r *Remote) Public() signingv1.SigningServiceServer { return public{client: r.client} }

type public struct {
	signingv1.UnimplementedSigningServiceServer
	client signingv1.SigningServiceClient
}

func (p public) GetKeySet(ctx context.Context, req *signingv1.GetKeySetRequest) (*httpbody.HttpBody, error) {
	return p.client.GetKeySet(ctx, req)
}

func (p public) GetIssuerMetadata(ctx context.Context, req *signingv1.GetIssuerMetadataRequest) (*httpbody.HttpBody, error) {
	return p.client.GetIssuerMetadata(ctx, req)
}

func (p public) GetTrust(ctx context.Context, req *signingv1.GetTrustRequest) (*httpbody.HttpBody, error) {
	return p.client.GetTrust(ctx, req)
}

func (p public) GetRevocationList(ctx context.Context, req *signingv1.GetRevocationListRequest) (*httpbody.HttpBody, error) {
	return p.client.GetRevocationList(ctx, req)
}

func (p public) ListSeals(ctx context.Context, req *signingv1.ListSealsRequest) (*signingv1.ListSealsResponse, error) {
	return p.client.ListSeals(ctx, req)
}

func (p public) VerifyFile(ctx context.Context, req *signingv1.VerifyFileRequest) (*signingv1.VerifyFileResponse, error) {
	return p.client.VerifyFile(ctx, req)
}

func (p public) RenderFile(ctx context.Context, req *signingv1.RenderFileRequest) (*signingv1.RenderFileResponse, error) {
	return p.client.RenderFile(ctx, req)
}
