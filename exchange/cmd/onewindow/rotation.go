package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
)

const rotationIssuer = "http://127.0.0.1:8080"

// rotationCommand rotates the licence key under load, as an administrator
// would, while verifiers go on with key sets that are as old as they may be.
func rotationCommand(ctx context.Context, args []string, out *os.File) (err error) {
	flags := newFlags("drill-rotation", "rotate the licence key while signing and verifying go on, and destroy the old one under dual control")
	rounds := flags.Int("rounds", 3, "how often to rotate")
	period := flags.Duration("cache-period", 2*time.Second, "how long verifiers keep the key set")
	if err := parse(flags, args); err != nil {
		return err
	}
	dir, err := temporaryFolder("onewindow-rotation-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := rotation{out: out, period: *period, started: time.Now()}
	s, err := service.Open(ctx, service.Config{
		Dir: filepath.Join(dir, "signing"), Passphrase: []byte("drill"), RootPassphrase: []byte("drill"),
		Issuer: rotationIssuer, Operator: pki.Subject{Organization: "drill", CommonName: "drill"}, CachePeriod: *period,
		Grants: []service.Grant{registryGrant()}, Caller: d.caller, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d.service = s
	return d.run(ctx, *rounds)
}

type rotation struct {
	service *service.Service
	out     io.Writer
	period  time.Duration
	started time.Time

	mu       sync.Mutex
	who      string // the administrator who calls
	signed   int
	verified int
	failed   []error
}

func (d *rotation) caller(ctx context.Context) (service.Caller, bool) {
	if c, ok := service.CallerFrom(ctx); ok {
		return c, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return service.Caller{Name: d.who, Administrator: true}, true
}

func (d *rotation) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

func (d *rotation) run(ctx context.Context, rounds int) error {
	loadCtx, stop := context.WithCancel(ctx)
	var load sync.WaitGroup
	load.Go(func() { d.signAndVerify(loadCtx) })
	err := d.rotations(ctx, rounds)
	stop()
	load.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.say("rotations %d, signed %d, verified with a key set up to %s old: %d, failed %d", rounds, d.signed, d.period, d.verified, len(d.failed))
	return errors.Join(append(d.failed, err)...)
}

// rotations makes, publishes and activates keys, and destroys the first.
func (d *rotation) rotations(ctx context.Context, rounds int) error {
	first, err := d.service.ActiveKeyID()
	if err != nil {
		return err
	}
	for i := range rounds {
		made, err := d.service.CreateKey(ctx, &signingv1.CreateKeyRequest{Line: service.LineLicense, Algorithm: signing.ES256})
		if err != nil {
			return err
		}
		kid := made.GetKey().GetId()
		if _, err := d.service.PublishKey(ctx, &signingv1.PublishKeyRequest{KeyId: kid}); err != nil {
			return err
		}
		if _, err := d.service.ActivateKey(ctx, &signingv1.ActivateKeyRequest{KeyId: kid}); !errors.Is(err, keys.ErrTooEarly) {
			return fmt.Errorf("a key was activated at once, though verifiers do not know it yet: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.period):
		}
		if _, err := d.service.ActivateKey(ctx, &signingv1.ActivateKeyRequest{KeyId: kid}); err != nil {
			return err
		}
		d.say("rotation %d: %s published one cache period ago, now active", i+1, kid)
	}
	return d.destroy(ctx, first)
}

// destroy takes the private part of a retired key away: two people are needed.
func (d *rotation) destroy(ctx context.Context, kid string) error {
	d.as("first administrator")
	if _, err := d.service.RequestKeyDestruction(ctx, &signingv1.RequestKeyDestructionRequest{KeyId: kid}); err != nil {
		return err
	}
	if _, err := d.service.ApproveKeyDestruction(ctx, &signingv1.ApproveKeyDestructionRequest{KeyId: kid}); err == nil {
		return errors.New("one person alone destroyed a key")
	}
	d.as("second administrator")
	if _, err := d.service.ApproveKeyDestruction(ctx, &signingv1.ApproveKeyDestructionRequest{KeyId: kid}); err != nil {
		return err
	}
	d.say("%s destroyed, asked for by one administrator and approved by another; its tokens still verify", kid)
	return nil
}

func (d *rotation) as(who string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.who = who
}

// signAndVerify signs licences and verifies the newest and the oldest with a
// key set that is fetched again only when its period is over.
func (d *rotation) signAndVerify(ctx context.Context) {
	registry := d.service.As(registryName)
	var set signing.KeySet
	var fetched time.Time
	var oldest string
	for ctx.Err() == nil {
		err := func() error {
			now := time.Now()
			if now.Sub(fetched) >= d.period {
				body, err := d.service.GetKeySet(ctx, &signingv1.GetKeySetRequest{})
				if err != nil {
					return err
				}
				if set, err = signing.ParseJWKS(body.GetData()); err != nil {
					return err
				}
				fetched = now
			}
			tokens, err := sdjwt.Issue(ctx, registry, sdjwt.Claims{
				Issuer: rotationIssuer, Type: "urn:onewindow:drill", IssuedAt: now, Body: map[string]any{"name": "示例"},
			})
			if err != nil {
				return err
			}
			if oldest == "" {
				oldest = tokens[0]
			}
			d.count(&d.signed)
			for _, token := range []string{tokens[0], oldest} {
				if _, err := sdjwt.Verify(token, sdjwt.OneIssuer{Issuer: rotationIssuer, KeyResolver: set}, time.Now(), sdjwt.Policy{}); err != nil {
					return fmt.Errorf("a token did not verify: %w", err)
				}
				d.count(&d.verified)
			}
			return nil
		}()
		if err != nil && ctx.Err() == nil {
			d.mu.Lock()
			d.failed = append(d.failed, err)
			d.mu.Unlock()
			return
		}
	}
}

func (d *rotation) count(n *int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*n++
}
