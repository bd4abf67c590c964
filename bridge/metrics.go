package bridge

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what happened, after it happened. For each sink, at any moment:
//
//	recorded_total + retried_total + sink_pending_at_start
//	  = sink_delivered_total + sink_skipped_total + sink_dead_letters_total + sink_pending
//
// This holds for a state store, too, whose name is that of its sink and ".state"; what it is given
// of former times when the bridge starts is counted by itself.
type metrics struct {
	registerer prometheus.Registerer
	recorded   prometheus.Counter
	refused    prometheus.Counter
	retried    prometheus.Counter
}

type sinkMetrics struct {
	delivered prometheus.Counter
	skipped   prometheus.Counter
	dead      prometheus.Counter
	primed    prometheus.Counter // state stores only
	retries   prometheus.Counter
	failing   prometheus.Gauge
	seconds   prometheus.Histogram
}

const namespace = "virtcast"

// newMetrics makes the metrics, and registers them where there is a registerer.
func newMetrics(r prometheus.Registerer, b *Bridge) *metrics {
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
		gauge("bytes", "Bytes of the journal's log on disk.", func() float64 { return float64(b.journal.Stats().Bytes) }),
		gauge("dead_letters", "Dead letters kept, of all sinks.", func() float64 { return float64(b.journal.Stats().DeadLetters) }),
		gauge("segments", "Segments of the journal's log.", func() float64 { return float64(b.journal.Stats().Segments) }),
	)
	return m
}

// sink makes the metrics of one sink.
func (m *metrics) sink(name string, p *pump) *sinkMetrics {
	labels := prometheus.Labels{"sink": name}
	counter := func(metric, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: "sink", Name: metric, Help: help, ConstLabels: labels})
	}
	s := &sinkMetrics{
		delivered: counter("delivered_total", "Events that the sink acknowledged."),
		skipped:   counter("skipped_total", "Events passed over since no registration sends them to this sink; for a state store also those with no state, or an older one."),
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
	atStart := float64(p.pending())
	if p.states != nil {
		s.primed = counter("primed_states_total", "States from before the start that the store was given.")
		m.register(s.primed)
	}
	m.register(s.delivered, s.skipped, s.dead, s.retries, s.failing, s.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "sink", Name: "pending", ConstLabels: labels,
			Help: "Events in the journal that the sink's cursor has not passed.",
		}, func() float64 { return float64(p.pending()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "sink", Name: "pending_at_start", ConstLabels: labels,
			Help: "Pending events when the bridge started.",
		}, func() float64 { return atStart }),
	)
	return s
}

func (m *metrics) register(cs ...prometheus.Collector) {
	if m.registerer == nil {
		return
	}
	m.registerer.MustRegister(cs...)
}
