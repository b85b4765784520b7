package tsa

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/onewindow/onewindow/signing/pki"
)

// Client asks an authority over HTTP (RFC 3161 §3.4). It is safe for concurrent
// use. A timestamp that is asked for twice is two good timestamps, so a caller
// may try again after ErrUnavailable or a context's end.
type Client struct {
	URL   string       // http or https; the reply is signed either way
	HTTP  *http.Client // nil is http.DefaultClient, which waits as long as the context does
	Hash  Hash         // imprint; 0 is SHA-256
	Trust *pki.Trust   // the authority's roots
}

// Stamp returns a verified timestamp token of data. Errors: those of Verify,
// ErrRejected, ErrMismatch also for the reply to another request, ErrConfig,
// ErrUnavailable, and the context's.
func (c *Client) Stamp(ctx context.Context, data []byte) ([]byte, error) {
	h := c.Hash
	if h == 0 {
		h = SHA256
	}
	digest := h.Sum(data)
	if digest == nil {
		return nil, fmt.Errorf("%w: %v is not on the list", ErrConfig, h)
	}
	if c.Trust == nil {
		return nil, fmt.Errorf("%w: no trusted roots; a reply could not be verified", ErrConfig)
	}
	nonce := newNonce()
	query, err := request{imprint: imprint{h, digest}, nonce: nonce, certReq: true}.encode()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	reply, err := c.post(ctx, query)
	if err != nil {
		return nil, err
	}
	token, err := parseReply(reply)
	if err != nil {
		return nil, err
	}
	t, err := Verify(token, data, c.Trust)
	if err != nil {
		return nil, err
	}
	if t.Hash != h {
		return nil, fmt.Errorf("%w: imprint with %v, asked for %v", ErrMismatch, t.Hash, h)
	}
	if !bytes.Equal(t.nonce, nonce) {
		return nil, fmt.Errorf("%w: the nonce is not the request's; the reply may be an old one", ErrMismatch)
	}
	return token, nil
}

// newNonce returns the content of an INTEGER of 64 bits, the first of them 01:
// positive, minimal and always as long.
func newNonce() []byte {
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce) // never fails
	nonce[0] = nonce[0]&0x3f | 0x40
	return nonce
}

func (c *Client) post(ctx context.Context, query []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(query))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	req.Header.Set("Content-Type", queryType)
	req.Header.Set("Accept", replyType)
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read, or is given up
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s answered %s", ErrUnavailable, req.URL.Redacted(), resp.Status)
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != replyType {
		return nil, fmt.Errorf("%w: %s answered with %.100q instead of %s; is it a timestamp authority?", ErrUnavailable,
			req.URL.Redacted(), resp.Header.Get("Content-Type"), replyType)
	}
	reply, err := io.ReadAll(io.LimitReader(resp.Body, MaxReply+1))
	if err != nil {
		return nil, fmt.Errorf("%w: reply was cut off: %w", ErrUnavailable, err)
	}
	return reply, nil
}
