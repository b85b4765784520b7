package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/proto/message"
)

// Config is what a [Server] needs beside its services.
type Config struct {
	// Logger is required.
	Logger *slog.Logger
	// Authenticator is required.
	Authenticator Authenticator
	// TLS is used on both ports; nil means that they are plain. With ClientAuth set to verify, Certificates says who a
	// client certificate stands for.
	TLS *tls.Config
	// Certificates finds the caller by the common name of a client certificate that TLS has verified, and is asked
	// before the authenticator; nil means that certificates identify nobody.
	Certificates func(commonName string) (access.Identity, bool)
	// Handlers answer at exact paths of the REST port, whatever the method, without a token.
	Handlers map[string]http.Handler
	// Metrics collects the figures and is served at /metrics; nil means a registry of the server's own.
	Metrics *prometheus.Registry
	// Console serves / and /assets/; nil means no pages.
	Console http.Handler
	// Errors are tried after those of the service that was called: what any part of the process may meet, such as a full
	// disk.
	Errors []ErrorRule
	// Parts are what /readyz asks.
	Parts []Part
	// Messages has a text for every reason of the services; without any, errors have no localized sentence.
	Messages message.Catalog
	// Language is that of a caller who asks for none; empty means Chinese.
	Language message.Language
	// Version is shown by /readyz.
	Version string
	// MaxBody is the largest REST body in bytes; 0 means 8 MiB.
	MaxBody int64
	// DrainTimeout is how long running calls may go on after the end was asked for; 0 means 15 s.
	DrainTimeout time.Duration
}

// Authenticator finds out who is calling. It is asked once per call, may be
// asked concurrently, and is not asked again when it fails. It returns
// [access.ErrUnauthenticated] for a token that does not hold; any other error
// means that it cannot tell now, and the call is answered Unavailable.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (access.Identity, error)
}

// Part is something the process cannot work without, e.g. the state database.
type Part struct {
	// Name as /readyz shows it, e.g. "topics".
	Name string
	// Check returns in a few words what the part is ("embedded"), or why it does not work. An error that is a [Warning]
	// means that the part works and needs somebody's attention. All of it is public: it must not hold a secret. Check is
	// called at most once a second, and given up after two seconds.
	Check func(ctx context.Context) (detail string, err error)
	// Advisory means that the process serves without the part: every error of Check, no answer included, is a warning.
	Advisory bool
}

// Warning is what [Part.Check] returns as its error for a part that works, but
// that an operator must look after. It makes /readyz "degraded", not "not
// ready": a load balancer must not act on it.
type Warning struct {
	// Code is the machine-readable name, e.g. "DISK_FULL".
	Code string
	// Text says what is wrong and what to do.
	Text string
}

// Error is the text.
func (w Warning) Error() string { return w.Text }

// withDefaults returns the configuration with its zero values replaced, or
// all its faults.
func (c Config) withDefaults() (Config, error) {
	var faults []error
	if c.Logger == nil {
		faults = append(faults, fmt.Errorf("%w: no logger", ErrConfig))
	}
	if c.Authenticator == nil {
		faults = append(faults, fmt.Errorf("%w: no authenticator", ErrConfig))
	}
	if c.MaxBody < 0 || c.DrainTimeout < 0 {
		faults = append(faults, fmt.Errorf("%w: a negative limit", ErrConfig))
	}
	for i, p := range c.Parts {
		if p.Name == "" || p.Check == nil {
			faults = append(faults, fmt.Errorf("%w: part %d has no name or no check", ErrConfig, i))
		}
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	c.Language = cmp.Or(c.Language, message.Chinese)
	c.MaxBody = cmp.Or(c.MaxBody, 8<<20)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 15*time.Second)
	return c, errors.Join(faults...)
}
