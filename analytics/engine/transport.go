package engine

import (
	"io"
	"net/http"
	"sync"
)

// RoundTripper reaches the engine without a port. Give it to clickhouse-go
// through clickhouse.Options.TransportFunc, with Protocol HTTP and no
// compression, which would only cost time inside one process. The address in
// Options is not used. Long answers are streamed as they are read.
func (e *Engine) RoundTripper() http.RoundTripper { return roundTripper{e} }

type roundTripper struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	out := &pipeResponse{header: http.Header{}, body: w, begun: make(chan struct{})}
	go func() {
		if r.Body != nil {
			defer func() { _ = r.Body.Close() }()
		}
		t.handler.ServeHTTP(out, r.Clone(r.Context()))
		out.WriteHeader(http.StatusOK)
		_ = w.Close()
	}()
	select {
	case <-out.begun:
	case <-r.Context().Done():
		// The handler ends by itself: what it writes from here on fails.
		_ = body.Close()
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(out.status), StatusCode: out.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.sent, Body: body, Request: r,
		// Unknown: clickhouse-go takes 0 for an answer without rows.
		ContentLength: -1,
	}, nil
}

// pipeResponse is an http.ResponseWriter whose body the caller reads as it is written.
type pipeResponse struct {
	header http.Header
	body   *io.PipeWriter

	once   sync.Once
	begun  chan struct{}
	status int
	sent   http.Header
}

// Header implements http.ResponseWriter.
func (p *pipeResponse) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *pipeResponse) WriteHeader(status int) {
	p.once.Do(func() {
		p.status, p.sent = status, p.header.Clone()
		close(p.begun)
	})
}

// Write implements http.ResponseWriter.
func (p *pipeResponse) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}
