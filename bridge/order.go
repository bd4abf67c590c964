package bridge

import "github.com/virtcast/virtcast/schema"

// holds knows a set of events that have no outcome yet, and which later events must not
// overtake them. It is the same law as the sinks' (sinktest.MustWait): an event waits for
// the earlier ones of its object, on whatever connection, and for the earlier ones about
// its connection as a whole (a gap, say); an event about a connection as a whole waits
// for every earlier event of that connection.
type holds struct {
	objects     map[schema.ObjectKey]int
	connections map[string]connectionHolds
}

// connectionHolds counts the events of one connection, and among them those about it as a
// whole.
type connectionHolds struct{ all, whole int }

// mustWait reports whether e must not overtake an event of the set.
func (h *holds) mustWait(e *schema.Event) bool {
	if len(h.connections) == 0 {
		return false
	}
	c := h.connections[e.Connection.Name]
	if e.Object.IsConnection() {
		return c.all > 0
	}
	return c.whole > 0 || h.objects[e.Object.Key()] > 0
}

func (h *holds) add(e *schema.Event) {
	if h.connections == nil {
		h.connections, h.objects = make(map[string]connectionHolds), make(map[schema.ObjectKey]int)
	}
	h.count(e, 1)
}

func (h *holds) remove(e *schema.Event) { h.count(e, -1) }

func (h *holds) count(e *schema.Event, n int) {
	c := h.connections[e.Connection.Name]
	c.all += n
	if e.Object.IsConnection() {
		c.whole += n
	} else {
		key := e.Object.Key()
		if h.objects[key] += n; h.objects[key] == 0 {
			delete(h.objects, key)
		}
	}
	h.connections[e.Connection.Name] = c
	if c.all == 0 {
		delete(h.connections, e.Connection.Name)
	}
}

// clear empties the set, and gives up its memory.
func (h *holds) clear() { *h = holds{} }
