package sinktest

import "github.com/virtcast/virtcast/schema"

// MustWait is the law of order: it reports whether the event later must not be stored
// before the event earlier, which is presented before it. These are two events of one
// object, on whatever connections, and two events of one connection of which one is about
// the connection itself (a gap, say). So a reader that sees a gap has everything before
// it, and nothing behind it.
func MustWait(later, earlier *schema.Event) bool {
	if later.Object.IsConnection() || earlier.Object.IsConnection() {
		return later.Connection.Name == earlier.Connection.Name
	}
	return later.Object.Key() == earlier.Object.Key()
}
