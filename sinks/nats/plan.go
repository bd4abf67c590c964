package nats

import "github.com/virtcast/virtcast/schema"

// none ends a list of indexes in a [plan].
const none = int32(-1)

// plan says which events of one Deliver must wait for which. An event waits for
//
//   - the last earlier event of the same domain, on whatever connection;
//   - the last earlier event about its connection as a whole (a gap, say);
//
// and an event about a connection waits for all earlier ones of that connection, so that who
// reads a gap knows that everything before it has arrived.
//
//	c1 dom A ──► c1 dom A ──┐           ┌──► c1 dom A
//	c1 dom B ───────────────┼──► c1 gap ┤
//	c2 dom C                            └──► c1 dom B
//
// The memory is reused from one Deliver to the next.
type plan struct {
	// waits counts the acknowledgements that the event still waits for.
	waits []int32
	// nextSame is the next event of the same domain; nextWhole is the next event about the
	// connection as a whole; nextUnder chains the events that wait for the same one of those,
	// beginning at firstUnder of it.
	nextSame, nextWhole, firstUnder, nextUnder []int32
	// lastSame and connections are needed only while the plan is made.
	lastSame    map[schema.UUID]int32
	connections map[string]*span
}

// span is what the making of a plan knows of a connection.
type span struct {
	whole int32   // the last event about the connection as a whole
	since []int32 // the events of the connection after it
}

// make plans the delivery of events.
func (p *plan) make(events []schema.Event) {
	n := len(events)
	p.waits = resize(p.waits, n, 0)
	p.nextSame, p.nextWhole = resize(p.nextSame, n, none), resize(p.nextWhole, n, none)
	p.firstUnder, p.nextUnder = resize(p.firstUnder, n, none), resize(p.nextUnder, n, none)
	if p.lastSame == nil {
		p.lastSame, p.connections = map[schema.UUID]int32{}, map[string]*span{}
	}
	clear(p.lastSame)
	clear(p.connections)
	for i := range events {
		p.add(int32(i), &events[i])
	}
}

func (p *plan) add(i int32, e *schema.Event) {
	c := p.connections[e.Connection.Name]
	if c == nil {
		c = &span{whole: none}
		p.connections[e.Connection.Name] = c
	}
	if c.whole != none {
		p.waits[i]++
		p.nextUnder[i], p.firstUnder[c.whole] = p.firstUnder[c.whole], i
	}
	if e.Object.UUID.IsZero() {
		for _, before := range c.since {
			p.nextWhole[before] = i
		}
		p.waits[i] += int32(len(c.since))
		c.whole, c.since = i, c.since[:0]
		return
	}
	if last, ok := p.lastSame[e.Object.UUID]; ok {
		p.nextSame[last] = i
		p.waits[i]++
	}
	p.lastSame[e.Object.UUID] = i
	c.since = append(c.since, i)
}

// done marks event i as acknowledged and calls ready with each event that waits for nothing
// any more because of it.
func (p *plan) done(i int32, ready func(int32)) {
	release := func(next int32) {
		if p.waits[next]--; p.waits[next] == 0 {
			ready(next)
		}
	}
	if next := p.nextSame[i]; next != none {
		release(next)
	}
	if next := p.nextWhole[i]; next != none {
		release(next)
	}
	for next := p.firstUnder[i]; next != none; next = p.nextUnder[next] {
		release(next)
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
