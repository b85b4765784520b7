package bus

import "github.com/prometheus/client_golang/prometheus"

// Collectors are the figures of the embedded broker for a metrics registry; both stay 0 for a real cluster. More than 0
// warnings deserve an alarm: see Warnings and Truncated.
func (b *Bus) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "onewindow_topics_warnings_total",
			Help: "What the embedded broker complained about since the start; above 0 an operator has to look at the log.",
		}, func() float64 { return float64(b.Warnings()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "onewindow_topics_truncated_files_total",
			Help: "Files that the embedded broker cut at its start; one per partition is normal after a crash.",
		}, func() float64 { return float64(b.Truncated()) }),
	}
}
