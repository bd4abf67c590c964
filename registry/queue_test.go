package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// fakeSize is the size of an observation of a host, numberedSize that of numbered's.
const fakeSize, numberedSize = 193, 192

// testQueue returns a queue with room for so many observations of numbered, and a budget
// of its own that does not bound it.
func testQueue(bound int) *queue {
	return newQueue(newPool(), &budget{limit: 1 << 40}, bound*numberedSize)
}

func pushAll(q *queue, observations []schema.Observation) {
	q.push(drivers.Batch{Observations: observations})
}

func numbered(details ...int32) []schema.Observation {
	observations := make([]schema.Observation, 0, len(details))
	for _, d := range details {
		observations = append(observations, schema.Observation{
			Kind: schema.KindLifecycle, Detail: d, Object: schema.Object{UUID: uuidA}, Received: time.Now().UTC(),
		})
	}
	return observations
}

// takeAll takes one batch, counts it as recorded, and names what was in it.
func takeAll(q *queue) []string {
	lines := []string{}
	var outcome tally
	for c := q.take(); c != nil; c = c.next {
		for _, o := range c.observations[:c.n] {
			lines = append(lines, line(o))
			if o.Gap == nil {
				outcome.recorded++
			}
		}
	}
	q.done(outcome)
	return lines
}

func TestOverrunIsDeclaredBeforeAnythingNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{QueueBytes: 101 * fakeSize}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		w.journal.setFail(errors.New("journal full"))
		h.emit(schema.KindLifecycle, uuidA, 0)
		synctest.Wait() // The recorder has it in hand.
		var want []string
		var firstLost, lastLost time.Time
		for i := range int32(151) {
			time.Sleep(time.Millisecond)
			h.emit(schema.KindLifecycle, uuidA, i+1)
			switch i {
			case 100:
				firstLost = time.Now()
			case 150:
				lastLost = time.Now()
			}
		}
		for i := range 101 {
			want = append(want, fmt.Sprintf("lifecycle a %d", i))
		}
		w.balanced()
		if s := w.stat("kvm01"); s.Lost != 51 || s.Queued != 101 || s.Received != 152 {
			t.Errorf("stats: %+v, want 51 lost of 152, and 101 queued", s)
		}
		w.journal.setFail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1000)
		synctest.Wait()
		want = append(want, "gap overrun 51", "lifecycle a 1000")
		if diff := cmp.Diff(want, w.journal.lines()); diff != "" {
			t.Fatalf("recorded (-want +got):\n%s", diff)
		}
		gap := w.journal.all()[101]
		if !gap.UnobservedSince.Equal(firstLost) || gap.Gap.Until.Before(lastLost) || gap.Connection != h.current().connection {
			t.Errorf("gap from %v to %v, want from %v to %v at the earliest", gap.UnobservedSince, gap.Gap.Until, firstLost, lastLost)
		}
		if s := w.stat("kvm01"); s.Lost != 51 || s.Queued != 0 || s.Gaps != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestQueueTakesAtMostABatch(t *testing.T) {
	q := testQueue(1 << 20)
	for i := range int32(5000) {
		pushAll(q, numbered(i))
	}
	got := 0
	for {
		lines := takeAll(q)
		if len(lines) == 0 {
			break
		}
		if len(lines) > batchLength {
			t.Errorf("a batch of %d", len(lines))
		}
		got += len(lines)
	}
	if got != 5000 {
		t.Errorf("took %d, want 5000", got)
	}
	if q.head != nil || q.tail != nil {
		t.Error("the empty queue owns a chunk")
	}
}

func TestQueueHoldsWhatFollowsAGap(t *testing.T) {
	q := testQueue(1000)
	since := time.Now().UTC()
	pushAll(q, numbered(1, 2))
	q.hold(nil, since)
	pushAll(q, numbered(3))
	if diff := cmp.Diff([]string{"lifecycle a 1", "lifecycle a 2"}, takeAll(q)); diff != "" {
		t.Errorf("before release (-want +got):\n%s", diff)
	}
	if got := takeAll(q); len(got) != 0 {
		t.Errorf("before release, again: %q", got)
	}
	q.release(since.Add(time.Second))
	if diff := cmp.Diff([]string{"gap disconnected 0", "lifecycle a 3"}, takeAll(q)); diff != "" {
		t.Errorf("after release (-want +got):\n%s", diff)
	}
	q.release(since) // nothing is held: no effect
	if s, queued, _ := q.snapshot(); queued != 0 || s.received != 3 || s.recorded != 3 {
		t.Errorf("tally %+v with %d queued", s, queued)
	}
}

// TestQueueKeepsItsSum pushes, takes, holds and releases at random from two goroutines,
// and checks the sum all the while, and that gaps say exactly what is missing, where it
// is missing.
func TestQueueKeepsItsSum(t *testing.T) {
	const bound, total = 200, 100000
	q := testQueue(bound)
	var pushing sync.WaitGroup
	pushing.Go(func() {
		rng := rand.New(rand.NewPCG(1, 2))
		held := false
		for next := int32(0); next < total; {
			var details []int32
			for range rng.IntN(20) {
				details = append(details, next)
				next++
			}
			pushAll(q, numbered(details...))
			switch n := rng.IntN(100); {
			case n < 2 && !held:
				q.hold(nil, time.Now())
				held = true
			case n < 20 && held:
				q.release(time.Now())
				held = false
			}
		}
		q.release(time.Now())
		q.close()
	})
	next, missing := int32(0), uint64(0)
	for !q.drained() {
		var outcome tally
		for c := q.take(); c != nil; c = c.next {
			for i := range c.observations[:c.n] {
				o := &c.observations[i]
				if o.Gap == nil {
					outcome.recorded++
					if o.Detail != next {
						t.Fatalf("got %d after %d without a gap", o.Detail, next-1)
					}
					next++
				} else {
					missing += o.Gap.Lost
					next += int32(o.Gap.Lost)
				}
			}
		}
		q.done(outcome)
		s, queued, _ := q.snapshot()
		if s.received != s.recorded+queued+s.lost {
			t.Fatalf("received %d, recorded %d, queued %d, lost %d", s.received, s.recorded, queued, s.lost)
		}
		if queued > bound {
			t.Fatalf("%d queued, bound %d", queued, bound)
		}
	}
	pushing.Wait()
	s, _, _ := q.snapshot()
	if s.lost != missing || s.lost == 0 || s.received != s.recorded+s.lost {
		t.Errorf("lost %d, declared %d, recorded %d, received %d", s.lost, missing, s.recorded, s.received)
	}
}

func TestStopDrainsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		w.register(lifecycle())
		synctest.Wait()
		w.journal.setFail(errors.New("disk full"))
		for i := range int32(5000) {
			h.emit(schema.KindLifecycle, uuidA, i)
		}
		w.cancel()
		synctest.Wait()
		if h.current().Err() != nil || !h.over() {
			t.Error("the session was not closed")
		}
		time.Sleep(DefaultDrainTimeout / 2)
		w.journal.setFail(nil)
		w.stop()
		if s := w.stat("kvm01"); s.Recorded != 5000 || s.Lost != 0 {
			t.Errorf("stats: %+v, want everything recorded", s)
		}
	})
}

func TestStopCountsWhatIsLeft(t *testing.T) {
	tests := []struct {
		name   string
		record func(context.Context, schema.MatchedBatch) error
	}{
		{"record fails", func(context.Context, schema.MatchedBatch) error { return errors.New("disk full") }},
		{"record hangs", func(ctx context.Context, _ schema.MatchedBatch) error {
			<-ctx.Done()
			return ctx.Err()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &host{name: "kvm01"}
				w := watch(t, Options{Record: test.record, DrainTimeout: 3 * time.Second}, h)
				w.register(lifecycle())
				synctest.Wait()
				for i := range int32(5000) {
					h.emit(schema.KindLifecycle, uuidA, i)
				}
				synctest.Wait()
				stopped := time.Now()
				w.stop()
				if took := time.Since(stopped); took != 3*time.Second {
					t.Errorf("stopping took %v, want the drain timeout", took)
				}
				if s := w.stat("kvm01"); s.Lost != 5000 || s.Queued != 0 {
					t.Errorf("stats: %+v, want 5000 lost", s)
				}
			})
		})
	}
}
