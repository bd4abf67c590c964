package domains

import (
	"testing"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// TestStatesOfMigrations holds that one UUID at two sources has the state of the one
// where the domain is, in whatever order the sources' events arrive: each of them is in
// order by itself.
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
				s := newTestBook()
				var last schema.Event
				arrived := false
				for _, o := range append(before[:len(before):len(before)], events...) {
					e := s.apply(observed(o.host, o.event, o.detail, o.id))
					s.Commit()
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

// TestLifeAfterMigration holds that the destination takes precedence from then on,
// and that only the last source where it is defined makes it gone.
func TestLifeAfterMigration(t *testing.T) {
	s := newTestBook()
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
		e := s.apply(observed(step.host, step.event, step.detail, step.id))
		if got := describe(e.State); got != step.want {
			t.Errorf("event %d, at %s: %q, want %q", i, step.host.Name, got, step.want)
		}
		s.Commit()
	}
}

// TestDefinedTwice holds that of two hosts where a domain is defined, one takes
// precedence until it runs on the other.
func TestDefinedTwice(t *testing.T) {
	s := newTestBook()
	for i, step := range []struct {
		host *schema.Connection
		step
	}{
		{hostA, step{0, 0, -1, "shutoff persistent"}},
		{hostB, step{0, 0, -1, "shutoff persistent"}},
		{hostA, step{0, 1, -1, "-"}},
		{hostA, step{2, 0, 7, "running/booted persistent"}},
		{hostB, step{0, 1, -1, "-"}},
		{hostA, step{5, 1, -1, "shutoff/destroyed persistent"}},
		{hostB, step{0, 1, -1, "-"}},
		{hostA, step{1, 0, -1, "-"}}, // it is still defined on the other
		{hostB, step{0, 1, -1, "shutoff persistent"}},
	} {
		e := s.apply(observed(step.host, step.event, step.detail, step.id))
		if got := describe(e.State); got != step.want {
			t.Errorf("event %d, at %s: %q, want %q", i, step.host.Name, got, step.want)
		}
		s.Commit()
	}
}

// TestLateHost holds that a host whose events are recorded late, after a migration there
// and one back, does not take the domain.
func TestLateHost(t *testing.T) {
	s := newTestBook()
	var last schema.Event
	for _, late := range []struct {
		host              *schema.Connection
		event, detail, id int32
		at                int64
	}{
		{hostA, 2, 0, 7, 1},
		{hostA, 3, 1, 7, 3},
		{hostA, 5, 3, -1, 4},
		{hostA, 2, 1, 8, 5},
		{hostA, 4, 1, 8, 7},
		{hostB, 2, 1, 3, 2},
		{hostB, 4, 1, 3, 4},
		{hostB, 3, 1, 3, 6},
		{hostB, 5, 3, -1, 8},
	} {
		o := observed(late.host, late.event, late.detail, late.id)
		o.Received = time.Unix(late.at, 0)
		if e := s.apply(o); e.State.Valid {
			last = e
		}
		s.Commit()
	}
	if got, want := describe(last.State)+" of "+last.Connection.Name, "running/migrated of a"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
