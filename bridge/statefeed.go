package bridge

import (
	"context"

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
	epoch   string
	belongs func(connection string, domain schema.UUID) bool
	start   uint64
	known   []knownDomain // not given to the store yet
	primed  map[schema.UUID]struct{}
	// last is the index of each domain's last event of a batch.
	last map[schema.UUID]int
}

func newStateFeed(known []knownDomain, epoch string, start uint64, belongs func(string, schema.UUID) bool) *stateFeed {
	return &stateFeed{
		epoch: epoch, belongs: belongs, start: start, known: known,
		primed: make(map[schema.UUID]struct{}, len(known)), last: make(map[schema.UUID]int),
	}
}

// next returns the next states to prime the store with, in the memory of dst; none at the end.
func (f *stateFeed) next(dst []schema.Event) []schema.Event {
	for len(f.known) > 0 && len(dst) < primeEvents {
		d := &f.known[0]
		f.known = f.known[1:]
		if f.belongs(d.connection.Name, d.uuid) {
			dst = append(dst, d.stateEvent(f.epoch))
			f.primed[d.uuid] = struct{}{}
		}
	}
	if len(f.known) == 0 {
		f.known = nil
	}
	return dst
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

// prime gives the store what was known when the program started. It returns ctx's error when ctx ends.
func (p *pump) prime(ctx context.Context) error {
	for {
		events := p.states.next(p.events[:0])
		p.events = events
		if len(events) == 0 {
			return nil
		}
		err := p.push(ctx, events, func(from, to int) error {
			p.metrics.primed.Add(float64(to - from))
			return nil
		}, func(i int, reason error) error {
			// There is no record to keep; the domain's next event has its state again.
			p.log.ErrorContext(ctx, "a domain's state cannot be stored", logDomain, events[i].Object.UUID, logError, reason)
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// keepLast takes out of the batch in hand all states of a domain but the last, and returns how many those were.
func (p *pump) keepLast() (superseded int) {
	last := p.states.last
	clear(last)
	for i := range p.events {
		last[p.events[i].Object.UUID] = i
	}
	kept := 0
	for i := range p.events {
		if last[p.events[i].Object.UUID] == i {
			p.events[kept], p.at[kept] = p.events[i], p.at[i]
			kept++
		}
	}
	superseded = len(p.events) - kept
	p.events, p.at = p.events[:kept], p.at[:kept]
	return superseded
}
