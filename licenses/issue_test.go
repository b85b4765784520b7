package licenses

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

func TestIssue(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		q := testRequest("r-1")
		q.ValidFrom = e.clock.now().Add(-time.Hour)
		q.ValidUntil = e.clock.now().Add(24 * time.Hour)
		l := e.mustIssue(t, q)

		n, err := ParseNumber(l.Number)
		if err != nil || n.Type != testType || n.Issuer != marketUSCC || n.Serial != "000000001" || n.Version != "001" || n.LegacyCheck {
			t.Errorf("number %s: %+v, %v", l.Number, n, err)
		}
		if got, err := e.Get(asMarket(t), l.Number); err != nil || got != l {
			t.Errorf("Get = %+v, %v; want %+v", got, err, l)
		}
		if !l.ValidUntil.Equal(q.ValidUntil.Truncate(time.Second)) || !l.ValidFrom.Equal(q.ValidFrom.Truncate(time.Second)) {
			t.Errorf("valid %s to %s, want %s to %s", l.ValidFrom, l.ValidUntil, q.ValidFrom, q.ValidUntil)
		}

		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(l.Token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{alice, "张三丰", "人民路", claimHolder, claimHolderName, "address"} {
			if strings.Contains(string(payload), hidden) {
				t.Errorf("%q is visible without disclosure", hidden)
			}
		}
		v := e.verdict(t, l.Token)
		if v.Verdict != VerdictValid || v.Number != l.Number || v.HolderName != "张三丰" || !v.ValidUntil.Equal(l.ValidUntil) {
			t.Errorf("verified: %+v", v)
		}
		assertClaims(t, v.Claims, map[string]any{
			"ZZBS": l.Number, "ZZBFJGDM": marketUSCC, "CZZTDM": alice, "CZZT": "张三丰",
			"scope": "热食类食品制售", "address": "人民路 1 号", "persons": 12.0,
		})
		shown, err := sdjwt.Present(l.Token, []string{"address"})
		if err != nil {
			t.Fatal(err)
		}
		v = e.verdict(t, shown)
		if v.Verdict != VerdictValid || v.HolderName != "" {
			t.Errorf("presentation: %+v", v)
		}
		assertClaims(t, v.Claims, map[string]any{
			"ZZBS": l.Number, "ZZBFJGDM": marketUSCC, "scope": "热食类食品制售", "address": "人民路 1 号", "persons": 12.0,
		})

		events := e.events(t)[l.Number]
		if len(events) != 1 {
			t.Fatalf("%d events, want 1", len(events))
		}
		if m := events[0]; m.Topic != EventsTopic || header(m, "ce_type") != TypeIssued || len(header(m, "ce_id")) != 64 ||
			header(m, "ce_source") != "market/licenses" || header(m, "ce_subject") != l.Number {
			t.Errorf("event %+v", m)
		}
		if value := string(events[0].Value); strings.Contains(value, alice) || strings.Contains(value, "张三丰") {
			t.Errorf("the event names the holder: %s", value)
		}
		assertClaims(t, events[0].Value, map[string]any{
			"number": l.Number, "type": testType, "issuer": marketUSCC, "department": "market",
			"status": "valid", "sequence": 0.0, "time": l.IssueTime.Format(time.RFC3339Nano),
		})
	})
}

func assertClaims(t *testing.T, raw []byte, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) { // maps print in key order
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestIssueIsIdempotent(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		first := e.mustIssue(t, testRequest("r-1"))
		reordered := testRequest("r-1")
		reordered.Claims = []byte(` {"persons": 12, "address":"人民路 1 号", "scope":"热食类食品制售" } `)
		again := e.mustIssue(t, reordered)
		if again != first {
			t.Errorf("repeated request: %+v, want %+v", again, first)
		}
		e.mustChange(t, first.Number, Suspend)
		batch, err := e.BatchIssue(asMarket(t), []Request{testRequest("r-2"), testRequest("r-1"), testRequest("r-2")})
		if err != nil {
			t.Fatal(err)
		}
		if batch[1].Number != first.Number || batch[1].Status != Suspended || batch[0] != batch[2] || batch[0].Number == first.Number {
			t.Errorf("batch with repetitions: %+v", batch)
		}
		changed := testRequest("r-1")
		changed.HolderName = "李四"
		if _, err := e.BatchIssue(asMarket(t), []Request{testRequest("r-3"), changed}); !errors.Is(err, ErrConflict) {
			t.Errorf("other content under one id: %v, want ErrConflict", err)
		}
		// Another department's ids are its own.
		other := testRequest("r-1")
		other.Department = "water"
		l, err := e.Issue(as(t.Context(), access.Administrator, ""), other)
		if err != nil || l.Number == first.Number {
			t.Errorf("same id, other department: %s, %v", l.Number, err)
		}
		if n := e.number(t, `SELECT COUNT(*) FROM licenses`); n != 3 {
			t.Errorf("%d licences, want 3: r-3 must not exist", n)
		}
	})
}

func TestIssueRefuses(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	past := e.clock.now().Add(-time.Hour)
	for name, tt := range map[string]struct {
		change func(*Request)
		want   error
	}{
		"no request id":     {func(q *Request) { q.RequestID = "" }, ErrInvalid},
		"long request id":   {func(q *Request) { q.RequestID = strings.Repeat("x", 129) }, ErrInvalid},
		"control in id":     {func(q *Request) { q.RequestID = "a\x00b" }, ErrInvalid},
		"citizen number":    {func(q *Request) { q.Holder = "110105194912310021" }, ErrInvalid},
		"no name":           {func(q *Request) { q.HolderName = " " }, ErrInvalid},
		"unknown type":      {func(q *Request) { q.Type = "11100000000013338W012" }, ErrUnknownType},
		"other department":  {func(q *Request) { q.Department = "water" }, ErrForbidden},
		"expired":           {func(q *Request) { q.ValidUntil = past }, ErrInvalid},
		"ends before start": {func(q *Request) { q.ValidFrom, q.ValidUntil = past.Add(48*time.Hour), past.Add(47*time.Hour) }, ErrInvalid},
		"before 1970":       {func(q *Request) { q.ValidFrom = time.Unix(-1, 0) }, ErrInvalid},
		"claims array":      {func(q *Request) { q.Claims = []byte(`[]`) }, ErrInvalid},
		"claims open":       {func(q *Request) { q.Claims = []byte(`{"a":1`) }, ErrInvalid},
		"claims and more":   {func(q *Request) { q.Claims = []byte(`{"a":1} {}`) }, ErrInvalid},
		"claim twice":       {func(q *Request) { q.Claims = []byte(`{"a":1,"a":2}`) }, ErrInvalid},
		"claim twice below": {func(q *Request) { q.Claims = []byte(`{"a":{"b":1,"b":2}}`) }, ErrInvalid},
		"reserved claim":    {func(q *Request) { q.Claims = []byte(`{"exp":1}`) }, ErrInvalid},
		"holder as claim":   {func(q *Request) { q.Claims = []byte(`{"CZZT":"李四"}`) }, ErrInvalid},
		"digest as claim":   {func(q *Request) { q.Claims = []byte(`{"a":{"_sd":[]}}`) }, ErrInvalid},
		"claims too large":  {func(q *Request) { q.Claims = []byte(`{"a":"` + strings.Repeat("x", maxClaimsBytes) + `"}`) }, ErrInvalid},
		"not UTF-8":         {func(q *Request) { q.Claims = []byte("{\"a\":\"\xff\"}") }, ErrInvalid},
	} {
		bad := testRequest("bad")
		tt.change(&bad)
		if _, err := e.BatchIssue(asMarket(t), []Request{testRequest("good " + name), bad}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	nobody := testRequest("r")
	nobody.Department = "nobody"
	if _, err := e.Issue(as(t.Context(), access.Administrator, ""), nobody); !errors.Is(err, exchange.ErrUnknownDepartment) {
		t.Errorf("unknown department: %v", err)
	}
	for _, ctx := range []struct{ role access.Role }{{access.Clerk}, {access.Analyst}} {
		if _, err := e.Issue(as(t.Context(), ctx.role, ""), testRequest("r")); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s may issue: %v", ctx.role, err)
		}
	}
	if _, err := e.Issue(t.Context(), testRequest("r")); !errors.Is(err, ErrForbidden) {
		t.Errorf("a stranger may issue: %v", err)
	}
	for _, n := range []int{0, MaxBatch + 1} {
		if _, err := e.BatchIssue(asMarket(t), make([]Request, n)); !errors.Is(err, ErrInvalid) {
			t.Errorf("batch of %d: %v", n, err)
		}
	}
	if n := e.number(t, `SELECT COUNT(*) FROM licenses`) + e.number(t, `SELECT COUNT(*) FROM outbox`); n != 0 {
		t.Errorf("%d licences and events after refusals, want none", n)
	}
}

// TestIssueConcurrently has several calls issue at once, some of them the same
// request. Unique indexes hold the numbers apart; this proves that nobody fails
// for it and that one request makes one licence.
func TestIssueConcurrently(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		const callers, perCaller = 8, 40
		// A second registry stands for a second process.
		second, err := New(t.Context(), e.cfg)
		if err != nil {
			t.Fatal(err)
		}
		registries := []*Registry{e.Registry, second}
		results := make([][]License, callers)
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				var batch []Request
				for i := range perCaller {
					batch = append(batch, testRequest(fmt.Sprintf("own-%d-%d", c, i)))
				}
				batch = append(batch, testRequest("shared"))
				var err error
				if results[c], err = registries[c%2].BatchIssue(asMarket(t), batch); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		numbers, slots := map[string]bool{}, map[slot]bool{}
		for _, issued := range results {
			if len(issued) != perCaller+1 {
				t.Fatalf("%d licences, want %d", len(issued), perCaller+1)
			}
			if issued[perCaller] != results[0][perCaller] {
				t.Errorf("one request made %s and %s", issued[perCaller].Number, results[0][perCaller].Number)
			}
			for _, l := range issued {
				numbers[l.Number], slots[l.slot] = true, true
			}
		}
		const want = callers*perCaller + 1
		if stored := e.number(t, `SELECT COUNT(*) FROM licenses`); len(numbers) != want || len(slots) != want || stored != want {
			t.Errorf("%d numbers, %d slots, %d stored; want %d", len(numbers), len(slots), stored, want)
		}
		if events := e.events(t); len(events) != want {
			t.Errorf("events of %d licences, want %d", len(events), want)
		}
	})
}

func TestSlotIndexIsPermutation(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	// The list is nearly full: a batch goes on in a new one.
	e.mustIssue(t, testRequest("first"))
	if _, err := e.db.ExecContext(t.Context(), `UPDATE license_status_lists SET used = $1`, listSize-3); err != nil {
		t.Fatal(err)
	}
	var batch []Request
	for i := range 10 {
		batch = append(batch, testRequest(fmt.Sprint(i)))
	}
	issued, err := e.BatchIssue(asMarket(t), batch)
	if err != nil {
		t.Fatal(err)
	}
	lists := map[int64]int{}
	for _, l := range issued {
		lists[l.slot.list]++
		if v := e.verdict(t, l.Token); v.Verdict != VerdictValid {
			t.Errorf("%s: %s", l.Number, v.Verdict)
		}
	}
	if lists[1] != 3 || lists[2] != 7 {
		t.Errorf("licences by list: %v, want 3 in list 1 and 7 in list 2", lists)
	}
	seen := make([]bool, listSize)
	block := newTestBlock(t)
	inOrder := 0
	for n := range uint32(listSize) {
		i := slotIndex(block, n)
		if i < 0 || i >= listSize || seen[i] {
			t.Fatalf("use %d gets index %d, which is out of range or taken", n, i)
		}
		seen[i] = true
		if n > 0 && i == slotIndex(block, n-1)+1 {
			inOrder++
		}
	}
	if inOrder > 20 {
		t.Errorf("%d of %d indexes follow their neighbour: not random", inOrder, listSize)
	}
}
