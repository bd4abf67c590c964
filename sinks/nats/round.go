package nats

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

// round is one call of Deliver: which events have their outcome. The memory is reused.
type round struct {
	events  []schema.Event
	outcome func(i int, err error)
	// settled is true for the events that have an outcome; open counts the others. stored
	// counts those that were acknowledged, refused those that can never be delivered.
	settled               []bool
	open, stored, refused int
	// sent is true for the events that may be stored: sent, and not refused since.
	sent []bool
	// limitsKnown is set once the limits were asked for in this round. held is the size
	// of the largest message that waits for that.
	limitsKnown bool
	held        int
	asked       []int32     // see confirm
	stop        func() bool // see abortWith
}

func (r *round) begin(events []schema.Event, outcome func(i int, err error)) {
	if cap(r.settled) < len(events) {
		r.settled = make([]bool, len(events))
	}
	if cap(r.sent) < len(events) {
		r.sent = make([]bool, len(events))
	}
	r.settled, r.sent = r.settled[:len(events)], r.sent[:len(events)]
	clear(r.settled)
	clear(r.sent)
	*r = round{
		events: events, outcome: outcome, settled: r.settled, open: len(events), sent: r.sent, asked: r.asked,
	}
}

// abortWith makes the end of ctx end whatever blocks on l, until the round ends. A write
// to a server that does not read blocks.
func (r *round) abortWith(ctx context.Context, l *link) {
	if r.stop != nil {
		r.stop()
	}
	r.stop = context.AfterFunc(ctx, l.abort)
}

// end forgets the caller's events.
func (r *round) end() {
	r.stop()
	r.events, r.outcome, r.stop = nil, nil, nil
}

// unanswered reports whether an event without outcome may be stored.
func (r *round) unanswered() bool {
	if r.open == 0 {
		return false
	}
	for i, sent := range r.sent {
		if sent && !r.settled[i] {
			return true
		}
	}
	return false
}

// acknowledge reports that the server has stored event i.
func (r *round) acknowledge(i int) {
	r.settle(i)
	r.stored++
	r.outcome(i, nil)
}

// refuse reports that event i can never be delivered.
func (r *round) refuse(i int, err error) {
	r.settle(i)
	r.refused++
	e := &r.events[i]
	r.outcome(i, sinks.Permanent(fmt.Errorf("event %s of %s: %w", e.ID(), e.Connection.Source, err)))
}

func (r *round) settle(i int) {
	r.settled[i] = true
	r.open--
}

// tooLargeError is returned when a message can never be stored.
type tooLargeError struct {
	what        string
	size, limit int
	fixed       bool // nobody can raise the limit
}

func (e *tooLargeError) Error() string {
	if e.size == 0 {
		return e.what + " is larger than the stream takes"
	}
	return fmt.Sprintf("%s of %d bytes is larger than the %d that fit", e.what, e.size, e.limit)
}

func isTooLarge(err error) bool {
	var tooLarge *tooLargeError
	return errors.As(err, &tooLarge)
}

// encode returns the message of an event, or a *tooLargeError when it is too large for
// the server or the stream. The message is valid until the next call.
func (s *Sink) encode(l *link, e *schema.Event) (*natsgo.Msg, *tooLargeError) {
	m := s.encoder.encode(e)
	header, total := s.encoder.size()
	switch {
	case total > l.fit.MaxMessage:
		return nil, &tooLargeError{what: "message", size: total, limit: l.fit.MaxMessage}
	case header > maxHeader && l.fit.Stream != "":
		return nil, &tooLargeError{what: "header", size: header, limit: maxHeader, fixed: true}
	}
	return m, nil
}

// sizeRefusal turns the server's refusal of a message for its size into a *tooLargeError.
// It returns other errors as they are.
func sizeRefusal(err error) error {
	switch {
	case isCode(err, jetstream.JSErrCodeStreamMessageExceedsMaximum):
		return &tooLargeError{what: "message"}
	case isCode(err, codeHeaderTooLarge):
		return &tooLargeError{what: "header"}
	}
	return err
}
