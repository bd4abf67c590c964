package domains

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virtcast/virtcast/schema"
)

// bookOptions compare books by what they know.
var bookOptions = cmp.Options{
	cmp.AllowUnexported(Book{}, Source{}, watch{}, object{}, entry{}, knowledge{}),
	cmpopts.IgnoreFields(Book{}, "batch", "changedSources", "changedObjects"),
	cmpopts.IgnoreFields(Source{}, "batch"),
	cmpopts.IgnoreFields(object{}, "batch", "observed"),
}

// everything applies all sorts of things.
func everything(b *testBook) {
	for _, o := range []*schema.Observation{
		observed(hostA, 0, 0, -1), observed(hostA, 2, 0, 7), observed(hostB, 2, 1, 3), observed(hostB, 4, 1, 3), observed(hostA, 3, 1, 7),
		{Connection: hostA, Kind: schema.KindGap, Received: time.Unix(1, 0), Gap: &schema.Gap{Reason: schema.GapOverrun}},
		{
			Connection: hostA, Kind: schema.KindLifecycle, Object: schema.Object{UUID: schema.UUID{9}, Name: "db", ID: 4},
			Event: 5, Received: time.Unix(2, 0), Synthetic: true, UnobservedSince: time.Unix(1, 0),
		},
		{
			Connection: hostA, Kind: schema.KindOf(schema.FamilyNodeDevice, 0), Received: time.Unix(3, 0),
			Object: schema.Object{Family: schema.FamilyNodeDevice, Name: "pci_0000_00_02_0"},
		},
		{
			Connection: hostA, Kind: schema.KindLifecycle, Received: time.Unix(4, 0),
			Object: schema.Object{Name: "Domain-0"}, Event: 2,
		},
	} {
		b.apply(o)
	}
}

// TestRollbackRestoresEverything compares a book that took a batch back with one that
// never saw it.
func TestRollbackRestoresEverything(t *testing.T) {
	for name, before := range map[string]func(*testBook){
		"empty": func(*testBook) {},
		"one source": func(b *testBook) {
			b.apply(observed(hostA, 0, 0, -1))
			b.apply(observed(hostA, 2, 0, 7))
		},
		"two sources": everything,
	} {
		t.Run(name, func(t *testing.T) {
			got, want := newTestBook(), newTestBook()
			for _, b := range []*testBook{got, want} {
				before(b)
				b.Commit()
			}
			everything(got)
			got.Learn(&schema.Listing{Connection: hostA, Complete: true, Domains: []schema.ListedDomain{
				{Object: schema.Object{UUID: theDomain, ID: 7}, State: 3, Reason: 2, Persistence: schema.NotPersistent},
			}}, math.MaxUint64, math.MaxInt)
			got.Rollback()
			for name, s := range got.sources { // A source without an object is none.
				if want.sources[name] == nil && len(s.domains)+len(s.others) == 0 {
					delete(got.sources, name)
				}
			}
			if diff := cmp.Diff(want.Book, got.Book, bookOptions); diff != "" {
				t.Errorf("(-never +taken back)\n%s", diff)
			}
		})
	}
}

// TestReload compares a book with one that is made of the values that it gave.
func TestReload(t *testing.T) {
	type name struct {
		source string
		key    schema.ObjectKey
	}
	values := map[name]string{}
	want := newTestBook()
	for range 2 { // The second time with a source that takes precedence already.
		everything(want)
		want.Changed(func(source string, key schema.ObjectKey, value []byte) { values[name{source, key}] = string(value) })
		want.Commit()
	}
	got := NewBook()
	for name, value := range values {
		if err := got.Load(name.source, name.key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want.Book, got, bookOptions, cmpopts.IgnoreFields(object{}, "sameUUID"), cmpopts.IgnoreFields(Book{}, "byUUID"), cmpopts.IgnoreFields(Source{}, "watch")); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	a, b := got.sources[hostA.Source].domains[theDomain], got.sources[hostB.Source].domains[theDomain]
	if a.sameUUID != b || b.sameUUID != a || got.byUUID[theDomain] == nil {
		t.Error("the two that have one UUID do not know each other")
	}
	if since, want := got.Source(hostB.Source).since, time.Unix(1_800_000_000, 5); !since.Equal(want) {
		t.Errorf("a source is not observed since %v, want the time of its last event, %v", since, want)
	}
}

// TestKnownIsTheOneWithPrecedence holds that a store is primed with one state of each
// domain: that of the source that it is on.
func TestKnownIsTheOneWithPrecedence(t *testing.T) {
	b := newTestBook()
	everything(b)
	b.Commit()
	known := b.Known()
	for i := range known {
		if known[i].UUID == theDomain && known[i].Source != hostB.Source {
			t.Errorf("the state at %s is known", known[i].Source)
		}
	}
	if len(known) != 2 {
		t.Errorf("%d states are known, want 2: those of the two domains with a UUID", len(known))
	}
}

// TestForgetUnlinks holds that what is forgotten leaves no trace in the index.
func TestForgetUnlinks(t *testing.T) {
	b := newTestBook()
	everything(b)
	b.Commit()
	var names []string
	forget := func(source string, key schema.ObjectKey) { names = append(names, source+key.Name+key.UUID.String()) }
	b.Forget(3, forget) // "db", the node device and Domain-0, the oldest by time
	b.Forget(1, forget)
	if b.Len() != 1 || len(b.byUUID) != 1 || len(names) != 4 {
		t.Fatalf("%d objects, %d uuids, %d forgotten, want 1, 1 and 4", b.Len(), len(b.byUUID), len(names))
	}
	d := b.byUUID[theDomain]
	if d == nil || d.sameUUID != d || d.source.domains[theDomain] != d {
		t.Errorf("what is left is not alone: %+v", d)
	}
	b.Forget(1, forget)
	if b.Len() != 0 || len(b.byUUID) != 0 {
		t.Errorf("%d objects, %d uuids, want none", b.Len(), len(b.byUUID))
	}
}

// TestOtherFamiliesAreCounted holds that an object of another family has its own sequence
// and no state, even with the UUID of a domain.
func TestOtherFamiliesAreCounted(t *testing.T) {
	b := newTestBook()
	b.apply(observed(hostA, 2, 0, 7))
	for n := range uint64(3) {
		e := b.apply(&schema.Observation{
			Connection: hostA, Kind: schema.KindOf(schema.FamilyNetwork, 0), Received: time.Unix(9, 0),
			Object: schema.Object{Family: schema.FamilyNetwork, UUID: theDomain, Name: "default"},
		})
		if e.DomainSequence != n+1 || e.State.Valid {
			t.Errorf("event %d of the network: number %d, state %+v", n, e.DomainSequence, e.State)
		}
	}
	if e := b.apply(observed(hostA, 3, 0, 7)); e.DomainSequence != 2 || describe(e.State) != "paused" {
		t.Errorf("the domain's event has number %d and state %s", e.DomainSequence, describe(e.State))
	}
}

// TestOtherKindsTellNoState holds that a kind other than lifecycle is counted, and
// publishes no state; what may be out of date is given up with it.
func TestOtherKindsTellNoState(t *testing.T) {
	b := newTestBook()
	b.apply(observed(hostA, 1, 0, -1))
	b.apply(observed(hostA, 2, 0, 7)) // transient
	b.Missed(b.Source(hostA.Source), 2, time.Time{})
	o := observed(hostA, 0, 0, 7)
	o.Kind = schema.KindOf(schema.FamilyDomain, 7)
	if e := b.apply(o); e.State.Valid || e.DomainSequence != 3 {
		t.Errorf("another kind: number %d, state %+v", e.DomainSequence, e.State)
	}
	if e := b.apply(observed(hostA, 5, 0, -1)); describe(e.State) != "shutoff/shutdown" {
		t.Errorf("stopped after a gap: %s, want that it may be defined", describe(e.State))
	}
}
