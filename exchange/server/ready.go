package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkTimeout = 2 * time.Second
	checkEvery   = time.Second
)

// readiness answers /readyz with {"status": …, "version": …, "parts": [{"name":
// …, "ok": …, "detail": …, "warning": …}]}. The status is
//
//   - "ready", 200: every part works;
//   - "degraded", 200: every part works, and some have a warning, whose code
//     stands in "warning";
//   - "not ready", 503: a part does not work;
//   - "stopping", 503: the process ends.
type readiness struct {
	parts    []Part
	version  string
	now      func() time.Time
	stopping atomic.Bool

	mu      sync.Mutex
	checked time.Time
	last    []partReport
}

type partReport struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	// Warning is the code of what an operator must look after; empty for none.
	Warning string `json:"warning,omitempty"`
}

type readyReport struct {
	Status  string       `json:"status"`
	Version string       `json:"version"`
	Parts   []partReport `json:"parts"`
}

// ServeHTTP writes the report.
func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	report := readyReport{Status: "ready", Version: r.version, Parts: r.check(req.Context())}
	code := http.StatusOK
	for _, p := range report.Parts {
		switch {
		case !p.OK:
			report.Status, code = "not ready", http.StatusServiceUnavailable
		case p.Warning != "" && code == http.StatusOK:
			report.Status = "degraded"
		}
	}
	if r.stopping.Load() {
		report.Status, code = "stopping", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(report) // fails only when the caller has gone
}

// warningUnknown is the code for an advisory part that cannot be asked.
const warningUnknown = "UNKNOWN"

func reportOf(p Part, detail string, err error) partReport {
	if err == nil {
		return partReport{Name: p.Name, OK: true, Detail: detail}
	}
	report := partReport{Name: p.Name, Detail: err.Error()}
	var warning Warning
	switch {
	case errors.As(err, &warning):
		report.OK, report.Warning = true, warning.Code
	case p.Advisory:
		report.OK, report.Warning = true, warningUnknown
	}
	return report
}

// check asks every part at the same time, at most once a second whoever and
// however many ask, since no token is needed for it.
func (r *readiness) check(ctx context.Context) []partReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && r.now().Sub(r.checked) < checkEvery {
		return r.last
	}
	// The answer is for everybody, so it must not end with the one who asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	reports := make([]partReport, len(r.parts))
	done := make(chan int, len(r.parts))
	for i, p := range r.parts {
		reports[i] = reportOf(p, "", errors.New("no answer within "+checkTimeout.String()))
	}
	results := make([]partReport, len(r.parts))
	for i, p := range r.parts {
		go func() {
			detail, err := p.Check(ctx)
			results[i] = reportOf(p, detail, err)
			done <- i
		}()
	}
	for range r.parts {
		select {
		case i := <-done:
			reports[i] = results[i]
		case <-ctx.Done():
		}
	}
	r.checked, r.last = r.now(), reports
	return reports
}
