package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// minGzip is from how many bytes on a document is compressed.
const minGzip = 1024

const (
	reasonTooMany     = "TOO_MANY_REQUESTS"
	reasonUnavailable = "UNAVAILABLE"
)

// keepUntil puts into the header how long an answer may be kept, if its
// service says so: see [Service.Contents].
func keepUntil(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	body, ok := m.(*httpbody.HttpBody)
	if !ok {
		return nil
	}
	for _, extension := range body.GetExtensions() {
		var until timestamppb.Timestamp
		if !extension.MessageIs(&until) || extension.UnmarshalTo(&until) != nil {
			continue
		}
		if left := time.Until(until.AsTime()) / time.Second; left > 0 {
			w.Header().Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(left), 10))
		} else {
			w.Header().Set("Cache-Control", "no-cache")
		}
	}
	return nil
}

// document returns the handler of the document for everybody that r asks for,
// or nil if there is none at its path.
func (h *rest) document(r *http.Request) http.Handler {
	if r.URL.Path != path.Clean(r.URL.Path) {
		return nil
	}
	handler, pattern := h.documents.Handler(r)
	if pattern == "" {
		return nil
	}
	return handler
}

// publish answers with a document for everybody: to pages of any origin, with
// a validator, and compressed where the caller takes it.
func (h *rest) publish(w http.ResponseWriter, r *http.Request, document http.Handler) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", "ETag, X-Request-Id")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		header.Set("Access-Control-Allow-Methods", "GET, HEAD")
		header.Set("Access-Control-Allow-Headers", "If-None-Match, X-Request-Id")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		h.refuse(w, r, methodProblem(r.Method))
		return
	}
	get := r.Clone(context.WithValue(r.Context(), queryKey{}, query{http.MethodGet, r.URL}))
	get.Method = http.MethodGet
	kept := &keptAnswer{header: header, status: http.StatusOK}
	document.ServeHTTP(kept, get)
	if kept.status != http.StatusOK {
		w.WriteHeader(kept.status)
		_, _ = w.Write(kept.body.Bytes()) // fails only when the caller has gone
		return
	}
	writeDocument(w, r, kept.body.Bytes())
}

// writeDocument writes a whole document, or that the caller's is still the same.
func writeDocument(w http.ResponseWriter, r *http.Request, data []byte) {
	digest := sha256.Sum256(data)
	etag := `W/"` + hex.EncodeToString(digest[:12]) + `"` // weak: it is the same for both encodings
	header := w.Header()
	header.Set("ETag", etag)
	header.Set("Vary", "Accept-Encoding")
	header.Del("Content-Length")
	if sameDocument(r.Header.Values("If-None-Match"), etag) {
		header.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if len(data) >= minGzip && takesGzip(r.Header.Values("Accept-Encoding")) {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		if _, err := zip.Write(data); err == nil && zip.Close() == nil && packed.Len() < len(data) {
			header.Set("Content-Encoding", "gzip")
			data = packed.Bytes()
		}
	}
	header.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // fails only when the caller has gone; for HEAD net/http leaves it out
}

// sameDocument reports whether an If-None-Match header has the tag (RFC 9110
// §13.1.2, weak comparison).
func sameDocument(headers []string, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// takesGzip reports whether an Accept-Encoding header allows gzip.
func takesGzip(headers []string) bool {
	for coding := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, weight, weighted := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
		if !strings.EqualFold(name, "gzip") {
			continue
		}
		q, err := strconv.ParseFloat(weight, 64)
		return !weighted || err == nil && q > 0
	}
	return false
}

// keptAnswer keeps what a handler writes. Its header is that of the answer.
type keptAnswer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Header returns the header of the answer.
func (k *keptAnswer) Header() http.Header { return k.header }

// WriteHeader keeps the first status.
func (k *keptAnswer) WriteHeader(status int) {
	if !k.wrote {
		k.status, k.wrote = status, true
	}
}

// Write keeps a part of the body.
func (k *keptAnswer) Write(b []byte) (int, error) {
	k.wrote = true
	return k.body.Write(b)
}

// serveOther serves a handler that knows nothing of problems: what it refuses
// in plain text is answered as a problem.
func (h *rest) serveOther(w http.ResponseWriter, r *http.Request, other http.Handler) {
	plain := &plainFaults{ResponseWriter: w}
	other.ServeHTTP(plain, r)
	if plain.status == 0 {
		return
	}
	reasons := map[int]string{
		http.StatusBadRequest: reasonBodyIncomplete, http.StatusMethodNotAllowed: reasonMethod,
		http.StatusRequestEntityTooLarge: reasonBodyTooLarge, http.StatusUnsupportedMediaType: reasonContentType,
		http.StatusTooManyRequests: reasonTooMany, http.StatusServiceUnavailable: reasonUnavailable,
	}
	reason, ok := reasons[plain.status]
	if !ok {
		reason = reasonInternal
	}
	h.refuse(w, r, problem{Status: plain.status, Reason: reason, Detail: strings.TrimSpace(plain.text.String())})
}

// plainFaults keeps the text of a refusal and passes everything else on.
type plainFaults struct {
	http.ResponseWriter
	status int // of the refusal, or 0
	text   bytes.Buffer
}

// WriteHeader keeps the status of a refusal.
func (p *plainFaults) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		p.status = status
		return
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write keeps the text of a refusal.
func (p *plainFaults) Write(b []byte) (int, error) {
	if p.status == 0 {
		return p.ResponseWriter.Write(b)
	}
	if p.text.Len()+len(b) > minGzip {
		return 0, fmt.Errorf("server: a refusal of more than %d bytes", minGzip)
	}
	return p.text.Write(b)
}
