package service

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
)

// ListKeys implements signing.v1.
func (s *Service) ListKeys(ctx context.Context, _ *signingv1.ListKeysRequest) (*signingv1.ListKeysResponse, error) {
	resp := &signingv1.ListKeysResponse{}
	for _, key := range s.ring.List() {
		if _, err := s.authorize(ctx, Manage, key.Line); err == nil {
			resp.Keys = append(resp.Keys, keyMessage(key))
		}
	}
	if len(resp.GetKeys()) == 0 {
		return nil, fmt.Errorf("%w: the caller may not manage any key; an administrator of the signing service can grant it in its configuration", ErrForbidden)
	}
	return resp, nil
}

// CreateKey implements signing.v1. The key of a line that this hub's own
// authority certifies gets its certificate at once, so that it is published
// with it.
func (s *Service) CreateKey(ctx context.Context, req *signingv1.CreateKeyRequest) (*signingv1.CreateKeyResponse, error) {
	if _, err := s.authorize(ctx, Manage, req.GetLine()); err != nil {
		return nil, err
	}
	if strings.HasPrefix(req.GetLine(), "ca/") {
		return nil, fmt.Errorf("%w: the authorities' keys are made at the first start and stay", ErrInvalid)
	}
	key, err := s.ring.Create(ctx, keys.Spec{Line: req.GetLine(), Algorithm: req.GetAlgorithm(), Token: req.GetToken()})
	if err != nil {
		return nil, err
	}
	subject, err := s.subjectOf(key.Line)
	if err != nil {
		return nil, err
	}
	if err := s.certify(ctx, key, subject); err != nil {
		return nil, err
	}
	message, err := s.keyNow(key.ID)
	return &signingv1.CreateKeyResponse{Key: message}, err
}

// PublishKey implements signing.v1. A key that a crash left without its
// certificate gets it first: active without one, it could sign no licence.
func (s *Service) PublishKey(ctx context.Context, req *signingv1.PublishKeyRequest) (*signingv1.PublishKeyResponse, error) {
	key, err := s.changeKey(ctx, req.GetKeyId(), func(Caller) error {
		key, err := s.findKey(req.GetKeyId())
		if err != nil {
			return err
		}
		subject, err := s.subjectOf(key.Line)
		if err != nil {
			return err
		}
		if err := s.certify(ctx, key, subject); err != nil {
			return err
		}
		_, err = s.ring.Publish(ctx, key.ID)
		return err
	})
	return &signingv1.PublishKeyResponse{Key: key}, err
}

// ActivateKey implements signing.v1.
func (s *Service) ActivateKey(ctx context.Context, req *signingv1.ActivateKeyRequest) (*signingv1.ActivateKeyResponse, error) {
	key, err := s.changeKey(ctx, req.GetKeyId(), func(Caller) error {
		_, err := s.ring.Activate(ctx, req.GetKeyId())
		return err
	})
	return &signingv1.ActivateKeyResponse{Key: key}, err
}

// RequestKeyDestruction implements signing.v1.
func (s *Service) RequestKeyDestruction(ctx context.Context, req *signingv1.RequestKeyDestructionRequest) (*signingv1.RequestKeyDestructionResponse, error) {
	key, err := s.changeKey(ctx, req.GetKeyId(), func(c Caller) error {
		_, err := s.ring.RequestDestroy(ctx, req.GetKeyId(), c.Name)
		return err
	})
	return &signingv1.RequestKeyDestructionResponse{Key: key}, err
}

// ApproveKeyDestruction implements signing.v1.
func (s *Service) ApproveKeyDestruction(ctx context.Context, req *signingv1.ApproveKeyDestructionRequest) (*signingv1.ApproveKeyDestructionResponse, error) {
	key, err := s.changeKey(ctx, req.GetKeyId(), func(c Caller) error {
		_, err := s.ring.ApproveDestroy(ctx, req.GetKeyId(), c.Name)
		return err
	})
	return &signingv1.ApproveKeyDestructionResponse{Key: key}, err
}

// WithdrawKey implements signing.v1: the emergency exit of a key.
func (s *Service) WithdrawKey(ctx context.Context, req *signingv1.WithdrawKeyRequest) (*signingv1.WithdrawKeyResponse, error) {
	key, err := s.changeKey(ctx, req.GetKeyId(), func(c Caller) error {
		key, err := s.findKey(req.GetKeyId())
		if err != nil {
			return err
		}
		if strings.HasPrefix(key.Line, "ca/") {
			return fmt.Errorf("%w: the authorities' keys stay; revoke the certificates that are in doubt", ErrInvalid)
		}
		retired, err := s.ring.Retire(ctx, req.GetKeyId())
		if err == nil {
			s.cfg.Logger.WarnContext(ctx, "key withdrawn: its line signs again when another key of it is active",
				slog.String("kid", retired.ID), slog.String("line", retired.Line), slog.String("caller", c.Name))
		}
		return err
	})
	return &signingv1.WithdrawKeyResponse{Key: key}, err
}

// CreateCertificateRequest implements signing.v1.
func (s *Service) CreateCertificateRequest(ctx context.Context, req *signingv1.CreateCertificateRequestRequest) (*signingv1.CreateCertificateRequestResponse, error) {
	var csr []byte
	_, err := s.changeKey(ctx, req.GetKeyId(), func(c Caller) error {
		key, err := s.findKey(req.GetKeyId())
		if err != nil {
			return err
		}
		signer, err := s.ring.SignerOf(ctx, key.ID, keys.Use{Caller: c.Name, Purpose: "certificate request"})
		if err != nil {
			return err
		}
		who := pki.Subject{
			Country: "CN", Organization: req.GetSubject().GetOrganization(), OrganizationID: req.GetSubject().GetUscc(), CommonName: req.GetSubject().GetCommonName(),
		}
		csr, err = pki.CreateCSR(signer, who, usageOf(key.Line))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &signingv1.CreateCertificateRequestResponse{
		CertificateRequest: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
	}, nil
}

// ImportCertificates implements signing.v1.
func (s *Service) ImportCertificates(ctx context.Context, req *signingv1.ImportCertificatesRequest) (*signingv1.ImportCertificatesResponse, error) {
	key, err := s.changeKey(ctx, req.GetKeyId(), func(Caller) error {
		key, err := s.findKey(req.GetKeyId())
		if err != nil {
			return err
		}
		chain, err := pki.ImportChain([]byte(req.GetCertificates()), key.Public)
		if err != nil {
			return err
		}
		return s.ring.SetChain(ctx, key.ID, chain)
	})
	return &signingv1.ImportCertificatesResponse{Key: key}, err
}

// changeKey does something with a key that the caller may manage.
func (s *Service) changeKey(ctx context.Context, kid string, change func(Caller) error) (*signingv1.Key, error) {
	key, err := s.findKey(kid)
	if err != nil {
		return nil, err
	}
	caller, err := s.authorize(ctx, Manage, key.Line)
	if err != nil {
		return nil, err
	}
	if err := change(caller); err != nil {
		return nil, err
	}
	return s.keyNow(kid)
}

func (s *Service) findKey(kid string) (keys.Key, error) {
	for _, key := range s.ring.List() {
		if key.ID == kid {
			return key, nil
		}
	}
	return keys.Key{}, fmt.Errorf("%w: no key %.64q", ErrNotFound, kid)
}

func (s *Service) keyNow(kid string) (*signingv1.Key, error) {
	key, err := s.findKey(kid)
	if err != nil {
		return nil, err
	}
	return keyMessage(key), nil
}

func keyMessage(key keys.Key) *signingv1.Key {
	var certificates strings.Builder
	for _, der := range key.Chain {
		certificates.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	states := map[keys.State]signingv1.KeyState{
		keys.Created: signingv1.KeyState_KEY_STATE_CREATED, keys.Published: signingv1.KeyState_KEY_STATE_PUBLISHED,
		keys.Active: signingv1.KeyState_KEY_STATE_ACTIVE, keys.Retired: signingv1.KeyState_KEY_STATE_RETIRED,
		keys.Destroyed: signingv1.KeyState_KEY_STATE_DESTROYED,
	}
	return &signingv1.Key{
		Id: key.ID, Line: key.Line, Algorithm: key.Algorithm, Token: key.Token, State: states[key.State],
		CreateTime: stamp(key.Created), PublishTime: stamp(key.Published), ActivateTime: stamp(key.Active),
		RetireTime: stamp(key.Retired), DestroyTime: stamp(key.Destroyed),
		DestructionRequestedBy: key.DestroyRequestedBy, Certificates: certificates.String(),
	}
}

// stamp is nil for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
