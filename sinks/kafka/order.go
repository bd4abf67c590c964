package kafka

import (
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// mustWait reports whether the event later may only be sent when the event earlier, which
// is presented before it, has its outcome. Events with the same key go to the same
// partition, which keeps their order. Between partitions Kafka keeps none: so an event
// about a connection as a whole (a gap, say) waits for all earlier events of that
// connection, and the later ones wait for it:
//
//	c1 dom A ──┐           ┌─► c1 dom A
//	c1 dom B ──┴─► c1 gap ─┴─► c1 dom B
//	c2 dom C
func mustWait(later, earlier *schema.Event) bool {
	return later.Object.IsConnection() != earlier.Object.IsConnection() &&
		later.Connection.Name == earlier.Connection.Name
}

// order gives the events of one Deliver that may be sent, by the law of mustWait. Not for
// concurrent use.
type order struct {
	// without is set when the last events had none about a connection as a whole: then
	// none waits.
	without bool
	// open are the connections with earlier events that have no outcome.
	open map[string]openEvents
	// held are the objects with an earlier event that must wait. Their later events wait
	// behind it.
	held map[schema.ObjectKey]bool
}

// openEvents are the kinds of events of a connection that have no outcome.
type openEvents struct{ object, whole bool }

// begin prepares for the events of a call.
func (o *order) begin(events []schema.Event) {
	o.without = true
	for i := range events {
		o.without = o.without && !events[i].Object.IsConnection()
	}
	if !o.without && o.open == nil {
		o.open, o.held = map[string]openEvents{}, map[schema.ObjectKey]bool{}
	}
}

// next appends the waiting events that may be sent now.
func (o *order) next(dst []int32, events []schema.Event, status []producer.Status) []int32 {
	if o.without {
		return appendWaiting(dst, status)
	}
	clear(o.open)
	clear(o.held)
	for i := range events {
		if status[i] == producer.Settled {
			continue
		}
		e := &events[i]
		if status[i] == producer.Waiting {
			if o.waits(e) {
				o.held[e.Object.Key()] = true
			} else {
				dst = append(dst, int32(i))
			}
		}
		c := o.open[e.Connection.Name]
		if e.Object.IsConnection() {
			c.whole = true
		} else {
			c.object = true
		}
		o.open[e.Connection.Name] = c
	}
	return dst
}

// waits reports whether an event must wait for an earlier one that is open.
func (o *order) waits(e *schema.Event) bool {
	c := o.open[e.Connection.Name]
	if e.Object.IsConnection() {
		return c.object
	}
	return c.whole || o.held[e.Object.Key()]
}

// appendWaiting appends all waiting events.
func appendWaiting(dst []int32, status []producer.Status) []int32 {
	for i, s := range status {
		if s == producer.Waiting {
			dst = append(dst, int32(i))
		}
	}
	return dst
}
