package service

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// Sink is a sink that the service closes.
type Sink interface {
	bridge.Sink
	Close() error
}

// NamedSink is a sink under the name of its cursor.
type NamedSink struct {
	Name string
	Sink
}

// sinkTools is what sinks are made with.
type sinkTools struct {
	log        *slog.Logger
	registerer prometheus.Registerer
}

// of returns the tools of one sink: its logger and its registerer, both labelled with its
// name.
func (t sinkTools) of(name string) sinkTools {
	return sinkTools{
		log:        t.log.With("sink", name),
		registerer: prometheus.WrapRegistererWith(prometheus.Labels{"sink": name}, t.registerer),
	}
}

// sinkKind is one row of the table of sinks: how a kind is made.
type sinkKind struct {
	kind  string
	build func(c *config.Sink, t sinkTools) (Sink, error)
	// hasStore reports whether a state store is configured beside the sink, and
	// buildStore makes it; both are nil for a kind that has no stores.
	hasStore   func(c *config.Sink) bool
	buildStore func(c *config.Sink, t sinkTools) (Sink, error)
}

// sinkKinds is the table.
func sinkKinds() []sinkKind {
	return []sinkKind{
		{
			kind: config.KindNATS,
			build: func(c *config.Sink, t sinkTools) (Sink, error) {
				return nats.New(*c.NATS, nats.Options{Logger: t.log, Registerer: t.registerer})
			},
			hasStore: func(c *config.Sink) bool { return c.NATS.StateBucket != "" },
			buildStore: func(c *config.Sink, t sinkTools) (Sink, error) {
				return nats.NewStateStore(*c.NATS, nats.Options{Logger: t.log, Registerer: t.registerer})
			},
		},
		{
			kind: config.KindKafka,
			build: func(c *config.Sink, t sinkTools) (Sink, error) {
				return kafka.New(*c.Kafka, kafka.Options{Logger: t.log, Registerer: t.registerer})
			},
			hasStore: func(c *config.Sink) bool { return c.Kafka.StateTopic != "" },
			buildStore: func(c *config.Sink, t sinkTools) (Sink, error) {
				return kafka.NewStateStore(*c.Kafka, kafka.Options{Logger: t.log, Registerer: t.registerer})
			},
		},
		{
			kind:  config.KindJSONL,
			build: func(c *config.Sink, _ sinkTools) (Sink, error) { return jsonl.New(*c.JSONL) },
		},
	}
}

// kindOf returns the row of a configured sink.
func kindOf(c *config.Sink) (sinkKind, error) {
	kind, err := c.Kind()
	if err != nil {
		return sinkKind{}, err
	}
	for _, row := range sinkKinds() {
		if row.kind == kind {
			return row, nil
		}
	}
	return sinkKind{}, fmt.Errorf("sinks of kind %s cannot be made", kind)
}

// closeSink closes a sink or a state store; nil is none.
func closeSink(name string, sink Sink) error {
	if sink == nil {
		return nil
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("close sink %s: %w", name, err)
	}
	return nil
}
