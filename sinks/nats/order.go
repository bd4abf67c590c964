package nats

import "github.com/virtcast/virtcast/schema"

// none ends a list of indexes in an [order].
const none = int32(-1)

// order knows which events of one Deliver must wait for which others. The law is that of
// sinktest.MustWait. An event waits for
//
//   - the last earlier event of the same object, whatever connection it came by;
//   - the last earlier event about its connection as a whole (a gap, say).
//
// An event about a connection waits for all earlier events of that connection. A consumer
// that reads a gap therefore has everything before it.
//
//	c1 dom A ──► c1 dom A ──┐           ┌──► c1 dom A
//	c1 dom B ───────────────┼──► c1 gap ┤
//	c2 dom C                            └──► c1 dom B
//
// The memory is reused from one Deliver to the next.
type order struct {
	// waits counts the events that an event still waits for.
	waits []int32
	// nextSame is the next event of the same object. nextWhole is the next event about
	// the connection as a whole. firstUnder and nextUnder form lists: of the events that
	// wait for the same event about a connection.
	nextSame, nextWhole, firstUnder, nextUnder []int32
	// What follows is needed only while the order is made.
	uuids       map[schema.UUID]int32      // the last event of each object with a UUID
	others      map[schema.ObjectKey]int32 // the last event of each other object
	connections map[string]*span
}

// span is what the making of an order knows about a connection.
type span struct {
	whole int32   // the last event about the connection as a whole
	since []int32 // the connection's events after that one
}

// arrange finds out which events wait for which. Events for which settled is true have
// their outcome already: no event waits for them, nor they for any.
func (o *order) arrange(events []schema.Event, settled []bool) {
	n := len(events)
	o.waits = resize(o.waits, n, 0)
	o.nextSame, o.nextWhole = resize(o.nextSame, n, none), resize(o.nextWhole, n, none)
	o.firstUnder, o.nextUnder = resize(o.firstUnder, n, none), resize(o.nextUnder, n, none)
	if o.uuids == nil {
		o.uuids, o.others, o.connections = map[schema.UUID]int32{}, map[schema.ObjectKey]int32{}, map[string]*span{}
	}
	clear(o.uuids)
	clear(o.others)
	clear(o.connections)
	for i := range events {
		if !settled[i] {
			o.add(int32(i), &events[i])
		}
	}
}

func (o *order) add(i int32, e *schema.Event) {
	c := o.connections[e.Connection.Name]
	if c == nil {
		c = &span{whole: none}
		o.connections[e.Connection.Name] = c
	}
	if c.whole != none {
		o.waits[i]++
		o.nextUnder[i], o.firstUnder[c.whole] = o.firstUnder[c.whole], i
	}
	if e.Object.IsConnection() {
		for _, earlier := range c.since {
			o.nextWhole[earlier] = i
		}
		o.waits[i] += int32(len(c.since))
		c.whole, c.since = i, c.since[:0]
		return
	}
	if last, ok := o.replaceLast(e, i); ok {
		o.nextSame[last] = i
		o.waits[i]++
	}
	c.since = append(c.since, i)
}

// replaceLast notes that i is the last event of its object, and returns the one before
// it.
func (o *order) replaceLast(e *schema.Event, i int32) (last int32, ok bool) {
	if e.Object.UUID.IsZero() {
		key := e.Object.Key()
		last, ok = o.others[key]
		o.others[key] = i
		return last, ok
	}
	last, ok = o.uuids[e.Object.UUID]
	o.uuids[e.Object.UUID] = i
	return last, ok
}

// release is called when event i has its outcome. It calls ready with each event that
// waits for nothing any more because of it.
func (o *order) release(i int32, ready func(int32)) {
	one := func(next int32) {
		if o.waits[next]--; o.waits[next] == 0 {
			ready(next)
		}
	}
	if next := o.nextSame[i]; next != none {
		one(next)
	}
	if next := o.nextWhole[i]; next != none {
		one(next)
	}
	for next := o.firstUnder[i]; next != none; next = o.nextUnder[next] {
		one(next)
	}
}

// resize returns a slice of n values v, in the memory of s if it is large enough.
func resize(s []int32, n int, v int32) []int32 {
	if cap(s) < n {
		s = make([]int32, n)
	}
	s = s[:n]
	for i := range s {
		s[i] = v
	}
	return s
}
