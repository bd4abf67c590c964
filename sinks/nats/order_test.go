package nats

import (
	"math/rand/v2"
	"testing"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// TestOrder gives events their outcome in every possible order by chance, and holds that
// each event is ready exactly when those that it must wait for have theirs.
func TestOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var o order
	for range 2000 {
		source := sinktest.NewSource(1+random.IntN(3), 1+random.IntN(6))
		var events []schema.Event
		for range random.IntN(40) {
			if random.IntN(5) == 0 {
				events = append(events, source.Gap(0))
			} else {
				events = append(events, source.Take(1)...)
			}
		}
		o.arrange(events, make([]bool, len(events)))
		var ready []int32
		for i, waits := range o.waits {
			if waits == 0 {
				ready = append(ready, int32(i))
			}
		}
		acked := make([]bool, len(events))
		for done := 0; len(ready) > 0; done++ {
			at := random.IntN(len(ready))
			i := ready[at]
			ready = append(ready[:at], ready[at+1:]...)
			for j := range int(i) {
				if !acked[j] && mustWait(&events[j], &events[i]) {
					t.Fatalf("event %d is ready before event %d is acknowledged", i, j)
				}
			}
			acked[i] = true
			o.release(i, func(next int32) { ready = append(ready, next) })
			// What waits for nothing any more is ready.
			for k := range events {
				free := !acked[k]
				for j := range k {
					free = free && (acked[j] || !mustWait(&events[j], &events[k]))
				}
				found := false
				for _, r := range ready {
					found = found || int(r) == k
				}
				if free != found {
					t.Fatalf("event %d: ready %t, want %t", k, found, free)
				}
			}
		}
		for i, ok := range acked {
			if !ok {
				t.Fatalf("event %d of %d was never ready", i, len(events))
			}
		}
	}
}

// mustWait reports whether the later event must wait for the earlier one.
func mustWait(earlier, later *schema.Event) bool {
	if earlier.Connection.Name == later.Connection.Name && (earlier.Object.UUID.IsZero() || later.Object.UUID.IsZero()) {
		return true
	}
	return !earlier.Object.UUID.IsZero() && earlier.Object.UUID == later.Object.UUID
}
