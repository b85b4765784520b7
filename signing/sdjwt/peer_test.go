package sdjwt

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/internal/peer"
)

// TestNPM exchanges presentations with key binding, and the status lists of
// their tokens, with npm's @sd-jwt packages, in both directions.
func TestNPM(t *testing.T) {
	issuer, holder := newSigner(t), newSigner(t)
	now := testNow()
	list, err := NewStatusList(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range map[int]Status{1: StatusInvalid, 2: StatusSuspended} {
		if err := list.Set(i, s); err != nil {
			t.Fatal(err)
		}
	}
	listToken, err := IssueStatusList(t.Context(), issuer, listURI, list, now, now.AddDate(0, 0, 1), 15*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	claims := make([]Claims, 3)
	for i := range claims {
		claims[i] = licence(&holder.key.PublicKey)
		claims[i].Status = &StatusRef{URI: listURI, Index: i}
	}
	tokens, err := Issue(t.Context(), issuer, claims...)
	if err != nil {
		t.Fatal(err)
	}
	type item struct {
		Token string `json:"token"`
		List  string `json:"list"`
	}
	binding := fmt.Sprintf(`{"iat":%d,"aud":%q,"nonce":"n-1","sd_hash":"$h"}`, now.Unix(), testAudience)
	const head = `{"alg":"ES256","typ":"kb+jwt"}`
	var items []item
	for _, token := range tokens {
		shown, err := Present(token, []string{"name", "places"})
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{holder.bind(t, shown, head, binding), listToken})
	}
	forged := newSigner(t).bind(t, tokens[0], head, binding)
	items = append(items, item{forged, listToken})

	jwk, err := signing.MarshalJWK(&issuer.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"issuer": json.RawMessage(jwk), "tokens": items, "now": now.Unix(), "nonce": "n-1",
		"iss": testIssuer, "vct": testType, "aud": testAudience, "uri": listURI,
	})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Results []npmResult
		Made    npmTokens
	}
	if err := json.Unmarshal([]byte(peer.Node(t, filepath.Join("testdata", "sdjwt.cjs"), string(input))), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Results) != len(items) {
		t.Fatalf("%d results", len(answer.Results))
	}
	valid := answer.Results[0]
	if valid.Error != "" || valid.Payload["name"] != "张三 <&>" || valid.Payload["id"] != nil || valid.KB["nonce"] != "n-1" {
		t.Errorf("npm says of a valid token: %+v", valid)
	}
	for i, name := range []string{"revoked", "suspended", "bound by another"} {
		want := "Status is not valid"
		if i == 2 {
			want = "Invalid JWT Signature"
		}
		if got := answer.Results[i+1].Error; !strings.Contains(got, want) {
			t.Errorf("npm says of a %s token: %q", name, got)
		}
	}
	answer.Made.verify(t, now)
}

type npmResult struct {
	Error   string
	Payload map[string]any
	KB      map[string]any
}

type npmTokens struct {
	JWKS               json.RawMessage
	Token, Shown, List string
}

func (n npmTokens) verify(t *testing.T, now time.Time) {
	t.Helper()
	keys, err := signing.ParseJWKS(n.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	trust := OneIssuer{testIssuer, keys}
	const hidden = `"address":{"city":"长沙"},"cnf":`
	for name, c := range map[string]struct {
		token  string
		policy Policy
		want   []string
	}{
		"issued": {n.Token, Policy{}, []string{`"id":"11010519491231002X"`, `"name":"张三"`, `"street":"一路"`, `"places":["甲","乙","丙"]`}},
		"shown":  {n.Shown, Policy{KeyBinding: true, Audience: testAudience, Nonce: "n-1", MaxAge: time.Minute}, []string{hidden, `"name":"张三"`, `"places":["乙","丙"]`}},
	} {
		v, err := Verify(c.token, trust, now, c.policy)
		if err != nil {
			t.Fatalf("npm's token, %s: %v", name, err)
		}
		for _, part := range c.want {
			if !strings.Contains(string(v.Claims), part) {
				t.Errorf("npm's token, %s, lacks %s: %s", name, part, v.Claims)
			}
		}
		if v.Status == nil || *v.Status != (StatusRef{listURI, 5}) {
			t.Errorf("status %+v", v.Status)
		}
	}
	list, meta, err := VerifyStatusList(n.List, listURI, keys, time.Time{}, now)
	if err != nil || meta.TTL != 15*time.Minute {
		t.Fatalf("npm's status list: %+v, %v", meta, err)
	}
	for i, want := range []Status{0, 1, 2, 0, 0, 2, 3} {
		if got, err := list.Get(i); err != nil || got != want {
			t.Errorf("entry %d is %d, %v; want %d", i, got, err, want)
		}
	}
	if _, err := Verify(n.Shown, trust, now, Policy{KeyBinding: true, Audience: testAudience, Nonce: "n-2", MaxAge: time.Minute}); err == nil {
		t.Error("npm's token holds for another nonce")
	}
}
