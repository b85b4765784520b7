package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/proto/message"
)

// NotesHeader is the header of an answer that is a picture and does not show
// everything: it names what is left out. A service sets it as gRPC metadata.
const NotesHeader = "onewindow-notes"

// rest is the handler of the REST port: the gateway, and what needs no token.
type rest struct {
	logger  *slog.Logger
	metrics *metrics
	texts   texts
	maxBody int64
	gateway *runtime.ServeMux
	pages   map[string]http.Handler // by exact path, for GET and HEAD
	others  map[string]http.Handler // by exact path, for every method
	console http.Handler            // may be nil

	documents *http.ServeMux           // for everybody, and for caches
	routes    map[string]access.Policy // by method and pattern, as the gateway writes it
}

func newREST(cfg Config, m *metrics, ready http.Handler, services []Service) (*rest, error) {
	h := &rest{logger: cfg.Logger, metrics: m, texts: texts{cfg.Messages, cfg.Language}, maxBody: cfg.MaxBody, console: cfg.Console, others: cfg.Handlers}
	h.pages = map[string]http.Handler{
		"/healthz": static(`{"status":"ok"}` + "\n"),
		"/readyz":  ready,
		"/metrics": promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{}),
	}
	if err := h.describe(services, cfg.Errors); err != nil {
		return nil, err
	}
	h.gateway = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: codec{}}),
		runtime.WithErrorHandler(h.callFailed),
		runtime.WithRoutingErrorHandler(h.routeFailed),
		runtime.WithMiddlewares(h.guard),
		runtime.WithForwardResponseOption(keepUntil),
		// The gateway passes on authorization by itself; nothing else of the HTTP request is for the services.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(key string) (string, bool) { return NotesHeader, key == NotesHeader }),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithMetadata(func(ctx context.Context, r *http.Request) metadata.MD {
			return metadata.Join(metadata.Pairs(requestIDKey, RequestID(ctx), languageKey, string(Language(ctx))), certificateMetadata(r))
		}),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
	)
	return h, nil
}

// ServeHTTP gives the request its id, routes it, and counts the answer.
func (h *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := saneRequestID(r.Header.Values(requestIDKey))
	ctx := context.WithValue(r.Context(), callKey{}, &call{requestID: id, language: message.Choose(r.Header.Values(languageKey), h.texts.language)})
	r = r.WithContext(context.WithValue(ctx, queryKey{}, query{r.Method, r.URL}))
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	counted := &countedWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(cause)
			}
			logPanic(r.Context(), h.logger, r.Method, id, cause)
			if !counted.wrote {
				h.refuse(counted, r, statusProblem(status.Convert(internalStatus(id))))
			}
		}
		h.metrics.http.WithLabelValues(strconv.Itoa(counted.status)).Inc()
	}()
	h.route(counted, r)
}

func (h *rest) route(w http.ResponseWriter, r *http.Request) {
	if other, ok := h.others[r.URL.Path]; ok {
		h.serveOther(w, r, other)
		return
	}
	if document := h.document(r); document != nil {
		h.publish(w, r, document)
		return
	}
	page, ok := h.pages[r.URL.Path]
	if !ok && h.console != nil && (r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/assets/")) {
		page, ok = h.console, true
	}
	switch {
	case !ok:
		h.gateway.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		h.refuse(w, r, methodProblem(r.Method))
	default:
		page.ServeHTTP(w, r)
	}
}

// refuse answers with a problem that no gRPC call has logged.
func (h *rest) refuse(w http.ResponseWriter, r *http.Request, p problem) {
	h.logger.LogAttrs(r.Context(), slog.LevelInfo, "request refused", slog.String("http_method", r.Method),
		slog.Int("status", p.Status), slog.String("reason", p.Reason), slog.String("request_id", RequestID(r.Context())))
	p.write(w, r, h.texts)
}

type probeKey struct{}

// probe finds out whether a route has a method.
type probe struct {
	matched bool
	verb    string // of a path like /v1/licenses/x:revoke
}

// guard runs before every route: it checks what kind of body there is and
// puts a limit on it.
func (h *rest) guard(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		pattern, _ := runtime.HTTPPattern(r.Context())
		if p, ok := r.Context().Value(probeKey{}).(*probe); ok {
			p.matched, p.verb = true, pattern.Verb()
			return
		}
		if r.ContentLength != 0 && h.needsToken(r, pattern) {
			w.Header().Set("Connection", "close") // the body is not read
			h.refuse(w, r, problem{
				Status: http.StatusUnauthorized, Reason: reasonTokenMissing,
				Detail: "this call needs a token: send the header Authorization: Bearer <token>",
			})
			return
		}
		if r.ContentLength > h.maxBody {
			w.Header().Set("Connection", "close")
			h.refuse(w, r, tooLarge(h.maxBody))
			return
		}
		if r.ContentLength != 0 && !isJSON(r.Header.Get("Content-Type")) {
			h.refuse(w, r, problem{
				Status: http.StatusUnsupportedMediaType, Reason: reasonContentType,
				Detail: "send JSON in UTF-8, with the header Content-Type: application/json",
			})
			return
		}
		r.Body = &body{ReadCloser: http.MaxBytesReader(w, r.Body, h.maxBody), size: r.ContentLength}
		next(w, r, params)
	}
}

// callFailed answers when a body could not be read, or the gRPC call failed.
func (h *rest) callFailed(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if b, ok := r.Body.(*body); ok && b.fault != nil {
		h.refuse(w, r, bodyProblem(b.fault, h.maxBody))
		return
	}
	var path *runtime.HTTPStatusError
	if errors.As(err, &path) {
		h.refuse(w, r, problem{Status: path.HTTPStatus, Reason: reasonRouteUnknown, Detail: "the path has a wrong % escape"})
		return
	}
	s, ok := status.FromError(err)
	if !ok { // the answer could not be encoded
		s = status.Convert(toStatus(ctx, h.logger, r.Method, nil, err))
	}
	p := statusProblem(s)
	if method, ok := runtime.RPCMethod(ctx); ok && s.Code() == codes.InvalidArgument {
		if m := methodDescriptor(method); m != nil {
			p.Detail = withExample(m.Input(), p.Detail)
		}
	}
	p.write(w, r, h.texts)
}

// routeFailed answers when no route fits.
func (h *rest) routeFailed(ctx context.Context, mux *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if ctx.Value(probeKey{}) != nil {
		return
	}
	if code != http.StatusMethodNotAllowed {
		h.refuse(w, r, problem{Status: http.StatusNotFound, Reason: reasonRouteUnknown, Detail: "there is nothing at this path; /openapi.json lists what there is"})
		return
	}
	var allowed, ofVerb []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		var found probe
		other := r.Clone(context.WithValue(ctx, probeKey{}, &found))
		other.Method = method
		mux.ServeHTTP(w, other)
		if found.matched {
			allowed = append(allowed, method)
		}
		if found.verb != "" {
			ofVerb = append(ofVerb, method)
		}
	}
	if len(ofVerb) > 0 { // the others take the verb for a part of a name
		allowed = ofVerb
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	h.refuse(w, r, methodProblem(r.Method))
}

func methodProblem(method string) problem {
	return problem{Status: http.StatusMethodNotAllowed, Reason: reasonMethod, Detail: fmt.Sprintf("%q is not for this path; the header Allow says what is", method)}
}

// needsToken reports whether the call would be refused for lack of a token
// whatever its body says, so that strangers do not have bodies decoded.
func (h *rest) needsToken(r *http.Request, pattern runtime.Pattern) bool {
	if r.Header.Get("Authorization") != "" || r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return false
	}
	policy, known := h.routes[r.Method+" "+pattern.String()]
	return known && !policy.Public
}

type queryKey struct{}

// query is what checkQuery needs to know of the HTTP request.
type query struct {
	method string
	url    *url.URL
}

// checkQuery refuses query parameters that the call does not have, which the
// gateway would pass over: a misspelt filter must not list everything. It is a
// step of the gateway's own connection, where the message type is known.
func checkQuery(ctx context.Context, fullMethod string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	q, ok := ctx.Value(queryKey{}).(query)
	m, isMessage := req.(proto.Message)
	if !ok || !isMessage || q.url.RawQuery == "" {
		return invoke(ctx, fullMethod, req, reply, conn, opts...)
	}
	values, err := url.ParseQuery(q.url.RawQuery)
	if err != nil {
		return newStatus(codes.InvalidArgument, "the query has a wrong % escape", reasonInvalidValue, RequestID(ctx))
	}
	for name, texts := range values {
		field := fieldAt(m.ProtoReflect().Descriptor(), name)
		if q.method != http.MethodGet || field == nil {
			return newStatus(codes.InvalidArgument, fmt.Sprintf("unknown query parameter %q", name), reasonUnknownField, RequestID(ctx))
		}
		// The gateway takes the numbers of values, too, which are no part of the API.
		if enum := field.Enum(); enum != nil && slices.ContainsFunc(texts, func(text string) bool { return enum.Values().ByName(protoreflect.Name(text)) == nil }) {
			return newStatus(codes.InvalidArgument, fmt.Sprintf("query parameter %q: use %s", name, strings.Join(enumNames(enum), ", ")), reasonInvalidValue, RequestID(ctx))
		}
	}
	return invoke(ctx, fullMethod, req, reply, conn, opts...)
}

// fieldAt returns the field at a dotted path of proto or JSON names, or nil.
func fieldAt(m protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	first, rest, nested := strings.Cut(path, ".")
	field := m.Fields().ByJSONName(first)
	if field == nil {
		field = m.Fields().ByName(protoreflect.Name(first))
	}
	switch {
	case field == nil || !nested:
		return field
	case field.Message() == nil:
		return nil
	}
	return fieldAt(field.Message(), rest)
}

func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && media == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// static serves a JSON text.
func static(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write([]byte(text)) // fails only when the caller has gone
	})
}

// countedWriter remembers the status of an answer.
type countedWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader remembers the status.
func (w *countedWriter) WriteHeader(code int) {
	if !w.wrote {
		w.status, w.wrote = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write remembers that the answer has begun.
func (w *countedWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
