package connectortest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP line to a server that can be cut and mended.
type Proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

// NewProxy listens on a free port of this machine, until the test ends, and
// joins whoever comes with target, "host:port".
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, target: target}
	var wg sync.WaitGroup
	wg.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.Cut()
		wg.Wait()
	})
	return p
}

// Address is where the proxy listens, "host:port".
func (p *Proxy) Address() string { return p.listener.Addr().String() }

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).Dial("tcp", p.target)
		p.mu.Lock()
		if err != nil || p.down {
			_ = client.Close()
			if server != nil {
				_ = server.Close()
			}
		} else {
			p.conns = append(p.conns, client, server)
			for _, pair := range [][2]net.Conn{{server, client}, {client, server}} {
				go func() { // each side sees that the other one has gone
					_, _ = io.Copy(pair[0], pair[1])
					_, _ = pair[0].Close(), pair[1].Close()
				}()
			}
		}
		p.mu.Unlock()
	}
}

// Cut closes what is joined and refuses whoever comes, until mend is called.
func (p *Proxy) Cut() (mend func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.down = false
	}
}
