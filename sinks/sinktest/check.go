package sinktest

import (
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// Report is what a comparison of what was delivered with what is stored has found.
type Report struct {
	// Inversions counts events that are stored after a later one of the same domain, or
	// about the same connection as a whole.
	Inversions int
	// Duplicates counts events that are stored again; Lost those that are not stored;
	// Strange those that nobody delivered.
	Duplicates, Lost, Strange int
	// First describes the first fault.
	First string
}

// OK reports whether everything is stored, once, in order.
func (r Report) OK() bool { return r == Report{} }

func (r *Report) note(format string, args ...any) {
	if r.First == "" {
		r.First = fmt.Sprintf(format, args...)
	}
}

// Check compares the events that were delivered with those that are stored, by source and
// id.
func Check(delivered, stored []schema.Event) Report {
	var r Report
	index := make(map[string]int, len(delivered))
	for i := range delivered {
		index[name(&delivered[i])] = i
	}
	seen := make([]bool, len(delivered))
	last := map[any]int{} // by what must be in order
	for i := range stored {
		e := &stored[i]
		at, ok := index[name(e)]
		switch {
		case !ok:
			r.Strange++
			r.note("stored event %d, %s, was not delivered", i, name(e))
			continue
		case seen[at]:
			r.Duplicates++
			r.note("event %s is stored again, at %d", name(e), i)
			continue
		}
		seen[at] = true
		key := orderKey(e)
		if before, ok := last[key]; ok && before > at {
			r.Inversions++
			r.note("event %s is stored after %s", name(e), name(&delivered[before]))
		}
		last[key] = max(last[key], at)
	}
	for i := range seen {
		if !seen[i] {
			r.Lost++
			r.note("event %s is not stored", name(&delivered[i]))
		}
	}
	return r
}

// orderKey is what an event must be in order with: its object, or its connection.
func orderKey(e *schema.Event) any {
	if e.Object.IsConnection() {
		return e.Connection.Name
	}
	return e.Object.Key()
}

// name is the identity of an event.
func name(e *schema.Event) string { return e.Source() + " " + e.ID() }
