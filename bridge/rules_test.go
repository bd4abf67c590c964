package bridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// step is one event, and the state that is published after it.
type step struct {
	event, detail int32
	id            int32
	want          string
}

var (
	hostA = &schema.Connection{Name: "a", URI: "qemu:///system", Hostname: "a.example.com", Source: "qemu://a.example.com/system"}
	hostB = &schema.Connection{Name: "b", URI: "qemu:///system", Hostname: "b.example.com", Source: "qemu://b.example.com/system"}
)

var theDomain = schema.UUID{0x66, 15: 1}

func observed(at *schema.Connection, event, detail, id int32) *schema.Observation {
	return &schema.Observation{
		Connection: at, Kind: schema.KindLifecycle, Domain: schema.Domain{UUID: theDomain, Name: "web-1", ID: id},
		Event: event, Detail: detail, Received: time.Unix(1_800_000_000, 5).UTC(),
	}
}

// describe writes a state as tests have it: "running/booted persistent".
func describe(s schema.State) string {
	if !s.Valid {
		return "-"
	}
	text := schema.StateName(s.Code)
	if s.Reason != 0 {
		text += "/" + schema.ReasonName(s.Code, s.Reason)
	}
	switch s.Persistence {
	case schema.Persistent:
		text += " persistent"
	case schema.NotPersistent:
		text += " transient"
	case schema.PersistenceUnknown:
	}
	if s.Gone {
		text += " gone"
	}
	return text
}

func testStamper(t testing.TB) *stamper {
	t.Helper()
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := newStamper(j)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStatesOfSequences holds what is published during sequences that hypervisors were seen to send.
func TestStatesOfSequences(t *testing.T) {
	define := step{0, 0, -1, "shutoff persistent"}
	for name, steps := range map[string][]step{
		"qemu life": {
			define,
			{4, 0, 7, "running persistent"}, {2, 0, 7, "running/booted persistent"}, // Resumed comes first
			{3, 0, 7, "paused persistent"}, {4, 0, 7, "running persistent"},
			{6, 2, 7, "shutdown persistent"}, {5, 1, -1, "shutoff/destroyed persistent"},
			{1, 0, -1, "shutoff/destroyed transient gone"},
		},
		"start --paused": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 0, 7, "paused persistent"}, {4, 0, 7, "running persistent"},
		},
		"guest powers off": {
			define, {2, 0, 7, "running/booted persistent"}, {6, 1, 7, "shutdown persistent"}, {5, 0, -1, "shutoff/shutdown persistent"},
		},
		"emulator killed": {define, {2, 0, 7, "running/booted persistent"}, {5, 5, -1, "shutoff persistent"}},
		"managedsave, start": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 0, 7, "paused persistent"}, {5, 4, -1, "shutoff/saved persistent"},
			{2, 2, 8, "running/restored persistent"}, {4, 2, 8, "running/restored persistent"},
		},
		"managedsave of a paused domain, start": {
			define, {5, 4, -1, "shutoff/saved persistent"}, {2, 2, 8, "running/restored persistent"}, {3, 4, 8, "paused persistent"},
		},
		"snapshot revert": {
			define, {2, 0, 7, "running/booted persistent"}, {5, 6, -1, "shutoff/from-snapshot persistent"},
			{2, 3, 8, "running/from-snapshot persistent"}, {4, 2, 8, "running/from-snapshot persistent"}, {0, 3, 8, "running/from-snapshot persistent"},
		},
		"undefined while running": {
			define, {2, 0, 7, "running/booted persistent"}, {1, 0, 7, "running/booted transient"}, {5, 0, -1, "shutoff/shutdown transient gone"},
		},
		"defined while running, before virtcast came": {{0, 0, 7, "unknown persistent"}, {4, 0, 7, "running persistent"}},
		"undefined while running, before virtcast came": {
			{1, 0, 7, "unknown transient"}, {5, 1, -1, "shutoff/destroyed transient gone"},
		},
		"undefined before virtcast knew it": {{1, 0, -1, "shutoff transient gone"}},
		"transient, after it was gone": {
			define, {1, 0, -1, "shutoff transient gone"},
			{4, 0, 7, "running transient"}, {2, 0, 7, "running/booted transient"},
			{0, 0, 7, "running/booted persistent"}, {1, 0, 7, "running/booted transient"}, // defined and undefined while it runs
			{5, 1, 7, "shutoff/destroyed transient gone"}, // the test driver keeps the id
		},
		"nobody knows whether it is transient": {
			{2, 0, 7, "running/booted"}, {5, 1, -1, "shutoff/destroyed"}, {2, 0, 8, "running/booted"},
		},
		"rename": {define, {1, 1, -1, "shutoff persistent"}, {0, 2, -1, "shutoff persistent"}},
		"redefine": {
			define, {0, 1, -1, "shutoff persistent"}, {2, 0, 7, "running/booted persistent"}, {0, 1, 7, "running/booted persistent"},
			{5, 2, -1, "shutoff/crashed persistent"}, {0, 1, -1, "shutoff/crashed persistent"},
		},
		"panic, preserve": {define, {2, 0, 7, "running/booted persistent"}, {8, 0, 7, "crashed/panicked persistent"}},
		"panic, destroy": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 0, 7, "paused persistent"}, {8, 0, 7, "crashed/panicked persistent"},
			{5, 2, -1, "shutoff/crashed persistent"},
		},
		"crash kernel": {define, {2, 0, 7, "running/booted persistent"}, {8, 1, 7, "running/booted persistent"}},
		"sleep": {
			define, {2, 0, 7, "running/booted persistent"}, {7, 0, 7, "pmsuspended persistent"}, {2, 4, 7, "running/wakeup persistent"},
		},
		"trouble": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 2, 7, "paused/ioerror persistent"}, {4, 0, 7, "running persistent"},
			{3, 3, 7, "paused/watchdog persistent"}, {3, 6, 7, "paused/api-error persistent"},
		},
		"recreated": {define, {2, 0, 7, "running/booted persistent"}, {5, 7, -1, "shutoff persistent"}, {2, 5, 8, "running persistent"}},
		"later numbers": {
			{42, 43, 7, "unknown"}, {2, 0, 7, "running/booted"}, {42, 0, 7, "running/booted"},
			{3, 99, 7, "paused"}, {1, 99, -1, "paused"}, {5, -1, -1, "shutoff"}, {-1, -1, -1, "shutoff"},
		},
		"migration given up at the source": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 1, 7, "paused/migration persistent"}, {4, 1, 7, "running/migration-canceled persistent"},
		},
		"migration seen at the source alone": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 1, 7, "paused/migration persistent"},
			{5, 3, -1, "shutoff/migrated"}, // the definition may be gone with it, without a word
		},
		"migration seen at the destination alone": {
			{2, 1, 3, "paused"}, {0, 0, 3, "paused persistent"}, {4, 1, 3, "running/migrated persistent"},
		},
		"migration of a paused domain": {{2, 1, 3, "paused"}, {3, 0, 3, "paused"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStamper(t)
			for i, step := range steps {
				e := s.stamp(observed(hostA, step.event, step.detail, step.id))
				if got := describe(e.State); got != step.want {
					t.Errorf("event %d, %s/%s: %q, want %q", i, schema.EventName(e.Kind, step.event),
						schema.DetailName(e.Kind, step.event, step.detail), got, step.want)
				}
				s.commit()
			}
		})
	}
}

// TestStatesOfMigrations holds that one UUID at two sources has the state of the one where the domain is, in whatever order the
// sources' events arrive: each of them is in order by itself.
func TestStatesOfMigrations(t *testing.T) {
	type at struct {
		host          *schema.Connection
		event, detail int32
		id            int32
	}
	before := []at{{hostA, 0, 0, -1}, {hostA, 2, 0, 7}}
	for name, test := range map[string]struct {
		source, destination []at
		want                string // at the end
	}{
		"live": {
			source:      []at{{hostA, 3, 1, 7}, {hostA, 5, 3, -1}},
			destination: []at{{hostB, 2, 1, 3}, {hostB, 4, 1, 3}},
			want:        "running/migrated of b",
		},
		"undefined at the source": {
			source:      []at{{hostA, 3, 1, 7}, {hostA, 5, 3, -1}, {hostA, 1, 0, -1}},
			destination: []at{{hostB, 2, 1, 3}, {hostB, 0, 0, 3}, {hostB, 4, 1, 3}},
			want:        "running/migrated persistent of b",
		},
		"undefined at the source before it stopped": {
			source:      []at{{hostA, 1, 0, 7}, {hostA, 3, 1, 7}, {hostA, 5, 3, -1}},
			destination: []at{{hostB, 2, 1, 3}, {hostB, 4, 1, 3}},
			want:        "running/migrated of b",
		},
		"postcopy": {
			source:      []at{{hostA, 3, 1, 7}, {hostA, 3, 7, 7}, {hostA, 5, 3, -1}},
			destination: []at{{hostB, 2, 1, 3}, {hostB, 4, 3, 3}, {hostB, 4, 1, 3}},
			want:        "running of b",
		},
		"given up": {
			source:      []at{{hostA, 42, 0, 7}},
			destination: []at{{hostB, 2, 1, 3}, {hostB, 5, 5, -1}},
			want:        "running/booted persistent of a",
		},
		"given up late": {
			source:      []at{{hostA, 3, 1, 7}, {hostA, 4, 1, 7}},
			destination: []at{{hostB, 2, 1, 3}, {hostB, 5, 5, -1}},
			want:        "running/migration-canceled persistent of a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for order, events := range interleave(test.source, test.destination) {
				s := testStamper(t)
				var last schema.Event
				arrived := false
				for _, o := range append(before[:len(before):len(before)], events...) {
					e := s.stamp(observed(o.host, o.event, o.detail, o.id))
					s.commit()
					arrived = arrived || o.host == hostB
					if e.State.Gone && arrived {
						t.Errorf("order %d: gone after %s/%d/%d", order, o.host.Name, o.event, o.detail)
					}
					if e.State.Valid {
						last = e
					}
				}
				if got := describe(last.State) + " of " + last.Connection.Name; got != test.want {
					t.Errorf("order %d: %v: %q, want %q", order, events, got, test.want)
				}
			}
		})
	}
}

// interleave returns every order of a and b together that keeps the order of each.
func interleave[T any](a, b []T) [][]T {
	if len(a) == 0 || len(b) == 0 {
		return [][]T{append(append([]T(nil), a...), b...)}
	}
	var all [][]T
	for _, rest := range interleave(a[1:], b) {
		all = append(all, append([]T{a[0]}, rest...))
	}
	for _, rest := range interleave(a, b[1:]) {
		all = append(all, append([]T{b[0]}, rest...))
	}
	return all
}

// TestLifeAfterMigration holds that the destination speaks for the domain from then on, and that only the last source where it is
// defined makes it gone.
func TestLifeAfterMigration(t *testing.T) {
	s := testStamper(t)
	for i, step := range []struct {
		host *schema.Connection
		step
	}{
		{hostA, step{0, 0, -1, "shutoff persistent"}},
		{hostA, step{2, 0, 7, "running/booted persistent"}},
		{hostB, step{2, 1, 3, "-"}},
		{hostB, step{4, 1, 3, "running/migrated"}},
		{hostB, step{0, 0, 3, "running/migrated persistent"}},
		{hostA, step{3, 1, 7, "-"}},
		{hostB, step{3, 0, 3, "paused persistent"}},
		{hostA, step{5, 3, -1, "-"}},
		{hostB, step{5, 0, -1, "shutoff/shutdown persistent"}},
		{hostA, step{1, 0, -1, "-"}},
		{hostB, step{1, 0, -1, "shutoff/shutdown transient gone"}},
		{hostA, step{2, 0, 8, "running/booted transient"}},
		{hostA, step{5, 1, -1, "shutoff/destroyed transient gone"}},
	} {
		e := s.stamp(observed(step.host, step.event, step.detail, step.id))
		if got := describe(e.State); got != step.want {
			t.Errorf("event %d, at %s: %q, want %q", i, step.host.Name, got, step.want)
		}
		s.commit()
	}
}

// TestLateHost holds that a host whose events are recorded late, after a migration there and one back, does not take the domain.
func TestLateHost(t *testing.T) {
	s := testStamper(t)
	var last schema.Event
	for _, late := range []struct {
		host              *schema.Connection
		event, detail, id int32
		at                int64
	}{
		{hostA, 2, 0, 7, 1}, {hostA, 3, 1, 7, 3}, {hostA, 5, 3, -1, 4}, {hostA, 2, 1, 8, 5}, {hostA, 4, 1, 8, 7},
		{hostB, 2, 1, 3, 2}, {hostB, 4, 1, 3, 4}, {hostB, 3, 1, 3, 6}, {hostB, 5, 3, -1, 8},
	} {
		o := observed(late.host, late.event, late.detail, late.id)
		o.Received = time.Unix(late.at, 0)
		if e := s.stamp(o); e.State.Valid {
			last = e
		}
		s.commit()
	}
	if got, want := describe(last.State)+" of "+last.Connection.Name, "running/migrated of a"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDoubtAfterGap holds that nothing is taken for gone by what may have changed while nobody listened.
func TestDoubtAfterGap(t *testing.T) {
	transient := []step{
		{1, 0, -1, "shutoff transient gone"}, {2, 0, 7, "running/booted transient"},
	}
	gap := &schema.Observation{
		Connection: hostA, Kind: schema.KindGap, Received: time.Unix(1_800_000_001, 0),
		Gap: &schema.Gap{Reason: schema.GapDisconnected},
	}
	for name, test := range map[string]struct {
		before []step
		after  step
	}{
		"was transient":                 {transient, step{5, 1, -1, "shutoff/destroyed"}},
		"was gone":                      {transient[:1], step{2, 0, 7, "running/booted"}},
		"was running, is undefined":     {[]step{{0, 0, -1, "shutoff persistent"}, {2, 0, 7, "running/booted persistent"}}, step{1, 0, -1, "shutoff transient gone"}},
		"was defined":                   {[]step{{0, 0, -1, "shutoff persistent"}}, step{2, 0, 7, "running/booted persistent"}},
		"was running, is defined again": {[]step{{2, 0, 7, "running/booted"}}, step{0, 1, -1, "shutoff persistent"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStamper(t)
			check := func(steps ...step) {
				for i, step := range steps {
					if got := describe(s.stamp(observed(hostA, step.event, step.detail, step.id)).State); got != step.want {
						t.Errorf("event %d: %q, want %q", i, got, step.want)
					}
					s.commit()
				}
			}
			check(test.before...)
			s.stamp(gap)
			s.commit()
			check(test.after)
		})
	}
}

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
			Connection: hostA, Kind: schema.KindLifecycle, Domain: schema.Domain{UUID: schema.UUID{9}, Name: "db", ID: 4},
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

// TestRulesAreDocumented holds the table in docs/state.md against the rules.
func TestRulesAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "state.md"))
	if err != nil {
		t.Fatal(err)
	}
	for event := range int32(len(rulesByEvent)) {
		for detail := int32(0); schema.DetailName(schema.KindLifecycle, event, detail) != "unknown"; detail++ {
			k := knowledge{code: schema.StateRunning, presence: active, persistence: schema.Persistent}
			ruleOf(event, detail)(&k, circumstance{id: -1, sure: true})
			state := schema.StateName(k.code)
			if k.reason != 0 {
				state += ", " + schema.ReasonName(k.code, k.reason)
			}
			row := fmt.Sprintf("| `%s` | `%s` |", schema.EventName(schema.KindLifecycle, event), schema.DetailName(schema.KindLifecycle, event, detail))
			i := strings.Index(string(text), row)
			if i < 0 {
				t.Errorf("no row for %s", row)
				continue
			}
			got, _, _ := strings.Cut(string(text[i+len(row):]), "|")
			if got = strings.TrimSpace(got); got != "as before" && got != state && !strings.HasPrefix(got, state+" ") {
				t.Errorf("%s %s, want %s: the state after it, for a running persistent domain", row, got, state)
			} else if got == "as before" && (k.code != schema.StateRunning || k.reason != 0) {
				t.Errorf("%s as before, but it becomes %s", row, state)
			}
		}
	}
}
