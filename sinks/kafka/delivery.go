package kafka

import (
	"encoding/binary"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// delivery is the events of one Deliver, as the producer wants records.
type delivery struct {
	events  []schema.Event
	topic   topicTemplate
	content Content
	order   order
	// states is set where the events are states: then none waits for one with another
	// key, and a state of a domain that is gone is a tombstone.
	states bool
}

var _ producer.Delivery = (*delivery)(nil)

// begin prepares for the events of a call.
func (d *delivery) begin(events []schema.Event) {
	d.events = events
	if !d.states {
		d.order.begin(events)
	}
}

// Len implements producer.Delivery.
func (d *delivery) Len() int { return len(d.events) }

// Route implements producer.Delivery.
func (d *delivery) Route(i int, topic, key []byte) (t, k []byte) {
	e := &d.events[i]
	return d.topic.appendTo(topic, e), appendKey(key, e)
}

// AppendID implements producer.Delivery: an event is the same one if source, epoch and
// sequence are.
func (d *delivery) AppendID(dst []byte, i int) []byte {
	e := &d.events[i]
	dst = append(append(dst, e.Connection.Source...), 0)
	dst = append(append(dst, e.Epoch...), 0)
	return binary.BigEndian.AppendUint64(dst, e.Sequence)
}

// Next implements producer.Delivery.
func (d *delivery) Next(dst []int32, status []producer.Status) []int32 {
	if d.states {
		return appendWaiting(dst, status)
	}
	return d.order.next(dst, d.events, status)
}

// encoder returns what makes records of the events.
func (d *delivery) encoder() producer.Encoder {
	return &eventEncoder{delivery: d, encoder: newEncoder(d.content)}
}

// eventEncoder is the encoder of one sender.
type eventEncoder struct {
	delivery *delivery
	encoder  *encoder
}

// Encode implements producer.Encoder.
func (e *eventEncoder) Encode(i int) *producer.Record {
	event := &e.delivery.events[i]
	if e.delivery.states && event.State.Gone {
		return e.encoder.encodeTombstone(event)
	}
	return e.encoder.encode(event)
}
