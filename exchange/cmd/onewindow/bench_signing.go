package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/service"
)

const (
	// benchRounds pairs of measurements are taken turn by turn, so that what
	// else runs on the machine slows both sides.
	benchRounds = 60
	benchTimes  = 25 // calls in one measurement
	benchType   = "bench+jwt"
)

// compare prints the medians of a raw primitive and of what is built on it.
func (b *bench) compare(what string, times int, raw, ours func() error) error {
	var raws, all []float64
	for range benchRounds {
		for _, side := range []struct {
			run  func() error
			into *[]float64
		}{{raw, &raws}, {ours, &all}} {
			start := time.Now()
			for range times {
				if err := side.run(); err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
			}
			*side.into = append(*side.into, time.Since(start).Seconds()*1e6/float64(times))
		}
	}
	slices.Sort(raws)
	slices.Sort(all)
	rawMedian, median := raws[benchRounds/2], all[benchRounds/2]
	b.print(what, "%8.1f µs, raw %8.1f µs, ratio %.2f", median, rawMedian, median/rawMedian)
	return nil
}

// signing measures tokens beside the primitives, and sealed files.
func (b *bench) signing(ctx context.Context) error {
	payload := []byte(`{"text":"` + strings.Repeat("x", 1024-11) + `"}`)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := b.tokens(signing.ES256, p256, payload,
		func(message []byte) ([]byte, error) {
			digest := sha256.Sum256(message)
			return ecdsa.SignASN1(rand.Reader, p256, digest[:])
		},
		func(message, signature []byte) bool {
			digest := sha256.Sum256(message)
			return ecdsa.VerifyASN1(&p256.PublicKey, digest[:], signature)
		}); err != nil {
		return err
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	if err := b.tokens(signing.ES384, p384, payload,
		func(message []byte) ([]byte, error) {
			digest := sha512.Sum384(message)
			return ecdsa.SignASN1(rand.Reader, p384, digest[:])
		},
		func(message, signature []byte) bool {
			digest := sha512.Sum384(message)
			return ecdsa.VerifyASN1(&p384.PublicKey, digest[:], signature)
		}); err != nil {
		return err
	}
	chinese, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := b.tokens(signing.SM2SM3, chinese, payload,
		func(message []byte) ([]byte, error) {
			return chinese.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
		},
		func(message, signature []byte) bool {
			return sm2.VerifyASN1WithSM2(&chinese.PublicKey, nil, message, signature)
		}); err != nil {
		return err
	}
	edwardsPublic, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := b.tokens(signing.EdDSA, edwards, payload,
		func(message []byte) ([]byte, error) { return ed25519.Sign(edwards, message), nil },
		func(message, signature []byte) bool { return ed25519.Verify(edwardsPublic, message, signature) }); err != nil {
		return err
	}
	return b.files(ctx, chinese)
}

// oneKey answers every kid with the same key.
type oneKey struct{ key crypto.PublicKey }

// Key returns the key.
func (k oneKey) Key(string) (crypto.PublicKey, error) { return k.key, nil }

func (b *bench) tokens(algorithm string, key crypto.Signer, payload []byte, sign func([]byte) ([]byte, error), verify func(message, signature []byte) bool) error {
	header := signing.Header{KeyID: "bench", Type: benchType}
	token, err := signing.SignCompact(key, header, payload)
	if err != nil {
		return err
	}
	message := []byte(token[:strings.LastIndexByte(token, '.')])
	signature, err := sign(message)
	if err != nil {
		return err
	}
	err = b.compare(algorithm+": sign a token of 1 KB", benchTimes,
		func() error { _, err := sign(message); return err },
		func() error { _, err := signing.SignCompact(key, header, payload); return err })
	if err != nil {
		return err
	}
	return b.compare(algorithm+": verify a token of 1 KB", benchTimes,
		func() error {
			if !verify(message, signature) {
				return errors.New("does not verify")
			}
			return nil
		},
		func() error { _, _, err := signing.Verify(token, benchType, oneKey{key.Public()}); return err })
}

// files measures a licence page through the service: written, sealed with a
// timestamp and verified before it leaves; and the parts of it.
func (b *bench) files(ctx context.Context, raw *sm2.PrivateKey) (err error) {
	font, err := findFont()
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, service.Config{
		Dir: filepath.Join(b.dir, "signing"), Passphrase: []byte("bench"), RootPassphrase: []byte("bench"), Font: font,
		Issuer: rotationIssuer, Operator: pki.Subject{Organization: "bench", CommonName: "bench"}, CachePeriod: time.Minute,
		Grants: []service.Grant{registryGrant()}, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Caller: func(ctx context.Context) (service.Caller, bool) {
			if caller, ok := service.CallerFrom(ctx); ok {
				return caller, true
			}
			return service.Caller{Name: "bench", Administrator: true}, true
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	made, err := s.MakeSeal(ctx, &signingv1.MakeSealRequest{RequestId: "bench", Department: "11430000006122244L", Name: "示例县市场监督管理局", Label: "电子证照专用章"})
	if err != nil {
		return err
	}
	registry := s.As(registryName)
	page := &signingv1.SealPageRequest{
		SealId: made.GetSeal().GetId(), Title: "食品经营许可证", Number: "1.2.156.3005.2.11100000000013338W011.11430000006122244L.000000001.001.X",
		IssuerName: "示例县市场监督管理局", IssueDate: "2026年11月22日", ValidUntil: "2031年11月21日",
		Qr: "1.2.156.3005.2.11100000000013338W011.11430000006122244L.000000001.001.X",
		Fields: []*signingv1.Field{
			{Name: "经营者名称", Value: "示例县城关镇李记小吃店"},
			{Name: "统一社会信用代码", Value: "92430223MA4L0000X0"},
			{Name: "法定代表人", Value: "李建国"},
			{Name: "经营场所", Value: "示例县城关镇人民路 128 号"},
			{Name: "经营项目", Value: "热食类食品制售；冷食类食品制售；自制饮品制售"},
		},
	}
	message := []byte(strings.Repeat("x", 1024))
	signature, err := raw.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return err
	}
	rawSign := func() error { _, err := raw.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts); return err }
	rawVerify := func() error {
		if !sm2.VerifyASN1WithSM2(&raw.PublicKey, nil, message, signature) {
			return errors.New("does not verify")
		}
		return nil
	}
	var file []byte
	if err := b.compare("OFD page written, sealed, stamped, checked", 1, rawSign, func() error {
		resp, err := registry.SealPage(ctx, page)
		file = resp.GetFile()
		return err
	}); err != nil {
		return err
	}
	b.print("OFD page, size", "%8d KB (raw above and below: one SM2 signature)", len(file)>>10)
	if err := b.compare("OFD page verified", 1, rawVerify, func() error {
		resp, err := registry.VerifyFile(ctx, &signingv1.VerifyFileRequest{File: file})
		if err == nil && !resp.GetValid() {
			return errors.New("does not hold")
		}
		return err
	}); err != nil {
		return err
	}
	return nil
}
