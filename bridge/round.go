package bridge

import (
	"fmt"

	"github.com/virtcast/virtcast/internal/fault"
	"github.com/virtcast/virtcast/schema"
)

// round is the events of one call of Deliver.
type round struct {
	events  []schema.Event
	entries []entry // of events
	// again is how many of the events, the first ones, come from the backlog.
	again int
	done  int // how many have an outcome
	// held are new events that are not presented, since they must wait for one that is in
	// the backlog, or for another of these.
	held      []undelivered
	heldOrder holds
}

func (r *round) reset() {
	clear(r.events) // lets go of what they refer to
	clear(r.entries)
	clear(r.held)
	r.heldOrder.clear()
	*r = round{events: r.events[:0], entries: r.entries[:0], held: r.held[:0]}
}

// add adds an event that is presented.
func (r *round) add(en entry, e *schema.Event) {
	en.result, en.reason = open, nil
	r.events, r.entries = append(r.events, *e), append(r.entries, en)
}

// slot returns room for another event at the end of the round, which belongs to the round
// only when admit, or hold, is called.
func (r *round) slot() *schema.Event {
	n := len(r.events)
	if n == cap(r.events) {
		r.events = append(r.events, schema.Event{})[:n]
	}
	return &r.events[:n+1][n]
}

// admit adds the event in the slot as one that is presented.
func (r *round) admit(en entry) {
	r.events, r.entries = r.events[:len(r.events)+1], append(r.entries, en)
}

// hold adds the event in the slot as one that is not presented.
func (r *round) hold(en entry) {
	e := r.slot()
	r.held = append(r.held, undelivered{en, *e})
	r.heldOrder.add(e)
}

// filter takes all events out for which keep returns false, and calls dropped with each.
// keep is called with the indexes in order.
func (r *round) filter(keep func(i int) bool, dropped func(en *entry, e *schema.Event)) {
	kept, again := 0, 0
	for i := range r.events {
		if !keep(i) {
			dropped(&r.entries[i], &r.events[i])
			continue
		}
		if i < r.again {
			again++
		}
		r.events[kept], r.entries[kept] = r.events[i], r.entries[i]
		kept++
	}
	clear(r.events[kept:])
	clear(r.entries[kept:])
	r.events, r.entries, r.again = r.events[:kept], r.entries[:kept], again
}

// set notes the outcome of event i. It returns the event's entry, or nil where that is no
// outcome: the event has one, or err is transient.
func (r *round) set(i int, err error) *entry {
	if i < 0 || i >= len(r.entries) || r.entries[i].result != open {
		return nil
	}
	en := &r.entries[i]
	switch {
	case err == nil:
		en.result = acknowledged
	case fault.IsPermanent(err):
		en.result, en.reason = refused, err
	default:
		return nil
	}
	r.done++
	return en
}

// failure returns why events have no outcome; nil if all have one.
func (r *round) failure(err error) error {
	switch {
	case r.done == len(r.events):
		return nil
	case err == nil:
		return fmt.Errorf("the sink gave %d of %d events no outcome, and no reason", len(r.events)-r.done, len(r.events))
	}
	return err
}

// progress returns how many of the events from the backlog, and of the new ones, have an
// outcome.
func (r *round) progress() (again, fresh int) {
	for i := range r.entries {
		switch {
		case r.entries[i].result == open:
		case i < r.again:
			again++
		default:
			fresh++
		}
	}
	return again, fresh
}
