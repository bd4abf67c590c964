package kafka

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

// TestPlan: each event is a connection and a domain, or only a connection for an event about it as a whole.
func TestPlan(t *testing.T) {
	for _, test := range []struct {
		name, events string
		count        int
		levels       []int32 // nil where there is one level
	}{
		{"nothing", "", 1, nil},
		{"domains", "1A 1B 2C 1A", 1, nil},
		{"gap in the middle", "1A 1B 1 1A 1B", 3, []int32{0, 0, 1, 2, 2}},
		{"gap first", "1 1A", 2, []int32{0, 1}},
		{"gap last", "1A 1", 2, []int32{0, 1}},
		{"gaps side by side go to one partition", "1A 1 1 1A", 3, []int32{0, 1, 1, 2}},
		{"another connection does not wait", "1A 2C 1 2D 1A", 3, []int32{0, 0, 1, 0, 2}},
		{"two connections", "1A 2B 1 2 1A 2B", 3, []int32{0, 0, 1, 1, 2, 2}},
		{"a domain on two connections stays in order", "1A 1 1A 2A 2B", 3, []int32{0, 1, 2, 2, 0}},
		{"a gap waits for a domain that waits for another connection", "1A 1 1A 2A 2 2B", 5, []int32{0, 1, 2, 2, 3, 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var events []schema.Event
			for _, word := range strings.Fields(test.events) {
				e := schema.Event{Observation: schema.Observation{Connection: &schema.Connection{Name: word[:1]}, Kind: schema.KindGap}}
				if len(word) > 1 {
					e.Kind, e.Object.UUID[0] = schema.KindLifecycle, word[1]
				}
				events = append(events, e)
			}
			var p plan
			for range 2 { // A plan is made in the memory of the one before.
				p.make(events)
				if p.count != test.count {
					t.Errorf("%d levels, want %d", p.count, test.count)
				}
				if test.levels != nil {
					if diff := cmp.Diff(test.levels, p.level); diff != "" {
						t.Errorf("levels (-want +got):\n%s", diff)
					}
				}
				p.make(events[:0])
			}
		})
	}
}
