package kafka

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// eventsFrom makes events of words: each is a connection and a domain ("1A"), or only a
// connection ("1") for an event about it as a whole.
func eventsFrom(words string) (events []schema.Event) {
	for _, word := range strings.Fields(words) {
		e := schema.Event{Observation: schema.Observation{
			Connection: &schema.Connection{Name: word[:1]}, Kind: schema.KindGap,
		}}
		if len(word) > 1 {
			e.Kind, e.Object.UUID[0] = schema.KindLifecycle, word[1]
		}
		events = append(events, e)
	}
	return events
}

// rounds returns which events go in which round, if each round's succeed.
func rounds(o *order, events []schema.Event) [][]int32 {
	var all [][]int32
	status := make([]producer.Status, len(events))
	o.begin(events)
	for {
		ready := o.next(nil, events, status)
		if len(ready) == 0 {
			return all
		}
		all = append(all, ready)
		for _, i := range ready {
			status[i] = producer.Settled
		}
	}
}

func TestOrder(t *testing.T) {
	var o order // Its memory is used again and again.
	for _, test := range []struct {
		name, events string
		want         [][]int32
	}{
		{"nothing", "", nil},
		{"domains", "1A 1B 2C 1A", [][]int32{{0, 1, 2, 3}}},
		{"gap in the middle", "1A 1B 1 1A 1B", [][]int32{{0, 1}, {2}, {3, 4}}},
		{"gap first", "1 1A", [][]int32{{0}, {1}}},
		{"gap last", "1A 1", [][]int32{{0}, {1}}},
		{"gaps side by side go to one partition", "1A 1 1 1A", [][]int32{{0}, {1, 2}, {3}}},
		{"another connection does not wait", "1A 2C 1 2D 1A", [][]int32{{0, 1, 3}, {2}, {4}}},
		{"two connections", "1A 2B 1 2 1A 2B", [][]int32{{0, 1}, {2, 3}, {4, 5}}},
		{"a domain on two connections stays in order", "1A 1 1A 2A 2B", [][]int32{{0, 4}, {1}, {2, 3}}},
		{"a gap waits for a domain that waits for another connection", "1A 1 1A 2A 2 2B", [][]int32{{0}, {1}, {2, 3}, {4}, {5}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, rounds(&o, eventsFrom(test.events))); diff != "" {
				t.Errorf("rounds (-want +got):\n%s", diff)
			}
		})
	}
}

// Events that stay without an outcome hold up exactly those that must wait for them.
func TestOrderWithOpenEvents(t *testing.T) {
	var o order
	for _, test := range []struct {
		name, events string
		open         []int32 // never get an outcome
		want         []int32 // are sent at all
	}{
		{"a domain holds up the gap behind it, and what is behind that", "1A 1B 1 1A 1B", []int32{0}, []int32{0, 1}},
		{"a gap holds up the domains behind it", "1A 1 1A 1B 2C", []int32{1}, []int32{0, 1, 4}},
		{"another connection goes on", "1A 2A 1 2 1B 2C", []int32{0}, []int32{0, 1, 3, 5}},
		{"a domain does not overtake itself on another connection", "1 1A 2A 2B", []int32{0}, []int32{0, 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			events := eventsFrom(test.events)
			status := make([]producer.Status, len(events))
			o.begin(events)
			var sent []int32
			for {
				ready := o.next(nil, events, status)
				if len(ready) == 0 {
					break
				}
				sent = append(sent, ready...)
				for _, i := range ready {
					status[i] = producer.Settled
					if slices.Contains(test.open, i) {
						status[i] = producer.Sending
					}
				}
			}
			slices.Sort(sent)
			if diff := cmp.Diff(test.want, sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

// The order keeps the law of all sinks: an event that must wait for another is sent in a
// later round, or behind it in the same partition.
func TestOrderKeepsLaw(t *testing.T) {
	var o order
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		var words []string
		for range 1 + random.IntN(30) {
			word := fmt.Sprint(1 + random.IntN(3))
			if random.IntN(4) > 0 {
				word += string(rune('A' + random.IntN(5)))
			}
			words = append(words, word)
		}
		events := eventsFrom(strings.Join(words, " "))
		round := make([]int, len(events))
		sent := 0
		for k, ready := range rounds(&o, events) {
			sent += len(ready)
			for _, i := range ready {
				round[i] = k
			}
		}
		if sent != len(events) {
			t.Fatalf("%v: %d of %d events are sent", words, sent, len(events))
		}
		for j := range events {
			for i := range events[:j] {
				later, earlier := &events[j], &events[i]
				sameKey := bytes.Equal(appendKey(nil, later), appendKey(nil, earlier))
				switch must := sinktest.MustWait(later, earlier); {
				case mustWait(later, earlier) != (must && !sameKey):
					t.Fatalf("%v: mustWait of %d and %d differs from the law", words, j, i)
				case must && (round[j] < round[i] || round[j] == round[i] && !sameKey):
					t.Fatalf("%v: %d in round %d overtakes %d in round %d", words, j, round[j], i, round[i])
				}
			}
		}
	}
}
