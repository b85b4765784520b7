package licenses

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Keys signs licences and status lists and finds the public key of every
// signature made before. Both answer without a retry of their own and may be
// called concurrently; an error of Sign fails the call that needed it, after
// which nothing was issued. service.Local and *service.Remote are two.
type Keys interface {
	sdjwt.TokenSigner
	signing.KeyResolver
}

// Pages writes, verifies and draws sealed pages. It neither repeats a call nor
// keeps anything; an error wraps service.ErrInvalid when what it was given is
// not an OFD file. service.Local and *service.Remote are two.
type Pages interface {
	ListSeals(ctx context.Context, req *signingv1.ListSealsRequest) (*signingv1.ListSealsResponse, error)
	SealPage(ctx context.Context, req *signingv1.SealPageRequest) (*signingv1.SealPageResponse, error)
	VerifyFile(ctx context.Context, req *signingv1.VerifyFileRequest) (*signingv1.VerifyFileResponse, error)
	RenderFile(ctx context.Context, req *signingv1.RenderFileRequest) (*signingv1.RenderFileResponse, error)
}

// Outbox takes events into the transaction of the change that they report:
// they exist if and only if it commits, and are published at least once
// afterwards, in the order of the commits of a key. Put may run again when the
// transaction is repeated. *exchange.Outbox is one.
type Outbox interface {
	Put(ctx context.Context, tx *sql.Tx, msgs ...bus.Message) error
}

// Departments finds a department by its code, or answers
// [exchange.ErrUnknownDepartment]. *exchange.Exchange is one.
type Departments interface {
	Department(ctx context.Context, code string) (exchange.Department, error)
}

// Config is what a [Registry] is built from; all fields are required.
type Config struct {
	DB          *sqldb.DB
	Keys        Keys
	Pages       Pages
	Outbox      Outbox
	Departments Departments
	// BaseURL is the hub's own public http or https URL without a slash at its
	// end. It is the issuer (iss) of every licence and begins the address of
	// every status list, so licences issued under another one are of an
	// unknown issuer.
	BaseURL string
	Logger  *slog.Logger
	Now     func() time.Time
}

// Registry issues, changes and verifies the licences of a state database. Its
// methods may be called concurrently, by several processes too. Methods that
// act for a department read the caller from the context (package access).
type Registry struct {
	cfg   Config
	trust sdjwt.OneIssuer
	// hot lets one transaction of this process at a time touch the rows that
	// everybody changes, so that only other processes cause repetitions.
	hot chan struct{}

	building chan struct{} // held while a status list is built
	mu       sync.Mutex
	lists    map[int64]signedList
}

// New applies the migrations and returns a registry. It fails with
// [ErrInvalid] for a base URL that cannot be an issuer.
func New(ctx context.Context, cfg Config) (*Registry, error) {
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(cfg.BaseURL, "/") {
		return nil, fmt.Errorf("%w: base URL %q: it must be http or https with a host, and have no slash at its end, query or user", ErrInvalid, cfg.BaseURL)
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("licenses: %w", err)
	}
	if err := cfg.DB.Migrate(ctx, "licenses", dir); err != nil {
		return nil, err
	}
	return &Registry{
		cfg:      cfg,
		trust:    sdjwt.OneIssuer{Issuer: cfg.BaseURL, KeyResolver: cfg.Keys},
		hot:      make(chan struct{}, 1),
		building: make(chan struct{}, 1),
		lists:    map[int64]signedList{},
	}, nil
}

// lock takes a one-place channel, unless ctx ends first.
func lock(ctx context.Context, place chan struct{}) error {
	select {
	case place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
