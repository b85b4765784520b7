package server

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of every call. Their labels are method names and
// codes, never anything a caller sent.
type metrics struct {
	calls   *prometheus.HistogramVec
	running prometheus.Gauge
	http    *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "onewindow_server_call_seconds",
			Help:    "How long calls took, by gRPC method and code; REST calls are among them.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "code"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "onewindow_server_calls_running",
			Help: "Calls that are being answered now.",
		}),
		http: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onewindow_server_http_responses_total",
			Help: "Responses of the REST port by status.",
		}, []string{"status"}),
	}
	if err := errors.Join(registry.Register(m.calls), registry.Register(m.running), registry.Register(m.http)); err != nil {
		return nil, fmt.Errorf("%w: metrics: %w", ErrConfig, err)
	}
	return m, nil
}
