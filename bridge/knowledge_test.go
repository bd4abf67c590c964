package bridge

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// stamperOptions compare stampers by what they know.
var stamperOptions = cmp.Options{
	cmp.AllowUnexported(stamper{}, stampedSource{}, stampedDomain{}, domainState{}, knowledge{}),
	cmpopts.IgnoreFields(stamper{}, "batch", "changedSources", "changedDomains", "key", "value"),
	cmpopts.IgnoreFields(stampedSource{}, "batch", "missed"),
	cmpopts.IgnoreFields(stampedDomain{}, "batch"),
}

// everything stamps all sorts of things.
func everything(s *stamper) {
	for _, o := range []*schema.Observation{
		observed(hostA, 0, 0, -1), observed(hostA, 2, 0, 7), observed(hostB, 2, 1, 3), observed(hostB, 4, 1, 3), observed(hostA, 3, 1, 7),
		{Connection: hostA, Kind: schema.KindGap, Received: time.Unix(1, 0), Gap: &schema.Gap{Reason: schema.GapOverrun}},
		{
			Connection: hostA, Kind: schema.KindLifecycle, Object: schema.Object{UUID: schema.UUID{9}, Name: "db", ID: 4},
			Event: 5, Received: time.Unix(2, 0), Synthetic: true, UnobservedSince: time.Unix(1, 0),
		},
	} {
		s.stamp(o)
	}
}

// TestRollbackRestoresEverything compares a stamper that took a batch back with one that never saw it.
func TestRollbackRestoresEverything(t *testing.T) {
	for name, before := range map[string]func(*stamper){
		"empty": func(*stamper) {},
		"one source": func(s *stamper) {
			s.stamp(observed(hostA, 0, 0, -1))
			s.stamp(observed(hostA, 2, 0, 7))
		},
		"two sources": everything,
	} {
		t.Run(name, func(t *testing.T) {
			got, want := testStamper(t), testStamper(t)
			want.epoch = got.epoch
			for _, s := range []*stamper{got, want} {
				before(s)
				s.commit()
			}
			known := len(want.sources)
			everything(got)
			got.rollback()
			for name, src := range got.sources { // A source without an event is none.
				if src.sequence == 0 {
					delete(got.sources, name)
				}
			}
			if len(got.sources) != known {
				t.Errorf("%d sources, want %d", len(got.sources), known)
			}
			for name, src := range got.sources {
				if src.missed != want.sources[name].missed {
					t.Errorf("source %s: missed at %d, want %d", name, src.missed, want.sources[name].missed)
				}
			}
			if diff := cmp.Diff(want, got, stamperOptions); diff != "" {
				t.Errorf("(-never +taken back)\n%s", diff)
			}
		})
	}
}

// TestReload compares a stamper with one that is made of what it has written.
func TestReload(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := newStamper(j)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // The second time with hosts that speak for the domain already.
		everything(want)
		var b journal.Batch
		want.put(&b)
		if err := j.Append(&b); err != nil {
			t.Fatal(err)
		}
		want.commit()
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = journal.Open(dir, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := newStamper(j)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, stamperOptions, cmpopts.IgnoreFields(stampedDomain{}, "twin"), cmpopts.IgnoreFields(stamper{}, "byUUID")); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	a, b := got.sources[hostA.Source].domains[theDomain], got.sources[hostB.Source].domains[theDomain]
	if a.twin != b || b.twin != a || got.byUUID[theDomain] == nil {
		t.Error("the two that have one UUID do not know each other")
	}
	for name, src := range got.sources {
		if src.missed != src.sequence {
			t.Errorf("source %s: nothing is missed since %d, want since %d", name, src.missed, src.sequence)
		}
	}
}

// TestKnownIsOneOfTwins holds that a store is primed with one state of each domain: that of the host that it is on.
func TestKnownIsOneOfTwins(t *testing.T) {
	s := testStamper(t)
	everything(s)
	s.commit()
	for _, d := range s.known() {
		if d.uuid == theDomain && d.connection != hostB {
			t.Errorf("the state at %s is known", d.connection.Name)
		}
	}
	if n := len(s.known()); n != 2 {
		t.Errorf("%d states are known, want 2", n)
	}
}

// TestForgetUnlinksTwins holds that what is forgotten leaves no trace in the index.
func TestForgetUnlinksTwins(t *testing.T) {
	s := testStamper(t)
	everything(s)
	s.commit()
	var b journal.Batch
	s.forgetOldest(1, &b) // "db", the oldest by time
	s.forgetOldest(1, &b)
	if s.domains != 1 || len(s.byUUID) != 1 {
		t.Fatalf("%d domains, %d uuids, want 1 and 1", s.domains, len(s.byUUID))
	}
	d := s.byUUID[theDomain]
	if d == nil || d.twin != d || d.source.domains[theDomain] != d {
		t.Errorf("what is left is not alone: %+v", d)
	}
	s.forgetOldest(1, &b)
	if s.domains != 0 || len(s.byUUID) != 0 {
		t.Errorf("%d domains, %d uuids, want none", s.domains, len(s.byUUID))
	}
}
