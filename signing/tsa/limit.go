package tsa

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxClients is how many clients a limiter keeps apart.
const maxClients = 4096

// Limiter bounds how many timestamps one client, and all together, may ask
// for. A client is an address, or a network of 64 bits of IPv6. It has a bucket
// of its own while fewer than 4,096 clients are busy; those above share one.
// It is safe for concurrent use.
type Limiter struct {
	each, all Rate
	now       func() time.Time

	mu      sync.Mutex
	total   *rate.Limiter
	crowd   *rate.Limiter
	clients map[netip.Prefix]*rate.Limiter
}

// Rate is how many requests a second are answered in the long run, and how
// many at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// NewLimiter makes a limiter for each client and all of them together; a nil
// clock is time.Now.
func NewLimiter(each, all Rate, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{
		each: each, all: all, now: now, total: all.bucket(), crowd: each.bucket(), clients: map[netip.Prefix]*rate.Limiter{},
	}
}

func (r Rate) bucket() *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst) }

// Allow reports whether the client at an address ("192.0.2.1:4711") may have
// one more timestamp now. A client's refusals cost the others nothing.
func (l *Limiter) Allow(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return l.bucketOf(clientOf(remote), now).AllowN(now, 1) && l.total.AllowN(now, 1)
}

// bucketOf returns a client's bucket. When there are too many, the full ones
// go, which are those of clients that have not asked for a while.
func (l *Limiter) bucketOf(client netip.Prefix, now time.Time) *rate.Limiter {
	if bucket, ok := l.clients[client]; ok {
		return bucket
	}
	if len(l.clients) >= maxClients {
		for other, bucket := range l.clients {
			if bucket.TokensAt(now) >= float64(l.each.Burst) {
				delete(l.clients, other)
			}
		}
	}
	if len(l.clients) >= maxClients {
		return l.crowd
	}
	l.clients[client] = l.each.bucket()
	return l.clients[client]
}

// clientOf is the network that stands for a client.
func clientOf(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap().WithZone("")
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// Handler answers requests with the authority that open returns, within the
// limits: 429 for a client that asks too often, 503 when there is no authority
// now, else as [Authority.ServeHTTP]. What is no request at all costs nothing.
func (l *Limiter) Handler(open func(r *http.Request) (*Authority, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuseOther(w, r) {
			return
		}
		if !l.Allow(r.RemoteAddr) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many timestamps are asked for from this address; try again in a second", http.StatusTooManyRequests)
			return
		}
		authority, err := open(r)
		if err != nil {
			http.Error(w, "no timestamps now; try again", http.StatusServiceUnavailable)
			return
		}
		authority.ServeHTTP(w, r)
	})
}
