package service

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/typeface"
)

// The lines of keys that every hub has. A department's seal has the line
// "seal/<USCC>" beside them.
const (
	LineLicense   = "license"    // tokens of licences and status lists, ES256
	LineSealMaker = "seal-maker" // signs the seals themselves, SM2
	LineTimestamp = "tsa"        // RFC 3161 timestamps, ES256
)

// sealLine is the line of the key that seals for a department.
func sealLine(uscc string) string { return "seal/" + uscc }

// Config is what a [Service] is opened with.
type Config struct {
	// Dir holds keys, the use log, certificates, seals and answers. One process
	// at a time may have it.
	Dir string
	// Passphrase seals the software keys.
	Passphrase []byte
	// RootPassphrase seals the root authorities' keys in Dir/root, which are
	// opened only to certify the issuing authorities and may then be taken away.
	RootPassphrase []byte
	// Tokens are PKCS#11 tokens by name; may be nil.
	Tokens map[string]keys.Token
	// Issuer is the URL that licences name as their issuer, without a slash at its end.
	Issuer string
	// Operator is who runs the hub, as it stands in its authorities' certificates.
	Operator pki.Subject
	// CachePeriod is how long others may keep the key set; a new key waits as long before it signs.
	CachePeriod time.Duration
	// TimestampPolicy is the policy (RFC 3161 §2.4.2) that timestamps name. Empty means 2.999.3161.1, below the arc that
	// X.660 keeps for examples: an operator with an arc of its own names one there.
	TimestampPolicy asn1.ObjectIdentifier
	// Grants say who may sign and seal with what.
	Grants []Grant
	// Caller tells who is calling. It is asked at every call that needs a right.
	Caller func(ctx context.Context) (Caller, bool)
	// Font is the file of the font; empty means that pages and stamps cannot be drawn.
	Font   string
	Logger *slog.Logger
	Now    func() time.Time
}

// Service signs, seals and verifies. It implements the gRPC server of
// signing.v1 and may be used concurrently.
type Service struct {
	signingv1.UnimplementedSigningServiceServer
	cfg     Config
	journal *keys.Journal
	ring    *keys.Ring
	stamps  *keys.Series // timestamps that anybody asks for
	seals   *ses.Register
	results *results
	issuing map[string]*pki.Authority // by algorithm of the authority: "sm2", "p256"

	trust   atomic.Pointer[trusted]
	making  sync.Mutex // held while a certificate or a revocation list is made
	sealing sync.Mutex // held while a seal is made
	face    func() (*typeface.Face, error)
	closers []func() error
}

// Open opens the service's folder. A new one gets its authorities, the keys of
// every hub and their certificates, which takes about a second.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	for _, g := range cfg.Grants {
		if err := g.Validate(); err != nil {
			return nil, err
		}
	}
	s := &Service{cfg: cfg, issuing: map[string]*pki.Authority{}}
	s.face = sync.OnceValues(func() (*typeface.Face, error) {
		if cfg.Font == "" {
			return nil, fmt.Errorf("%w: run `npm ci` in signing/typeface, or set ONEWINDOW_FONT to a TrueType file with Chinese glyphs", ErrNoFont)
		}
		return typeface.Load(cfg.Font)
	})
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Service) open(ctx context.Context) (err error) {
	if s.journal, err = keys.OpenJournal(filepath.Join(s.cfg.Dir, "uses"), s.cfg.Passphrase, s.cfg.Now); err != nil {
		return fmt.Errorf("use log: %w", err)
	}
	s.closers = append(s.closers, s.journal.Close)
	if n := len(s.journal.Interrupted()); n > 0 {
		s.cfg.Logger.WarnContext(ctx, "the process before this one ended while it used keys: what it signed may be out; the use log has it as unknown", slog.Int("uses", n))
	}
	s.ring, err = keys.Open(ctx, keys.Config{
		Dir: filepath.Join(s.cfg.Dir, "keys"), Passphrase: s.cfg.Passphrase, Tokens: s.cfg.Tokens, Uses: s.journal,
		CachePeriod: s.cfg.CachePeriod, Now: s.cfg.Now, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.ring.Close)
	s.stamps = s.ring.Series(LineTimestamp, keys.Use{Caller: "anybody", Purpose: "timestamps"}, time.Minute)
	s.closers = append(s.closers, s.stamps.Close)
	if s.seals, err = ses.OpenRegister(filepath.Join(s.cfg.Dir, "seals"), s.cfg.Now); err != nil {
		return err
	}
	s.closers = append(s.closers, s.seals.Close)
	if s.results, err = openResults(filepath.Join(s.cfg.Dir, "results"), s.cfg.Now); err != nil {
		return err
	}
	if err := s.openAuthorities(ctx); err != nil {
		return err
	}
	for line, algorithm := range map[string]string{LineLicense: signing.ES256, LineSealMaker: signing.SM2SM3, LineTimestamp: signing.ES256} {
		key, err := s.ring.EnsureActive(ctx, keys.Spec{Line: line, Algorithm: algorithm})
		if errors.Is(err, keys.ErrNoActiveKey) { // withdrawn: only a running service can publish and activate the next
			s.cfg.Logger.WarnContext(ctx, "line signs nothing until a key of it is active", slog.String("line", line))
			continue
		}
		if err != nil {
			return err
		}
		if err := s.certify(ctx, key, s.cfg.Operator); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the folder. What is signed meanwhile fails.
func (s *Service) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Key returns the public key with that kid: Service is a signing.KeyResolver.
func (s *Service) Key(kid string) (key any, err error) { return s.ring.Key(kid) }

// ActiveKeyID is the id of the key that signs licences now.
func (s *Service) ActiveKeyID() (string, error) {
	key, err := s.ring.Active(LineLicense)
	return key.ID, err
}
