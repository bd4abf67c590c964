package domains

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		Connection: at, Kind: schema.KindLifecycle, Object: schema.Object{UUID: theDomain, Name: "web-1", ID: id},
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

// testBook is a book with the sequences of its sources.
type testBook struct {
	*Book
	sequences map[string]uint64
}

func newTestBook() *testBook { return &testBook{NewBook(), map[string]uint64{}} }

// apply takes in an observation as the bridge does.
func (b *testBook) apply(o *schema.Observation) schema.Event {
	name := o.Connection.Source
	b.sequences[name]++
	e := schema.Event{Observation: *o, Sequence: b.sequences[name]}
	if o.Object.IsConnection() {
		b.Missed(b.Source(name), e.Sequence, o.UnobservedSince)
		return e
	}
	e.DomainSequence, e.State = b.Apply(b.Source(name), o, e.Sequence)
	return e
}

// TestStatesOfSequences holds what is published during sequences that hypervisors were
// seen to send.
func TestStatesOfSequences(t *testing.T) {
	define := step{0, 0, -1, "shutoff persistent"}
	for name, steps := range map[string][]step{
		"qemu life": {
			define,
			{4, 0, 7, "running persistent"},
			{2, 0, 7, "running/booted persistent"}, // Resumed comes first
			{3, 0, 7, "paused persistent"},
			{4, 0, 7, "running persistent"},
			{6, 2, 7, "shutdown persistent"},
			{5, 1, -1, "shutoff/destroyed persistent"},
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
			define,
			{2, 0, 7, "running/booted persistent"},
			{3, 0, 7, "paused persistent"},
			{5, 4, -1, "shutoff/saved persistent"},
			{2, 2, 8, "running/restored persistent"},
			{4, 2, 8, "running/restored persistent"},
		},
		"managedsave of a paused domain, start": {
			define, {5, 4, -1, "shutoff/saved persistent"}, {2, 2, 8, "running/restored persistent"}, {3, 4, 8, "paused persistent"},
		},
		"snapshot revert": {
			define,
			{2, 0, 7, "running/booted persistent"},
			{5, 6, -1, "shutoff/from-snapshot persistent"},
			{2, 3, 8, "running/from-snapshot persistent"},
			{4, 2, 8, "running/from-snapshot persistent"},
			{0, 3, 8, "running/from-snapshot persistent"},
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
			define,
			{1, 0, -1, "shutoff transient gone"},
			{4, 0, 7, "running transient"},
			{2, 0, 7, "running/booted transient"},
			{0, 0, 7, "running/booted persistent"},
			{1, 0, 7, "running/booted transient"},         // defined and undefined while it runs
			{5, 1, 7, "shutoff/destroyed transient gone"}, // the test driver keeps the id
		},
		"without ids": {
			define,
			{2, 0, -1, "running/booted persistent"},
			{0, 1, -1, "running/booted persistent"},
			{1, 0, -1, "running/booted transient"},
			{5, 1, -1, "shutoff/destroyed transient gone"},
		},
		"nobody knows whether it is transient": {
			{2, 0, 7, "running/booted"}, {5, 1, -1, "shutoff/destroyed"}, {2, 0, 8, "running/booted"},
		},
		"rename": {define, {1, 1, -1, "shutoff persistent"}, {0, 2, -1, "shutoff persistent"}},
		"redefine": {
			define,
			{0, 1, -1, "shutoff persistent"},
			{2, 0, 7, "running/booted persistent"},
			{0, 1, 7, "running/booted persistent"},
			{5, 2, -1, "shutoff/crashed persistent"},
			{0, 1, -1, "shutoff/crashed persistent"},
		},
		"panic, preserve": {define, {2, 0, 7, "running/booted persistent"}, {8, 0, 7, "crashed/panicked persistent"}},
		"panic, destroy": {
			define,
			{2, 0, 7, "running/booted persistent"},
			{3, 0, 7, "paused persistent"},
			{8, 0, 7, "crashed/panicked persistent"},
			{5, 2, -1, "shutoff/crashed persistent"},
		},
		"crash kernel": {define, {2, 0, 7, "running/booted persistent"}, {8, 1, 7, "running/booted persistent"}},
		"sleep": {
			define, {2, 0, 7, "running/booted persistent"}, {7, 0, 7, "pmsuspended persistent"}, {2, 4, 7, "running/wakeup persistent"},
		},
		"trouble": {
			define,
			{2, 0, 7, "running/booted persistent"},
			{3, 2, 7, "paused/ioerror persistent"},
			{4, 0, 7, "running persistent"},
			{3, 3, 7, "paused/watchdog persistent"},
			{3, 6, 7, "paused/api-error persistent"},
		},
		"recreated": {define, {2, 0, 7, "running/booted persistent"}, {5, 7, -1, "shutoff persistent"}, {2, 5, 8, "running persistent"}},
		"later numbers": {
			{42, 43, 7, "unknown"},
			{2, 0, 7, "running/booted"},
			{42, 0, 7, "running/booted"},
			{3, 99, 7, "paused"},
			{1, 99, -1, "paused"},
			{5, -1, -1, "shutoff"},
			{-1, -1, -1, "shutoff"},
		},
		"migration given up at the source": {
			define, {2, 0, 7, "running/booted persistent"}, {3, 1, 7, "paused/migration persistent"}, {4, 1, 7, "running/migration-canceled persistent"},
		},
		"migration seen at the source alone": {
			define,
			{2, 0, 7, "running/booted persistent"},
			{3, 1, 7, "paused/migration persistent"},
			{5, 3, -1, "shutoff/migrated"}, // the definition may be gone with it, without a word
		},
		"migration seen at the destination alone": {
			{2, 1, 3, "paused"}, {0, 0, 3, "paused persistent"}, {4, 1, 3, "running/migrated persistent"},
		},
		"migration of a paused domain": {{2, 1, 3, "paused"}, {3, 0, 3, "paused"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestBook()
			for i, step := range steps {
				e := s.apply(observed(hostA, step.event, step.detail, step.id))
				if got := describe(e.State); got != step.want {
					t.Errorf("event %d, %s/%s: %q, want %q", i, schema.EventName(e.Kind, step.event),
						schema.DetailName(e.Kind, step.event, step.detail), got, step.want)
				}
				s.Commit()
			}
		})
	}
}

// After a gap, no domain is taken for gone because of what was known before the gap.
func TestKnowledgeAfterGap(t *testing.T) {
	transient := []step{
		{1, 0, -1, "shutoff transient gone"}, {2, 0, 7, "running/booted transient"},
	}
	gap := &schema.Observation{
		Connection: hostA, Kind: schema.KindGap, Received: time.Unix(1_800_000_001, 0), Object: schema.Object{Family: schema.FamilyConnection},
		Gap: &schema.Gap{Reason: schema.GapDisconnected},
	}
	for name, test := range map[string]struct {
		before []step
		after  step
	}{
		"was transient":                 {transient, step{5, 1, -1, "shutoff/destroyed"}},
		"was gone":                      {transient[:1], step{2, 0, 7, "running/booted"}},
		"was gone, has stopped":         {transient[:1], step{5, 0, -1, "shutoff/shutdown"}},
		"was gone, says nothing":        {transient[:1], step{42, 0, -1, "unknown"}},
		"was running, is undefined":     {[]step{{0, 0, -1, "shutoff persistent"}, {2, 0, 7, "running/booted persistent"}}, step{1, 0, -1, "shutoff transient gone"}},
		"was defined":                   {[]step{{0, 0, -1, "shutoff persistent"}}, step{2, 0, 7, "running/booted persistent"}},
		"was running, is defined again": {[]step{{2, 0, 7, "running/booted"}}, step{0, 1, -1, "shutoff persistent"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestBook()
			check := func(steps ...step) {
				for i, step := range steps {
					if got := describe(s.apply(observed(hostA, step.event, step.detail, step.id)).State); got != step.want {
						t.Errorf("event %d: %q, want %q", i, got, step.want)
					}
					s.Commit()
				}
			}
			check(test.before...)
			s.apply(gap)
			s.Commit()
			check(test.after)
		})
	}
}

// TestRulesAreDocumented holds the table in docs/state.md against the rules.
func TestRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "state.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for event := range int32(len(rulesByEvent)) {
		for detail := int32(0); schema.DetailName(schema.KindLifecycle, event, detail) != "unknown"; detail++ {
			k := knowledge{code: schema.StateRunning, presence: active, persistence: schema.Persistent}
			ruleOf(event, detail)(&k, context{id: -1, sure: true})
			state := schema.StateName(k.code)
			if k.reason != 0 {
				state += ", " + schema.ReasonName(k.code, k.reason)
			}
			row := fmt.Sprintf("| `%s` | `%s` |", schema.EventName(schema.KindLifecycle, event), schema.DetailName(schema.KindLifecycle, event, detail))
			i := strings.Index(text, row)
			if i < 0 {
				t.Errorf("no row for %s", row)
				continue
			}
			got, _, _ := strings.Cut(text[i+len(row):], "|")
			if got = strings.TrimSpace(got); got != "as before" && got != state && !strings.HasPrefix(got, state+" ") {
				t.Errorf("%s %s, want %s: the state after it, for a running persistent domain", row, got, state)
			} else if got == "as before" && (k.code != schema.StateRunning || k.reason != 0) {
				t.Errorf("%s as before, but it becomes %s", row, state)
			}
		}
	}
}
