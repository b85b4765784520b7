package licenses

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

// TestVerdicts is the matrix of time × status × token: the first reason that
// applies, in the order issuer, content, time, status, must be the verdict.
func TestVerdicts(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		stranger := openKeys(t, t.TempDir(), e.clock.now)
		tokens := map[string]struct {
			token func(License) string
			want  Verdict // empty: that of time and status
		}{
			"as issued":         {func(l License) string { return l.Token }, ""},
			"nothing disclosed": {func(l License) string { return strings.SplitAfter(l.Token, "~")[0] }, ""},
			"payload changed":   {func(l License) string { return changePayload(t, l.Token) }, VerdictBadSignature},
			"disclosure taken from another licence": {func(l License) string {
				other := e.mustIssue(t, testRequest("other "+l.Number))
				return strings.SplitAfter(l.Token, "~")[0] + strings.SplitAfter(other.Token, "~")[1]
			}, VerdictBadSignature},
			"foreign key":    {func(l License) string { return sign(t, stranger, baseURL, l) }, VerdictUnknownIssuer},
			"foreign issuer": {func(l License) string { return sign(t, e.keys, "https://other.example", l) }, VerdictUnknownIssuer},
			"our key, never issued": {func(l License) string {
				l.Number = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U"
				return sign(t, e.keys, baseURL, l)
			}, VerdictUnknown},
			"our key, number of another token": {func(l License) string { return sign(t, e.keys, baseURL, l) }, VerdictUnknown},
			"no token":                         {func(License) string { return "" }, VerdictMalformed},
			"jwt only":                         {func(l License) string { return strings.Split(l.Token, "~")[0] }, VerdictMalformed},
			"text behind":                      {func(l License) string { return l.Token + "x" }, VerdictMalformed},
			"huge":                             {func(l License) string { return strings.Repeat("A", sdjwt.MaxToken) + "~" }, VerdictMalformed},
		}
		start := e.clock.now()
		for _, tt := range []struct {
			name    string
			advance time.Duration // into a validity from 1 h to 3 h
			actions []Action
			want    Verdict
			detail  string
		}{
			{"early", 0, nil, VerdictNotYetValid, "尚未生效"},
			{"early and revoked", 0, []Action{Revoke}, VerdictNotYetValid, "撤销"},
			{"valid", 2 * time.Hour, nil, VerdictValid, "证照有效"},
			{"suspended", 2 * time.Hour, []Action{Suspend}, VerdictSuspended, "现场检查不合格"},
			{"resumed", 2 * time.Hour, []Action{Suspend, Resume}, VerdictValid, "证照有效"},
			{"revoked", 2 * time.Hour, []Action{Revoke}, VerdictRevoked, "撤销"},
			{"revoked while suspended", 2 * time.Hour, []Action{Suspend, Revoke}, VerdictRevoked, "撤销"},
			{"expired", 4 * time.Hour, nil, VerdictExpired, "已过期"},
			{"expired and suspended", 4 * time.Hour, []Action{Suspend}, VerdictExpired, "暂扣"},
			{"expired and revoked", 4 * time.Hour, []Action{Revoke}, VerdictExpired, "撤销"},
		} {
			e.clock.shift.Store(0)
			q := testRequest(tt.name)
			q.ValidFrom, q.ValidUntil = start.Add(time.Hour), start.Add(3*time.Hour)
			l := e.mustIssue(t, q)
			for _, a := range tt.actions {
				e.mustChange(t, l.Number, a)
			}
			for name, token := range tokens {
				text := token.token(l)
				e.clock.shift.Store(int64(tt.advance))
				v := e.verdict(t, text)
				e.clock.shift.Store(0)
				want := token.want
				if want == "" {
					want = tt.want
					if !strings.Contains(v.Detail, tt.detail) || v.Number != l.Number || v.Type != testType || v.Issuer != marketUSCC {
						t.Errorf("%s, %s: %+v", tt.name, name, v)
					}
				}
				if v.Verdict != want || v.Detail == "" || v.StatusAsOf.IsZero() {
					t.Errorf("%s, %s: %s (%s), want %s", tt.name, name, v.Verdict, v.Detail, want)
				}
			}
			e.clock.shift.Store(int64(tt.advance))
			v, err := e.VerifyNumber(t.Context(), " "+strings.ToLower(l.Number)+"\n")
			if err != nil || v.Verdict != tt.want || v.HolderName != "张三丰" || v.Claims != nil {
				t.Errorf("%s, by number: %+v, %v", tt.name, v, err)
			}
		}
	})
}

func sign(t *testing.T, keys Keys, issuer string, l License) string {
	t.Helper()
	tokens, err := sdjwt.Issue(t.Context(), keys, sdjwt.Claims{
		Issuer: issuer, Type: vctPrefix + l.Type, NotBefore: l.ValidFrom, Expires: l.ValidUntil,
		Body: map[string]any{claimNumber: l.Number, claimIssuer: l.Issuer},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens[0]
}

func changePayload(t *testing.T, token string) string {
	t.Helper()
	parts := strings.SplitN(token, ".", 3)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(payload), "热食类", "冷食类", 1)
	if changed == string(payload) {
		t.Fatal("nothing to change")
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + parts[2]
}

func TestVerifyNumberExplains(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	l := e.mustIssue(t, testRequest("r"))
	for name, tt := range map[string]struct {
		number string
		want   Verdict
		detail string
	}{
		"mistyped":     {strings.Replace(l.Number, "000000001", "000000007", 1), VerdictMalformed, "校验位"},
		"no number":    {"SC1234", VerdictMalformed, "1.2.156.3005.2."},
		"empty":        {"", VerdictMalformed, "1.2.156.3005.2."},
		"foreign":      {"1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U", VerdictUnknown, "没有签发"},
		"legacy check": {"1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M", VerdictUnknown, "旧式校验位"},
	} {
		v, err := e.VerifyNumber(t.Context(), tt.number)
		if err != nil || v.Verdict != tt.want || !strings.Contains(v.Detail, tt.detail) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	// Without the database there is no verdict.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := e.VerifyToken(ctx, l.Token); err == nil {
		t.Errorf("verdict %s without the database", v.Verdict)
	}
}

// TestAnyChangedByteIsSeen changes every byte of a token in turn.
func TestAnyChangedByteIsSeen(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	token := e.mustIssue(t, testRequest("r")).Token
	for i := range len(token) {
		for _, c := range []byte{'A', token[i] ^ 1, '~', '.', '='} {
			if c == token[i] {
				continue
			}
			v := e.verdict(t, token[:i]+string(rune(c))+token[i+1:])
			if v.Verdict == VerdictValid {
				t.Errorf("valid with %q instead of %q at byte %d", c, token[i], i)
			}
		}
	}
	for i := range len(token) {
		if v := e.verdict(t, token[:i]); v.Verdict == VerdictValid && !strings.HasSuffix(token[:i], "~") {
			t.Errorf("valid when cut to %d bytes", i)
		}
	}
}

func FuzzVerifyToken(f *testing.F) {
	e := newEnv(f, "sqlite:"+f.TempDir()+"/state.db")
	issued := e.mustIssue(f, testRequest("r")).Token
	parts := strings.SplitAfter(issued, "~")
	f.Add(issued)
	f.Add(parts[0])
	f.Add(parts[0] + parts[1] + parts[1])
	f.Add("e30.e30.e30~")
	f.Add(issued + issued)
	f.Fuzz(func(t *testing.T, token string) {
		v, err := e.VerifyToken(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if v.Verdict == VerdictValid && !strings.HasPrefix(token, parts[0]) {
			t.Fatalf("valid: %q", token)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[null,true,"x"]}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"_sd":[]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q := testRequest("r")
		q.Claims = data
		d, err := newDraft(q)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if len(d.claims) > maxClaims || len(d.digest) != 32 {
			t.Fatalf("%d claims, digest of %d bytes", len(d.claims), len(d.digest))
		}
	})
}

func TestHeld(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		held := func() (string, bool, string) {
			h, err := e.holdings.Held(t.Context(), bob, testType)
			if err != nil {
				t.Fatal(err)
			}
			return h.Number, h.Valid, h.Note
		}
		if number, valid, note := held(); number != "" || valid || note != "" {
			t.Errorf("nothing held: %s, %v, %s", number, valid, note)
		}
		e.mustIssue(t, testRequest("someone else's"))
		issue := func(id string, until time.Time) License {
			q := testRequest(id)
			q.Holder, q.ValidUntil = bob, until
			return e.mustIssue(t, q)
		}
		short := issue("short", e.clock.now().Add(time.Hour))
		long := issue("long", e.clock.now().Add(48*time.Hour))
		unlimited := issue("unlimited", time.Time{})
		for _, step := range []struct {
			change  string // number to revoke before the look
			advance time.Duration
			number  string
			valid   bool
			note    string
		}{
			{"", 0, unlimited.Number, true, ""},
			{unlimited.Number, 0, long.Number, true, ""},
			{long.Number, 0, short.Number, true, ""},
			{short.Number, 0, unlimited.Number, false, "撤销"},
		} {
			if step.change != "" {
				e.mustChange(t, step.change, Revoke)
			}
			if number, valid, note := held(); number != step.number || valid != step.valid || !strings.Contains(note, step.note) {
				t.Errorf("held %s, %v, %q; want %+v", number, valid, note, step)
			}
		}
		later := issue("later", e.clock.now().Add(time.Hour))
		e.clock.advance(2 * time.Hour)
		if number, valid, _ := held(); valid {
			t.Errorf("%s counts, but %s has expired and the others are revoked", number, later.Number)
		}
	})
}

func TestList(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		clerk, admin := as(t.Context(), access.Clerk, ""), as(t.Context(), access.Administrator, "")
		var want []string // oldest first
		var batch []Request
		for i := range 7 {
			q := testRequest(string(rune('a' + i)))
			if i == 2 || i == 5 {
				q.Holder = bob
			}
			if i == 6 {
				q.Department = "water"
			}
			batch = append(batch, q)
		}
		// A batch has one issue time: the number must break the tie.
		for _, part := range [][]Request{batch[:4], batch[4:]} {
			issued, err := e.BatchIssue(admin, part)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range issued {
				want = append(want, l.Number)
			}
		}
		read := func(ctx context.Context, holder string, size int) (numbers []string) {
			token := ""
			for range 10 {
				page, err := e.List(ctx, Filter{Holder: holder}, size, token)
				if err != nil {
					t.Fatal(err)
				}
				if len(page.Licenses) > size || page.Counts != (Counts{Valid: 7}) {
					t.Errorf("page of %d, counts %+v", len(page.Licenses), page.Counts)
				}
				for _, l := range page.Licenses {
					numbers = append(numbers, l.Number)
				}
				if token = page.Next; token == "" {
					return numbers
				}
			}
			t.Fatal("the list does not end")
			return nil
		}
		for _, size := range []int{1, 2, 7, 100} {
			got := read(clerk, "", size)
			seen := map[string]bool{}
			for _, n := range got {
				seen[n] = true
			}
			if len(got) != 7 || len(seen) != 7 || !seen[want[0]] {
				t.Errorf("pages of %d: %v", size, got)
			}
			for i, n := range got[:3] { // the second batch is newer
				if !strings.Contains(strings.Join(want[4:], " "), n) {
					t.Errorf("pages of %d: place %d is %s, not one of the newest", size, i, n)
				}
			}
		}
		if got := read(clerk, bob, 1); len(got) != 2 {
			t.Errorf("licences of one holder: %v", got)
		}
		if got := read(as(t.Context(), access.Department, "water"), "", 5); len(got) != 1 || got[0] != want[6] {
			t.Errorf("a department sees %v, want its own %s", got, want[6])
		}
		page, err := e.List(clerk, Filter{}, 2, "")
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]struct{ holder, token string }{
			"other holder": {bob, page.Next}, "garbage": {"", "!!"}, "not a cursor": {"", "e30"},
		} {
			if _, err := e.List(clerk, Filter{Holder: bad.holder}, 2, bad.token); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		for name, bad := range map[string]struct {
			caller context.Context
			filter Filter
			want   error
		}{
			"a holder that is none":        {clerk, Filter{Holder: "110101"}, ErrInvalid},
			"an unknown department":        {clerk, Filter{Department: "nothing"}, exchange.ErrUnknownDepartment},
			"an unknown type":              {clerk, Filter{Type: "11100000000013338W999"}, ErrUnknownType},
			"a department asks of another": {as(t.Context(), access.Department, "water"), Filter{Department: "market"}, ErrForbidden},
		} {
			if _, err := e.List(bad.caller, bad.filter, 5, ""); !errors.Is(err, bad.want) {
				t.Errorf("%s: %v, want %v", name, err, bad.want)
			}
		}
		if page, err := e.List(clerk, Filter{Department: "water"}, 5, ""); err != nil || len(page.Licenses) != 1 {
			t.Errorf("licences of one department: %v, %v", page.Licenses, err)
		}
		if _, err := e.Get(as(t.Context(), access.Department, "water"), want[0]); !errors.Is(err, ErrForbidden) {
			t.Errorf("another department's licence: %v, want ErrForbidden", err)
		}
	})
}

func TestTypes(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		for _, bad := range []Type{
			{Code: "11100000000013338W01", Title: "x"},
			{Code: "11100000000013339W011", Title: "x"},
			{Code: testType, Title: ""},
			{Code: testType, Title: "x", Disclosable: []string{"a", "a"}},
			{Code: testType, Title: "x", Disclosable: []string{"exp"}},
		} {
			if err := e.PutType(t.Context(), bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v, want ErrInvalid", bad, err)
			}
		}
		second := Type{Code: "11100000000013338W009", Title: "取水许可证", Disclosable: []string{claimHolderName, "volume"}}
		for range 2 {
			if err := e.PutType(t.Context(), second); err != nil {
				t.Fatal(err)
			}
		}
		first, next, err := e.ListTypes(t.Context(), 1, "")
		if err != nil || len(first) != 1 || first[0].Code != second.Code || first[0].Title != second.Title || len(first[0].Disclosable) != 2 {
			t.Fatalf("first page %+v, %v", first, err)
		}
		rest, end, err := e.ListTypes(t.Context(), 1, next)
		if err != nil || len(rest) != 1 || rest[0].Code != testType || end != "" {
			t.Errorf("second page %+v, %q, %v", rest, end, err)
		}
	})
}
