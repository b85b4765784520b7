package server

import (
	"encoding/json"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// problem is the body of every REST error: application/problem+json (RFC
// 9457). The type is about:blank, so the title is that of the status; what a
// program should look at is the reason.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	Reason    string `json:"reason"`
	RequestID string `json:"requestId"`
}

// statusProblem is the problem of a gRPC status.
func statusProblem(s *status.Status) problem {
	return problem{Status: httpStatus(s.Code(), reasonOf(s)), Reason: reasonOf(s), Detail: s.Message()}
}

// httpStatus is the HTTP status of a code with a reason.
func httpStatus(code codes.Code, reason string) int {
	if reason == reasonDiskFull { // not 429: the caller asks for no more than it may
		return http.StatusInsufficientStorage
	}
	return runtime.HTTPStatusFromCode(code)
}

// write answers r with the problem.
func (p problem) write(w http.ResponseWriter, r *http.Request) {
	p.Type = "about:blank"
	p.Title = http.StatusText(p.Status)
	if p.Title == "" { // 499 is nobody's standard
		p.Title = codeName(codes.Canceled)
	}
	p.Instance = r.URL.EscapedPath()
	p.RequestID = RequestID(r.Context())
	text, err := json.Marshal(p)
	if err != nil { // strings and a number: cannot be
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Del("Content-Length")
	header.Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="onewindow"`
		if p.Reason == reasonTokenInvalid {
			challenge += `, error="invalid_token"`
		}
		header.Set("WWW-Authenticate", challenge)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // fails only when the caller has gone
}
