package sinktest

import "github.com/virtcast/virtcast/schema"

// MustWait is the law of order: it reports whether the event later must not be stored before the
// event earlier, which is presented before it. These are two events of one domain, on
// whatever connections, and two events of one connection of which one is about the
// connection as a whole (a gap, say): so a reader that sees a gap has everything before
// it, and nothing behind it.
func MustWait(later, earlier *schema.Event) bool {
	if isWhole(later) || isWhole(earlier) {
		return later.Connection.Name == earlier.Connection.Name
	}
	return later.Domain.UUID == earlier.Domain.UUID
}

// isWhole reports whether an event is about its connection as a whole.
func isWhole(e *schema.Event) bool { return e.Domain.UUID.IsZero() }
