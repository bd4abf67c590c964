package libvirt

import (
	"testing"
	"time"

	"github.com/virtcast/virtcast/schema"
)

func TestDuplicates(t *testing.T) {
	type step struct {
		source callback
		detail int32
		drop   bool
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"old first", []step{{0, 1, false}, {1, 1, true}, {0, 2, false}, {1, 2, true}}},
		{"new first", []step{{1, 1, false}, {0, 1, true}, {1, 2, false}, {0, 2, true}}},
		{"equal events", []step{{0, 1, false}, {1, 1, true}, {0, 1, false}, {1, 1, true}}},
		{"equal events before there is a second callback", []step{{0, 1, false}, {0, 1, false}, {1, 1, true}, {1, 1, false}}},
		{"different events", []step{{0, 1, false}, {1, 2, false}, {1, 3, false}}},
		{"either first", []step{{0, 1, false}, {1, 1, true}, {1, 1, false}, {0, 1, true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d duplicates
			for i, s := range test.steps {
				o := schema.Observation{Detail: s.detail}
				if got := d.drop(s.source, &o); got != s.drop {
					t.Errorf("step %d: drop = %v, want %v", i, got, s.drop)
				}
			}
		})
	}
}

// TestDuplicatesAgreeInEverything holds that events that differ in anything they carry
// are not taken for one.
func TestDuplicatesAgreeInEverything(t *testing.T) {
	one := schema.Observation{
		Kind: 1, Object: schema.Object{UUID: schema.UUID{1}, Name: "d", ID: 1}, Event: 1, Detail: 1,
		Payload: `"device":"vda"`, Occurred: time.Unix(1, 0),
	}
	for name, change := range map[string]func(*schema.Observation){
		"kind":     func(o *schema.Observation) { o.Kind = 2 },
		"uuid":     func(o *schema.Observation) { o.Object.UUID = schema.UUID{2} },
		"name":     func(o *schema.Observation) { o.Object.Name = "e" },
		"event":    func(o *schema.Observation) { o.Event = 2 },
		"detail":   func(o *schema.Observation) { o.Detail = 2 },
		"payload":  func(o *schema.Observation) { o.Payload = `"device":"vdb"` },
		"occurred": func(o *schema.Observation) { o.Occurred = time.Unix(2, 0) },
	} {
		other := one
		change(&other)
		var d duplicates
		d.drop(0, &one)
		if d.drop(1, &other) {
			t.Errorf("an event of another %s was dropped", name)
		}
		if !d.drop(0, &other) {
			t.Errorf("the duplicate of an event of another %s was kept", name)
		}
	}
}

func TestDuplicatesForget(t *testing.T) {
	s := routed(nil)
	s.expectDuplicates()
	o := schema.Observation{Detail: 1}
	s.duplicates.drop(0, &o)
	s.forgetDuplicates(time.Now().Add(time.Second))
	if s.duplicates.drop(1, &o) { // an equal event from the new callback, after the old one ended
		t.Error("an event was taken for the duplicate of one that was to be forgotten")
	}
	s.forgetDuplicates(time.Now().Add(-time.Second))
	if !s.duplicates.drop(0, &o) {
		t.Error("what came after the time was forgotten")
	}
}
