package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/exchange/access"
)

func TestResourceOverREST(t *testing.T) {
	h := start(t, nil)
	const schema = `{"type": "object", "maximum": 12345678901234567890.10}`
	a := h.ask("PUT", "/v1/resources/market.enterprise", access.Department,
		`{"title":"企业","kind":"RECORD_KIND_REGISTER","agreedDelaySeconds":"86400","schema":`+schema+`}`)
	if a.StatusCode != http.StatusOK || !strings.Contains(a.body, schema) {
		t.Fatalf("%s: %s", a.Status, a.body)
	}
	a = h.ask("GET", "/v1/resources/market.enterprise", access.Clerk, "")
	compact := strings.ReplaceAll(a.body, " ", "")
	for _, want := range []string{`"name":"market.enterprise"`, strings.ReplaceAll(schema, " ", ""), `"agreedDelaySeconds":"86400"`, `"shareType":"SHARE_TYPE_UNSPECIFIED"`} {
		if !strings.Contains(compact, want) {
			t.Errorf("%s lacks %s", a.body, want)
		}
	}
	if ct := a.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %s", ct)
	}
	a = h.ask("GET", "/v1/departments?pageSize=5&page_token=x", "", "")
	if a.StatusCode != http.StatusOK || strings.ReplaceAll(a.body, " ", "") != `{"departments":[],"nextPageToken":""}` {
		t.Errorf("%s: %s", a.Status, a.body)
	}
}

func TestRESTRefuses(t *testing.T) {
	h := start(t, nil)
	const department = "/v1/departments/market"
	large := `{"title":"` + strings.Repeat("x", 64<<10) + `"}`
	tests := []struct {
		name, method, path string
		role               access.Role
		body               string
		headers            []string
		status             int
		reason, detail     string
	}{
		{"no token", "PUT", department, "", `{}`, nil, 401, "TOKEN_MISSING", "Authorization: Bearer"},
		{"wrong token", "PUT", department, "", `{}`, []string{"Authorization", "Bearer nonsense"}, 401, "TOKEN_INVALID", "revoked"},
		{"wrong scheme", "PUT", department, "", `{}`, []string{"Authorization", "Basic eDp5"}, 401, "TOKEN_MISSING", ""},
		{"wrong role", "PUT", department, access.Clerk, `{}`, nil, 403, "ROLE_NOT_ALLOWED", "the role clerk may not call"},
		{"unknown field", "PUT", department, access.Administrator, "{\n \"titel\":\"x\"}", nil, 400, "UNKNOWN_FIELD", `(line 2:2): unknown field "titel"`},
		{"unknown field beside a document", "PUT", "/v1/resources/a.b", access.Administrator, `{"schema":{},"titel":"x"}`, nil, 400, "UNKNOWN_FIELD", `(line 1:14): unknown field "titel"`},
		{"duplicate field", "PUT", department, access.Administrator, `{"title":"x","title":"y"}`, nil, 400, "DUPLICATE_FIELD", `"title"`},
		{"wrong type", "PUT", department, access.Administrator, `{"title":7}`, nil, 400, "INVALID_VALUE", `string field title: 7`},
		{"wrong shape", "PUT", department, access.Administrator, `[]`, nil, 400, "INVALID_VALUE", `unexpected token [`},
		{"wrong enum", "PUT", "/v1/resources/a.b", access.Administrator, `{"kind":"X"}`, nil, 400, "INVALID_VALUE", `; use RECORD_KIND_REGISTER, RECORD_KIND_CASE_EVENT, RECORD_KIND_RATING, RECORD_KIND_TICKET`},
		{"wrong enum below", "POST", "/v1/matters:batchPut", access.Administrator, `{"matters":[{"type":"X"}]}`, nil, 400, "INVALID_VALUE", `; use MATTER_TYPE_IMMEDIATE, `},
		{"malformed", "PUT", department, access.Administrator, "{\"title\":\n}", nil, 400, "MALFORMED_JSON", `(line 2:1)`},
		{"malformed document", "PUT", "/v1/resources/a.b", access.Administrator, `{"schema":{"a":}}`, nil, 400, "MALFORMED_JSON", `(line 1:16)`},
		{"too large", "PUT", department, access.Administrator, large, nil, 413, "BODY_TOO_LARGE", "larger than 65536 bytes"},
		{"no content type", "PUT", department, access.Administrator, `{}`, []string{"Content-Type", ""}, 415, "CONTENT_TYPE", "application/json"},
		{"form", "PUT", department, access.Administrator, `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "CONTENT_TYPE", ""},
		{"charset", "PUT", department, access.Administrator, `{}`, []string{"Content-Type", "application/json; charset=gbk"}, 415, "CONTENT_TYPE", "UTF-8"},
		{"unknown path", "GET", "/v1/nothing", access.Administrator, "", nil, 404, "ROUTE_UNKNOWN", "/openapi.json"},
		{"no console", "GET", "/", "", "", nil, 404, "ROUTE_UNKNOWN", ""},
		{"other method", "DELETE", "/v1/resources/a.b", access.Administrator, "", nil, 405, "METHOD_NOT_ALLOWED", `"DELETE"`},
		{"other method on a page", "POST", "/healthz", "", "", nil, 405, "METHOD_NOT_ALLOWED", ""},
		{"no token beside a body that is none", "PUT", department, "", `{"title":`, nil, 401, "TOKEN_MISSING", "Authorization: Bearer"},
		{"method override", "POST", "/v1/resources/a.b", access.Administrator, `{}`, []string{"X-HTTP-Method-Override", "GET"}, 405, "METHOD_NOT_ALLOWED", ""},
		{"unknown query", "GET", "/v1/departments?pagesize=5", "", "", nil, 400, "UNKNOWN_FIELD", `"pagesize"`},
		{"query beside a body", "POST", "/v1/matters:batchPut?x=1", access.Administrator, `{}`, nil, 400, "UNKNOWN_FIELD", `"x"`},
		{"wrong query", "GET", "/v1/departments?pageSize=many", "", "", nil, 400, "INVALID_ARGUMENT", "many"},
		{"domain error", "GET", "/v1/resources/a.b", access.Clerk, "", nil, 404, "RESOURCE_UNKNOWN", "catalog: unknown resource: a.b"},
		{"not implemented", "GET", "/v1/matters", access.Clerk, "", nil, 501, "UNIMPLEMENTED", "ListMatters"},
		{"unmapped error", "GET", "/v1/resources/secret", access.Clerk, "", nil, 500, "INTERNAL", "request id"},
		{"panic", "GET", "/v1/resources/panic", access.Clerk, "", nil, 500, "INTERNAL", "request id"},
		{"answer that cannot be encoded", "GET", "/v1/resources/broken", access.Clerk, "", nil, 500, "INTERNAL", "request id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.t = t
			a := h.ask(tt.method, tt.path, tt.role, tt.body, tt.headers...)
			p := a.problem(t)
			if a.StatusCode != tt.status || p.Status != tt.status || p.Reason != tt.reason || !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("%d %+v", a.StatusCode, p)
			}
			if p.RequestID == "" || p.RequestID != a.Header.Get("X-Request-Id") || p.Title != http.StatusText(tt.status) {
				t.Errorf("%+v, header %v", p, a.Header)
			}
			if (a.StatusCode == 401) != (a.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
			}
			if strings.Contains(a.body, "hunter2") || strings.Contains(a.body, "citizen") {
				t.Errorf("leaks: %s", a.body)
			}
		})
	}
	h.t = t
	if allow := h.ask("DELETE", "/v1/resources/a.b", "", "").Header.Get("Allow"); allow != "GET, PUT" {
		t.Errorf("Allow: %q", allow)
	}
	log := h.log.String()
	for _, want := range []string{"hunter2", `"msg":"panic"`, "not a JSON document", `"caller":"the clerk"`, `"reason":"BODY_TOO_LARGE"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log, h.tokens[access.Administrator]) {
		t.Error("the log has a token")
	}
}

func TestOversizeWithoutLength(t *testing.T) {
	h := start(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), "PUT", h.rest+"/v1/departments/market",
		struct{ *strings.Reader }{strings.NewReader(`{"title":"` + strings.Repeat("x", 128<<10) + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+h.tokens[access.Administrator])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", resp.Status)
	}
}

// The problem body is what callers' programs read: it changes for nobody.
func TestProblemGolden(t *testing.T) {
	h := start(t, nil)
	a := h.ask("GET", "/v1/resources/market.none", access.Analyst, "", "X-Request-Id", "golden-1")
	const want = `{"type":"about:blank","title":"Not Found","status":404,"detail":"catalog: unknown resource: market.none","instance":"/v1/resources/market.none","reason":"RESOURCE_UNKNOWN","requestId":"golden-1"}`
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	if id := h.ask("GET", "/healthz", "", "", "X-Request-Id", "bad id\t").Header.Get("X-Request-Id"); len(id) != 32 {
		t.Errorf("a request id that is not sane became %q", id)
	}
}

func TestPagesWithoutToken(t *testing.T) {
	broken := errors.New("no connection to db:5432")
	h := start(t, func(cfg *Config, _ *catalog) {
		cfg.Console = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("console " + r.URL.Path)) })
		cfg.Parts = []Part{
			{Name: "topics", Check: func(context.Context) (string, error) { return "embedded", nil }},
			{Name: "state", Check: func(context.Context) (string, error) { return "", broken }},
		}
	})
	h.ask("GET", "/v1/departments", "", "")
	tests := []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, `{"status":"ok"}`},
		{"/readyz", 503, `{"status":"not ready","version":"test","parts":[{"name":"topics","ok":true,"detail":"embedded"},{"name":"state","ok":false,"detail":"no connection to db:5432"}]}`},
		{"/openapi.json", 200, `"openapi": "3.1.0"`},
		{"/metrics", 200, `onewindow_server_call_seconds_count{code="OK",method="/exchange.v1.CatalogService/ListDepartments"} 1`},
		{"/", 200, "console /"},
		{"/assets/app.js", 200, "console /assets/app.js"},
	}
	for _, tt := range tests {
		a := h.ask("GET", tt.path, "", "")
		if a.StatusCode != tt.status || !strings.Contains(a.body, tt.want) {
			t.Errorf("%s: %s %.300s", tt.path, a.Status, a.body)
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || (a.Header.Get("Access-Control-Allow-Origin") == "*") != (tt.path == "/openapi.json") {
			t.Errorf("%s: headers %v", tt.path, a.Header)
		}
	}
}

func TestReadinessGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	r := &readiness{now: time.Now, parts: []Part{
		{Name: "slow", Check: func(context.Context) (string, error) { <-ctx.Done(); return "", nil }},
		{Name: "quick", Check: func(context.Context) (string, error) { asked++; return "fine", nil }},
	}}
	for range 3 {
		got := r.check(t.Context())
		if got[0].OK || !strings.Contains(got[0].Detail, "no answer") || !got[1].OK {
			t.Errorf("%+v", got)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times within a second", asked)
	}
}

func TestToStatus(t *testing.T) {
	rule := errors.New("domain: conflict")
	rules := []ErrorRule{
		{Err: rule, Code: codes.Aborted, Reason: "CONFLICT"},
		{Err: errUnknown, Code: codes.NotFound, Reason: "RESOURCE_UNKNOWN"},
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		err    error
		code   codes.Code
		text   string
		reason string
	}{
		{"rule", t.Context(), errors.Join(rule), codes.Aborted, "domain: conflict", "CONFLICT"},
		{"first rule wins", t.Context(), errors.Join(errUnknown, rule), codes.Aborted, "domain: conflict", "CONFLICT"},
		{"the caller gave up", ended, errors.Join(context.Canceled, rule), codes.Canceled, "gave up", "CANCELED"},
		{"a rule after the caller gave up", ended, rule, codes.Aborted, "", "CONFLICT"},
		{"a rule that wraps a deadline", t.Context(), errors.Join(rule, context.DeadlineExceeded), codes.Aborted, "", "CONFLICT"},
		{"a deadline within", t.Context(), context.DeadlineExceeded, codes.DeadlineExceeded, "in time", "DEADLINE_EXCEEDED"},
		{"cancelled within", t.Context(), context.Canceled, codes.Unavailable, "stopping", "STOPPING"},
		{"a status", t.Context(), status.Error(codes.DataLoss, "lost"), codes.DataLoss, "lost", "DATA_LOSS"},
		{"anything else", t.Context(), errSecret, codes.Internal, "internal error", "INTERNAL"},
	}
	h := &lockedBuffer{}
	for _, tt := range tests {
		got := status.Convert(toStatus(tt.ctx, newLogger(h), "/m", rules, tt.err))
		if got.Code() != tt.code || !strings.Contains(got.Message(), tt.text) || reasonOf(got) != tt.reason || strings.Contains(got.Message(), "hunter2") {
			t.Errorf("%s: %v, %s", tt.name, got, reasonOf(got))
		}
	}
	if log := h.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "hunter2") {
		t.Errorf("log: %s", log)
	}
}

// A warning is for people, not for the load balancer; a part that the process
// serves without is never a reason for 503, be it silent.
func TestWarningsDegradeAndOnlyFailuresMakeNotReady(t *testing.T) {
	fine := Part{Name: "state", Check: func(context.Context) (string, error) { return "embedded", nil }}
	full := Part{Name: "disk", Check: func(context.Context) (string, error) {
		return "", Warning{Code: "DISK_FULL", Text: "96 % used"}
	}}
	asking := Part{Name: "sink", Advisory: true, Check: func(context.Context) (string, error) { return "", errors.New("database is down") }}
	down := Part{Name: "state", Check: func(context.Context) (string, error) { return "", errors.New("no connection") }}
	tests := []struct {
		name   string
		parts  []Part
		status int
		want   string
	}{
		{"all work", []Part{fine}, 200, `{"status":"ready","version":"test","parts":[{"name":"state","ok":true,"detail":"embedded"}]}`},
		{"a warning", []Part{fine, full}, 200, `{"status":"degraded","version":"test","parts":[{"name":"state","ok":true,"detail":"embedded"},{"name":"disk","ok":true,"detail":"96 % used","warning":"DISK_FULL"}]}`},
		{"an advisory part fails", []Part{asking}, 200, `{"status":"degraded","version":"test","parts":[{"name":"sink","ok":true,"detail":"database is down","warning":"UNKNOWN"}]}`},
		{"a failure beside a warning", []Part{down, full}, 503, `{"status":"not ready","version":"test","parts":[{"name":"state","ok":false,"detail":"no connection"},{"name":"disk","ok":true,"detail":"96 % used","warning":"DISK_FULL"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t, func(cfg *Config, _ *catalog) { cfg.Parts = tt.parts })
			a := h.ask("GET", "/readyz", "", "")
			if a.StatusCode != tt.status || strings.TrimSpace(a.body) != tt.want {
				t.Errorf("%d %s\nwant %d %s", a.StatusCode, a.body, tt.status, tt.want)
			}
		})
	}
}

// What any part of the process may meet is mapped for every service, with a
// text that names no file of this machine.
func TestFullDiskIs507WithoutFileNames(t *testing.T) {
	h := start(t, func(cfg *Config, _ *catalog) {
		cfg.Errors = []ErrorRule{{
			Match: func(err error) bool { return errors.Is(err, syscall.ENOSPC) },
			Code:  codes.ResourceExhausted, Reason: "DISK_FULL", Text: "the disk is full",
		}}
	})
	a := h.ask("GET", "/v1/resources/full", access.Clerk, "")
	p := a.problem(t)
	if a.StatusCode != http.StatusInsufficientStorage || p.Reason != "DISK_FULL" || p.Detail != "the disk is full" {
		t.Errorf("%d %+v", a.StatusCode, p)
	}
}
