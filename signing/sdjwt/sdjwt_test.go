package sdjwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

func TestIssueAndVerify(t *testing.T) {
	keys := newIssuer(t, signing.ES256)
	holder := newSigner(t)
	token := mustIssue(t, keys, licence(&holder.key.PublicKey))
	v, err := Verify(token, OneIssuer{testIssuer, keys}, testNow(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := signing.MarshalJWK(&holder.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ZZBS":"1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U","area":12.50,"cnf":{"jwk":` + string(jwk) +
		`},"exp":1826870400,"iat":1795334400,"id":"11010519491231002X","iss":"https://issuer.example.org","name":"张三 <&>","nbf":1795334400,"places":["甲","乙"],` +
		`"status":{"status_list":{"idx":4711,"uri":"https://issuer.example.org/status/3"}},"vct":"urn:example:licence:1"}`
	if string(v.Claims) != want {
		t.Errorf("claims\n%s\nwant\n%s", v.Claims, want)
	}
	v.Claims = nil
	if want := (&Verified{
		KeyID: keys.kid, Issuer: testIssuer, Type: testType,
		IssuedAt: testNow(), NotBefore: testNow(), Expires: testNow().AddDate(1, 0, 0),
		Status: &StatusRef{"https://issuer.example.org/status/3", 4711}, Disclosed: []string{"id", "name", "places"},
	}); !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v\nwant %+v", v, want)
	}
}

// signedPayload reads what the issuer signed, without the code under test.
func signedPayload(tb testing.TB, token string) map[string]any {
	tb.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		tb.Fatal(err)
	}
	var payload map[string]any
	if err := json.Unmarshal(raw, &payload); err != nil {
		tb.Fatal(err)
	}
	return payload
}

func TestIssueHidesDisclosableClaims(t *testing.T) {
	issuer := newSigner(t)
	token := mustIssue(t, issuer, licence(nil))
	payload := signedPayload(t, token)
	var names []string
	for name := range payload {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"ZZBS", "_sd", "_sd_alg", "area", "exp", "iat", "iss", "nbf", "status", "vct"}; !slices.Equal(names, want) {
		t.Errorf("signed claims %v, want %v", names, want)
	}
	var digests []string
	for _, d := range payload["_sd"].([]any) {
		digests = append(digests, d.(string))
	}
	if !slices.IsSorted(digests) || payload["_sd_alg"] != "sha-256" {
		t.Errorf("_sd %v, _sd_alg %v", digests, payload["_sd_alg"])
	}
	pieces := strings.Split(token, "~")
	salts := map[string]bool{}
	var sums []string
	for _, piece := range pieces[1 : len(pieces)-1] {
		raw, err := base64.RawURLEncoding.DecodeString(piece)
		if err != nil {
			t.Fatal(err)
		}
		var d []string
		if err := json.Unmarshal(raw, &d); err != nil && len(d) < 2 {
			t.Fatalf("%s: %v", raw, err)
		}
		salt, err := base64.RawURLEncoding.DecodeString(d[0])
		if err != nil || len(salt) != 16 {
			t.Errorf("salt %q: %d bytes, %v", d[0], len(salt), err)
		}
		salts[d[0]] = true
		sums = append(sums, sum(piece))
	}
	slices.Sort(sums)
	if len(salts) != 3 || !slices.Equal(sums, digests) {
		t.Errorf("%d different salts; digests %v, want %v", len(salts), digests, sums)
	}
	if mustIssue(t, issuer, licence(nil)) == token {
		t.Error("the same licence twice gives the same token: salts are not fresh")
	}

	plain := licence(nil)
	plain.Disclosable = nil
	token = mustIssue(t, issuer, plain)
	payload = signedPayload(t, token)
	if payload["_sd"] != nil || payload["_sd_alg"] != nil || !strings.HasSuffix(token, "~") || strings.Count(token, "~") != 1 {
		t.Errorf("without disclosable claims: %v, %s", payload, token)
	}
}

func TestIssueRefuses(t *testing.T) {
	issuer := newSigner(t)
	for name, change := range map[string]func(c *Claims){
		"no issuer":               func(c *Claims) { c.Issuer = "" },
		"no type":                 func(c *Claims) { c.Type = "" },
		"expires before start":    func(c *Claims) { c.Expires = c.NotBefore },
		"before 1970":             func(c *Claims) { c.IssuedAt = time.Unix(-1, 0) },
		"after 9999":              func(c *Claims) { c.Expires = time.Unix(maxDate+1, 0) },
		"negative index":          func(c *Claims) { c.Status.Index = -1 },
		"no status URI":           func(c *Claims) { c.Status.URI = "" },
		"registered claim":        func(c *Claims) { c.Body["exp"] = 1 },
		"format's own claim":      func(c *Claims) { c.Body["_sd"] = []string{} },
		"reserved name inside":    func(c *Claims) { c.Body["x"] = map[string]any{"y": []any{map[string]any{"...": "z"}}} },
		"reserved name escaped":   func(c *Claims) { c.Body["x"] = json.RawMessage(`{"\u005fsd":[]}`) },
		"member twice":            func(c *Claims) { c.Body["x"] = json.RawMessage(`{"a":1,"a":2}`) },
		"cannot be JSON":          func(c *Claims) { c.Body["x"] = func() {} },
		"absent claim disclosed":  func(c *Claims) { c.Disclosable = append(c.Disclosable, "absent") },
		"disclosed twice":         func(c *Claims) { c.Disclosable = append(c.Disclosable, "name") },
		"visible claim disclosed": func(c *Claims) { c.Disclosable = append(c.Disclosable, "iss") },
		"aka_vcts disclosed":      func(c *Claims) { c.Body["aka_vcts"] = "x"; c.Disclosable = append(c.Disclosable, "aka_vcts") },
		"too large":               func(c *Claims) { c.Body["x"] = strings.Repeat("x", signing.MaxToken) },
	} {
		c := licence(nil)
		change(&c)
		if token, err := Issue(t.Context(), issuer, c); !errors.Is(err, signing.ErrMalformed) {
			t.Errorf("%s: got %q, %v", name, token, err)
		}
	}
	c := licence("not a key")
	if _, err := Issue(t.Context(), issuer, c); !errors.Is(err, signing.ErrAlgorithm) {
		t.Errorf("holder's key: %v", err)
	}
}

const visible = `"iss":"` + testIssuer + `","vct":"` + testType + `"`

func TestVerifyProcessesDisclosures(t *testing.T) {
	issuer := newSigner(t)
	for name, c := range map[string]struct {
		payload     string
		disclosures []string
		want        string
		disclosed   []string
	}{
		"flat": {
			`{` + visible + `,"_sd":["$0","` + sum("decoy") + `"],"_sd_alg":"sha-256"}`,
			[]string{`["s","a",1]`},
			`{"a":1,` + visible + `}`,
			[]string{"a"},
		},
		"default algorithm, empty _sd": {`{` + visible + `,"x":{"_sd":[]}}`, nil, `{` + visible + `,"x":{}}`, nil},
		"undisclosed members and elements vanish": {
			`{"_sd":["` + sum("a") + `"],` + visible + `,"x":{"_sd":["` + sum("b") + `"]},"y":["u",{"...":"` + sum("c") + `"},"v"]}`,
			nil, `{` + visible + `,"x":{},"y":["u","v"]}`, nil,
		},
		"elements, nested and recursive": {
			`{"_sd":["$0"],` + visible + `,"x":[{"...":"$2"},[{"...":"$3"}]]}`,
			[]string{`["s","a",{"_sd":["$1"],"c":[]}]`, `["s","b",null]`, `["s",{"k":true}]`, `["s","deep"]`},
			`{"a":{"b":null,"c":[]},` + visible + `,"x":[{"k":true},["deep"]]}`,
			[]string{"a", "x"},
		},
	} {
		v, err := Verify(issuer.craft(t, c.payload, c.disclosures...), issuer.trust(), testNow(), Policy{})
		if err != nil || string(v.Claims) != c.want || !slices.Equal(v.Disclosed, c.disclosed) {
			t.Errorf("%s: got %+v, %v; want %s %v", name, v, err, c.want, c.disclosed)
		}
	}
}

// TestVerifyRefuses has one case for each reason in RFC 9901 §7.1 and in
// SD-JWT VC.
func TestVerifyRefuses(t *testing.T) {
	issuer := newSigner(t)
	craft := func(payload string, disclosures ...string) string {
		return issuer.craft(t, "{"+visible+payload+"}", disclosures...)
	}
	good := craft(`,"_sd":["$0"]`, `["s","a",1]`)
	typed := func(typ string) string {
		jwt, err := issuer.Sign(t.Context(), typ, []byte("{"+visible+"}"))
		if err != nil {
			t.Fatal(err)
		}
		return jwt + "~"
	}
	deep := func(n int) string { return strings.Repeat(`{"x":`, n) + `0` + strings.Repeat(`}`, n) }
	chain := make([]string, 40) // each level is flat, all together are not
	for i := range chain {
		chain[i] = fmt.Sprintf(`["s","a",{"x":[[{"_sd":["$%d"]}]]}]`, i+1)
	}
	chain[len(chain)-1] = `["s","a",0]`

	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"accepted":                      {good, nil},
		"no tilde":                      {strings.TrimSuffix(typed(TokenType), "~"), signing.ErrMalformed},
		"empty":                         {"", signing.ErrMalformed},
		"over the limit":                {good + strings.Repeat("A", MaxToken), signing.ErrMalformed},
		"too many disclosures":          {good + strings.Repeat("AA~", MaxDisclosures+1), signing.ErrMalformed},
		"former type vc+sd-jwt":         {typed("vc+sd-jwt"), signing.ErrType},
		"key binding type":              {typed(bindingType), signing.ErrType},
		"signed by another":             {newSigner(t).craft(t, "{"+visible+"}"), signing.ErrSignature},
		"unknown issuer":                {issuer.craft(t, `{"iss":"https://other.example.org","vct":"x"}`), ErrIssuer},
		"no iss":                        {issuer.craft(t, `{"vct":"x"}`), signing.ErrMalformed},
		"no vct":                        {issuer.craft(t, `{"iss":"`+testIssuer+`"}`), signing.ErrMalformed},
		"vct a number":                  {issuer.craft(t, `{"iss":"`+testIssuer+`","vct":1}`), signing.ErrMalformed},
		"payload not an object":         {issuer.craft(t, `[]`), signing.ErrMalformed},
		"payload member twice":          {craft(`,"a":1,"a":2`), signing.ErrMalformed},
		"payload nested too deep":       {craft(`,"a":` + deep(40)), signing.ErrMalformed},
		"other hash":                    {craft(`,"_sd_alg":"sha-512"`), signing.ErrAlgorithm},
		"hash in capitals":              {craft(`,"_sd_alg":"SHA-256"`), signing.ErrAlgorithm},
		"hash not a string":             {craft(`,"_sd_alg":null`), signing.ErrAlgorithm},
		"hash inside":                   {craft(`,"a":{"_sd_alg":"sha-256"}`), ErrDisclosure},
		"_sd not an array":              {craft(`,"_sd":"x"`), ErrDisclosure},
		"_sd of numbers":                {craft(`,"_sd":[1]`), ErrDisclosure},
		"... outside an array":          {craft(`,"a":{"...":"x"}`), ErrDisclosure},
		"... at the top":                {craft(`,"...":"x"`), ErrDisclosure},
		"... not alone":                 {craft(`,"a":[{"...":"x","b":1}]`), ErrDisclosure},
		"... not a string":              {craft(`,"a":[{"...":1}]`), ErrDisclosure},
		"empty disclosure":              {good + "~", ErrDisclosure},
		"disclosure not base64":         {good + "!~", ErrDisclosure},
		"disclosure not canonical":      {good + "WzFd=~", ErrDisclosure},
		"disclosure not JSON":           {craft(`,"_sd":["$0"]`, `["s","a",1`), ErrDisclosure},
		"disclosure not an array":       {craft(`,"_sd":["$0"]`, `{"s":1}`), ErrDisclosure},
		"disclosure of 1":               {craft(`,"_sd":["$0"]`, `["s"]`), ErrDisclosure},
		"disclosure of 4":               {craft(`,"_sd":["$0"]`, `["s","a",1,2]`), ErrDisclosure},
		"salt not a string":             {craft(`,"_sd":["$0"]`, `[1,"a",1]`), ErrDisclosure},
		"name not a string":             {craft(`,"_sd":["$0"]`, `["s",1,1]`), ErrDisclosure},
		"member twice in a disclosure":  {craft(`,"_sd":["$0"]`, `["s","a",{"b":1,"b":2}]`), ErrDisclosure},
		"element for a member":          {craft(`,"_sd":["$0"]`, `["s","a"]`), ErrDisclosure},
		"member for an element":         {craft(`,"a":[{"...":"$0"}]`, `["s","a",1]`), ErrDisclosure},
		"name _sd":                      {craft(`,"_sd":["$0"]`, `["s","_sd",[]]`), ErrDisclosure},
		"name ...":                      {craft(`,"_sd":["$0"]`, `["s","...","x"]`), ErrDisclosure},
		"name _sd_alg":                  {craft(`,"_sd":["$0"]`, `["s","_sd_alg","sha-256"]`), ErrDisclosure},
		"name exists":                   {craft(`,"a":0,"_sd":["$0"]`, `["s","a",1]`), ErrDisclosure},
		"name disclosed twice":          {craft(`,"_sd":["$0","$1"]`, `["s","a",1]`, `["t","a",1]`), ErrDisclosure},
		"digest twice":                  {craft(`,"_sd":["$0","$0"]`, `["s","a",1]`), ErrDisclosure},
		"undisclosed digest twice":      {craft(`,"_sd":["x"],"a":[{"...":"x"}]`), ErrDisclosure},
		"digest twice through another":  {craft(`,"_sd":["$0","$1"]`, `["s","a",{"_sd":["$1"]}]`, `["s","b",1]`), ErrDisclosure},
		"disclosure twice":              {good + strings.Split(good, "~")[1] + "~", ErrDisclosure},
		"disclosure without a digest":   {craft(``, `["s","a",1]`), ErrDisclosure},
		"disclosure without its parent": {craft(`,"_sd":["x"]`, `["s","a",1]`), ErrDisclosure},
		"disclosure nested too deep":    {craft(`,"_sd":["$0"]`, `["s","a",`+deep(40)+`]`), ErrDisclosure},
		"chain of disclosures too deep": {craft(`,"_sd":["$0"]`, chain...), signing.ErrMalformed},
		"iss disclosed":                 {issuer.craft(t, `{"vct":"x","_sd":["$0"]}`, `["s","iss","`+testIssuer+`"]`), signing.ErrMalformed},
		"exp disclosed":                 {craft(`,"_sd":["$0"]`, `["s","exp",4000000000]`), ErrDisclosure},
		"nbf disclosed":                 {craft(`,"_sd":["$0"]`, `["s","nbf",1]`), ErrDisclosure},
		"status disclosed":              {craft(`,"_sd":["$0"]`, `["s","status",{}]`), ErrDisclosure},
		"cnf disclosed":                 {craft(`,"_sd":["$0"]`, `["s","cnf",{}]`), ErrDisclosure},
		"vct#integrity disclosed":       {craft(`,"_sd":["$0"]`, `["s","vct#integrity","x"]`), ErrDisclosure},
		"part of cnf disclosed":         {craft(`,"cnf":{"_sd":["$0"]}`, `["s","jwk",{}]`), ErrDisclosure},
		"exp not a date":                {craft(`,"exp":"tomorrow"`), signing.ErrMalformed},
		"exp negative":                  {craft(`,"exp":-1`), signing.ErrMalformed},
		"exp beyond numbers":            {craft(`,"exp":1e999`), signing.ErrMalformed},
		"status not an object":          {craft(`,"status":7`), signing.ErrMalformed},
		"index negative":                {craft(`,"status":{"status_list":{"idx":-1,"uri":"u"}}`), signing.ErrMalformed},
		"index not whole":               {craft(`,"status":{"status_list":{"idx":1.5,"uri":"u"}}`), signing.ErrMalformed},
		"index absent":                  {craft(`,"status":{"status_list":{"uri":"u"}}`), signing.ErrMalformed},
		"uri absent":                    {craft(`,"status":{"status_list":{"idx":1}}`), signing.ErrMalformed},
		"another audience":              {craft(`,"aud":"https://elsewhere.example.org"`), ErrAudience},
		"other audiences":               {craft(`,"aud":["x","y"]`), ErrAudience},
		"audience disclosed":            {craft(`,"_sd":["$0"]`, `["s","aud","x"]`), ErrAudience},
		"named audience":                {craft(`,"aud":["x","` + testAudience + `"]`), nil},
	} {
		v, err := Verify(c.token, issuer.trust(), testNow(), Policy{Audience: testAudience})
		if !errors.Is(err, c.want) || (err == nil) != (v != nil) {
			t.Errorf("%s: got %+v, %v; want %v", name, v, err, c.want)
		}
	}
	if _, err := Verify(craft(`,"aud":"x"`), issuer.trust(), testNow(), Policy{}); !errors.Is(err, ErrAudience) {
		t.Errorf("a verifier without a name took a token for x: %v", err)
	}
}
