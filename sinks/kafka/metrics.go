package kafka

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// metrics counts what happened, after it happened.
type metrics struct {
	delivered  prometheus.Counter
	duplicates prometheus.Counter
	requests   prometheus.Counter
	errors     *prometheus.CounterVec
	connects   prometheus.Counter
	seconds    prometheus.Histogram
}

var _ producer.Observer = (*metrics)(nil)

// Stored implements producer.Observer.
func (m *metrics) Stored(records int) { m.delivered.Add(float64(records)) }

// Answered implements producer.Observer.
func (m *metrics) Answered() { m.requests.Inc() }

// Failed implements producer.Observer.
func (m *metrics) Failed(code client.Code) { m.errors.WithLabelValues(code.Name()).Inc() }

// MayRepeat implements producer.Observer.
func (m *metrics) MayRepeat(records int) { m.duplicates.Add(float64(records)) }

// newMetrics registers the sink's metrics. With a nil Registerer, nobody reads them.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_kafka_delivered_total",
			Help: "Events that all in-sync replicas acknowledged.",
		}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_kafka_possible_duplicates_total",
			Help: "Events that may be stored twice, with the same id, because the broker no longer accepted " +
				"the producer id.",
		}),
		requests: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_kafka_produce_requests_total",
			Help: "Produce requests that were answered.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "virtcast_kafka_errors_total",
			Help: "Batches that were answered with an error code, by its name.",
		}, []string{"code"}),
		connects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "virtcast_kafka_connects_total",
			Help: "Connections made to brokers.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "virtcast_kafka_deliver_seconds",
			Help:    "Time from the beginning of a delivery until its last event has an outcome.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.delivered, m.duplicates, m.requests, m.errors, m.connects, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
