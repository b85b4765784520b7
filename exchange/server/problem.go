package server

import (
	"encoding/json"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// problem is the body of every REST error: application/problem+json (RFC
// 9457). What a program should look at is the reason. Title and hint are the
// reason's sentence and remedy in the language that the caller asked for; the
// detail is specific and English.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	Reason    string `json:"reason"`
	Hint      string `json:"hint,omitempty"`
	RequestID string `json:"requestId"`

	args map[string]string // of the reason's message
}

// statusProblem is the problem of a gRPC status.
func statusProblem(s *status.Status) problem {
	return problem{Status: httpStatus(s.Code(), reasonOf(s)), Reason: reasonOf(s), Detail: s.Message(), args: infoOf(s).GetMetadata()}
}

// httpStatus is the HTTP status of a code with a reason.
func httpStatus(code codes.Code, reason string) int {
	if reason == reasonDiskFull { // not 429: the caller asks for no more than it may
		return http.StatusInsufficientStorage
	}
	return runtime.HTTPStatusFromCode(code)
}

// write answers r with the problem in its language.
func (p problem) write(w http.ResponseWriter, r *http.Request, texts texts) {
	p.Type = "about:blank"
	language := Language(r.Context())
	if title, hint, ok := texts.of(p.Reason, p.args, language); ok {
		p.Title, p.Hint = title, hint
		w.Header().Set("Content-Language", string(language))
	} else if p.Title = http.StatusText(p.Status); p.Title == "" { // 499 is in no standard
		p.Title = codeName(codes.Canceled)
	}
	w.Header().Add("Vary", "Accept-Language")
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
