package registry

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

func TestOneFilterPerKindAndDomain(t *testing.T) {
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
			synctest.Wait()
			if diff := cmp.Diff(want, h.filters()); diff != "" {
				t.Errorf("%s: filters (-want +got):\n%s", step, diff)
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

// TestNamedDomainsWhereAllAreRefused holds that a hypervisor that registered single
// domains and refuses every domain is asked for the domains that are named.
func TestNamedDomainsWhereAllAreRefused(t *testing.T) {
	list := benchList(t,
		lifecycle(),
		Registration{Kinds: []schema.Kind{schema.KindLifecycle, kindReboot}, Domain: &uuidA},
		Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidB},
	)
	named := func(refused ...drivers.Filter) []string {
		var set refusals
		set.succeeded([]drivers.Filter{{Kind: schema.KindLifecycle, Domain: uuidA}}, nil)
		for _, f := range refused {
			set.add(f)
		}
		names := []string{}
		for _, f := range wanted(*list, "kvm01", &set) {
			names = append(names, filterName(f))
		}
		return names
	}
	all := drivers.Filter{Kind: schema.KindLifecycle}
	ofA := drivers.Filter{Kind: schema.KindLifecycle, Domain: uuidA}
	if diff := cmp.Diff([]string{"lifecycle/all", "unknown-1/a"}, named()); diff != "" {
		t.Errorf("wanted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lifecycle/a", "unknown-1/a", "lifecycle/b"}, named(all)); diff != "" {
		t.Errorf("wanted without all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"unknown-1/a", "lifecycle/b"}, named(all, ofA)); diff != "" {
		t.Errorf("wanted without all and one (-want +got):\n%s", diff)
	}
}

func TestOldFiltersStayWhereTheNewOneIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA})
		synctest.Wait()
		h.mu.Lock()
		h.refuse = map[drivers.Filter]bool{{Kind: schema.KindLifecycle}: true}
		h.mu.Unlock()
		all := w.register(lifecycle())
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		w.register(Registration{Kinds: []schema.Kind{kindReboot}})
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 2)
		w.deregister(all)
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 3)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle a 1", "lifecycle a 2", "lifecycle a 3"}, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	})
}
