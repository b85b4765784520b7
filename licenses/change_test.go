package licenses

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/signing/sdjwt"
)

func newTestBlock(t *testing.T) cipher.Block {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// TestTransitions drives every pair of status and action, and checks what a
// change must leave behind: row, history, list entry, event, verdict.
func TestTransitions(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		way := map[Status][]Action{Valid: nil, Suspended: {Suspend}, Revoked: {Revoke}}
		entry := map[Status]sdjwt.Status{Valid: sdjwt.StatusValid, Suspended: sdjwt.StatusSuspended, Revoked: sdjwt.StatusInvalid}
		verdict := map[Status]Verdict{Valid: VerdictValid, Suspended: VerdictSuspended, Revoked: VerdictRevoked}
		pairs := 0
		for _, from := range []Status{Valid, Suspended, Revoked} {
			for _, action := range []Action{Suspend, Resume, Revoke} {
				pairs++
				name := string(from) + "+" + string(action)
				l := e.mustIssue(t, testRequest(name))
				for _, a := range way[from] {
					e.mustChange(t, l.Number, a)
				}
				want := map[string]Status{
					"valid+suspend": Suspended, "valid+revoke": Revoked, "suspended+resume": Valid, "suspended+revoke": Revoked,
				}[name]
				changes := len(way[from])
				changed, err := e.Change(asMarket(t), l.Number, action, "理由 "+name)
				if want == "" {
					if !errors.Is(err, ErrState) {
						t.Errorf("%s: %v, want ErrState", name, err)
					}
					want = from
				} else {
					changes++
					if err != nil || changed.Status != want || changed.StatusReason != "理由 "+name {
						t.Errorf("%s: %+v, %v", name, changed, err)
					}
				}
				stored, err := e.Get(asMarket(t), l.Number)
				if err != nil || stored.Status != want {
					t.Errorf("%s: stored %s, %v; want %s", name, stored.Status, err, want)
				}
				if v := e.verdict(t, l.Token); v.Verdict != verdict[want] {
					t.Errorf("%s: verdict %s, want %s", name, v.Verdict, verdict[want])
				}
				if got, err := e.statusList(t).Get(int(l.slot.index)); err != nil || got != entry[want] {
					t.Errorf("%s: list entry %d, %v; want %d", name, got, err, entry[want])
				}
				events := e.events(t)[l.Number]
				if len(events) != 1+changes {
					t.Fatalf("%s: %d events, want %d", name, len(events), 1+changes)
				}
				var last Event
				if err := json.Unmarshal(events[changes].Value, &last); err != nil || last.Status != want || last.Sequence != int64(changes) {
					t.Errorf("%s: last event %+v, %v", name, last, err)
				}
			}
		}
		if pairs != len(transitions()) {
			t.Errorf("%d transitions listed, want %d", len(transitions()), pairs)
		}
		if n := e.number(t, `SELECT COUNT(*) FROM license_changes WHERE reason <> '' AND actor = 'test department'`); n != 10 {
			t.Errorf("%d rows of history, want 10: six on the way there, four changes", n)
		}
		assertCounts(t, e)
	})
}

func assertCounts(t *testing.T, e env) {
	t.Helper()
	page, err := e.List(as(t.Context(), access.Clerk, ""), Filter{}, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	want := Counts{
		Valid:     e.number(t, `SELECT COUNT(*) FROM licenses WHERE status = 'valid'`),
		Suspended: e.number(t, `SELECT COUNT(*) FROM licenses WHERE status = 'suspended'`),
		Revoked:   e.number(t, `SELECT COUNT(*) FROM licenses WHERE status = 'revoked'`),
	}
	if page.Counts != want {
		t.Errorf("counts %+v, want %+v", page.Counts, want)
	}
}

// statusList fetches list 1 and verifies it as an offline verifier does.
func (e env) statusList(t *testing.T) *sdjwt.StatusList {
	t.Helper()
	token, _, err := e.StatusList(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := sdjwt.VerifyStatusList(string(token), baseURL+"/v1/status-lists/1", e.keys, time.Time{}, e.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestChangeRefuses(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	l := e.mustIssue(t, testRequest("r"))
	for name, tt := range map[string]struct {
		role               access.Role
		department, number string
		action             Action
		reason             string
		want               error
	}{
		"no reason":        {access.Administrator, "", l.Number, Suspend, " ", ErrInvalid},
		"unknown action":   {access.Administrator, "", l.Number, "destroy", "x", ErrInvalid},
		"other department": {access.Department, "water", l.Number, Suspend, "x", ErrForbidden},
		"clerk":            {access.Clerk, "", l.Number, Suspend, "x", ErrForbidden},
		"not a number":     {access.Administrator, "", "x", Suspend, "x", ErrNumber},
		"wrong check":      {access.Administrator, "", "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.V", Suspend, "x", ErrCheck},
		"unknown":          {access.Administrator, "", "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U", Suspend, "x", ErrNotFound},
	} {
		if _, err := e.Change(as(t.Context(), tt.role, tt.department), tt.number, tt.action, tt.reason); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if v := e.verdict(t, l.Token); v.Verdict != VerdictValid {
		t.Errorf("verdict %s after refused changes", v.Verdict)
	}
}

func TestStatusListIsKeptAndRenewed(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		l := e.mustIssue(t, testRequest("r"))
		fetch := func() string {
			token, _, err := e.StatusList(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			return string(token)
		}
		first := fetch()
		if fetch() != first {
			t.Error("signed again although nothing changed")
		}
		e.mustChange(t, l.Number, Suspend)
		second := fetch()
		if second == first {
			t.Error("not signed again after a change")
		}
		e.clock.advance(statusTTL/2 + time.Minute)
		if fetch() == second {
			t.Error("not signed again when it grew old")
		}
		e.keys.rotate(t)
		if got, err := e.statusList(t).Get(int(l.slot.index)); err != nil || got != sdjwt.StatusSuspended {
			t.Errorf("after a rotation of keys: entry %d, %v", got, err)
		}
		for _, id := range []string{"2", "0", "-1", "01", "", "x", "99999999999999999999"} {
			if _, _, err := e.StatusList(t.Context(), id); !errors.Is(err, ErrNotFound) {
				t.Errorf("list %q: %v, want ErrNotFound", id, err)
			}
		}
	})
}
