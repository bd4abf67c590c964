package kafka

import "github.com/virtcast/virtcast/schema"

// shipment is the events of one Deliver, as cargo.
type shipment struct {
	events   []schema.Event
	template template
	plan     plan
}

func (s *shipment) len() int        { return len(s.events) }
func (s *shipment) levels() int     { return s.plan.count }
func (s *shipment) level(i int) int { return int(s.plan.level[i]) }

func (s *shipment) identity(i int) identity {
	e := &s.events[i]
	return identity{source: e.Connection.Source, epoch: e.Epoch, sequence: e.Sequence}
}

func (s *shipment) route(i int, topic, key []byte) (t, k []byte) {
	e := &s.events[i]
	return s.template.appendTo(topic, e), appendKey(key, e)
}

func (s *shipment) record(i int, e *encoder) *record { return e.encode(&s.events[i]) }

// plan says which events of one Deliver must wait for which. Different keys go to different partitions, among
// which Kafka keeps no order, so an event about a connection as a whole (a gap, say) is sent when all earlier
// ones of that connection are acknowledged, and the later ones are sent when it is:
//
//	level 0        level 1     level 2
//	c1 dom A ──┐           ┌─► c1 dom A
//	c1 dom B ──┴─► c1 gap ─┴─► c1 dom B
//	c2 dom C
//
// Without such an event there is one level.
type plan struct {
	count int
	level []int32 // by event; unused when count is 1
	// The maps are needed only while the plan is made.
	connections map[string]*span
	domains     map[schema.UUID]int32
}

// span is what the making of a plan knows of a connection.
type span struct {
	// domain and whole are the highest levels of the events about its domains and about itself; -1 is none.
	domain, whole int32
}

// make plans the delivery of events.
func (p *plan) make(events []schema.Event) {
	p.count = 1
	whole := false
	for i := range events {
		whole = whole || isWhole(&events[i])
	}
	if !whole {
		return
	}
	if p.connections == nil {
		p.connections, p.domains = map[string]*span{}, map[schema.UUID]int32{}
	}
	clear(p.connections)
	clear(p.domains)
	p.level = p.level[:0]
	for i := range events {
		level := p.add(&events[i])
		p.level = append(p.level, level)
		p.count = max(p.count, int(level)+1)
	}
}

func isWhole(e *schema.Event) bool { return e.Kind.Family() != schema.FamilyDomain }

// add returns the level of the next event.
func (p *plan) add(e *schema.Event) int32 {
	c := p.connections[e.Connection.Name]
	if c == nil {
		c = &span{domain: -1, whole: -1}
		p.connections[e.Connection.Name] = c
	}
	if isWhole(e) {
		c.whole = max(c.whole, c.domain+1)
		return c.whole
	}
	// Events of one domain, on whatever connection, go in the order in which they are given.
	level := max(c.whole+1, p.domains[e.Object.UUID])
	p.domains[e.Object.UUID] = level
	c.domain = max(c.domain, level)
	return level
}
