package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

func TestOneCallbackPerKindAndFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		ofA := Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA}
		ofB := Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidB}
		elsewhere := lifecycle()
		elsewhere.Connections = []string{"lxc*"}
		check := func(step string, want ...string) {
			t.Helper()
			settled()
			if diff := cmp.Diff(want, h.callbacks()); diff != "" {
				t.Errorf("%s: callbacks (-want +got):\n%s", step, diff)
			}
		}
		first := w.register(ofA)
		again := w.register(ofA)
		w.register(elsewhere)
		check("one domain", "lifecycle/a")
		w.register(ofB)
		check("two domains", "lifecycle/a", "lifecycle/b")
		w.deregister(first)
		check("two domains, one registration fewer", "lifecycle/a", "lifecycle/b")
		w.deregister(again)
		check("the other domain", "lifecycle/b")
		all := w.register(lifecycle())
		check("every domain", "lifecycle/all")
		w.register(ofA)
		check("every domain, still", "lifecycle/all")
		w.deregister(all)
		check("two domains again", "lifecycle/a", "lifecycle/b")
		if s := w.stat("kvm01"); s.Losses != 0 || s.Refused != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// TestChangeOver sends events at every step of a change from callbacks of domains to one of all and
// back: each must be recorded exactly once, in order.
func TestChangeOver(t *testing.T) {
	for _, delay := range []time.Duration{0, 3 * time.Millisecond} {
		t.Run(fmt.Sprint("replies after ", delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &host{name: "kvm01"}
				h.setDelay(delay)
				w := watch(t, Options{}, h)
				defer w.stop()
				w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA})
				w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidB})
				settled()
				var want []string
				next := int32(0)
				emit := func() {
					domain := uuidA
					if next%3 == 0 {
						domain = uuidB
					}
					// Events of one domain come in equal pairs, as a reset's reboots do.
					detail := next / 4
					next++
					h.emit(schema.KindLifecycle, domain, detail)
					want = append(want, fmt.Sprintf("lifecycle %x %d", domain[0], detail))
				}
				for range 4 {
					all := w.register(lifecycle())
					for range 500 {
						emit()
						time.Sleep(time.Millisecond)
					}
					w.deregister(all)
					for range 500 {
						emit()
						time.Sleep(time.Millisecond)
					}
				}
				synctest.Wait()
				if diff := cmp.Diff(want, w.journal.lines()); diff != "" {
					t.Errorf("recorded (-want +got):\n%s", diff)
				}
				s := w.stat("kvm01")
				if s.Copies == 0 || s.Lost != 0 || s.Unmatched != 0 || s.Losses != 0 {
					t.Errorf("stats: %+v, want copies, and nothing lost", s)
				}
				t.Logf("%d copies dropped", s.Copies)
			})
		})
	}
}

func TestChangeOverKeepsTheOldWhereTheNewIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA})
		settled()
		h.mu.Lock()
		h.refuse = map[schema.Kind]bool{schema.KindLifecycle: true}
		h.mu.Unlock()
		all := w.register(lifecycle())
		settled()
		h.emit(schema.KindLifecycle, uuidA, 1)
		w.register(Registration{Kinds: []schema.Kind{kindReboot}})
		settled()
		h.emit(schema.KindLifecycle, uuidA, 2)
		w.deregister(all)
		settled()
		h.emit(schema.KindLifecycle, uuidA, 3)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 1", "lifecycle a 2", "lifecycle a 3"}, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	})
}

func TestCopyFilter(t *testing.T) {
	type step struct {
		callback int32
		detail   int32
		drop     bool
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
			f := copyFilter{active: true}
			for i, s := range test.steps {
				o := numbered(s.detail)[0]
				o.CallbackID = s.callback
				if got := f.drop(&o); got != s.drop {
					t.Errorf("step %d: drop = %v, want %v", i, got, s.drop)
				}
			}
		})
	}
}

func TestCopyFilterForgets(t *testing.T) {
	q := testQueue(10)
	q.expectCopies()
	q.push(numbered(1))
	q.forgetCopies(time.Now().Add(time.Second))
	o := numbered(1)
	o[0].CallbackID = 1
	q.push(o) // An equal event from the new callback, after the old one ended.
	if got := takeAll(q); len(got) != 2 {
		t.Errorf("took %q, want both", got)
	}
	q.endCopies()
	o[0].CallbackID = 0
	q.push(o)
	o[0].CallbackID = 1
	q.push(o)
	if got := takeAll(q); len(got) != 2 {
		t.Errorf("took %q after the change-over, want both", got)
	}
}

func TestDriverOf(t *testing.T) {
	fails := DriverOf(func(context.Context, func([]schema.Observation)) (*hostSession, error) { return nil, errCut })
	if s, err := fails.Open(t.Context(), nil); s != nil || !errors.Is(err, errCut) {
		t.Errorf("Open = %v, %v, want a nil interface and the error", s, err)
	}
	opened := &hostSession{}
	opens := DriverOf(func(context.Context, func([]schema.Observation)) (*hostSession, error) { return opened, nil })
	if s, err := opens.Open(t.Context(), nil); s != opened || err != nil {
		t.Errorf("Open = %v, %v", s, err)
	}
}
