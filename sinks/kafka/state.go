package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// State keeps the last known state of each domain in a compacted topic: the key is the domain's UUID, the value is
// the state as a CloudEvent in structured mode, and a tombstone (no value) where the domain is gone. A tombstone's headers
// are the event's attributes in binary mode. It has a producer and connections of its own, which are used as [Sink] uses them.
type State struct {
	sink  *Sink
	cargo states
}

// NewState returns a store for cfg.StateTopic that is not connected yet. The error is a fault of cfg, see
// [Config.Validate], or of the registration of metrics.
func NewState(cfg Config, options Options) (*State, error) {
	if cfg.StateTopic == "" {
		return nil, errors.New("kafka state: no state_topic")
	}
	if err := cfg.Validate(""); err != nil {
		return nil, fmt.Errorf("kafka state: %w", err)
	}
	cfg.Topic, cfg.StateTopic, cfg.Content = cfg.StateTopic, "", ContentStructured
	sink, err := newSinkFor(cfg, forStates, options)
	if err != nil {
		return nil, fmt.Errorf("kafka state: %w", err)
	}
	return &State{sink: sink, cargo: states{&sink.shipment}}, nil
}

// Connect connects and looks at the topic, as [Sink.Connect] does.
func (s *State) Connect(ctx context.Context) (Fit, error) { return s.sink.Connect(ctx) }

// Deliver stores the state that each event tells ([schema.KindState]), in order; see package bridge for the contract.
func (s *State) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	return inOutcomes(events, outcome, func(rest []schema.Event) (int, error) { return s.sink.deliver(ctx, rest, s.cargo) })
}

// Close ends the connections, as [Sink.Close] does.
func (s *State) Close(ctx context.Context) error { return s.sink.Close(ctx) }

// states is a shipment of states as cargo. No state waits for one of another domain.
type states struct{ *shipment }

func (s states) levels() int   { return 1 }
func (s states) level(int) int { return 0 }

func (s states) record(i int, e *encoder) *record {
	if event := &s.events[i]; event.State.Gone {
		return e.encodeTombstone(event)
	}
	return s.shipment.record(i, e)
}
