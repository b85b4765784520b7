package service

import (
	"context"
	"crypto"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
)

type callerKey struct{}

// CallerFrom returns the caller that [Service.As] fixed, for Config.Caller.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// Local is the service as one part of the same process uses it, under a name
// of its own. [Remote] is the same over the network.
type Local struct {
	service *Service
	caller  Caller
}

// As returns the service for a caller in this process.
func (s *Service) As(name string) Local { return Local{service: s, caller: Caller{Name: name}} }

func (l Local) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, l.caller)
}

// SignTokens signs with the line of licences; it is an sdjwt.TokenSigner.
func (l Local) SignTokens(ctx context.Context, typ string, payloads [][]byte) ([]string, error) {
	caller, err := l.service.authorize(l.context(ctx), Sign, LineLicense)
	if err != nil {
		return nil, err
	}
	return l.service.signTokens(ctx, caller, LineLicense, "", typ, payloads)
}

// Key returns the public key with that kid; Local is a signing.KeyResolver.
func (l Local) Key(kid string) (crypto.PublicKey, error) { return l.service.Key(kid) }

// SealPage is the method of signing.v1.
func (l Local) SealPage(ctx context.Context, req *signingv1.SealPageRequest) (*signingv1.SealPageResponse, error) {
	return l.service.SealPage(l.context(ctx), req)
}

// MakeSeal is the method of signing.v1.
func (l Local) MakeSeal(ctx context.Context, req *signingv1.MakeSealRequest) (*signingv1.MakeSealResponse, error) {
	return l.service.MakeSeal(l.context(ctx), req)
}

// ListSeals is the method of signing.v1.
func (l Local) ListSeals(ctx context.Context, req *signingv1.ListSealsRequest) (*signingv1.ListSealsResponse, error) {
	return l.service.ListSeals(l.context(ctx), req)
}

// VerifyFile is the method of signing.v1.
func (l Local) VerifyFile(ctx context.Context, req *signingv1.VerifyFileRequest) (*signingv1.VerifyFileResponse, error) {
	return l.service.VerifyFile(l.context(ctx), req)
}

// RenderFile is the method of signing.v1.
func (l Local) RenderFile(ctx context.Context, req *signingv1.RenderFileRequest) (*signingv1.RenderFileResponse, error) {
	return l.service.RenderFile(l.context(ctx), req)
}
