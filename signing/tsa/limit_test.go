package tsa

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestOneClientDoesNotStopTheOthers(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := NewLimiter(Rate{1, 3}, Rate{10, 100}, func() time.Time { return now })
	allowed := func(remote string, times int) (n int) {
		for range times {
			if l.Allow(remote) {
				n++
			}
		}
		return n
	}
	if got := allowed("192.0.2.1:1", 10) + allowed("192.0.2.1:2", 10); got != 3 {
		t.Errorf("one address got %d at once, want 3", got)
	}
	if got := allowed("192.0.2.2:1", 3); got != 3 {
		t.Errorf("another address got %d, want 3", got)
	}
	if got := allowed("[2001:db8::1]:1", 3) + allowed("[2001:db8::2]:1", 3); got != 3 {
		t.Errorf("one network of IPv6 got %d, want 3", got)
	}
	if got := allowed("[::ffff:192.0.2.1]:1", 1); got != 0 {
		t.Error("an IPv4 address written as IPv6 is another client")
	}
	now = now.Add(2 * time.Second)
	if got := allowed("192.0.2.1:1", 10); got != 2 {
		t.Errorf("after two seconds %d, want 2", got)
	}
}

func TestClientsAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := NewLimiter(Rate{1, 2}, Rate{1e6, 1e6}, func() time.Time { return now })
	for i := range 3 * maxClients {
		l.Allow(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if len(l.clients) != maxClients {
		t.Errorf("%d clients are kept, want %d", len(l.clients), maxClients)
	}
	if l.Allow("203.0.113.9:1") {
		t.Error("the shared bucket of the crowd is not empty")
	}
	now = now.Add(time.Minute)
	if !l.Allow("203.0.113.9:1") || len(l.clients) != 1 {
		t.Errorf("after a minute without requests %d clients are kept, want 1", len(l.clients))
	}
}

func TestOtherMethodsNeitherSignNorCount(t *testing.T) {
	l := NewLimiter(Rate{0.001, 1}, Rate{1, 100}, nil)
	handler := l.Handler(func(*http.Request) (*Authority, error) {
		t.Error("the authority was opened")
		return nil, ErrUnavailable
	})
	for _, method := range []string{"GET", "HEAD", "PUT"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/tsa", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/tsa", strings.NewReader("x")))
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("a POST of another type: %d", w.Code)
	}
}

func TestTooManyRequestsOfOneClient(t *testing.T) {
	l := NewLimiter(Rate{0.001, 1}, Rate{1, 100}, nil)
	handler := l.Handler(func(*http.Request) (*Authority, error) { return nil, ErrUnavailable })
	var codes []int
	for range 2 {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/tsa", strings.NewReader("x"))
		r.Header.Set("Content-Type", queryType)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		codes = append(codes, w.Code)
	}
	if codes[0] != http.StatusServiceUnavailable || codes[1] != http.StatusTooManyRequests {
		t.Errorf("statuses %v, want 503 and then 429", codes)
	}
}
