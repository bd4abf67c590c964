package domains

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

// listing is a listing of host A.
func listing(complete bool, domains ...schema.ListedDomain) *schema.Listing {
	return &schema.Listing{Connection: hostA, Received: time.Unix(1_800_000_100, 0).UTC(), Complete: complete, Domains: domains}
}

// lists is the domain of the tests as a listing has it.
func lists(id, state, reason int32, p schema.Persistence) schema.ListedDomain {
	return schema.ListedDomain{
		Object: schema.Object{UUID: theDomain, Name: "web-1", ID: id}, State: state, Reason: reason, Persistence: p,
	}
}

// names are the events of a diff: "started/booted 7".
func names(found []schema.Observation) string {
	var text []string
	for i := range found {
		o := &found[i]
		text = append(text, fmt.Sprintf("%s/%s %d", schema.EventName(o.Kind, o.Event), schema.DetailName(o.Kind, o.Event, o.Detail), o.Object.ID))
	}
	return strings.Join(text, ", ")
}

// reconcile applies a diff as the bridge does.
func (b *testBook) reconcile(l *schema.Listing) []schema.Observation {
	found := b.Diff(l)
	for i := range found {
		b.apply(&found[i])
	}
	for !b.Learn(l, math.MaxUint64, 1) { //nolint:revive // each call learns of one domain
	}
	b.Commit()
	return found
}

func TestDiff(t *testing.T) {
	defined := []step{{event: 0, detail: 0, id: -1}}
	running := append(slices.Clone(defined), step{event: 2, detail: 0, id: 7})
	transient := []step{{event: 1, detail: 0, id: -1}, {event: 2, detail: 0, id: 7}}
	paused := append(slices.Clone(running), step{event: 3, detail: 0, id: 7})
	const yes, no, unknown = schema.Persistent, schema.NotPersistent, schema.PersistenceUnknown
	for name, test := range map[string]struct {
		before []step
		listed []schema.ListedDomain
		partly bool
		want   string // the events
		state  string // what is known then
	}{
		"nothing":               {nil, nil, false, "", ""},
		"new, shut off":         {nil, []schema.ListedDomain{lists(-1, 5, 1, yes)}, false, "defined/added -1", "shutoff/shutdown persistent"},
		"new, running":          {nil, []schema.ListedDomain{lists(7, 1, 1, yes)}, false, "defined/added 7, started/booted 7", "running/booted persistent"},
		"new, transient":        {nil, []schema.ListedDomain{lists(7, 1, 1, no)}, false, "started/booted 7", "running/booted transient"},
		"new, blocked":          {nil, []schema.ListedDomain{lists(7, 2, 0, no)}, false, "started/booted 7", "running/booted transient"},
		"new, paused by a user": {nil, []schema.ListedDomain{lists(7, 3, 1, unknown)}, false, "started/booted 7, suspended/paused 7", "paused/user"},
		"new, arriving": {
			nil,
			[]schema.ListedDomain{lists(7, 3, 2, no)},
			false,
			"started/migrated 7", "paused/migration transient",
		},
		"new, arrived": {
			nil,
			[]schema.ListedDomain{lists(7, 1, 2, no)},
			false,
			"started/migrated 7, resumed/migrated 7", "running/migrated transient",
		},
		"new, crashed":         {nil, []schema.ListedDomain{lists(7, 6, 1, yes)}, false, "defined/added 7, started/booted 7, crashed/panicked 7", "crashed/panicked persistent"},
		"new, of a later kind": {nil, []schema.ListedDomain{lists(7, 42, 1, no)}, false, "", ""},
		"as it was":            {running, []schema.ListedDomain{lists(7, 1, 1, yes)}, false, "", "running/booted persistent"},
		"another reason":       {paused, []schema.ListedDomain{lists(7, 3, 3, yes)}, false, "", "paused/save persistent"},
		"paused":               {running, []schema.ListedDomain{lists(7, 3, 5, yes)}, false, "suspended/ioerror 7", "paused/ioerror persistent"},
		"resumed":              {paused, []schema.ListedDomain{lists(7, 1, 5, yes)}, false, "resumed/unpaused 7", "running/unpaused persistent"},
		"stopped":              {running, []schema.ListedDomain{lists(-1, 5, 2, yes)}, false, "stopped/destroyed -1", "shutoff/destroyed persistent"},
		"stopped, no reason":   {running, []schema.ListedDomain{lists(-1, 5, 0, yes)}, false, "stopped/unknown -1", "shutoff persistent"},
		"migrated away":        {running, []schema.ListedDomain{lists(-1, 5, 4, yes)}, false, "stopped/migrated -1", "shutoff/migrated persistent"},
		"started":              {defined, []schema.ListedDomain{lists(8, 1, 3, yes)}, false, "started/restored 8", "running/restored persistent"},
		"woken": {
			append(slices.Clone(running), step{event: 7, id: 7}),
			[]schema.ListedDomain{lists(7, 1, 8, yes)},
			false,
			"started/wakeup 7", "running/wakeup persistent",
		},
		"being shut down": {running, []schema.ListedDomain{lists(7, 4, 1, yes)}, false, "shutdown/finished 7", "shutdown/user persistent"},
		"defined": {
			transient,
			[]schema.ListedDomain{lists(7, 1, 1, yes)},
			false,
			"defined/added 7", "running/booted persistent",
		},
		"defined and stopped": {
			transient,
			[]schema.ListedDomain{lists(-1, 5, 1, unknown)},
			false,
			"defined/added 7, stopped/shutdown -1", "shutoff/shutdown persistent",
		},
		"undefined while it runs":    {running, []schema.ListedDomain{lists(7, 1, 1, no)}, false, "undefined/removed 7", "running/booted transient"},
		"undefined, made again":      {defined, []schema.ListedDomain{lists(9, 1, 1, no)}, false, "undefined/removed -1, started/booted 9", "running/booted transient"},
		"persistence is learned":     {running[1:], []schema.ListedDomain{lists(7, 1, 1, no)}, false, "", "running/booted transient"},
		"missing, was shut off":      {defined, nil, false, "undefined/removed -1", "shutoff transient gone"},
		"missing, was running":       {running, nil, false, "stopped/unknown -1, undefined/removed -1", "shutoff transient gone"},
		"missing, was transient":     {transient, nil, false, "stopped/unknown -1", "shutoff transient gone"},
		"missing, was gone":          {transient[:1], nil, false, "", "shutoff transient gone"},
		"missing in a part":          {running, nil, true, "", "running/booted persistent"},
		"listed in a part, has gone": {running, []schema.ListedDomain{lists(-1, 5, 1, yes)}, true, "stopped/shutdown -1", "shutoff/shutdown persistent"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBook()
			for _, step := range test.before {
				b.apply(observed(hostA, step.event, step.detail, step.id))
				b.Commit()
			}
			since := time.Unix(1_800_000_050, 0).UTC()
			found := b.Diff(listing(!test.partly, test.listed...))
			if got := names(found); got != test.want {
				t.Errorf("events %q, want %q", got, test.want)
			}
			b.Book.Source(hostA.Source).since = since
			b.reconcile(listing(!test.partly, test.listed...))
			got := ""
			if d := b.Source(hostA.Source).domains[theDomain]; d != nil {
				got = describe(d.state())
			}
			if got != test.state {
				t.Errorf("known then: %q, want %q", got, test.state)
			}
			if again := b.Diff(listing(!test.partly, test.listed...)); len(again) > 0 {
				t.Errorf("the same listing again tells %s", names(again))
			}
		})
	}
}

// TestListedIsDocumented holds the table in docs/state.md against the rows.
func TestListedIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "state.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for i := range listed {
		row := &listed[i]
		state := schema.StateName(row.state)
		for reason, detail := range row.details {
			want := fmt.Sprintf("| `%s` | `%s` |", schema.EventName(schema.KindLifecycle, row.event), schema.DetailName(schema.KindLifecycle, row.event, detail))
			found := false
			for line := range strings.Lines(text) {
				found = found || strings.HasPrefix(line, "| "+state+" | ") &&
					strings.Contains(line, "`"+schema.ReasonName(row.state, reason)+"`") && strings.Contains(line, want)
			}
			if !found {
				t.Errorf("no row for %s, %s with %s", state, schema.ReasonName(row.state, reason), want)
			}
		}
		other := fmt.Sprintf("| %s | any other | `%s` | `%s`", state, schema.EventName(schema.KindLifecycle, row.event), schema.DetailName(schema.KindLifecycle, row.event, row.other))
		if len(row.details) == 0 {
			other = strings.Replace(other, "any other", "any", 1)
		}
		if !strings.Contains(text, other) {
			t.Errorf("no row that begins with %s", other)
		}
	}
}

// TestDiffEvents holds what an event of a diff is, beside its numbers.
func TestDiffEvents(t *testing.T) {
	b := newTestBook()
	b.apply(observed(hostA, 2, 0, 7))
	since := time.Unix(1_800_000_050, 0).UTC()
	b.apply(&schema.Observation{Connection: hostA, Kind: schema.KindGap, UnobservedSince: since})
	l := listing(true)
	want := []schema.Observation{{
		Connection: hostA, Kind: schema.KindLifecycle, Object: schema.Object{UUID: theDomain, Name: "web-1", ID: -1},
		Event: eventStopped, Detail: detailUnknown, Received: l.Received, Synthetic: true, UnobservedSince: since,
	}}
	want = append(want, want[0])
	want[1].Event, want[1].Detail = eventUndefined, 0
	if diff := cmp.Diff(want, b.reconcile(l)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.apply(observed(hostA, 2, 0, 8))
	if found := b.Diff(listing(true)); len(found) == 0 || !found[0].UnobservedSince.IsZero() {
		t.Errorf("a difference after a complete listing is of unobserved time: %+v", found)
	}
}

// TestDiffOfMigrated holds that a domain that has become active elsewhere has migrated,
// where it is missing.
func TestDiffOfMigrated(t *testing.T) {
	b := newTestBook()
	for _, o := range []*schema.Observation{
		observed(hostA, 0, 0, -1), observed(hostA, 2, 0, 7), observed(hostB, 2, 1, 3), observed(hostB, 4, 1, 3),
	} {
		b.apply(o)
	}
	if got, want := names(b.reconcile(listing(true))), "stopped/migrated -1, undefined/removed -1"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	for _, k := range b.Known() {
		if k.Source != hostB.Source || describe(k.entry.state()) != "running/migrated" {
			t.Errorf("known: %+v", k)
		}
	}
}

// TestDiffAgrees compares random worlds with books that have seen a part of what
// happened: after the diff's events the book agrees with the listing, in whatever order
// the listing has it.
func TestDiffAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for round := range 3000 {
		b := newTestBook()
		for range rng.IntN(30) {
			o := observed([]*schema.Connection{hostA, hostB}[rng.IntN(2)], rng.Int32N(10)-1, rng.Int32N(9)-1, rng.Int32N(3)-1)
			o.Object.UUID = schema.UUID{1, 15: byte(rng.IntN(5))}
			if rng.IntN(8) == 0 {
				o = &schema.Observation{Connection: o.Connection, Kind: schema.KindGap}
			}
			b.apply(o)
		}
		var world []schema.ListedDomain
		for n := range 6 {
			d := schema.ListedDomain{Object: schema.Object{UUID: schema.UUID{1, 15: byte(n)}, Name: fmt.Sprint("d", n), ID: -1}}
			d.State, d.Reason, d.Persistence = []int32{1, 2, 3, 4, 5, 6, 7}[rng.IntN(7)], rng.Int32N(15), schema.Persistence(rng.IntN(3))
			if d.State != schema.StateShutoff {
				d.ID = rng.Int32N(100)
			} else {
				d.Persistence = schema.Persistent
			}
			if rng.IntN(3) > 0 {
				world = append(world, d)
			}
		}
		complete := rng.IntN(4) > 0
		rng.Shuffle(len(world), func(i, j int) { world[i], world[j] = world[j], world[i] })
		l := listing(complete, world...)
		if diff := cmp.Diff(b.Diff(l), b.Diff(l)); diff != "" {
			t.Fatalf("round %d: two diffs (-one +other)\n%s", round, diff)
		}
		found := b.reconcile(l)
		s := b.Source(hostA.Source)
		listed := map[schema.UUID]bool{}
		for i := range world {
			w := &world[i]
			listed[w.UUID] = true
			d := s.domains[w.UUID]
			if d == nil || d.code != codeOf(w.State) || w.Persistence != schema.PersistenceUnknown && d.persistence != w.Persistence || d.presence == absent {
				t.Fatalf("round %d: listed as %+v, known as %+v after %s", round, w, d, names(found))
			}
			if d.isHere() != isActive(w) && d.presence != superseded {
				t.Fatalf("round %d: listed as %+v, its presence is %d after %s", round, w, d.presence, names(found))
			}
		}
		for uuid, d := range s.domains {
			if complete && !listed[uuid] && d.presence != absent {
				t.Fatalf("round %d: %v is not listed, and not gone after %s", round, uuid, names(found))
			}
		}
		if again := b.Diff(l); len(again) > 0 && !supersededAt(s) {
			t.Fatalf("round %d: the same listing again tells %s, after %s", round, names(again), names(found))
		}
	}
}

// supersededAt reports whether a domain of the source is active elsewhere.
func supersededAt(s *Source) bool {
	for _, d := range s.domains {
		if d.presence == superseded {
			return true
		}
	}
	return false
}
