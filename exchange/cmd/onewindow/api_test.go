package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ask makes a REST call with a role's token and returns status and body.
func (f *foreign) ask(t *testing.T, role, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if tokens, ok := f.settings["tokens"].(map[string]string); ok && role != "" {
		request.Header.Set("Authorization", "Bearer "+tokens[role])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestListsRefuseWhatTheyCannotHave asks every list for what the caller has no
// right to, and for what does not exist: neither is an empty list.
func TestListsRefuseWhatTheyCannotHave(t *testing.T) {
	f := newForeign(t)
	for path, body := range map[string]string{
		"/v1/departments/market": `{"uscc":"11430000006122244L","title":"市场监督管理局","region":"430000"}`,
		"/v1/departments/water":  `{"uscc":"11330105002500287C","title":"水利局","region":"330105"}`,
	} {
		if status, text := f.ask(t, "administrator", "PUT", path, body); status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, text)
		}
	}
	for _, resource := range []string{"market.people", "water.permit"} {
		if status, text := f.ask(t, "administrator", "PUT", "/v1/resources/"+resource,
			`{"kind":"RECORD_KIND_REGISTER","shareType":"SHARE_TYPE_UNCONDITIONAL","schema":{"type":"object"},"title":"x"}`); status != http.StatusOK {
			t.Fatalf("%s: %d %s", resource, status, text)
		}
	}
	for _, tt := range []struct {
		role, path string
		status     int
		reason     string
	}{
		{"clerk", "/v1/matters?department=nothing", 404, "DEPARTMENT_UNKNOWN"},
		{"analyst", "/v1/index?department=nothing", 404, "DEPARTMENT_UNKNOWN"},
		{"analyst", "/v1/index?groupBy=1", 400, "INVALID_VALUE"},
		{"analyst", "/v1/index?groupBy=WEEK", 400, "INVALID_ARGUMENT"},
		{"clerk", "/v1/licenses?department=nothing", 400, "DEPARTMENT_UNKNOWN"},
		{"clerk", "/v1/licenses?type=11100000000013338W011", 400, "LICENSE_TYPE_UNKNOWN"},
		{"clerk", "/v1/licenses?holder=1", 400, "LICENSE_REQUEST_INVALID"},
		{"department", "/v1/licenses?department=water", 403, "LICENSE_FORBIDDEN"},
		{"analyst", "/v1/licenses", 403, "ROLE_NOT_ALLOWED"},
		{"department", "/v1/licenses?department=market", 200, ""},
		{"analyst", "/v1/proofs?source=market/nothing", 404, "SOURCE_UNKNOWN"},
		{"analyst", "/v1/proofs", 200, ""},
		{"clerk", "/v1/proofs", 403, "ROLE_NOT_ALLOWED"},
		{"department", "/v1/rejected", 403, "NOT_YOUR_DEPARTMENT"},
		{"department", "/v1/rejected?resource=water.permit", 403, "NOT_YOUR_DEPARTMENT"},
		{"department", "/v1/rejected?resource=market.people&source=water/push", 403, "NOT_YOUR_DEPARTMENT"},
		{"department", "/v1/rejected?resource=market.nothing", 400, "RESOURCE_UNKNOWN"},
		{"department", "/v1/rejected?resource=market.people&source=market/nothing", 404, "SOURCE_UNKNOWN"},
		{"department", "/v1/rejected?resource=market.people&rule=NOTHING", 400, "REQUEST_INVALID"},
		{"department", "/v1/rejected?resource=market.people&source=market/push&rule=SCHEMA", 200, ""},
		{"clerk", "/v1/signing/keys", 403, "SIGNING_NOT_GRANTED"},
		{"department", "/v1/signing/keys", 403, "SIGNING_NOT_GRANTED"},
		{"clerk", "/v1/signing/seals", 403, "SIGNING_NOT_GRANTED"},
		{"department", "/v1/signing/seals", 200, ""},
		{"clerk", "/v1/storage", 403, "ROLE_NOT_ALLOWED"},
		{"clerk", "/v1/licenses/x/page?format=PAGE_FORMAT_GIF", 400, "INVALID_ARGUMENT"},
	} {
		status, text := f.ask(t, tt.role, "GET", tt.path, "")
		var problem struct{ Reason string }
		if err := json.Unmarshal([]byte(text), &problem); err != nil || status != tt.status || problem.Reason != tt.reason {
			t.Errorf("%s as %s: %d %s, want %d %s", tt.path, tt.role, status, text, tt.status, tt.reason)
		}
	}
	for path, want := range map[string]string{
		"/v1/index?groupBy=WEEK":                     "INDEX_GROUP_DEPARTMENT",
		"/v1/index?from=22.11.2026":                  "2026-11-22",
		"/v1/licenses/x/page?format=PAGE_FORMAT_GIF": "PAGE_FORMAT_OFD, PAGE_FORMAT_PNG",
	} {
		if _, text := f.ask(t, "administrator", "GET", path, ""); !strings.Contains(text, want) {
			t.Errorf("%s does not say what is right: %s", path, text)
		}
	}
	if _, text := f.ask(t, "administrator", "POST", "/v1/licenses", `{"validFrom":"22.11.2026"}`); !strings.Contains(text, "2026-11-22T09:30:00+08:00") {
		t.Errorf("a wrong time: %s", text)
	}
}

func TestTimestampPolicyIsAnObjectIdentifier(t *testing.T) {
	for text, want := range map[string]string{"1.2.156.10260.4.1": "1.2.156.10260.4.1", "": ""} {
		if id, err := objectIdentifier(text); err != nil || id.String() != want {
			t.Errorf("%q: %v, %v", text, id, err)
		}
	}
	for _, text := range []string{"1", "1.2.", "a.b", "3.1", "1.40", "1.2.-3", "1.2.4294967296", "policy"} {
		if id, err := objectIdentifier(text); err == nil {
			t.Errorf("%q was taken for %v", text, id)
		}
	}
}
