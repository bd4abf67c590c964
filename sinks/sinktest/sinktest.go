package sinktest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/schema"
)

// Sink is a sink that can be closed.
type Sink interface {
	bridge.Sink
	// Close ends what the sink has started. Deliver fails afterwards.
	Close() error
}

// Harness is how the suite gets at an adapter.
type Harness struct {
	// New makes an empty other side: a server, a file.
	New func(t *testing.T) Fixture
}

// Fixture is one other side. Open and Read are required; without one of the others, what
// it is for is not part of the suite for this adapter.
type Fixture struct {
	// Open makes a sink for it. It is called again for what a restart of the program
	// does; the suite closes the sink before.
	Open func(t *testing.T) Sink
	// Read returns everything that is stored, in the order in which it was.
	Read func(t *testing.T) []schema.Event
	// TooLarge is how many bytes make an event impossible to deliver.
	TooLarge int
	// Break makes the other side fail and work again, and returns then; it is called
	// while events flow.
	Break []Break
	// Jam makes the other side take in nothing of some keys, or of some partition, while
	// all others go on.
	Jam func(t *testing.T) Jam
	// Stall makes the other side take in nothing and answer nothing, until the end of the
	// test.
	Stall func(t *testing.T)
	// Repeats is set where a failure may store an event again, which the other side
	// cannot prevent. Order is then held among first appearances.
	Repeats bool
	// Events is how many events flow through each Break; default 5000.
	Events int
}

// Break is one way to fail.
type Break struct {
	Name string
	Do   func(t *testing.T)
}

// Jam is a part of the other side that fails.
type Jam struct {
	// Affects reports whether an event cannot be stored while it lasts.
	Affects func(e *schema.Event) bool
	// Free ends it.
	Free func()
}

// maxBreaks bounds how often the other side fails in one part of the suite.
const maxBreaks = 15

// timeout bounds each part of the suite.
const timeout = 2 * time.Minute

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	parts := []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"content", testContent},
		{"restart", testRestart},
		{"permanent", testPermanent},
		{"cancel", testCancel},
		{"close", testClose},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) { part.run(t, h.New(t)) })
	}
	if h.New(t).Jam != nil {
		t.Run("jam", func(t *testing.T) { testJam(t, h.New(t)) })
	}
	for i, b := range h.New(t).Break {
		t.Run("break/"+b.Name, func(t *testing.T) { testBreak(t, h.New(t), i) })
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// open opens a sink that is closed at the end of the test.
func open(t *testing.T, f Fixture) Sink {
	t.Helper()
	sink := f.Open(t)
	t.Cleanup(func() { closeSink(t, sink) })
	return sink
}

func closeSink(t *testing.T, sink Sink) {
	t.Helper()
	if err := sink.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// testContent: what is read back equals what was delivered, in every respect.
func testContent(t *testing.T, f Fixture) {
	ctx := testContext(t)
	sink := open(t, f)
	source := NewSource(2, 4)
	var want []schema.Event
	want = append(want, source.Take(16)...)
	want = append(want, source.Gap(0), source.Gap(1))
	want = append(want, source.Peculiar()...)
	want = append(want, source.Take(100)...)
	if _, err := Prefix(ctx, sink, nil); err != nil {
		t.Errorf("Deliver of nothing = %v, want nil", err)
	}
	if _, err := Pump(ctx, sink, want[:1], 1); err != nil {
		t.Fatal(err)
	}
	if _, err := Pump(ctx, sink, want[1:20], 20); err != nil {
		t.Fatal(err)
	}
	if _, err := Pump(ctx, sink, want[20:], 50); err != nil {
		t.Fatal(err)
	}
	got := f.Read(t)
	if r := Check(want, got); !r.OK() {
		t.Fatalf("stored events: %+v", r)
	}
	byKey := map[string]schema.Event{}
	for _, e := range got {
		byKey[name(&e)] = e
	}
	for _, e := range want {
		if diff := cmp.Diff(e, byKey[name(&e)]); diff != "" {
			t.Fatalf("event %s (-delivered +stored):\n%s", name(&e), diff)
		}
	}
}

// testRestart: a new sink that delivers again what the one before it had delivered stores
// nothing twice.
func testRestart(t *testing.T, f Fixture) {
	ctx := testContext(t)
	source := NewSource(1, 3)
	events := source.Take(300)
	first := f.Open(t)
	_, err := Pump(ctx, first, events[:200], 100)
	closeSink(t, first)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Prefix(ctx, first, events[:1]); n != 0 || err == nil {
		t.Errorf("Deliver after Close = %d, %v, want 0 and an error", n, err)
	}
	closeSink(t, first) // A second Close does no harm.
	if _, err := Pump(ctx, open(t, f), events[100:], 100); err != nil {
		t.Fatal(err)
	}
	r := Check(events, f.Read(t))
	if f.Repeats {
		r.Duplicates, r.First = 0, ""
	}
	if !r.OK() {
		t.Fatalf("stored events: %+v", r)
	}
}

// testPermanent: an event that can never be delivered is refused, each time, and what is
// before and after it arrives.
func testPermanent(t *testing.T, f Fixture) {
	if f.TooLarge == 0 {
		return // Nothing is too large for this adapter: there is nothing to hold.
	}
	ctx := testContext(t)
	source := NewSource(1, 3)
	for _, where := range []int{0, 1, 50, 99} {
		sink := open(t, f)
		for round := range 2 { // A fresh sink, and one that has delivered.
			events := source.Take(100)
			events[where].Object.Name = strings.Repeat("x", f.TooLarge)
			refused, _, err := settle(ctx, sink, events, len(events))
			if err != nil {
				t.Fatalf("round %d, too large event at %d: %v", round, where, err)
			}
			if len(refused) != 1 || name(&refused[0]) != name(&events[where]) {
				t.Fatalf("round %d: %d events were refused, want the too large event at %d", round, len(refused), where)
			}
			if o, err := Deliver(ctx, sink, events[where:where+1]); err != nil || o.Refused[0] == nil {
				t.Fatalf("round %d: Deliver of a too large event gave the outcomes %+v and %v, want a permanent error", round, o, err)
			}
			want := slices.Concat(events[:where], events[where+1:])
			stored := f.Read(t)
			if r := Check(want, stored[len(stored)-len(want):]); !r.OK() {
				t.Fatalf("round %d, too large event at %d: stored events: %+v", round, where, r)
			}
		}
	}
}

// testCancel: Deliver returns soon after ctx ends, and before it begins anything when ctx
// has ended.
func testCancel(t *testing.T, f Fixture) {
	ctx := testContext(t)
	sink := open(t, f)
	source := NewSource(1, 500)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if n, err := Prefix(ended, sink, source.Take(10)); n != 0 || err == nil {
		t.Errorf("Deliver with an ended context = %d, %v, want 0 and an error", n, err)
	}
	if f.Stall == nil {
		return
	}
	for _, connected := range []bool{true, false} {
		if connected {
			if _, err := Pump(ctx, sink, source.Take(10), 10); err != nil {
				t.Fatal(err)
			}
			f.Stall(t)
		}
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		begin := time.Now()
		n, err := Prefix(short, sink, source.Take(20_000))
		took := time.Since(begin)
		cancel()
		if err == nil || IsPermanent(err) || took > 2*time.Second {
			t.Errorf("connected %t: Deliver to a stalled side = %d, %v after %v, want a transient error soon after 100ms",
				connected, n, err, took)
		}
	}
}

// testClose: nothing that a sink started outlives Close.
func testClose(t *testing.T, f Fixture) {
	ctx := testContext(t)
	warm := f.Open(t) // What the other side starts once, for its first client, is not the sink's.
	source := NewSource(1, 3)
	_, err := Pump(ctx, warm, source.Take(10), 10)
	closeSink(t, warm)
	if err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	sink := f.Open(t)
	_, err = Pump(ctx, sink, source.Take(2000), 500)
	closeSink(t, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// testBreak: while the other side fails again and again, nothing is lost, stored twice or
// out of order.
func testBreak(t *testing.T, f Fixture, which int) {
	ctx := testContext(t)
	if f.Events == 0 {
		f.Events = 5000
	}
	sink := open(t, f)
	events := NewSource(3, 40).Take(f.Events)
	done := make(chan error, 1)
	go func() {
		_, err := Pump(ctx, sink, events, 500)
		done <- err
	}()
	var err error
	for broken := 0; ; broken++ {
		select {
		case err = <-done:
		default:
			if broken < maxBreaks {
				f.Break[which].Do(t)
				continue
			}
			err = <-done
		}
		t.Logf("%d events, broken %d times", len(events), broken)
		break
	}
	if err != nil {
		t.Fatal(err)
	}
	r := Check(events, f.Read(t))
	if f.Repeats {
		t.Logf("stored again: %d", r.Duplicates)
		r.Duplicates, r.First = 0, ""
	}
	if !r.OK() {
		t.Fatalf("stored events: %+v", r)
	}
}

// testJam: what one key cannot take for long delays no other event's acknowledgement by
// more than one round, and arrives in order when the key takes it again.
func testJam(t *testing.T, f Fixture) {
	ctx := testContext(t)
	sink := open(t, f)
	source := NewSource(2, 40)
	all := source.Take(400)
	if _, err := Pump(ctx, sink, all, 100); err != nil {
		t.Fatal(err)
	}
	jam := f.Jam(t)
	var waiting []schema.Event
	for round := range 8 {
		fresh := source.Take(200)
		all = append(all, fresh...)
		earlier := len(waiting)
		waiting = append(waiting, fresh...)
		o, err := Deliver(ctx, sink, waiting)
		if err != nil {
			t.Fatal(err)
		}
		kept := waiting[:0:0]
		for i := range waiting {
			affected := jam.Affects(&waiting[i])
			switch {
			case o.Refused[i] != nil:
				t.Fatalf("round %d: an event was refused: %v", round, o.Refused[i])
			case o.Acknowledged[i] && affected:
				t.Fatalf("round %d: event %s was acknowledged, which the other side cannot have taken", round, name(&waiting[i]))
			case o.Open(i):
				kept = append(kept, waiting[i])
				if !affected && i < earlier {
					t.Fatalf("round %d: event %s, which nothing is in the way of, was presented before and is not acknowledged (%v)",
						round, name(&waiting[i]), o.Err)
				}
			}
		}
		waiting = kept
	}
	jam.Free()
	if _, err := Pump(ctx, sink, waiting, 500); err != nil {
		t.Fatal(err)
	}
	r := Check(all, f.Read(t))
	if f.Repeats {
		r.Duplicates, r.First = 0, ""
	}
	if !r.OK() {
		t.Fatalf("stored events: %+v", r)
	}
}
