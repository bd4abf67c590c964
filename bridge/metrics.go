package bridge

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge/journal"
)

// metrics counts what happened, after it happened. For each sink, at any moment:
//
//	recorded_total + retried_total + sink_pending_at_start
//	  = sink_delivered_total + sink_skipped_total + sink_dead_letters_total + sink_pending
//
// This holds for a state store, too, whose name is that of its sink and ".state"; what it
// is given of former times when the bridge starts is counted by itself.
type metrics struct {
	registerer prometheus.Registerer
	recorded   prometheus.Counter
	refused    prometheus.Counter
	retried    prometheus.Counter
}

// sinkMetrics count for one sink or store.
type sinkMetrics struct {
	delivered prometheus.Counter
	skipped   prometheus.Counter
	dead      prometheus.Counter
	primed    prometheus.Counter // state stores only
	retries   prometheus.Counter
	failing   prometheus.Gauge
	seconds   prometheus.Histogram

	// begin is where the cursor was at the start; settled counts the records from there
	// on that were delivered, skipped or buried.
	begin   uint64
	settled atomic.Uint64
	next    func() uint64 // offset of the next record of the journal
}

// pending is the number of records that are neither delivered nor skipped nor buried.
func (s *sinkMetrics) pending() uint64 {
	settled := s.settled.Load() // Before next: what is settled was appended.
	return s.next() - s.begin - settled
}

// acknowledged counts an event that the sink has taken. isRecord is false for a state
// that a store was primed with.
func (s *sinkMetrics) acknowledged(isRecord bool) {
	if !isRecord {
		s.primed.Inc()
		return
	}
	s.delivered.Inc()
	s.settled.Add(1)
}

// skip counts records that are passed over.
func (s *sinkMetrics) skip(n int) {
	s.skipped.Add(float64(n))
	s.settled.Add(uint64(n))
}

// buried counts a record that was made a dead letter.
func (s *sinkMetrics) buried() {
	s.dead.Inc()
	s.settled.Add(1)
}

const namespace = "virtcast"

// newMetrics makes the metrics, and registers them where there is a registerer.
func newMetrics(r prometheus.Registerer, stats func() journal.Stats) *metrics {
	m := &metrics{
		registerer: r,
		recorded: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "recorded_total",
			Help: "Events made durable in the journal.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "record_refused_total",
			Help: "Events that the journal refused (full, or a failing disk), counted at each attempt; the registry tries them again.",
		}),
	}
	m.retried = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "retried_total",
		Help: "Dead letters put back into the journal, to be delivered again.",
	})
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: "journal", Name: name, Help: help}, value)
	}
	m.register(m.recorded, m.refused, m.retried,
		gauge("bytes", "Bytes of the journal's log on disk.", func() float64 { return float64(stats().Bytes) }),
		gauge("dead_letters", "Dead letters kept, of all sinks.", func() float64 { return float64(stats().DeadLetters) }),
		gauge("segments", "Segments of the journal's log.", func() float64 { return float64(stats().Segments) }),
	)
	return m
}

// sink makes the metrics of one sink or store, which has so many records before it when
// it starts. next returns the offset of the journal's next record.
func (m *metrics) sink(name string, atStart uint64, next func() uint64, states bool) *sinkMetrics {
	labels := prometheus.Labels{"sink": name}
	counter := func(metric, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: "sink", Name: metric, Help: help, ConstLabels: labels})
	}
	s := &sinkMetrics{
		begin: next() - atStart, next: next,
		delivered: counter("delivered_total", "Events that the sink acknowledged."),
		skipped:   counter("skipped_total", "Events passed over since no registration sends them to this sink, or since a former run kept them as dead letters; for a state store also those with no state, or an older one."),
		dead:      counter("dead_letters_total", "Events that the sink can never take, kept as dead letters."),
		retries:   counter("retries_total", "Deliveries that failed and were tried again."),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "sink", Name: "failing", ConstLabels: labels,
			Help: "1 while the last delivery failed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "sink", Name: "deliver_seconds", ConstLabels: labels,
			Help:    "Time of one delivery, a batch of events, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
	}
	if states {
		s.primed = counter("primed_states_total", "States from before the start that the store was given.")
		m.register(s.primed)
	}
	m.register(s.delivered, s.skipped, s.dead, s.retries, s.failing, s.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "sink", Name: "pending", ConstLabels: labels,
			Help: "Events in the journal that the sink has not acknowledged, and that were neither skipped nor kept as dead letters.",
		}, func() float64 { return float64(s.pending()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "sink", Name: "pending_at_start", ConstLabels: labels,
			Help: "Pending events when the bridge started.",
		}, func() float64 { return float64(atStart) }),
	)
	return s
}

func (m *metrics) register(cs ...prometheus.Collector) {
	if m.registerer == nil {
		return
	}
	m.registerer.MustRegister(cs...)
}
