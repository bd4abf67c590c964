package registry

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

// The numbers in the names of these tests are those of the list in the package comment.

// TestFirstIDIsZero holds law 1.
func TestFirstIDIsZero(t *testing.T) {
	if id, err := New(Options{}).RegisterAny(lifecycle()); id != 0 || err != nil {
		t.Errorf("RegisterAny = %d, %v, want 0", id, err)
	}
}

// TestIDsAreNeverUsedAgain holds law 2.
func TestIDsAreNeverUsedAgain(t *testing.T) {
	r := New(Options{})
	var ids []ID
	for range 4 {
		id, err := r.RegisterAny(lifecycle())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := r.DeregisterAny(ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.DeregisterAny(ids[3]); err != nil {
		t.Fatal(err)
	}
	id, err := r.RegisterAny(lifecycle())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ID{0, 1, 2, 3, 4}, append(ids, id)); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

// counting is an observer that can be compared only sometimes: an interface in a struct.
type counting struct{ key any }

func (counting) Observe(schema.Observation) {}

// TestSameCallbackAndFilterIsRefused holds law 3.
func TestSameCallbackAndFilterIsRefused(t *testing.T) {
	same := &spy{}
	function := ObserverFunc(func(schema.Observation) {})
	base := Registration{Kinds: []schema.Kind{schema.KindLifecycle, kindReboot}, Domain: &uuidA, Connections: []string{"kvm*"}, Callback: same}
	with := func(change func(*Registration)) Registration {
		reg := base
		change(&reg)
		return reg
	}
	tests := []struct {
		name          string
		first, second Registration
		refused       bool
	}{
		{"the same", base, base, true},
		{"the same with other sinks", base, with(func(r *Registration) { r.Sinks = []string{"bus"} }), true},
		{"the same kinds in another order and twice", base, with(func(r *Registration) {
			r.Kinds = []schema.Kind{kindReboot, schema.KindLifecycle, kindReboot}
		}), true},
		{"another callback", base, with(func(r *Registration) { r.Callback = &spy{} }), false},
		{"no domain", base, with(func(r *Registration) { r.Domain = nil }), false},
		{"another domain", base, with(func(r *Registration) { r.Domain = &uuidB }), false},
		{"fewer kinds", base, with(func(r *Registration) { r.Kinds = r.Kinds[:1] }), false},
		{"other connections", base, with(func(r *Registration) { r.Connections = nil }), false},
		{"no callback", with(func(r *Registration) { r.Callback = nil }), with(func(r *Registration) { r.Callback = nil }), false},
		{"a function", with(func(r *Registration) { r.Callback = function }), with(func(r *Registration) { r.Callback = function }), false},
		{"a pointer to a function", with(func(r *Registration) { r.Callback = &function }), with(func(r *Registration) { r.Callback = &function }), true},
		{"equal values", with(func(r *Registration) { r.Callback = counting{1} }), with(func(r *Registration) { r.Callback = counting{1} }), true},
		{
			"values that cannot be compared", with(func(r *Registration) { r.Callback = counting{[]int{1}} }),
			with(func(r *Registration) { r.Callback = counting{[]int{1}} }), false,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := New(Options{})
			if _, err := r.RegisterAny(test.first); err != nil {
				t.Fatal(err)
			}
			released := false
			test.second.Release = func() { released = true }
			_, err := r.RegisterAny(test.second)
			if errors.Is(err, ErrTracked) != test.refused {
				t.Errorf("the second RegisterAny = %v, want refused: %v", err, test.refused)
			}
			if released {
				t.Error("the second registration was released")
			}
		})
	}
}

// TestDifferentCallbacksAndFilters holds laws 4 and 5.
func TestDifferentCallbacksAndFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var first, second spy
		one := Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &first, Sinks: []string{}}
		other := one
		other.Callback = &second
		reboot := one
		reboot.Kinds = []schema.Kind{kindReboot}
		w.register(one)
		w.register(other)
		w.register(reboot)
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		h.emit(kindReboot, uuidA, 2)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 1", line(rebootOf(uuidA, 2))}, first.lines()); diff != "" {
			t.Errorf("first callback (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"lifecycle a 1"}, second.lines()); diff != "" {
			t.Errorf("second callback (-want +got):\n%s", diff)
		}
		if s := w.stat("kvm01"); s.Filters != 2 || s.Observed != 2 || s.Recorded != 0 {
			t.Errorf("stats: %+v, want two filters, nothing recorded", s)
		}
	})
}

func rebootOf(domain schema.UUID, detail int32) schema.Observation {
	return schema.Observation{Kind: kindReboot, Object: schema.Object{UUID: domain}, Detail: detail}
}

// TestGlobalAndDomainBothFire holds law 8.
func TestGlobalAndDomainBothFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		var same spy
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Callback: &same, Sinks: []string{"bus", "screen"}})
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA, Callback: &same, Sinks: []string{"audit", "bus"}})
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		h.emit(schema.KindLifecycle, uuidB, 2)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 1", "lifecycle a 1", "lifecycle b 2"}, same.lines()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		var sinks [][]string
		for _, m := range w.journal.all() {
			sinks = append(sinks, m.Sinks)
		}
		if diff := cmp.Diff([][]string{{"audit", "bus", "screen"}, {"bus", "screen"}}, sinks); diff != "" {
			t.Errorf("sinks (-want +got):\n%s", diff)
		}
	})
}

// TestDomainFilterIsTheUUID holds laws 9 and 11.
func TestDomainFilterIsTheUUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		uuid := uuidA
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuid})
		uuid = uuidB // The registry has its own copy.
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle/a"}, h.filters()); diff != "" {
			t.Errorf("filters (-want +got):\n%s", diff)
		}
		s := h.current()
		renamed := s.observation(schema.KindLifecycle, uuidA, 1)
		renamed.Object.Name, renamed.Object.ID = "another", -1
		other := s.observation(schema.KindLifecycle, uuidB, 2)
		s.deliver(renamed, other)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 1"}, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
		if s := w.stat("kvm01"); s.Unmatched != 1 {
			t.Errorf("stats: %+v, want the other domain's event counted as unmatched", s)
		}
	})
}

// TestRegistrationsThatMatchNothing holds law 13.
func TestRegistrationsThatMatchNothing(t *testing.T) {
	lifecycleKinds := []schema.Kind{schema.KindLifecycle}
	tests := []struct {
		name string
		reg  Registration
		want string // "" is no error
	}{
		{"no kinds", Registration{}, "no kinds"},
		{"a gap", Registration{Kinds: []schema.Kind{schema.KindGap}}, "every registration gets it"},
		{"an unknown family", Registration{Kinds: []schema.Kind{schema.KindOf(200, 1)}}, "unknown family 200"},
		{"an unknown event", Registration{Kinds: []schema.Kind{schema.KindOf(schema.FamilyDomain, 99)}}, ""},
		{"a network and a domain", Registration{Kinds: []schema.Kind{schema.KindOf(schema.FamilyNetwork, 0)}, Domain: &uuidA}, "only events of domains"},
		{"a network", Registration{Kinds: []schema.Kind{schema.KindOf(schema.FamilyNetwork, 0)}}, ""},
		{"the nil uuid", Registration{Kinds: lifecycleKinds, Domain: &schema.UUID{}}, "nil uuid"},
		{"neither sinks nor callback", Registration{Kinds: lifecycleKinds, Sinks: []string{}}, "neither sinks nor a callback"},
		{"a callback without sinks", Registration{Kinds: lifecycleKinds, Sinks: []string{}, Callback: &spy{}}, ""},
		{"a bad pattern", Registration{Kinds: lifecycleKinds, Connections: []string{"[a-"}}, "syntax error in pattern"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(Options{}).RegisterAny(test.reg)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("RegisterAny: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("RegisterAny = %v, want an error with %q", err, test.want)
			}
		})
	}
}

// TestUnknownIDs holds law 14.
func TestUnknownIDs(t *testing.T) {
	r := New(Options{})
	id, err := r.RegisterAny(lifecycle())
	if err != nil {
		t.Fatal(err)
	}
	for _, unknown := range []ID{-1, id + 1} {
		if err := r.DeregisterAny(unknown); !errors.Is(err, ErrNotRegistered) {
			t.Errorf("DeregisterAny(%d) = %v, want ErrNotRegistered", unknown, err)
		}
	}
	if err := r.DeregisterAny(id); err != nil {
		t.Fatal(err)
	}
	if err := r.DeregisterAny(id); !errors.Is(err, ErrNotRegistered) {
		t.Errorf("the second DeregisterAny = %v, want ErrNotRegistered", err)
	}
}

func TestSendsTo(t *testing.T) {
	one, other := schema.UUID{1}, schema.UUID{2}
	lifecycle := []schema.Kind{schema.KindLifecycle}
	r := New(Options{})
	for _, reg := range []Registration{
		{Kinds: lifecycle, Connections: []string{"kvm*"}, Domain: &one, Sinks: []string{"bus"}},
		{Kinds: lifecycle, Connections: []string{"lxc01"}},
		{Kinds: []schema.Kind{schema.KindOf(schema.FamilyNetwork, 0)}, Sinks: []string{"bus"}},
	} {
		if _, err := r.RegisterAny(reg); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		sink, connection string
		domain           schema.UUID
		want             bool
	}{
		{"bus", "kvm01", one, true},
		{"bus", "kvm01", other, false},
		{"log", "kvm01", one, false},
		{"log", "lxc01", other, true},
		{"bus", "test", one, false},
	} {
		if got := r.SendsTo(test.sink, test.connection, test.domain); got != test.want {
			t.Errorf("SendsTo(%s, %s, %s) = %t, want %t", test.sink, test.connection, test.domain, got, test.want)
		}
	}
}
