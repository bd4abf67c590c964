package registry

import "github.com/prometheus/client_golang/prometheus"

// collector exports [Registry.Stats]: the figures of one connection in one scrape are of
// one moment.
type collector struct{ registry *Registry }

var _ prometheus.Collector = (*collector)(nil)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("virtcast", "registry", name), help, labels, nil)
}

var (
	descConfigured = describe("connections_configured", "Connections that are configured.")
	descUp         = describe("connections_up", "Connections whose session is open and has everything wanted in force.")
	descFailures   = describe("record_failures_total", "Attempts to record a batch that failed and were repeated.")
)

// metric is one metric with the label connection.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Stats) float64
}

func counter(name, help string, value func(*Stats) uint64) metric {
	return metric{describe(name, help, "connection"), prometheus.CounterValue, func(s *Stats) float64 { return float64(value(s)) }}
}

func gauge(name, help string, value func(*Stats) float64) metric {
	return metric{describe(name, help, "connection"), prometheus.GaugeValue, value}
}

var perConnection = []metric{
	gauge("connection_up", "1 while the session is open and has everything wanted in force.", func(s *Stats) float64 {
		if s.Up {
			return 1
		}
		return 0
	}),
	counter("session_opens_total", "Sessions opened.",
		func(s *Stats) uint64 { return s.Opens }),
	counter("session_open_failures_total", "Attempts to open a session that failed.",
		func(s *Stats) uint64 { return s.OpenFailures }),
	counter("session_losses_total", "Sessions lost.",
		func(s *Stats) uint64 { return s.Losses }),
	gauge("backoff_seconds", "Wait before the next attempt to open a session; 0 if none is waiting.",
		func(s *Stats) float64 { return s.Backoff.Seconds() }),
	gauge("filters", "Filters in force in the session.",
		func(s *Stats) float64 { return float64(s.Filters) }),
	counter("registrations_refused_total", "Filters of kinds that the hypervisor does not have.",
		func(s *Stats) uint64 { return s.Refused }),
	counter("observations_received_total", "Observations received: the sum of recorded, observed, unmatched, lost and queue_depth.",
		func(s *Stats) uint64 { return s.Received }),
	counter("observations_matched_total", "Observations that a registration asked for: recorded, or given to callbacks only.",
		func(s *Stats) uint64 { return s.Recorded + s.Observed }),
	counter("observations_recorded_total", "Observations made durable.",
		func(s *Stats) uint64 { return s.Recorded }),
	counter("observations_observed_total", "Observations that only callbacks without sinks asked for.",
		func(s *Stats) uint64 { return s.Observed }),
	counter("observations_unmatched_total", "Observations that no registration asked for, dropped.",
		func(s *Stats) uint64 { return s.Unmatched }),
	counter("observations_lost_total", "Observations lost because the queue was full, or left when the registry stopped.",
		func(s *Stats) uint64 { return s.Lost }),
	counter("gaps_total", "Gaps declared and recorded.",
		func(s *Stats) uint64 { return s.Gaps }),
	counter("listings_total", "Listings recorded.",
		func(s *Stats) uint64 { return s.Listings }),
	counter("listings_lost_total", "Listings lost because the queue was full.",
		func(s *Stats) uint64 { return s.ListingsLost }),
	gauge("queue_depth", "Observations waiting to be recorded.",
		func(s *Stats) float64 { return float64(s.Queued) }),
	gauge("queue_bytes", "Memory of the observations waiting to be recorded.",
		func(s *Stats) float64 { return float64(s.QueuedBytes) }),
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- descConfigured
	out <- descUp
	out <- descFailures
	for i := range perConnection {
		out <- perConnection[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	stats := c.registry.Stats()
	up := 0
	for i := range stats {
		s := &stats[i]
		if s.Up {
			up++
		}
		for _, m := range perConnection {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), s.Connection)
		}
	}
	out <- prometheus.MustNewConstMetric(descConfigured, prometheus.GaugeValue, float64(len(stats)))
	out <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, float64(up))
	out <- prometheus.MustNewConstMetric(descFailures, prometheus.CounterValue, float64(c.registry.trouble.episode.Failures()))
}
