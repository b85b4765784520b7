package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/licenses"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/ofd/render"
	"github.com/onewindow/onewindow/signing/pkcs11"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/service"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/stamp"
	"github.com/onewindow/onewindow/signing/typeface"
)

// Signing is the part of the configuration about the signing service.
type Signing struct {
	// Address is HOST:PORT of a signing service in another process; empty means in this one.
	Address string `yaml:"address"`
	// Certificate (with its key) and Roots are the PEM files with which Address is reached; the signing service makes
	// them in its Data/signing/tls.
	Certificate string `yaml:"certificate"`
	Roots       string `yaml:"roots"`
	// Operator is named in the certificates of the hub's own authorities.
	Operator Operator `yaml:"operator"`
	// CachePeriod is how long others may keep the key set, e.g. 15m.
	CachePeriod time.Duration `yaml:"cache_period"`
	// TimestampPolicy is the policy that timestamps name, e.g. 1.2.156.10260.4.1; empty means 2.999.3161.1.
	TimestampPolicy string `yaml:"timestamp_policy"`
	// Grants say who may sign and seal with what.
	Grants []service.Grant `yaml:"grants"`
	// Administrators are the names on client certificates that may manage keys.
	Administrators []string `yaml:"administrators"`
	// Clients are the names that a signing service of its own makes client certificates for, in Data/signing/tls.
	Clients []string `yaml:"clients"`
	// Tokens are PKCS#11 tokens that hold keys.
	Tokens []Token `yaml:"tokens"`
}

// Operator is who runs the hub.
type Operator struct {
	Name string `yaml:"name"`
	USCC string `yaml:"uscc"`
}

// Token is a PKCS#11 token.
type Token struct {
	Name    string `yaml:"name"`
	Module  string `yaml:"module"`
	Label   string `yaml:"label"`
	PINFile string `yaml:"pin_file"`
}

// registryName is the name under which the licence registry of this process
// signs; in a process of its own it is the name on its client certificate.
const registryName = "hub"

// signingClient is what the hub needs of the signing service, wherever it runs.
type signingClient interface {
	licenses.Keys
	licenses.Pages
}

// openSigning opens the signing service in this process, or prepares the
// connection to another.
func (h *hub) openSigning(ctx context.Context) error {
	if h.cfg.Signing.Address != "" {
		return h.dialSigning()
	}
	passphrase, err := h.passphrase()
	if err != nil {
		return err
	}
	tokens, err := h.openTokens()
	if err != nil {
		return err
	}
	font, err := findFont()
	if err != nil {
		h.logger.WarnContext(ctx, "licence pages and stamps cannot be drawn", slog.String("cause", err.Error()))
	}
	policy, err := objectIdentifier(h.cfg.Signing.TimestampPolicy)
	if err != nil {
		return err
	}
	operator := h.cfg.Signing.Operator
	h.signing, err = service.Open(ctx, service.Config{
		Dir: filepath.Join(h.cfg.Data, "signing"), Passphrase: passphrase, RootPassphrase: passphrase, Tokens: tokens,
		Issuer: h.cfg.BaseURL, Operator: pki.Subject{Country: "CN", Organization: operator.Name, OrganizationID: operator.USCC, CommonName: operator.Name},
		CachePeriod: h.cfg.Signing.CachePeriod, TimestampPolicy: policy, Grants: append(slices.Clone(h.cfg.Signing.Grants), registryGrant()),
		Caller: h.signingCaller, Font: font, Logger: h.logger, Now: time.Now,
	})
	if err != nil {
		return err
	}
	h.closing("signing", h.signing.Close)
	h.signer = h.signing.As(registryName)
	return h.identifyFolder(storeSigning)
}

// objectIdentifier reads an object identifier in dots; empty is none.
func objectIdentifier(text string) (asn1.ObjectIdentifier, error) {
	if text == "" {
		return nil, nil
	}
	var id asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		arc, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("signing.timestamp_policy: %q is not an object identifier: write numbers and dots, e.g. 1.2.156.10260.4.1", text)
		}
		id = append(id, int(arc))
	}
	if _, err := asn1.Marshal(id); err != nil {
		return nil, fmt.Errorf("signing.timestamp_policy: %q is not an object identifier: %w", text, err)
	}
	return id, nil
}

// registryGrant lets the licence registry sign and seal.
func registryGrant() service.Grant {
	return service.Grant{
		Caller: registryName, Lines: []string{service.LineLicense, "seal/*"}, Operations: []service.Operation{service.Sign, service.Seal},
	}
}

// dialSigning prepares the connection to a signing service of its own.
func (h *hub) dialSigning() error {
	cfg := h.cfg.Signing
	certificate, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Certificate)
	if err != nil {
		return fmt.Errorf("signing.certificate: %w", err)
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(cfg.Roots)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("signing.roots: no certificates in %s: %w", cfg.Roots, err)
	}
	h.remote, err = service.Dial(cfg.Address, &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS13}, time.Now)
	if err != nil {
		return err
	}
	h.closing("connection to the signing service", h.remote.Close)
	h.signer = h.remote
	return nil
}

// openTokens opens the PKCS#11 tokens of the configuration.
func (h *hub) openTokens() (map[string]keys.Token, error) {
	tokens := map[string]keys.Token{}
	for _, t := range h.cfg.Signing.Tokens {
		pin, err := os.ReadFile(t.PINFile)
		if err != nil {
			return nil, fmt.Errorf("signing.tokens %s: pin_file: %w", t.Name, err)
		}
		token, err := pkcs11.Open(pkcs11.Config{Module: t.Module, TokenLabel: t.Label, PIN: strings.TrimSpace(string(pin))})
		if err != nil {
			return nil, fmt.Errorf("signing.tokens %s: %w", t.Name, err)
		}
		h.closing("token "+t.Name, token.Close)
		tokens[t.Name] = token
	}
	return tokens, nil
}

// findFont looks for the font where `make build` puts it.
func findFont() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	checkout := filepath.Dir(filepath.Dir(executable)) // bin/onewindow stands beside signing/ there
	return typeface.Find(os.Getenv("ONEWINDOW_FONT"),
		filepath.Dir(executable), filepath.Join(checkout, "signing", "typeface"), filepath.Join("signing", "typeface"))
}

// signingCaller tells the signing service who is calling: a part of this
// process, or whom the server has authenticated.
func (h *hub) signingCaller(ctx context.Context) (service.Caller, bool) {
	if caller, ok := service.CallerFrom(ctx); ok {
		return caller, true
	}
	id, ok := access.FromContext(ctx)
	if !ok {
		return service.Caller{}, false
	}
	caller := service.Caller{Name: id.Name, Administrator: id.Role == access.Administrator}
	if id.Role == access.Department && h.exchange != nil {
		if department, err := h.exchange.Department(ctx, id.Department); err == nil {
			caller.Department = department.USCC
		}
	}
	return caller, true
}

// signingService is the API of the signing service for the server: all of it,
// or, when it runs apart, the part that is public and that clerks use.
func (h *hub) signingService() server.Service {
	var implementation signingv1.SigningServiceServer = h.signing
	if h.remote != nil {
		implementation = h.remote.Public()
	}
	// Who may do what with which key is for the service to say: see its grants.
	everybody := access.Policy{Roles: []access.Role{access.Department, access.Clerk, access.Analyst}}
	policies := map[string]access.Policy{}
	for _, method := range signingv1.SigningService_ServiceDesc.Methods {
		policies["/"+signingv1.SigningService_ServiceDesc.ServiceName+"/"+method.MethodName] = everybody
	}
	for _, public := range []string{
		signingv1.SigningService_GetKeySet_FullMethodName, signingv1.SigningService_GetIssuerMetadata_FullMethodName,
		signingv1.SigningService_GetTrust_FullMethodName, signingv1.SigningService_GetRevocationList_FullMethodName,
	} {
		policies[public] = access.Policy{Public: true}
	}
	return server.Service{
		Register: func(s grpc.ServiceRegistrar) { signingv1.RegisterSigningServiceServer(s, implementation) },
		Gateway: func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
			return signingv1.RegisterSigningServiceHandler(ctx, mux, conn)
		},
		Access: policies,
		Contents: map[string][]string{
			signingv1.SigningService_GetKeySet_FullMethodName:         {"application/jwk-set+json"},
			signingv1.SigningService_GetIssuerMetadata_FullMethodName: {"application/json"},
			signingv1.SigningService_GetTrust_FullMethodName:          {"application/pem-certificate-chain"},
			signingv1.SigningService_GetRevocationList_FullMethodName: {"application/pkix-crl"},
		},
		Errors: signingErrors(),
	}
}

// signingErrors is the table of the errors of the signing packages. What is
// not in it is this side's own fault, and opaque.
func signingErrors() []server.ErrorRule {
	return []server.ErrorRule{
		{Err: service.ErrForbidden, Code: codes.PermissionDenied, Reason: "SIGNING_NOT_GRANTED"},
		{Err: service.ErrConflict, Code: codes.AlreadyExists, Reason: "SIGNING_REQUEST_ID_USED"},
		{Err: service.ErrNotFound, Code: codes.NotFound, Reason: "SIGNING_NOT_FOUND"},
		{Err: service.ErrNoFont, Code: codes.FailedPrecondition, Reason: "SIGNING_NO_FONT"},
		{Err: ofd.ErrContainer, Code: codes.InvalidArgument, Reason: "FILE_CONTAINER"},
		{Err: ofd.ErrLimit, Code: codes.InvalidArgument, Reason: "FILE_TOO_LARGE"},
		{Err: ofd.ErrDraft, Code: codes.InvalidArgument, Reason: "PAGE_LAYOUT"},
		{Err: ofd.ErrNotFound, Code: codes.InvalidArgument, Reason: "FILE_PART_MISSING"},
		{Err: ofd.ErrXML, Code: codes.InvalidArgument, Reason: "FILE_XML"},
		{Err: ofd.ErrDocument, Code: codes.InvalidArgument, Reason: "FILE_DOCUMENT"},
		{Err: ofd.ErrClosed, Code: codes.FailedPrecondition, Reason: "FILE_CLOSED"},
		{Err: service.ErrInvalid, Code: codes.InvalidArgument, Reason: "SIGNING_REQUEST_INVALID"},
		{Err: keys.ErrInvalid, Code: codes.InvalidArgument, Reason: "KEY_REQUEST_INVALID"},
		{Err: keys.ErrTooEarly, Code: codes.FailedPrecondition, Reason: "KEY_TOO_EARLY"},
		{Err: keys.ErrState, Code: codes.FailedPrecondition, Reason: "KEY_STATE"},
		{Err: keys.ErrNoActiveKey, Code: codes.FailedPrecondition, Reason: "KEY_NONE_ACTIVE"},
		{Err: signing.ErrMalformed, Code: codes.InvalidArgument, Reason: "TOKEN_MALFORMED"},
		{Err: pkcs11.ErrAlgorithm, Code: codes.InvalidArgument, Reason: "KEY_ALGORITHM"},
		{Err: pkcs11.ErrToken, Code: codes.Unavailable, Reason: "HSM_UNAVAILABLE"},
		{Err: pki.ErrMalformed, Code: codes.InvalidArgument, Reason: "CERTIFICATE_MALFORMED"},
		{Err: pki.ErrChain, Code: codes.InvalidArgument, Reason: "CERTIFICATE_CHAIN"},
		{Err: pki.ErrUsage, Code: codes.InvalidArgument, Reason: "CERTIFICATE_USAGE"},
		{Err: pki.ErrPeriod, Code: codes.FailedPrecondition, Reason: "CERTIFICATE_PERIOD"},
		{Err: pki.ErrKey, Code: codes.InvalidArgument, Reason: "CERTIFICATE_KEY"},
		{Err: pki.ErrProfile, Code: codes.InvalidArgument, Reason: "CERTIFICATE_PROFILE"},
		{Err: pki.ErrChain, Code: codes.InvalidArgument, Reason: "CERTIFICATE_NO_PATH"},
		{Err: pki.ErrUsage, Code: codes.InvalidArgument, Reason: "CERTIFICATE_USAGE"},
		{Err: pki.ErrPeriod, Code: codes.FailedPrecondition, Reason: "CERTIFICATE_PERIOD"},
		{Err: pki.ErrNotFound, Code: codes.NotFound, Reason: "CERTIFICATE_UNKNOWN"},
		{Err: pki.ErrRevoked, Code: codes.FailedPrecondition, Reason: "CERTIFICATE_REVOKED"},
		{Err: ses.ErrSpec, Code: codes.InvalidArgument, Reason: "SEAL_REQUEST_INVALID"},
		{Err: ses.ErrState, Code: codes.FailedPrecondition, Reason: "SEAL_STATE"},
		{Err: ses.ErrNotListed, Code: codes.FailedPrecondition, Reason: "SEAL_SIGNER_NOT_LISTED"},
		{Err: ses.ErrPeriod, Code: codes.FailedPrecondition, Reason: "SEAL_PERIOD"},
		{Err: ses.ErrNotFound, Code: codes.NotFound, Reason: "SEAL_UNKNOWN"},
		{Err: stamp.ErrSpec, Code: codes.InvalidArgument, Reason: "SEAL_PICTURE"},
		{Err: typeface.ErrMissingGlyph, Code: codes.InvalidArgument, Reason: "CHARACTER_NOT_IN_FONT"},
		{Err: render.ErrLimit, Code: codes.InvalidArgument, Reason: "PAGE_TOO_LARGE"},
	}
}

// withErrors adds rules to a service that calls the signing service.
func withErrors(s server.Service, rules []server.ErrorRule) server.Service {
	s.Errors = append(slices.Clone(s.Errors), rules...)
	return s
}

// validate reports the faults of the signing part.
func (s Signing) validate(fault func(bad bool, format string, args ...any)) {
	fault(s.CachePeriod <= 0 || s.CachePeriod > 24*time.Hour, "signing.cache_period: must be above 0 and at most 24h, not %s", s.CachePeriod)
	apart := s.Address != ""
	fault(apart && (s.Certificate == "" || s.Roots == ""), "signing: an address needs certificate and roots")
	fault(!apart && s.Certificate+s.Roots != "", "signing: certificate and roots are for an address")
	if _, err := objectIdentifier(s.TimestampPolicy); err != nil {
		fault(true, "%v", err)
	}
	fault(s.Operator.Name == "", "signing.operator.name: say who runs the hub; it goes into certificates")
	for i, g := range s.Grants {
		if err := g.Validate(); err != nil {
			fault(true, "signing.grants: number %d: %v", i+1, err)
		}
	}
	for i, t := range s.Tokens {
		fault(t.Name == "" || t.Module == "" || t.Label == "" || t.PINFile == "", "signing.tokens: number %d needs name, module, label and pin_file", i+1)
	}
}

// timestamps answers RFC 3161 queries at /tsa where the keys are.
func (h *hub) timestamps() map[string]http.Handler {
	if h.signing == nil {
		return nil
	}
	return map[string]http.Handler{"/tsa": h.signing.TimestampHandler()}
}

// newSigningServer builds the server of a signing service of its own: mTLS on
// both ports, and nobody without a client certificate.
func (h *hub) newSigningServer(ctx context.Context) (*server.Server, error) {
	dir := filepath.Join(h.cfg.Data, "signing", "tls")
	var hosts []string
	for _, address := range []string{h.cfg.Listen.GRPC, h.cfg.Listen.REST} {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	own, err := h.signing.ServerCertificate(ctx, dir, hosts)
	if err != nil {
		return nil, err
	}
	for _, name := range h.cfg.Signing.Clients {
		if err := h.signing.ClientCertificate(ctx, dir, name); err != nil {
			return nil, err
		}
	}
	roots, err := h.signing.TLSRoots(ctx, dir)
	if err != nil {
		return nil, err
	}
	messages, err := catalog()
	if err != nil {
		return nil, err
	}
	return server.New(server.Config{
		Messages: messages, Language: h.cfg.Language,
		Logger: h.logger, Authenticator: noTokens{}, Version: version(), Handlers: h.timestamps(),
		TLS: &tls.Config{
			Certificates: []tls.Certificate{own}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
			VerifyConnection: h.signing.CheckClient,
		},
		Certificates: func(name string) (access.Identity, bool) {
			role := access.Analyst // the least of the roles: grants say what the name may do
			if slices.Contains(h.cfg.Signing.Administrators, name) {
				role = access.Administrator
			}
			return access.Identity{Name: name, Role: role}, true
		},
		Parts: h.parts(), Errors: diskErrors(), Metrics: h.metrics(),
	}, h.signingService())
}

// noTokens refuses every token: a signing service of its own knows none.
type noTokens struct{}

// Authenticate refuses.
func (noTokens) Authenticate(context.Context, string) (access.Identity, error) {
	return access.Identity{}, access.ErrUnauthenticated
}
