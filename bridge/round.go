package bridge

import (
	"errors"
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// round is the events of one call of Deliver.
type round struct {
	events  []schema.Event
	entries []entry // of events
	// again is how many of the events, the first ones, were read in an earlier round.
	again int
	done  int // how many have an outcome
	// held are new events that are not presented, since they must wait for one that is in the
	// backlog, or for another of these.
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

func (r *round) add(en entry, e *schema.Event) {
	en.result, en.reason = open, nil
	r.events, r.entries = append(r.events, *e), append(r.entries, en)
}

// filter keeps the events for which keep returns true.
func (r *round) filter(keep func(en *entry, e *schema.Event) bool) {
	kept := 0
	for i := range r.events {
		if keep(&r.entries[i], &r.events[i]) {
			r.events[kept], r.entries[kept] = r.events[i], r.entries[i]
			kept++
		}
	}
	clear(r.events[kept:])
	clear(r.entries[kept:])
	r.events, r.entries = r.events[:kept], r.entries[:kept]
}

// set notes the outcome of event i. It returns false where that is none: it has one, or err is transient.
func (r *round) set(i int, err error) bool {
	if i < 0 || i >= len(r.entries) || r.entries[i].result != open {
		return false
	}
	switch {
	case err == nil:
		r.entries[i].result = acknowledged
	case isPermanent(err):
		r.entries[i].result, r.entries[i].reason = refused, err
	default:
		return false
	}
	r.done++
	return true
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

// isPermanent reports whether err says that no retry can cure it.
func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
