package bridge

import (
	"context"

	"github.com/virtcast/virtcast/schema"
)

// Sink is where a pump delivers events. The bridge makes one call at a time. A sink that
// keeps to the laws below passes package sinktest.
type Sink interface {
	// Deliver publishes events in one round: each is tried once, and nothing is retried
	// for ever. It blocks until every event has an outcome, or the others cannot get one
	// now, or ctx ends.
	//
	// Outcomes. Deliver calls outcome(i, nil) when the other side has acknowledged
	// events[i] as stored, and outcome(i, err) when events[i] can never be delivered: err
	// then has a method Permanent() bool that returns true (see sinks.Permanent). It
	// calls outcome at most once for each index, in any order, as early as it knows; one
	// call at a time, though not necessarily in its own goroutine, and none after it has
	// returned. outcome does not block.
	//
	// Result. Deliver returns nil if and only if every event has an outcome. Otherwise it
	// returns the reason why the others have none, which is transient: the bridge
	// presents those events again, in the same order, with the same ids, for as long as
	// it takes, and newer ones with them.
	//
	// Order. The events of one domain must be stored in the order in which they are
	// presented, and so must an event about a connection as a whole (a gap, say) among
	// all events of that connection: sinktest.MustWait is this law. It holds over calls,
	// too: an event without outcome may be stored already, or be on its way. The bridge
	// presents it again before, or together with, newer events that must wait for it. The
	// sink must then store it again neither behind those, nor a second time where the
	// other side can prevent it.
	//
	// Isolation. What one key or partition cannot take must not keep the others' events
	// from their outcomes in the same round.
	//
	// The slice and what it points to belong to the caller and are valid until Deliver
	// returns.
	Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error
}

// Connector is a [Sink] that can be connected before there is anything to deliver, so
// that what stands in the way is known at the start and not with the first event.
type Connector interface {
	Sink
	// Connect connects, unless that is done already, and looks whether events could be
	// delivered. It blocks until then, or until something failed or ctx ends. Every error
	// is transient: the bridge calls again, and Deliver only after Connect has succeeded
	// once.
	Connect(ctx context.Context) error
}
