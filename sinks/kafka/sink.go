package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("kafka sink is closed")

// Options is what the program gives to a sink. The zero value works.
type Options struct {
	// Logger hears of topics, of advice about them, and of producer ids that were lost; nil means silence.
	// Errors are returned, not logged.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none. Give each sink its own, with a label
	// of its name (prometheus.WrapRegistererWith).
	Registerer prometheus.Registerer
}

// Sink delivers events to one Kafka cluster. Deliver and Connect must not be called concurrently; Close may
// be called at any time.
type Sink struct {
	cfg      Config
	metrics  *metrics
	cluster  *cluster
	producer *producer
	shipment shipment
	begun    time.Time // when the last Deliver began to send
}

// New returns a sink that is not connected yet. The error is a fault of cfg, see
// [Config.Validate], or of the registration of metrics.
func New(cfg Config, options Options) (*Sink, error) {
	s, err := newSinkFor(cfg, forEvents, options)
	if err != nil {
		return nil, fmt.Errorf("kafka sink: %w", err)
	}
	return s, nil
}

func newSinkFor(cfg Config, u use, options Options) (*Sink, error) {
	if err := cfg.Validate(""); err != nil {
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
	c := newCluster(cfg, u, log, m)
	return &Sink{
		cfg: cfg, metrics: m, cluster: c, shipment: shipment{template: topic},
		producer: &producer{cfg: cfg, cluster: c, log: log, metrics: m, content: cfg.Content},
	}, nil
}

// Connect connects and looks at the topic, unless that is done already. Deliver does
// so itself; Connect is for those who want to know early. With a topic that depends on the event, the Fit
// is empty. Every error is transient, and an [*Error] that says what to change, except for ctx's own and [ErrClosed].
func (s *Sink) Connect(ctx context.Context) (Fit, error) {
	name, fixed := s.shipment.template.fixed()
	if !fixed {
		return Fit{}, s.explain(ctx, s.cluster.refresh(ctx))
	}
	t, err := s.cluster.open(ctx, name)
	if err != nil {
		return Fit{}, s.explain(ctx, err)
	}
	return t.fit, nil
}

// Deliver publishes events in order; see package bridge for the contract. The error is permanent for an
// event that the broker refuses for good, because it is too large, say.
func (s *Sink) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	return inOutcomes(events, outcome, func(rest []schema.Event) (int, error) {
		s.shipment.plan.make(rest)
		return s.deliver(ctx, rest, &s.shipment)
	})
}

// inOutcomes tells the outcomes of a delivery that acknowledges events in their order.
func inOutcomes(events []schema.Event, outcome func(i int, err error), deliver func([]schema.Event) (int, error)) error {
	n, err := deliver(events)
	for i := range n {
		outcome(i, nil)
	}
	var permanent interface{ Permanent() bool }
	if !errors.As(err, &permanent) || !permanent.Permanent() {
		return err
	}
	outcome(n, err)
	if n == len(events)-1 {
		return nil
	}
	return errors.New("an event before these was refused")
}

// deliver publishes events as the cargo that is made of s.shipment.
func (s *Sink) deliver(ctx context.Context, events []schema.Event, c cargo) (n int, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if err := s.linger(ctx, len(events)); err != nil {
		return 0, err
	}
	start := time.Now()
	s.shipment.events = events
	n, err = s.producer.deliver(ctx, c)
	s.shipment.events = nil
	var refused *refusedError
	switch {
	case err == nil:
		s.metrics.seconds.Observe(time.Since(start).Seconds())
		return n, nil
	case errors.As(err, &refused):
		return n, sinks.Permanent(fmt.Errorf("event %s of %s: %w", events[n].ID(), events[n].Connection.Source, refused.err))
	}
	return n, s.explain(ctx, err)
}

// worthwhile is how many events are not made to wait for more: by far the most of the cost of a request is spread over them.
const worthwhile = 100

// linger waits until a small delivery may begin, see [Config.Linger]. Meanwhile the caller gathers events for the next.
func (s *Sink) linger(ctx context.Context, events int) error {
	if wait := s.cfg.Linger - time.Since(s.begun); wait > 0 && events < worthwhile {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	s.begun = time.Now()
	return nil
}

// Close ends the connections. A Deliver that is under way fails. It does not block
// for long; ctx is there for the day it has to.
func (s *Sink) Close(context.Context) error {
	s.cluster.close()
	return nil
}
