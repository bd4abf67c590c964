package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

// keyed is a sink that gives each event its own outcome: stuck says which keys it does
// not take now, refuses which events it never takes. It holds the law of order within a
// call, and checks it over calls.
type keyed struct {
	mu      sync.Mutex
	stuck   func(e *schema.Event) bool
	refuses func(e *schema.Event) bool
	stored  []schema.Event
	open    []schema.Event // presented, and without outcome
	breach  error
	rounds  int
	largest int
}

func newKeyed() *keyed {
	return &keyed{stuck: func(*schema.Event) bool { return false }}
}

func (k *keyed) set(stuck func(e *schema.Event) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stuck = stuck
}

func (k *keyed) Deliver(_ context.Context, events []schema.Event, outcome func(int, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rounds++
	k.largest = max(k.largest, len(events))
	presented := map[string]bool{}
	for i := range events {
		presented[events[i].ID()] = true
	}
	var open []schema.Event
	absent, held := newest{}, newest{}
	for i := range k.open { // What had no outcome comes before, or with, what must wait for it.
		if !presented[k.open[i].ID()] {
			open = append(open, k.open[i])
			absent.add(&k.open[i])
		}
	}
	var err error
	for i := range events {
		e := &events[i]
		if absent.mustWait(e) && k.breach == nil {
			k.breach = fmt.Errorf("%d was presented without an earlier one that has no outcome", e.Sequence)
		}
		switch {
		case k.stuck(e) || held.mustWait(e):
			held.add(e)
			open = append(open, *e)
			err = errors.New("a key is stuck")
		case k.refuses != nil && k.refuses(e):
			outcome(i, sinks.Permanent(errors.New("refused")))
		default:
			k.stored = append(k.stored, *e)
			outcome(i, nil)
		}
	}
	k.open = open
	return err
}

// newest has the smallest sequence of the events of each domain, and of each connection
// and of what is about it as a whole, by the name of it.
type newest map[string]uint64

func (n newest) add(e *schema.Event) {
	names := []string{"all " + e.Connection.Name, e.Object.UUID.String()}
	if e.Object.IsConnection() {
		names[1] = "whole " + e.Connection.Name
	}
	for _, name := range names {
		if at, ok := n[name]; !ok || e.Sequence < at {
			n[name] = e.Sequence
		}
	}
}

// mustWait reports whether e must wait for an earlier one, by sinktest.MustWait's law.
func (n newest) mustWait(e *schema.Event) bool {
	names := []string{"whole " + e.Connection.Name, e.Object.UUID.String()}
	if e.Object.IsConnection() {
		names = []string{"all " + e.Connection.Name}
	}
	for _, name := range names {
		if at, ok := n[name]; ok && at < e.Sequence {
			return true
		}
	}
	return false
}

// settled waits until n events are stored, and returns all that are.
func (k *keyed) settled(t *testing.T, n int) []schema.Event {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Second); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		stored, breach := k.stored[:len(k.stored):len(k.stored)], k.breach
		k.mu.Unlock()
		if breach != nil {
			t.Fatal(breach)
		}
		if len(stored) >= n {
			return stored
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events are stored, want %d", len(stored), n)
		}
	}
}

func detailIs(d int32) func(e *schema.Event) bool {
	return func(e *schema.Event) bool { return e.Detail == d }
}

func domainIs(d int) func(e *schema.Event) bool {
	return func(e *schema.Event) bool { return e.Object.UUID == domain(d).UUID }
}

// TestStuckKeyHoldsUpItselfOnly: events of the other domains go on at once, while one
// fails.
func TestStuckKeyHoldsUpItselfOnly(t *testing.T) {
	k := newKeyed()
	k.stuck = domainIs(0)
	registry := prometheus.NewRegistry()
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{Registerer: registry}, map[string]bridge.Sink{"k": k})
	const each = 200
	var slowest time.Duration
	for n := range each {
		record(t, r.Bridge, observe(0, n), observe(1, n))
		recorded := time.Now()
		stored := k.settled(t, n+1)
		if took := time.Since(recorded); took > slowest {
			slowest = took
		}
		if last := stored[len(stored)-1]; last.Object.UUID != domain(1).UUID {
			t.Fatalf("%s was stored, which is stuck", last.Object.Name)
		}
	}
	if slowest > 2*time.Second {
		t.Errorf("an event of the other domain took %v", slowest)
	}
	got := values(t, registry)
	if got["virtcast_sink_delivered_total"] != each || got["virtcast_sink_pending"] != each || got["virtcast_sink_failing"] != 1 {
		t.Errorf("delivered %v, pending %v, failing %v; want %d, %d and 1", got["virtcast_sink_delivered_total"],
			got["virtcast_sink_pending"], got["virtcast_sink_failing"], each, each)
	}
	k.set(func(*schema.Event) bool { return false })
	verifyDomains(t, k.settled(t, 2*each), 1)
}

// TestRefusedBehindStuck: a dead letter is made at once, though the cursor cannot pass it
// yet; after a restart what was stored behind the cursor is delivered again, with the
// same ids.
func TestRefusedBehindStuck(t *testing.T) {
	dir := t.TempDir()
	k := newKeyed()
	k.stuck, k.refuses = domainIs(0), detailIs(5)
	registry := prometheus.NewRegistry()
	r := start(t, dir, journal.Options{}, bridge.Options{Registerer: registry, DrainTimeout: -1}, map[string]bridge.Sink{"k": k})
	record(t, r.Bridge, observe(1, 1), observe(0, 2), observe(1, 3), observe(2, 5), observe(1, 6))
	first := k.settled(t, 3)
	for deadline := time.Now().Add(10 * time.Second); len(letters(t, r.journal)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no dead letter")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := values(t, registry)
		if got["virtcast_sink_dead_letters_total"] == 1 && got["virtcast_sink_pending"] == 1 && got["virtcast_sink_delivered_total"] == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("accounts: %v", got)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := newKeyed()
	r = start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"k": again})
	stored := again.settled(t, 4) // 2, and what was behind it; the first is not delivered again.
	if stored[0].Detail != 2 || stored[1].ID() != first[1].ID() || stored[2].Detail != 5 || stored[3].ID() != first[2].ID() {
		t.Errorf("delivered again: %v", stored)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestStuckForLong fills far more than the memory of the backlog with one key's events,
// and holds that the others go on, that a second key which was stuck for a short time is
// not held up by the first, and that everything arrives in order in the end.
func TestStuckForLong(t *testing.T) {
	k := newKeyed()
	k.stuck = domainIs(0)
	r := start(t, t.TempDir(), journal.Options{SegmentBytes: 1 << 20}, bridge.Options{}, map[string]bridge.Sink{"k": k})
	const rounds, each = 30, 200
	want, stuckForAWhile := 0, 0
	for n := range rounds {
		if n == rounds/2 {
			k.set(func(e *schema.Event) bool { return domainIs(0)(e) || domainIs(1)(e) })
		}
		if n == rounds/2+5 {
			k.set(domainIs(0))
			want += stuckForAWhile
		}
		batch := make([]schema.Matched, 0, 3*each)
		for i := range each {
			batch = append(batch, observe(0, n*each+i), observe(1, n*each+i), observe(2, n*each+i))
		}
		record(t, r.Bridge, batch...)
		want += each
		if n >= rounds/2 && n < rounds/2+5 {
			stuckForAWhile += each
		} else {
			want += each
		}
		k.settled(t, want)
	}
	k.set(func(*schema.Event) bool { return false })
	stored := k.settled(t, 3*rounds*each)
	verifyDomains(t, stored, 1)
	t.Logf("%d rounds, the largest of %d events", k.rounds, k.largest)
}

// TestBacklogLives goes through random faults by key, with gaps among the events, and a
// memory that is always full.
func TestBacklogLives(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 7))
		k := newKeyed()
		k.refuses = detailIs(17)
		r := start(t, t.TempDir(), journal.Options{SegmentBytes: 256 << 10}, bridge.Options{}, map[string]bridge.Sink{"k": k})
		total, refused := 0, 0
		for range 40 {
			mask := rng.Uint32() & rng.Uint32()
			k.set(func(e *schema.Event) bool { return mask>>(e.Object.UUID[15]%32)&1 == 1 })
			for range 1 + rng.IntN(4) {
				var batch []schema.Matched
				for range 1 + rng.IntN(300) {
					m := observe(rng.IntN(20), total)
					if rng.IntN(200) == 0 {
						m.Kind, m.Object, m.Gap = schema.KindGap, schema.Object{}, &schema.Gap{Reason: schema.GapOverrun}
					}
					if m.Detail == 17 {
						refused++
					}
					batch = append(batch, m)
					total++
				}
				record(t, r.Bridge, batch...)
			}
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
		k.set(func(*schema.Event) bool { return false })
		k.settled(t, total-refused)
		r.settled(t) // Nothing follows.
		stored := k.settled(t, total-refused)
		if len(stored) != total-refused {
			t.Fatalf("seed %d: %d events are stored, want %d", seed, len(stored), total-refused)
		}
		position := map[int32]int{}
		for i := range stored {
			if _, twice := position[stored[i].Detail]; twice {
				t.Fatalf("seed %d: event %d is stored twice", seed, stored[i].Detail)
			}
			position[stored[i].Detail] = i
		}
		var last [256]int32
		lastGap, highest := int32(-1), int32(-1)
		for i := range stored {
			e := &stored[i]
			if e.Object.IsConnection() {
				if e.Detail < highest {
					t.Fatalf("seed %d: the gap %d is stored after %d", seed, e.Detail, highest)
				}
				lastGap = e.Detail
			} else if d := e.Object.UUID[15]; e.Detail < last[d] || e.Detail < lastGap {
				t.Fatalf("seed %d: %d of domain %d is stored after %d and the gap %d", seed, e.Detail, d, last[d], lastGap)
			} else {
				last[d] = e.Detail
			}
			highest = max(highest, e.Detail)
		}
	}
}
