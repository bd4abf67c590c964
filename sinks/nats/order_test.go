package nats

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// TestOrder gives events their outcome in every possible order by chance, and holds that
// each event is ready exactly when those that it must wait for have theirs.
func TestOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var o order
	for round := range 2000 {
		source := sinktest.NewSource(1+random.IntN(3), 1+random.IntN(6))
		var events []schema.Event
		for range random.IntN(40) {
			events = append(events, source.Take(1)...)
			last := &events[len(events)-1]
			switch random.IntN(5) {
			case 0:
				*last = source.Gap(0)
			case 1:
				last.Object = schema.Object{Family: schema.FamilyNodeDevice, Name: "net_" + string(rune('0'+random.IntN(2)))}
			}
		}
		settled := make([]bool, len(events)) // In every second round, some have their outcome.
		for i := range settled {
			settled[i] = round%2 == 1 && random.IntN(3) == 0
		}
		o.arrange(events, settled)
		var ready []int32
		for i, waits := range o.waits {
			if waits == 0 && !settled[i] {
				ready = append(ready, int32(i))
			}
		}
		acked := slices.Clone(settled)
		for done := 0; len(ready) > 0; done++ {
			at := random.IntN(len(ready))
			i := ready[at]
			ready = append(ready[:at], ready[at+1:]...)
			for j := range int(i) {
				if !acked[j] && sinktest.MustWait(&events[i], &events[j]) {
					t.Fatalf("event %d is ready before event %d is acknowledged", i, j)
				}
			}
			acked[i] = true
			o.release(i, func(next int32) { ready = append(ready, next) })
			// What waits for nothing any more is ready.
			for k := range events {
				free := !acked[k]
				for j := range k {
					free = free && (acked[j] || !sinktest.MustWait(&events[k], &events[j]))
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
