package nats

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what happened, after it happened.
type metrics struct {
	delivered  prometheus.Counter
	duplicates prometheus.Counter
	connects   prometheus.Counter
	seconds    prometheus.Histogram
}

// newMetrics registers the sink's metrics; a nil Registerer means that nobody reads them.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_nats_delivered_total",
			Help: "Events that the server acknowledged.",
		}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_nats_duplicates_total",
			Help: "Events that the stream had already, counted in lanes only.",
		}),
		connects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_nats_connects_total",
			Help: "Connections made, the first one included.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "virtcast_nats_deliver_seconds",
			Help:    "Time from the first event of a delivery being written to the acknowledgement of the last.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.delivered, m.duplicates, m.connects, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
