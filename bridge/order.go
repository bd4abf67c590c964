package bridge

import "github.com/virtcast/virtcast/schema"

// holds knows a set of events that have no outcome yet, and which later events must not
// overtake them. It is the same law as the sinks' (sinktest.MustWait): an event waits for
// the earlier ones of its domain, on whatever connection, and for the earlier ones about
// its connection as a whole (a gap, say); an event about a connection as a whole waits for
// every earlier event of that connection.
type holds struct {
	domains     map[schema.UUID]int
	connections map[string]connectionHolds
}

// connectionHolds counts the events of one connection, and among them those about it as a
// whole.
type connectionHolds struct{ all, whole int }

// aboutConnection reports whether an event is about its connection as a whole.
func aboutConnection(e *schema.Event) bool { return e.Domain.UUID.IsZero() }

// mustWait reports whether e must not overtake an event of the set.
func (h *holds) mustWait(e *schema.Event) bool {
	if len(h.connections) == 0 {
		return false
	}
	c := h.connections[e.Connection.Name]
	if aboutConnection(e) {
		return c.all > 0
	}
	return c.whole > 0 || h.domains[e.Domain.UUID] > 0
}

func (h *holds) add(e *schema.Event) {
	if h.connections == nil {
		h.connections, h.domains = make(map[string]connectionHolds), make(map[schema.UUID]int)
	}
	h.count(e, 1)
}

func (h *holds) remove(e *schema.Event) { h.count(e, -1) }

func (h *holds) count(e *schema.Event, n int) {
	c := h.connections[e.Connection.Name]
	c.all += n
	if aboutConnection(e) {
		c.whole += n
	} else if h.domains[e.Domain.UUID] += n; h.domains[e.Domain.UUID] == 0 {
		delete(h.domains, e.Domain.UUID)
	}
	h.connections[e.Connection.Name] = c
	if c.all == 0 {
		delete(h.connections, e.Connection.Name)
	}
}

// clear empties the set, and gives up its memory.
func (h *holds) clear() { *h = holds{} }
