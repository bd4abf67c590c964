package registry

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

// TestReleaseBeforeDeregisterReturns holds law 15.
func TestReleaseBeforeDeregisterReturns(t *testing.T) {
	r := New(Options{})
	released := 0
	reg := lifecycle()
	reg.Release = func() { released++ }
	id, err := r.RegisterAny(reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DeregisterAny(id); err != nil || released != 1 {
		t.Errorf("DeregisterAny = %v with %d releases, want 1", err, released)
	}
	if err := r.DeregisterAny(id); err == nil || released != 1 {
		t.Errorf("the second DeregisterAny = %v with %d releases, want an error and 1", err, released)
	}
}

// TestDeregisterInsideCallback holds laws 16 and 17.
func TestDeregisterInsideCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var order []string // by the recorder only, until the end
		var first, second, third, fourth spy
		add := func(name string, s *spy) ID {
			return w.register(Registration{
				Kinds: []schema.Kind{schema.KindLifecycle}, Callback: s, Sinks: []string{},
				Release: func() { order = append(order, "release "+name) },
			})
		}
		var firstID, thirdID ID
		first.then = func(schema.Observation) {
			for _, id := range []ID{firstID, thirdID} {
				if err := w.DeregisterAny(id); err != nil {
					t.Errorf("DeregisterAny(%d) inside a callback: %v", id, err)
				}
			}
			if err := w.DeregisterAny(firstID); !errors.Is(err, ErrNotRegistered) {
				t.Errorf("the second DeregisterAny inside a callback = %v, want ErrNotRegistered", err)
			}
			order = append(order, "first")
		}
		second.then = func(schema.Observation) { order = append(order, "second") }
		third.then = func(schema.Observation) { order = append(order, "third") }
		fourth.then = func(schema.Observation) { order = append(order, "fourth") }
		firstID = add("first", &first)
		add("second", &second)
		thirdID = add("third", &third)
		add("fourth", &fourth)
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		h.emit(schema.KindLifecycle, uuidA, 2)
		synctest.Wait()
		want := []string{"first", "second", "fourth", "release first", "release third", "second", "fourth"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

// TestRegisterInsideCallback holds law 18.
func TestRegisterInsideCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var first, inner spy
		first.then = func(o schema.Observation) {
			if o.Detail == 1 {
				w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &inner})
			}
		}
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &first})
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 2)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 2"}, inner.lines()); diff != "" {
			t.Errorf("inner (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"lifecycle a 1", "lifecycle a 2"}, first.lines()); diff != "" {
			t.Errorf("outer (-want +got):\n%s", diff)
		}
	})
}

// TestDeregisterDropsTheQueued holds laws 19 and 20.
func TestDeregisterDropsTheQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var callback spy
		observer := w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &callback})
		last := w.register(lifecycle())
		synctest.Wait()
		w.journal.gate = make(chan struct{})
		h.emit(schema.KindLifecycle, uuidA, 1) // taken up
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 2) // queued
		w.deregister(observer)
		synctest.Wait()
		w.journal.gate <- struct{}{}
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 3) // queued
		h.emit(schema.KindLifecycle, uuidA, 4) // queued
		w.deregister(last)
		close(w.journal.gate)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 1", "lifecycle a 2"}, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
		if got := callback.lines(); len(got) != 0 {
			t.Errorf("the deregistered callback has seen %q", got)
		}
		if s := w.stat("kvm01"); s.Unmatched != 2 || s.Queued != 0 || s.Filters != 0 {
			t.Errorf("stats: %+v, want 2 unmatched, no filter", s)
		}
	})
}

// TestObservationsMayBeKept holds law 21.
func TestObservationsMayBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var kept []schema.Observation
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: ObserverFunc(func(o schema.Observation) {
			kept = append(kept, o)
		})})
		synctest.Wait()
		for i := range int32(500) {
			h.emit(schema.KindLifecycle, uuidA, i)
			if i%10 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		for i, o := range kept {
			if o.Detail != int32(i) || o.Object.Name != "d" {
				t.Fatalf("observation %d became %+v", i, o)
			}
		}
		if len(kept) != 500 {
			t.Errorf("kept %d, want 500", len(kept))
		}
	})
}

// TestRegistrationsOutliveSessions holds laws 23 and 24.
func TestRegistrationsOutliveSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		released := 0
		reg := lifecycle()
		reg.Release = func() { released++ }
		id := w.register(reg)
		w.register(Registration{Kinds: []schema.Kind{kindReboot}, Domain: &uuidA})
		synctest.Wait()
		before := h.filters()
		h.cut()
		time.Sleep(time.Minute)
		if diff := cmp.Diff(before, h.filters()); diff != "" {
			t.Errorf("filters of the second session (-first +second):\n%s", diff)
		}
		w.stop()
		if released != 0 {
			t.Errorf("released %d times by the end of Run", released)
		}
		w.deregister(id)
		if released != 1 {
			t.Errorf("released %d times after DeregisterAny, want 1", released)
		}
	})
}

// TestLateEventsAreNotSeen holds law 25.
func TestLateEventsAreNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var callback spy
		id := w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &callback})
		synctest.Wait()
		w.deregister(id)
		synctest.Wait()
		s := h.current()
		s.deliver(s.observation(schema.KindLifecycle, uuidA, 1))
		synctest.Wait()
		if got := callback.lines(); len(got) != 0 {
			t.Errorf("saw %q", got)
		}
		if s := w.stat("kvm01"); s.Unmatched != 1 {
			t.Errorf("stats: %+v, want 1 unmatched", s)
		}
	})
}

// TestEachOncePerMatchingRegistrationInOrder holds law 26.
func TestEachOncePerMatchingRegistrationInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{QueueBytes: 128 << 20}, h)
		defer w.stop()
		spies := make([]spy, 3)
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &spies[0]})
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA, Callback: &spies[1]})
		w.register(Registration{Kinds: []schema.Kind{kindReboot, schema.KindLifecycle}, Callback: &spies[2]})
		synctest.Wait()
		const n = 20000
		var all, ofA []string
		for i := range int32(n) {
			domain := uuidA
			if i%3 == 0 {
				domain = uuidB
			}
			h.emit(schema.KindLifecycle, domain, i)
			text := line(schema.Observation{Kind: schema.KindLifecycle, Object: schema.Object{UUID: domain}, Detail: i})
			all = append(all, text)
			if domain == uuidA {
				ofA = append(ofA, text)
			}
		}
		synctest.Wait()
		for i, want := range [][]string{all, ofA, all} {
			if diff := cmp.Diff(want, spies[i].lines()); diff != "" {
				t.Errorf("callback %d (-want +got):\n%s", i, diff)
			}
		}
		if diff := cmp.Diff(all, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	})
}
