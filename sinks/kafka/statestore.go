package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// StateStore keeps the last known state of each domain in a compacted topic. The key is
// the domain's UUID. The value is the state as a CloudEvent in structured mode; a
// tombstone (no value) stands where the domain is gone, with the event's attributes as
// headers in binary mode. The store has a producer and connections of its own; it is used
// as [Sink] is.
type StateStore struct{ sink *Sink }

// NewStateStore returns a store for cfg.StateTopic that is not connected yet. The error
// is a fault of cfg, see [Config.Validate], or of the registration of metrics.
func NewStateStore(cfg Config, options Options) (*StateStore, error) {
	if cfg.StateTopic == "" {
		return nil, errors.New("kafka state store: no state_topic")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("kafka state store: %w", err)
	}
	cfg.Topic, cfg.StateTopic, cfg.Content = cfg.StateTopic, "", ContentStructured
	sink, err := newSinkFor(cfg, options, forStates)
	if err != nil {
		return nil, fmt.Errorf("kafka state store: %w", err)
	}
	return &StateStore{sink}, nil
}

// Connect connects and looks at the topic, as [Sink.Connect] does.
func (s *StateStore) Connect(ctx context.Context) error { return s.sink.Connect(ctx) }

// Fit returns what the last Connect has found out about the topic, as [Sink.Fit] does.
func (s *StateStore) Fit() Fit { return s.sink.Fit() }

// Deliver stores the state in each event ([schema.KindState]), in order; see package
// bridge for the contract.
func (s *StateStore) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	return s.sink.Deliver(ctx, events, outcome)
}

// Close ends the connections, as [Sink.Close] does.
func (s *StateStore) Close() error { return s.sink.Close() }
