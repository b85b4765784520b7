package service

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/strict"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

const (
	// maxBatch is how many tokens one call may ask for.
	maxBatch = 500
	// maxClockSkew is how far a payload's iat may be from this machine's clock.
	maxClockSkew = 10 * time.Minute
)

// SignTokens implements signing.v1: it signs payloads, all or none.
func (s *Service) SignTokens(ctx context.Context, req *signingv1.SignTokensRequest) (*signingv1.SignTokensResponse, error) {
	caller, err := s.authorize(ctx, Sign, req.GetLine())
	if err != nil {
		return nil, err
	}
	resp := &signingv1.SignTokensResponse{}
	err = s.results.once(ctx, caller, "SignTokens", req.GetRequestId(), req, resp, func() (err error) {
		resp.Tokens, err = s.signTokens(ctx, caller, req.GetLine(), req.GetRequestId(), req.GetType(), req.GetPayloads())
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// signTokens checks the payloads, signs them and verifies the result.
func (s *Service) signTokens(ctx context.Context, caller Caller, line, requestID, typ string, payloads [][]byte) ([]string, error) {
	if len(payloads) == 0 || len(payloads) > maxBatch {
		return nil, fmt.Errorf("%w: %d payloads; send 1 to %d", ErrInvalid, len(payloads), maxBatch)
	}
	for i, payload := range payloads {
		if err := s.lint(typ, payload); err != nil {
			return nil, fmt.Errorf("payload %d: %w", i, err)
		}
	}
	use := s.ring.Line(line, keys.Use{Caller: caller.Name, Purpose: typ, RequestID: requestID})
	tokens, err := use.WithChain().SignTokens(ctx, typ, payloads)
	if err != nil {
		return nil, err
	}
	for i, token := range tokens {
		payload, _, err := signing.VerifyLarge(token, typ, s.ring, len(token))
		if err != nil || string(payload) != string(payloads[i]) {
			return nil, fmt.Errorf("%w: token %d does not verify: %w", ErrLint, i, err)
		}
	}
	return tokens, nil
}

// lint checks a payload before it is signed: nothing leaves with this hub's
// signature that a verifier would have to refuse, or that names another issuer.
func (s *Service) lint(typ string, payload []byte) error {
	claims, err := strict.Object(payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	issued, err := seconds(claims, "iat")
	if err != nil {
		return err
	}
	if skew := s.cfg.Now().Sub(issued).Abs(); skew > maxClockSkew {
		return fmt.Errorf("%w: iat is %s from this machine's time", ErrInvalid, skew.Truncate(time.Second))
	}
	if claims["exp"] != nil {
		expires, err := seconds(claims, "exp")
		if err != nil {
			return err
		}
		if !expires.After(issued) {
			return fmt.Errorf("%w: exp is not after iat", ErrInvalid)
		}
	}
	switch typ {
	case sdjwt.TokenType:
		return s.lintCredential(claims)
	case sdjwt.StatusListType:
		return s.lintStatusList(claims)
	}
	return fmt.Errorf("%w: this service signs tokens of type %s and %s, not %.40q", ErrInvalid, sdjwt.TokenType, sdjwt.StatusListType, typ)
}

// lintCredential checks the claims of an SD-JWT VC (draft-ietf-oauth-sd-jwt-vc §2.2).
func (s *Service) lintCredential(claims map[string]any) error {
	if claims["iss"] != s.cfg.Issuer {
		return fmt.Errorf("%w: iss is not this hub's, %s", ErrInvalid, s.cfg.Issuer)
	}
	if vct, _ := claims["vct"].(string); vct == "" {
		return fmt.Errorf("%w: vct is missing", ErrInvalid)
	}
	if alg, present := claims["_sd_alg"]; present && alg != "sha-256" {
		return fmt.Errorf("%w: _sd_alg is not sha-256", ErrInvalid)
	}
	if _, plain := claims["..."]; plain {
		return fmt.Errorf(`%w: the claim "..." is reserved`, ErrInvalid)
	}
	return nil
}

// lintStatusList checks the claims of a Status List Token (draft-ietf-oauth-status-list §5.1).
func (s *Service) lintStatusList(claims map[string]any) error {
	if sub, _ := claims["sub"].(string); !strings.HasPrefix(sub, s.cfg.Issuer+"/") {
		return fmt.Errorf("%w: sub is not an address of this hub, %s", ErrInvalid, s.cfg.Issuer)
	}
	list, _ := claims["status_list"].(map[string]any)
	if lst, _ := list["lst"].(string); lst == "" {
		return fmt.Errorf("%w: status_list has no lst", ErrInvalid)
	}
	return nil
}

func seconds(claims map[string]any, name string) (time.Time, error) {
	number, ok := claims[name].(json.Number)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: %s is missing or no number", ErrInvalid, name)
	}
	n, err := number.Int64()
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s is not a whole number of seconds", ErrInvalid, name)
	}
	return time.Unix(n, 0), nil
}

// GetKeySet implements signing.v1.
func (s *Service) GetKeySet(context.Context, *signingv1.GetKeySetRequest) (*httpbody.HttpBody, error) {
	set, err := signing.MarshalJWKS(s.ring.PublicKeys(LineLicense))
	if err != nil {
		return nil, err
	}
	return document("application/jwk-set+json", set, s.cfg.Now().Add(s.cfg.CachePeriod))
}

// GetIssuerMetadata implements signing.v1 (draft-ietf-oauth-sd-jwt-vc §4).
func (s *Service) GetIssuerMetadata(context.Context, *signingv1.GetIssuerMetadataRequest) (*httpbody.HttpBody, error) {
	doc, err := strict.Encode(map[string]string{"issuer": s.cfg.Issuer, "jwks_uri": s.cfg.Issuer + "/.well-known/jwks.json"})
	if err != nil {
		return nil, err
	}
	return document("application/json", doc, s.cfg.Now().Add(s.cfg.CachePeriod))
}

// document is a public document that may be kept until a time, which stands as
// a google.protobuf.Timestamp in its extensions.
func document(media string, data []byte, until time.Time) (*httpbody.HttpBody, error) {
	fresh, err := anypb.New(timestamppb.New(until))
	if err != nil {
		return nil, err
	}
	return &httpbody.HttpBody{ContentType: media, Data: data, Extensions: []*anypb.Any{fresh}}, nil
}
