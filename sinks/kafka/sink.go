package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = client.ErrClosed

// Error is a failure that an operator may have to act on, in one line.
type Error = client.Error

// Fit describes how a topic suits the sink.
type Fit = client.Fit

// Options is what the program gives to a sink. The zero value works.
type Options struct {
	// Logger gets what is found out about topics, advice about them, and producer ids
	// that were lost; nil means silence. Errors are returned, not logged.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none. Give each sink its own, with a label
	// of its name (prometheus.WrapRegistererWith).
	Registerer prometheus.Registerer
}

// Sink delivers events to one Kafka cluster. Deliver, Connect and Fit must not be called
// concurrently; Close may be called at any time.
type Sink struct {
	cfg      Config
	client   client.Config
	metrics  *metrics
	cluster  *client.Cluster
	producer *producer.Producer
	delivery *delivery
	fit      Fit
	begun    time.Time // when the last Deliver began to send
}

// New returns a sink that is not connected yet. The error is a fault of cfg, see
// [Config.Validate], or of the registration of metrics.
func New(cfg Config, options Options) (*Sink, error) {
	s, err := newSinkFor(cfg, options, forEvents)
	if err != nil {
		return nil, fmt.Errorf("kafka sink: %w", err)
	}
	return s, nil
}

func newSinkFor(cfg Config, options Options, p purpose) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	topic, err := parseTopic(cfg.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	m, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, err
	}
	log := options.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{
		cfg: cfg, client: cfg.client(p), metrics: m,
		delivery: &delivery{topic: topic, content: cfg.Content, states: p.states},
	}
	s.cluster = client.New(s.client, client.Options{Logger: log, Connected: m.connects.Inc})
	s.producer = producer.New(s.cluster, cfg.producer(), producer.Options{
		Logger: log, Observer: m, Encoder: s.delivery.encoder,
	})
	return s, nil
}

// Connect connects and looks at the topic, unless that is done already. Deliver does so
// itself; Connect is for those who want to know early. Every error is transient, and an
// [*Error] that names what to change, except for ctx's own and [ErrClosed].
func (s *Sink) Connect(ctx context.Context) error {
	name, fixed := s.delivery.topic.Fixed()
	if !fixed {
		return s.explain(ctx, s.cluster.Refresh(ctx))
	}
	t, err := s.cluster.Open(ctx, name)
	if err != nil {
		return s.explain(ctx, err)
	}
	s.fit = t.Fit
	return nil
}

// Fit returns what the last Connect has found out about the topic: its partitions, its
// limits, and what could be better. It is empty before Connect, and where the topic
// depends on the event.
func (s *Sink) Fit() Fit { return s.fit }

// Deliver publishes events in order, and calls outcome for each whose fate is known; see
// package bridge for the contract. An outcome is a permanent error for an event that the
// broker refuses for good, because it is too large, say.
func (s *Sink) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	if len(events) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.linger(ctx, len(events)); err != nil {
		return err
	}
	start := time.Now()
	s.delivery.begin(events)
	left, err := s.producer.Deliver(ctx, s.delivery, func(i int, err error) {
		if err != nil {
			e := &events[i]
			err = sinks.Permanent(fmt.Errorf("event %s of %s: %w", e.ID(), e.Connection.Source, err))
		}
		outcome(i, err)
	})
	s.delivery.events = nil
	switch {
	case left == 0:
		s.metrics.seconds.Observe(time.Since(start).Seconds())
		return nil
	case ctx.Err() != nil, errors.Is(err, ErrClosed):
		return s.explain(ctx, err)
	}
	return s.explain(ctx, fmt.Errorf("%d of %d events are not stored: %w", left, len(events), err))
}

// explain makes an *Error of what went wrong.
func (s *Sink) explain(ctx context.Context, err error) error { return s.client.Explain(ctx, err) }

// worthwhile is how many events do not wait for more: the cost of a request is spread
// over them.
const worthwhile = 100

// linger waits until a small delivery may begin, see [Config.Linger]. Meanwhile the
// caller gathers events for the next.
func (s *Sink) linger(ctx context.Context, events int) error {
	if wait := s.cfg.Linger - time.Since(s.begun); wait > 0 && events < worthwhile {
		if err := retry.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	s.begun = time.Now()
	return nil
}

// Close ends the connections, and a Deliver that is under way fails. It does not block.
func (s *Sink) Close() error {
	s.cluster.Close()
	return nil
}
