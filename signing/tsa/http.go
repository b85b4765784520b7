package tsa

import (
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
)

// Media types of RFC 3161 §3.4.
const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"
)

// ServeHTTP answers a POST of a TimeStampReq (RFC 3161 §3.4). Whatever the
// request says, the answer is 200 with a TimeStampResp; 405, 415 and 413 are
// for calls that are no request at all, 413 above MaxRequest bytes.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refuseOther(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "request was cut off", http.StatusBadRequest)
		return
	}
	reply, err := a.Reply(r.Context(), body)
	if err != nil {
		a.logger.ErrorContext(r.Context(), "timestamp not issued", slog.Any("error", err))
	}
	w.Header().Set("Content-Type", replyType)
	w.Header().Set("Cache-Control", "no-store")
	if _, err := w.Write(reply); err != nil {
		a.logger.DebugContext(r.Context(), "timestamp not delivered", slog.Any("error", err))
	}
}

// refuseOther answers what is not a POST of a request, and reports whether it did.
func refuseOther(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "send a POST", http.StatusMethodNotAllowed)
		return true
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != queryType {
		http.Error(w, "send "+queryType, http.StatusUnsupportedMediaType)
		return true
	}
	return false
}
