package registry

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// positioned delivers observations with a position behind them.
func (s *hostSession) positioned(position string, observations ...schema.Observation) {
	s.out(drivers.Batch{Observations: observations, Position: schema.Position(position)})
}

func (w *watching) positions() []string {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return append([]string{}, w.journal.positions...)
}

// TestPositionsBecomeDurableWithWhatIsBeforeThem holds that a position is in the batch
// that has the last observation before it, and that one without observations becomes
// durable by itself, at most once a second.
func TestPositionsBecomeDurableWithWhatIsBeforeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		s := h.current()
		s.positioned("1", s.observation(schema.KindLifecycle, uuidA, 1))
		synctest.Wait()
		for i := range 50 { // matched by nothing
			s.positioned(fmt.Sprint(2+i), s.observation(kindReboot, uuidA, 2))
			time.Sleep(100 * time.Millisecond)
		}
		s.positioned("90")
		s.positioned("100", s.observation(schema.KindLifecycle, uuidA, 3))
		synctest.Wait()
		s.deliver(s.observation(schema.KindLifecycle, uuidA, 4)) // without one: unchanged
		synctest.Wait()
		got := w.positions()
		if len(got) < 4 || len(got) > 7 || got[0] != "1 after 1" || got[len(got)-1] != "100 after 2" {
			t.Errorf("positions %q, want the first and the last, and one a second between", got)
		}
	})
}

// TestPositionThatWaitsIsRecordedAtTheEnd holds that no position is left behind.
func TestPositionThatWaitsIsRecordedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		w.register(lifecycle())
		synctest.Wait()
		h.current().positioned("7")
		w.stop()
		if diff := cmp.Diff([]string{"7 after 0"}, w.positions()); diff != "" {
			t.Errorf("positions (-want +got):\n%s", diff)
		}
	})
}

// TestResume holds that the first session resumes behind the durable position, later ones
// behind what was queued, and that a session that resumed has no gap.
func TestResume(t *testing.T) {
	for _, resumes := range []bool{true, false} {
		t.Run(fmt.Sprint("resumes: ", resumes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &host{name: "kvm01", history: resumes}
				w := watch(t, Options{Position: func(connection string) schema.Position {
					return schema.Position("durable of " + connection)
				}}, h)
				defer w.stop()
				w.register(lifecycle())
				synctest.Wait()
				w.journal.setFail(errors.New("disk full"))
				s := h.current()
				s.positioned("1", s.observation(schema.KindLifecycle, uuidA, 1))
				synctest.Wait()
				s = h.current()
				s.positioned("2", s.observation(schema.KindLifecycle, uuidA, 2))
				h.cut()
				time.Sleep(time.Minute)
				w.journal.setFail(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				if diff := cmp.Diff([]string{"durable of kvm01", "2"}, h.resumed); diff != "" {
					t.Errorf("opened at (-want +got):\n%s", diff)
				}
				want := []string{"lifecycle a 1", "lifecycle a 2"}
				if !resumes {
					want = []string{"gap disconnected 0", "lifecycle a 1", "lifecycle a 2", "gap disconnected 0"}
				}
				if diff := cmp.Diff(want, w.journal.lines()); diff != "" {
					t.Errorf("recorded (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestBatchesEndAtPositions holds that what is recorded at once ends behind a position,
// so that a crash between two batches repeats nothing.
func TestBatchesEndAtPositions(t *testing.T) {
	q := testQueue(1 << 20)
	next := int32(0)
	for range 500 { // batches of 1 to 100 observations
		var details []int32
		for range 1 + next%100 {
			details = append(details, next)
			next++
		}
		q.push(drivers.Batch{Observations: numbered(details...), Position: schema.Position(fmt.Sprint(next))})
	}
	taken := 0
	for c := q.take(); c != nil; c = q.take() {
		size := 0
		var last string
		for ; c != nil; c = c.next {
			size += c.n
			for _, m := range c.marks {
				last = string(m.position)
			}
		}
		taken += size
		if size > batchLength {
			t.Fatalf("a batch of %d", size)
		}
		if last != fmt.Sprint(taken) {
			t.Fatalf("a batch ends behind observation %d, its position is %s", taken, last)
		}
		q.done(tally{recorded: uint64(size)})
	}
	if taken != int(next) {
		t.Errorf("took %d of %d", taken, next)
	}
}

// TestListingKeepsItsPlace holds that a listing travels between the observations, with
// the routes of the registrations.
func TestListingKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA, Sinks: []string{"bus"}})
		synctest.Wait()
		w.journal.setFail(errors.New("disk full"))
		s := h.current()
		listing := &schema.Listing{Connection: s.connection, Received: time.Now().UTC(), Complete: true, Domains: make([]schema.ListedDomain, 3)}
		s.out(drivers.Batch{
			Observations: []schema.Observation{s.observation(schema.KindLifecycle, uuidA, 1)},
			Listing:      listing, Position: schema.Position("p"),
		})
		s.deliver(s.observation(schema.KindLifecycle, uuidA, 2))
		w.journal.setFail(nil)
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"lifecycle a 1", "listing of 3", "lifecycle a 2"}, w.journal.lines()); diff != "" {
			t.Fatalf("recorded (-want +got):\n%s", diff)
		}
		m := w.journal.all()[1]
		if m.Listing != listing || m.Connection != s.connection || !m.Received.Equal(listing.Received) {
			t.Errorf("the listing came as %+v", m)
		}
		ofA, ofB := s.observation(schema.KindLifecycle, uuidA, 0), s.observation(schema.KindLifecycle, uuidB, 0)
		if sinks, ok := m.Route(&ofA); !ok || !cmp.Equal(sinks, []string{"bus"}) {
			t.Errorf("events of the domain go to %v, %v", sinks, ok)
		}
		if sinks, ok := m.Route(&ofB); ok {
			t.Errorf("events of another domain go to %v", sinks)
		}
		if s := w.stat("kvm01"); s.Listings != 1 || s.Received != 2 || s.Queued != 0 || s.QueuedBytes != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}
