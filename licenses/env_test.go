package licenses

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/exchange/sqldb/sqldbtest"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/service"
)

const (
	testType   = "11100000000013338W011"
	marketUSCC = "11430000006122244L"
	alice      = "11010519491231002X"
	bob        = "440524188001010014"
	baseURL    = "http://127.0.0.1:8080"
)

// env is a registry on real parts: a state database, the exchange's outbox on
// the embedded broker, keys on disk. Only the clock is the test's own.
type env struct {
	*Registry
	db       *sqldb.DB
	keys     ringKeys
	holdings *Holdings
	clock    *clock
}

// ringKeys signs with a key ring as the signing service does, but without its
// checks: a test may sign what the service would not.
type ringKeys struct{ ring *keys.Ring }

func (k ringKeys) SignTokens(ctx context.Context, typ string, payloads [][]byte) ([]string, error) {
	return k.ring.SignTokens(ctx, service.LineLicense, keys.Use{Caller: "test", Purpose: typ}, typ, payloads)
}

func (k ringKeys) Key(kid string) (crypto.PublicKey, error) { return k.ring.Key(kid) }

// rotate makes the next key active at once: the ring has no cache period.
func (k ringKeys) rotate(t *testing.T) {
	t.Helper()
	next, err := k.ring.Create(t.Context(), keys.Spec{Line: service.LineLicense, Algorithm: signing.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.ring.Publish(t.Context(), next.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := k.ring.Activate(t.Context(), next.ID); err != nil {
		t.Fatal(err)
	}
}

func openKeys(t testing.TB, dir string, now func() time.Time) ringKeys {
	t.Helper()
	journal, err := keys.OpenJournal(filepath.Join(dir, "uses"), []byte("a passphrase"), now)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Open(t.Context(), keys.Config{
		Dir: filepath.Join(dir, "keys"), Passphrase: []byte("a passphrase"), Uses: journal, Now: now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ring.Close(), journal.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := ring.EnsureActive(t.Context(), keys.Spec{Line: service.LineLicense, Algorithm: signing.ES256}); err != nil {
		t.Fatal(err)
	}
	return ringKeys{ring: ring}
}

// openPages is a signing service with a seal for the market regulation, or
// skips where the font is missing.
func openPages(t testing.TB, now func() time.Time) service.Local {
	t.Helper()
	font := os.Getenv("ONEWINDOW_TEST_FONT")
	if font == "" {
		t.Skip("ONEWINDOW_TEST_FONT is not set: the font of signing/typeface is not here")
	}
	s, err := service.Open(t.Context(), service.Config{
		Dir: t.TempDir(), Passphrase: []byte("a passphrase"), RootPassphrase: []byte("a passphrase"), Issuer: baseURL, Font: font,
		Operator: pki.Subject{Country: "CN", Organization: "测试", CommonName: "测试"}, CachePeriod: time.Minute,
		Grants: []service.Grant{{Caller: "registry", Lines: []string{"seal/*"}, Operations: []service.Operation{service.Seal, service.Manage}}},
		Caller: service.CallerFrom, Logger: slog.New(slog.DiscardHandler), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = s.As("registry").MakeSeal(t.Context(), &signingv1.MakeSealRequest{RequestId: "1", Department: marketUSCC, Name: "测试市市场监督管理局"})
	if err != nil {
		t.Fatal(err)
	}
	return s.As("registry")
}

// clock is the real time, shifted.
type clock struct{ shift atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.shift.Load())) }
func (c *clock) advance(d time.Duration) { c.shift.Add(int64(d)) }

// onDatabases runs a test on every state database there is.
func onDatabases(t *testing.T, test func(t *testing.T, e env)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, newEnv(t, "sqlite:"+filepath.Join(t.TempDir(), "state.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, newEnv(t, sqldbtest.NewPostgresSchema(t)))
	})
}

func newEnv(t testing.TB, databaseURL string) env {
	t.Helper()
	return openEnv(t, databaseURL, t.TempDir())
}

// openEnv opens or reopens an environment whose files are in dir.
func openEnv(t testing.TB, databaseURL, dir string) env {
	t.Helper()
	ctx := t.Context()
	logger := slog.New(slog.DiscardHandler)
	db, err := sqldb.Open(ctx, databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	topics, err := bus.Open(ctx, bus.Config{URL: "embedded:" + filepath.Join(dir, "bus"), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := topics.Close(); err != nil {
			t.Error(err)
		}
	})
	e := env{db: db, clock: &clock{}}
	e.keys = openKeys(t, dir, e.clock.now)
	e.holdings = NewHoldings(db, e.clock.now)
	ex, err := exchange.New(ctx, exchange.Config{
		DB: db, Topics: topics, Licenses: e.holdings, Logger: logger, Partitions: 1, Now: e.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	outbox, err := exchange.OpenOutbox(ctx, db, topics, logger)
	if err != nil {
		t.Fatal(err)
	}
	e.Registry, err = New(ctx, Config{
		DB: db, Keys: e.keys, Outbox: outbox, Departments: ex, BaseURL: baseURL, Logger: logger, Now: e.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []exchange.Department{
		{Code: "market", USCC: marketUSCC, Title: "市场监督管理局", Region: "430000"},
		{Code: "water", USCC: "11330105002500287C", Title: "水利局", Region: "330105"},
	} {
		if err := ex.PutDepartment(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	err = e.PutType(ctx, Type{Code: testType, Title: "食品经营许可证", Disclosable: []string{"address", "phone"}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func as(ctx context.Context, role access.Role, department string) context.Context {
	return access.WithIdentity(ctx, access.Identity{Name: "test " + string(role), Role: role, Department: department})
}

// asMarket is the system of the department that issues in most tests.
func asMarket(t testing.TB) context.Context { return as(t.Context(), access.Department, "market") }

func testRequest(id string) Request {
	return Request{
		RequestID: id, Type: testType, Department: "market", Holder: alice, HolderName: "张三丰",
		Claims: []byte(`{"scope":"热食类食品制售","address":"人民路 1 号","persons":12}`),
	}
}

func (e env) mustIssue(t testing.TB, q Request) License {
	t.Helper()
	l, err := e.Issue(asMarket(t), q)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (e env) mustChange(t testing.TB, number string, action Action) {
	t.Helper()
	if _, err := e.Change(asMarket(t), number, action, "现场检查不合格"); err != nil {
		t.Fatal(err)
	}
}

func (e env) verdict(t testing.TB, token string) Verification {
	t.Helper()
	v, err := e.VerifyToken(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// events reads the outbox, which nobody relays in these tests, by number.
func (e env) events(t testing.TB) map[string][]bus.Message {
	t.Helper()
	stored, err := collect(t.Context(), e.db, func(scan func(...any) error) (m bus.Message, err error) {
		var body string
		if err := scan(&body); err != nil {
			return m, err
		}
		return m, json.Unmarshal([]byte(body), &m)
	}, `SELECT message FROM outbox ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	events := map[string][]bus.Message{}
	for _, m := range stored {
		events[string(m.Key)] = append(events[string(m.Key)], m)
	}
	return events
}

func header(m bus.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func (e env) number(t testing.TB, query string) (n int64) {
	t.Helper()
	if err := e.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return n
}
