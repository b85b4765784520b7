package console

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	analyticsv1 "github.com/onewindow/onewindow/proto/analytics/v1"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

func get(t *testing.T, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w
}

func TestServed(t *testing.T) {
	tests := []struct{ path, contentType, contains string }{
		{"/", "text/html; charset=utf-8", `<html lang="zh-CN">`},
		{"/?lang=en", "text/html; charset=utf-8", "<main"},
		{"/assets/app.js", "text/javascript; charset=utf-8", `"/v1/sources"`},
		{"/assets/texts.js", "text/javascript; charset=utf-8", "TEXTS"},
		{"/assets/style.css", "text/css; charset=utf-8", ":focus-visible"},
		{"/assets/icon.svg", "image/svg+xml", "<svg"},
	}
	for _, tt := range tests {
		w := get(t, tt.path)
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != tt.contentType || !strings.Contains(w.Body.String(), tt.contains) {
			t.Errorf("%s: %d %s", tt.path, w.Code, h.Get("Content-Type"))
		}
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", tt.path, h)
		}
		if again := get(t, tt.path, "If-None-Match", h.Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s: unchanged, but answered %d", tt.path, again.Code)
		}
	}
	for _, path := range []string{"/assets/", "/assets/index.html", "/assets/../console.go", "/x"} {
		if w := get(t, path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

// What the policy would block must not be there, and nothing may lead outside.
func TestPolicyHolds(t *testing.T) {
	for _, unsafe := range []string{"unsafe-inline", "unsafe-eval", "http", "*", "data:"} {
		if strings.Contains(policy, unsafe) {
			t.Errorf("the policy allows %s", unsafe)
		}
	}
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	for _, path := range []string{"/", "/assets/app.js", "/assets/texts.js", "/assets/style.css", "/assets/icon.svg"} {
		text := strings.ReplaceAll(get(t, path).Body.String(), "http://www.w3.org/2000/svg", "") // a name, not an address
		if found := outside.FindString(text); found != "" {
			t.Errorf("%s leads to %s", path, found)
		}
	}
	page := get(t, "/").Body.String()
	if found := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script(\s[^>]*)?>[^<]`).FindString(page); found != "" {
		t.Errorf("inline script or style: %s", found)
	}
	if script := get(t, "/assets/app.js").Body.String(); regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`).MatchString(script) {
		t.Error("the script builds HTML from text")
	}
}

func texts(t *testing.T) map[string][]string {
	t.Helper()
	_, table, _ := strings.Cut(get(t, "/assets/texts.js").Body.String(), "const TEXTS =")
	var all map[string][]string
	if err := json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimSpace(table), ";")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryTextInBothLanguages(t *testing.T) {
	all := texts(t)
	chinese, values := regexp.MustCompile(`\p{Han}`), regexp.MustCompile(`\{\w+\}`)
	for key, pair := range all {
		if len(pair) != 2 || pair[0] == "" || pair[1] == "" {
			t.Errorf("%s: %q", key, pair)
			continue
		}
		if len(values.FindAllString(pair[0], -1)) != len(values.FindAllString(pair[1], -1)) {
			t.Errorf("%s: the languages have different values: %q", key, pair)
		}
		if key != "otherLanguage" && key != "ofCount" && (!chinese.MatchString(pair[0]) || chinese.MatchString(pair[1])) {
			t.Errorf("%s: languages mixed up: %q", key, pair)
		}
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`data-text="([^"]+)"`).FindAllStringSubmatch(get(t, "/").Body.String(), -1) {
		used[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\bt\("([^"]+)"`).FindAllStringSubmatch(get(t, "/assets/app.js").Body.String(), -1) {
		used[m[1]] = true
	}
	if len(used) < 40 {
		t.Errorf("only %d texts found in use: the patterns are out of date", len(used))
	}
	for key := range used {
		if _, ok := all[key]; !ok && !strings.HasSuffix(key, ".") {
			t.Errorf("%s is used and has no text", key)
		}
	}
}

// The page shows what the API says: a new value or a renamed field must show up here.
func TestFollowsTheAPI(t *testing.T) {
	all := texts(t)
	for _, enum := range []protoreflect.EnumDescriptor{
		licensesv1.Verdict(0).Descriptor(), licensesv1.LicenseStatus(0).Descriptor(), connectorsv1.SourceState(0).Descriptor(),
	} {
		for i := range enum.Values().Len() {
			if name := string(enum.Values().Get(i).Name()); all[name] == nil {
				t.Errorf("%s has no text", name)
			}
		}
	}
	script := get(t, "/assets/app.js").Body.String()
	for message, fields := range map[protoreflect.MessageDescriptor][]string{
		(&analyticsv1.IndexRow{}).ProtoReflect().Descriptor():             {"group", "accepted", "decided", "decidedOnTime", "completed", "materialsRequired", "materialsSubmitted", "onTimeRate", "completionRate", "materialsNotAskedRate"},
		(&analyticsv1.GetStorageResponse{}).ProtoReflect().Descriptor():   {"storedRows", "storedDistinct", "duplicates", "rejected", "lag", "resources"},
		(&analyticsv1.ResourceStorage{}).ProtoReflect().Descriptor():      {"resource", "rows", "late", "lag"},
		(&connectorsv1.Source{}).ProtoReflect().Descriptor():              {"name", "kind", "resource", "state", "read", "accepted", "rejected", "rejectedByRule", "findings", "lastReadTime", "fault"},
		(&licensesv1.ListLicensesResponse{}).ProtoReflect().Descriptor():  {"licenses", "valid", "suspended", "revoked"},
		(&licensesv1.License{}).ProtoReflect().Descriptor():               {"number", "status", "holderName", "issueTime"},
		(&licensesv1.VerifyLicenseResponse{}).ProtoReflect().Descriptor(): {"verdict", "detail", "number", "type", "issuer", "holderName", "validUntil", "statusAsOf", "claims"},
		(&licensesv1.VerifyLicenseRequest{}).ProtoReflect().Descriptor():  {"token", "number"},
	} {
		for _, field := range fields {
			if message.Fields().ByJSONName(field) == nil {
				t.Errorf("%s has no field %s", message.FullName(), field)
			}
			if !strings.Contains(script, field) {
				t.Errorf("the page does not show %s of %s", field, message.FullName())
			}
		}
	}
}
