package service

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// closeTimeout bounds how long a sink, or a client of the metrics, may take to close.
const closeTimeout = 5 * time.Second

// Sink is a sink that the service closes.
type Sink interface {
	bridge.Sink
	Close(ctx context.Context) error
}

// NamedSink is a sink under the name of its cursor.
type NamedSink struct {
	Name string
	Sink
}

// connectable is a sink that reports, when it is connected, how well the server suits.
type connectable[Fit any] interface {
	Sink
	Connect(ctx context.Context) (Fit, error)
}

// connector is a connectable sink as the bridge wants it. What the sink finds, it logs
// itself.
type connector[Fit any] struct{ connectable[Fit] }

var _ bridge.Connector = connector[nats.Fit]{}

// Connect implements bridge.Connector.
func (c connector[Fit]) Connect(ctx context.Context) error {
	_, err := c.connectable.Connect(ctx)
	return err
}

// closer is a sink whose Close needs no context.
type closer struct{ closable }

// closable is a connector that is closed without a context.
type closable interface {
	bridge.Connector
	Close() error
}

// Close implements Sink.
func (c closer) Close(context.Context) error { return c.closable.Close() }

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
	// keepsStates reports whether a state store is configured beside the sink, and
	// buildStore makes it; both are nil for a kind that has no stores.
	keepsStates func(c *config.Sink) bool
	buildStore  func(c *config.Sink, t sinkTools) (Sink, error)
}

// sinkKinds is the table.
func sinkKinds() []sinkKind {
	return []sinkKind{
		{
			kind: config.KindNATS,
			build: func(c *config.Sink, t sinkTools) (Sink, error) {
				sink, err := nats.New(*c.NATS, nats.Options{Logger: t.log, Registerer: t.registerer})
				return connector[nats.Fit]{sink}, err
			},
			keepsStates: func(c *config.Sink) bool { return c.NATS.StateBucket != "" },
			buildStore: func(c *config.Sink, t sinkTools) (Sink, error) {
				store, err := nats.NewState(*c.NATS, nats.Options{Logger: t.log, Registerer: t.registerer})
				return connector[nats.Fit]{store}, err
			},
		},
		{
			kind: config.KindKafka,
			build: func(c *config.Sink, t sinkTools) (Sink, error) {
				sink, err := kafka.New(*c.Kafka, kafka.Options{Logger: t.log, Registerer: t.registerer})
				return closer{sink}, err
			},
			keepsStates: func(c *config.Sink) bool { return c.Kafka.StateTopic != "" },
			buildStore: func(c *config.Sink, t sinkTools) (Sink, error) {
				store, err := kafka.NewStateStore(*c.Kafka, kafka.Options{Logger: t.log, Registerer: t.registerer})
				return closer{store}, err
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
//
//nolint:contextcheck,nolintlint // contextcheck reads it at the callers: closing begins when the context has ended
func closeSink(name string, sink Sink) error {
	if sink == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := sink.Close(ctx); err != nil {
		return fmt.Errorf("close sink %s: %w", name, err)
	}
	return nil
}
