package bridge

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// primeEvents bounds the states that are given to a store at once when it is primed.
const primeEvents = 1000

// stateFeed is what a pump needs to feed a store of states instead of a sink of events.
//
// First the store is primed with what was known when the program started, which tells as much as all records before the
// offset start. Of those that the cursor has not passed, only the tombstones of domains that were not primed are still needed; what
// such a domain was before, the store may have had and removed.
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
	// last is the index of each domain's last event of a batch.
	last map[schema.UUID]int
}

func newStateFeed(known []schema.Event, start uint64, belongs func(string, schema.UUID) bool) *stateFeed {
	return &stateFeed{
		belongs: belongs, start: start, known: known,
		primed: make(map[schema.UUID]struct{}, len(known)), last: make(map[schema.UUID]int),
	}
}

// priming reports whether there are states left that the store was not given yet.
func (f *stateFeed) priming() bool { return len(f.known) > 0 }

// next calls add with the next states to prime the store with.
func (f *stateFeed) next(add func(schema.Event)) {
	for n := 0; len(f.known) > 0 && n < primeEvents; {
		d := &f.known[0]
		f.known = f.known[1:]
		if f.belongs(d.Connection.Name, d.Object.UUID) {
			add(*d)
			f.primed[d.Object.UUID] = struct{}{}
			n++
		}
	}
	if len(f.known) == 0 {
		f.known = nil
	}
}

// wants reports whether a record has a state that the store needs, and makes the event one that tells it. A repeat never has: newer
// ones may have been written before it.
func (f *stateFeed) wants(r journal.Record, e *schema.Event) bool {
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

// prime adds the next of what was known when the program started to the round. It adds none
// while what the store has not taken fills the memory, and the store takes nothing.
func (p *pump) prime(ctx context.Context, again bool) error {
	if !p.backlog.hasRoom(0) && p.again.count > 1 {
		if again {
			return nil
		}
		return sleep(ctx, time.Until(p.again.due))
	}
	p.states.next(func(e schema.Event) { p.admit(entry{}, &e) })
	return nil
}

// keepLast takes out of the round all states of a domain but the last, unless the store was
// given them before: such a state may be on its way, and must not arrive after a newer one.
func (p *pump) keepLast() {
	r, last := &p.round, p.states.last
	clear(last)
	for i := range r.events {
		last[r.events[i].Object.UUID] = i
	}
	p.keep(func(i int, en *entry, e *schema.Event) bool { return en.sent || last[e.Object.UUID] == i })
}
