package bridge

import (
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// primeEvents bounds the states that are given to a store at once when it is primed.
const primeEvents = 1000

// stateFeed is what a pump needs to feed a store of states instead of a sink of events.
//
// First the store is primed with what was known when the program started, which tells as
// much as all records before the offset start. Of those that the cursor has not passed,
// only the tombstones of domains that were not primed are still needed: the store may
// have such a domain's earlier state, and must remove it.
//
//	      cursor          start
//	…─────┬───────────────┬──────────────►
//	      └ tombstones ───┴ every state
//	        of what is not primed
type stateFeed struct {
	belongs func(connection string, domain schema.UUID) bool
	start   uint64
	known   []schema.Event // not given to the store yet
	primed  map[schema.UUID]struct{}
	// last is the index of each domain's last event of a round.
	last map[schema.UUID]int
}

func newStateFeed(known []schema.Event, start uint64, belongs func(string, schema.UUID) bool) *stateFeed {
	return &stateFeed{
		belongs: belongs, start: start, known: known,
		primed: make(map[schema.UUID]struct{}, len(known)), last: make(map[schema.UUID]int),
	}
}

// priming reports whether there are states left that the store was not given yet.
func (f *stateFeed) priming() bool { return f != nil && len(f.known) > 0 }

// next calls add with the next states to prime the store with.
func (f *stateFeed) next(add func(*schema.Event)) {
	for n := 0; len(f.known) > 0 && n < primeEvents; {
		e := &f.known[0]
		f.known = f.known[1:]
		if f.belongs(e.Connection.Name, e.Object.UUID) {
			add(e)
			f.primed[e.Object.UUID] = struct{}{}
			n++
		}
	}
	if len(f.known) == 0 {
		f.known = nil
	}
}

// wants reports whether a record has a state that the store needs, and makes the event
// one that tells it. A repeat never has: newer states may have been written before it.
func (f *stateFeed) wants(r *journal.Record, e *schema.Event) bool {
	if !e.State.Valid || schema.RecordIsRepeat(r.Data) {
		return false
	}
	if r.Offset >= f.start {
		f.primed = nil
	} else if _, ok := f.primed[e.Object.UUID]; ok || !e.State.Gone {
		return false
	}
	*e = e.StateEvent()
	return true
}

// note notes the last state of each domain in a round.
func (f *stateFeed) note(events []schema.Event) {
	clear(f.last)
	for i := range events {
		f.last[events[i].Object.UUID] = i
	}
}

// isLast reports whether event i of the round is its domain's last.
func (f *stateFeed) isLast(i int, e *schema.Event) bool { return f.last[e.Object.UUID] == i }
