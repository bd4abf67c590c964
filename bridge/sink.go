package bridge

import (
	"context"

	"github.com/virtcast/virtcast/schema"
)

// Sink is where a pump delivers events. The bridge makes one call at a time.
type Sink interface {
	// Deliver publishes events in order and returns how many of them, counted
	// from the first, the other side has acknowledged as stored. It blocks until all are
	// acknowledged, or something failed, or ctx ends.
	//
	// n < len(events) needs a non-nil error. An error with a method
	// Permanent() bool that returns true (see sinks.Permanent) says that events[n]
	// can never be delivered, while the ones after it may; any other error is
	// transient, and the bridge calls again from events[n] on, the same events with the
	// same ids, for as long as it takes. Deliver does not retry for ever itself.
	// An event that was sent but not acknowledged may be sent again by the next call: the
	// sink must make sure that this neither reorders the events of a domain nor
	// duplicates where the broker can prevent it.
	//
	// The slice and what it points to belong to the caller and are valid until
	// Deliver returns.
	Deliver(ctx context.Context, events []schema.Event) (n int, err error)
}

// Connector is a [Sink] that can be connected before there is anything to deliver, so that what
// stands in the way is known at the start and not with the first event.
type Connector interface {
	Sink
	// Connect connects, unless that is done already, and looks whether events could be delivered. It blocks
	// until then, or until something failed or ctx ends. Every error is transient: the bridge calls
	// again, and Deliver only after Connect has succeeded once.
	Connect(ctx context.Context) error
}
