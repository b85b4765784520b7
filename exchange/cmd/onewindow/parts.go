package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/signing/keys"
)

const (
	// stuckAfter is how long something may wait without a step before it counts as stuck.
	stuckAfter = 30 * time.Second
	// behind is how many messages may wait for the sink before it counts as behind.
	behind = 100_000
	// nearEnd is how long before its end a certificate is warned about.
	nearEnd = 30 * 24 * time.Hour
)

// parts are what /readyz reports of this process: what it cannot work without,
// and what an operator must know before it is too late.
func (h *hub) parts() []server.Part {
	var parts []server.Part
	if h.topics != nil {
		parts = append(parts, server.Part{Name: "topics", Check: h.checkTopics})
	}
	if h.store != nil {
		parts = append(parts, server.Part{Name: "engine", Check: func(ctx context.Context) (string, error) {
			return h.cfg.kind(h.cfg.ClickHouse, "ClickHouse"), h.store.Ping(ctx)
		}})
	}
	if h.db != nil {
		parts = append(parts, server.Part{Name: "state", Check: func(ctx context.Context) (string, error) {
			return h.cfg.kind(h.cfg.Database, "PostgreSQL"), h.db.PingContext(ctx)
		}})
	}
	if h.signing != nil || h.remote != nil {
		parts = append(parts, server.Part{Name: "signing", Check: h.checkSigning})
	}
	parts = append(parts, server.Part{Name: "disk", Advisory: true, Check: h.disk().check})
	if h.outbox != nil {
		parts = append(parts, server.Part{Name: "outbox", Advisory: true, Check: (&stall{now: time.Now}).outbox(h)})
	}
	if h.store != nil && h.cfg.has(roleSink) {
		parts = append(parts, server.Part{Name: "sink", Advisory: true, Check: (&stall{now: time.Now}).sink(h)})
	}
	if h.runner != nil && h.cfg.has(roleConnectors) {
		parts = append(parts, server.Part{Name: "sources", Advisory: true, Check: func(context.Context) (string, error) {
			return sourcesReport(h.runner.Status())
		}})
	}
	return parts
}

// kind names a backend for people.
func (c Config) kind(setting, outside string) string {
	if setting == embedded {
		return embedded
	}
	return outside
}

// checkTopics asks the broker for an answer, and shows what the embedded one
// complained about: a corrupt byte makes it cut a file with no more than that.
func (h *hub) checkTopics(ctx context.Context) (string, error) {
	if err := h.topics.Ping(ctx); err != nil {
		return "", err
	}
	// A file cut short at the start is what a crash leaves; /metrics counts it.
	if n := h.topics.Warnings() - h.topics.Truncated(); n > 0 {
		return "", server.Warning{Code: "TOPICS_WARNED", Text: fmt.Sprintf(
			"the embedded broker has complained %d times since the start: look for \"embedded broker\" in the log", n)}
	}
	return h.cfg.kind(h.cfg.Topics, "Apache Kafka"), nil
}

// checkSigning shows which key signs, and which certificate ends soon.
func (h *hub) checkSigning(ctx context.Context) (string, error) {
	if h.remote != nil {
		return "apart", h.remote.Ping(ctx)
	}
	kid, err := h.signing.ActiveKeyID()
	if errors.Is(err, keys.ErrNoActiveKey) { // withdrawn; what was issued verifies
		return "", server.Warning{Code: "NO_ACTIVE_KEY", Text: "no key signs licences: onewindow keys create, publish and activate the next one"}
	}
	if err != nil {
		return "", err
	}
	first, err := h.signing.FirstExpiry()
	if err != nil {
		return "", err
	}
	if err := expiryWarning(first.Line, first.Subject, first.End, time.Now()); err != nil {
		return "", err
	}
	return "ES256 " + kid, nil
}

// expiryWarning returns nil while the end of a certificate is far.
func expiryWarning(line, subject string, end, now time.Time) error {
	switch left := end.Sub(now); {
	case end.IsZero() || left > nearEnd:
		return nil
	case left <= 0:
		return server.Warning{Code: "CERTIFICATE_ENDED", Text: fmt.Sprintf(
			"the certificate of %s (line %s) ended on %s: what is signed with it now is not accepted; onewindow keys rotate %s", subject, line, end.Format(time.DateOnly), line)}
	default:
		return server.Warning{Code: "CERTIFICATE_ENDS", Text: fmt.Sprintf(
			"the certificate of %s (line %s) ends on %s, in %d days: onewindow keys rotate %s", subject, line, end.Format(time.DateOnly), int(left.Hours()/24), line)}
	}
}

// sourcesReport shows how many sources are read, and which are not.
func sourcesReport(all []connectors.Status) (string, error) {
	var failing, blocked []string
	for _, s := range all {
		if s.State == connectors.Failing {
			failing = append(failing, s.Name)
		}
		if s.State == connectors.Blocked {
			blocked = append(blocked, s.Name)
		}
	}
	total := len(all)
	if len(failing)+len(blocked) == 0 {
		return fmt.Sprintf("%d of %d read", total, total), nil
	}
	slices.Sort(failing)
	slices.Sort(blocked)
	text := []string{}
	if len(failing) > 0 {
		text = append(text, fmt.Sprintf("%d of %d failing (%s)", len(failing), total, names(failing)))
	}
	if len(blocked) > 0 {
		text = append(text, fmt.Sprintf("%d of %d waiting for consent (%s)", len(blocked), total, names(blocked)))
	}
	return "", server.Warning{Code: "SOURCES_FAILING", Text: strings.Join(text, ", ") + ": onewindow connector status shows the faults"}
}

// names lists the first few of many.
func names(all []string) string {
	const shown = 3
	if len(all) > shown {
		return strings.Join(all[:shown], ", ") + ", …"
	}
	return strings.Join(all, ", ")
}

// stall notices that something waits and takes no step.
type stall struct {
	now func() time.Time

	mu    sync.Mutex
	mark  string
	since time.Time
}

// stuck reports whether the mark has been the same for long, and since when.
// What does not wait is never stuck.
func (s *stall) stuck(waiting int64, mark string) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if waiting == 0 || mark != s.mark || s.since.IsZero() {
		s.mark, s.since = mark, now
	}
	took := now.Sub(s.since)
	return took, took >= stuckAfter
}

func (s *stall) outbox(h *hub) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		waiting, first, err := h.outbox.Backlog(ctx)
		if err != nil {
			return "", err
		}
		if took, stuck := s.stuck(waiting, first); stuck {
			return "", server.Warning{Code: "OUTBOX_STUCK", Text: fmt.Sprintf(
				"%d events wait, none was published for %s: look for \"outbox\" in the log", waiting, took.Round(time.Second))}
		}
		return fmt.Sprintf("%d waiting", waiting), nil
	}
}

func (s *stall) sink(h *hub) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		lag, mark, err := h.store.Lag(ctx)
		if err != nil {
			return "", err
		}
		took, stuck := s.stuck(lag, mark)
		switch {
		case stuck:
			return "", server.Warning{Code: "SINK_STUCK", Text: fmt.Sprintf(
				"%d records wait to be stored, none was for %s: look for the sink's errors in the log", lag, took.Round(time.Second))}
		case lag > behind:
			return "", server.Warning{Code: "SINK_BEHIND", Text: fmt.Sprintf(
				"%d records wait to be stored: lookups and figures lag behind what was pushed", lag)}
		}
		return fmt.Sprintf("%d waiting", lag), nil
	}
}

// metrics are the figures of this process beside those of its calls.
func (h *hub) metrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "onewindow", Name: name, Help: help}, value))
	}
	gauge("disk_used_percent", "Use of the data folder's file system; intake stops at 95.", func() float64 {
		s, err := h.disk().measure()
		if err != nil {
			return math.NaN()
		}
		return s.used
	})
	if h.topics != nil {
		registry.MustRegister(h.topics.Collectors()...)
	}
	if h.runner != nil && h.cfg.has(roleConnectors) {
		for _, state := range []connectors.State{connectors.Failing, connectors.Blocked} {
			gauge("sources_"+string(state), "Sources that are "+string(state)+".", func() float64 {
				n := 0
				for _, s := range h.runner.Status() {
					if s.State == state {
						n++
					}
				}
				return float64(n)
			})
		}
	}
	return registry
}
