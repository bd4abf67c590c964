package sinktest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// side is the other side of a sink in memory.
type side struct {
	mu      sync.Mutex
	events  []schema.Event
	known   map[string]bool
	jammed  func(e *schema.Event) bool
	broken  int // calls that are still to fail
	stalled bool
}

// store takes in an event once, or fails.
func (s *side) store(e *schema.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken > 0:
		s.broken--
		return errors.New("broken")
	case s.jammed != nil && s.jammed(e):
		return errors.New("jammed")
	}
	if !s.known[name(e)] {
		s.known[name(e)] = true
		s.events = append(s.events, *e)
	}
	return nil
}

// reference is the simplest sink that keeps to the laws.
type reference struct {
	side   *side
	closed bool
}

func (r *reference) Close() error {
	r.closed = true
	return nil
}

func (r *reference) Deliver(ctx context.Context, events []schema.Event, outcome func(int, error)) error {
	switch {
	case r.closed:
		return errors.New("closed")
	case r.side.stalled:
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var reason error
	objects, connections, wholes := map[any]bool{}, map[string]bool{}, map[string]bool{}
	for i := range events {
		e := &events[i]
		whole, at := e.Object.IsConnection(), e.Connection.Name
		if len(e.Object.Name) > 1<<10 {
			outcome(i, sinks.Permanent(errors.New("too large")))
			continue
		}
		if !whole && (objects[e.Object.Key()] || wholes[at]) || whole && connections[at] {
			continue // An earlier one has no outcome.
		}
		err := r.side.store(e)
		if err == nil {
			outcome(i, nil)
			continue
		}
		reason = err
		connections[at] = true
		if whole {
			wholes[at] = true
		} else {
			objects[e.Object.Key()] = true
		}
	}
	return reason
}

// TestReference runs the suite on a sink in memory.
func TestReference(t *testing.T) {
	Run(t, Harness{New: func(*testing.T) Fixture {
		other := &side{known: map[string]bool{}}
		return Fixture{
			Open: func(*testing.T) Sink { return &reference{side: other} },
			Read: func(*testing.T) []schema.Event {
				other.mu.Lock()
				defer other.mu.Unlock()
				return other.events
			},
			TooLarge: 2 << 10,
			Jam: func(*testing.T) Jam {
				affects := func(e *schema.Event) bool { return e.Object.UUID[15]%7 == 3 }
				set := func(jammed func(e *schema.Event) bool) {
					other.mu.Lock()
					defer other.mu.Unlock()
					other.jammed = jammed
				}
				set(affects)
				return Jam{Affects: affects, Free: func() { set(nil) }}
			},
			Stall: func(*testing.T) { other.stalled = true },
			Break: []Break{{Name: "fail for a while", Do: func(*testing.T) {
				other.mu.Lock()
				other.broken = 7
				other.mu.Unlock()
				time.Sleep(time.Millisecond)
			}}},
		}
	}})
}

// liar is a sink whose Deliver is a func.
type liar func(events []schema.Event, outcome func(int, error)) error

func (l liar) Deliver(_ context.Context, events []schema.Event, outcome func(int, error)) error {
	return l(events, outcome)
}

// TestBreaches holds that Deliver finds what breaks the contract.
func TestBreaches(t *testing.T) {
	events := NewSource(1, 2).Take(2)
	transient, permanent := errors.New("later"), sinks.Permanent(errors.New("never"))
	for _, test := range []struct {
		name    string
		deliver liar
		want    string // "" is no breach
	}{
		{"all", func(_ []schema.Event, outcome func(int, error)) error {
			outcome(1, nil)
			outcome(0, permanent)
			return nil
		}, ""},
		{"one", func(_ []schema.Event, outcome func(int, error)) error { outcome(1, nil); return transient }, ""},
		{"none, and no reason", func([]schema.Event, func(int, error)) error { return nil }, "2 of 2 events have no outcome"},
		{"all, and a reason", func(_ []schema.Event, outcome func(int, error)) error {
			outcome(0, nil)
			outcome(1, nil)
			return transient
		}, "all 2 events have an outcome"},
		{"twice", func(_ []schema.Event, outcome func(int, error)) error {
			outcome(0, nil)
			outcome(0, nil)
			return transient
		}, "two outcomes of event 0"},
		{"beyond", func(_ []schema.Event, outcome func(int, error)) error { outcome(2, nil); return transient }, "outcome of event 2 of 2"},
		{"a transient outcome", func(_ []schema.Event, outcome func(int, error)) error { outcome(0, transient); return transient }, "not permanent"},
		{"a permanent result", func([]schema.Event, func(int, error)) error { return permanent }, "returned a permanent error"},
	} {
		_, err := Deliver(t.Context(), test.deliver, events)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// TestMustWait is the law of order. Each event is a connection and a domain, or only a
// connection for an event about it.
func TestMustWait(t *testing.T) {
	event := func(word string) *schema.Event {
		e := &schema.Event{Observation: schema.Observation{Connection: &schema.Connection{Name: word[:1]}, Kind: schema.KindGap}}
		if len(word) > 1 {
			e.Kind, e.Object = schema.KindLifecycle, schema.Object{UUID: schema.UUID{word[1]}, Name: word}
		}
		return e
	}
	for _, test := range []struct {
		later, earlier string
		want           bool
	}{
		{"1A", "1A", true},
		{"1A", "1B", false},
		{"1A", "2A", true},
		{"1A", "1", true},
		{"1", "1A", true},
		{"1", "1", true},
		{"1", "2", false},
		{"1", "2A", false},
		{"1A", "2", false},
	} {
		if got := MustWait(event(test.later), event(test.earlier)); got != test.want {
			t.Errorf("%s behind %s: %t, want %t", test.later, test.earlier, got, test.want)
		}
	}
}
