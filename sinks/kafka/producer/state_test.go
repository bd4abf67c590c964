package producer

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What every event makes of a batch in every state. A batch that may be stored is never
// replaced, and never counted as not stored.
func TestTransitions(t *testing.T) {
	want := map[state]map[event]state{
		empty: {build: made, renew: empty, end: empty, remove: gone},
		made:  {send: sent, renew: made, end: empty, remove: gone},
		sent: {
			reject: made, lose: unconfirmed, confirm: empty, refuse: empty,
		},
		unconfirmed: {send: resent, renew: made, end: unconfirmed, remove: gone},
		resent: {
			reject: unconfirmed, lose: unconfirmed, confirm: empty, refuse: empty,
		},
		gone: {end: gone, remove: gone},
	}
	for s := empty; s < states; s++ {
		for e := build; e < events; e++ {
			got, possible := transitions[s][e], want[s][e] != impossible
			if got != want[s][e] {
				t.Errorf("%s in state %s leads to %s, want %s", e, s, got, want[s][e])
			}
			p := &partition{topic: &topic{known: newTopic()}, state: s}
			if ok := p.on(e); ok != possible || (p.stopped == nil) != possible {
				t.Errorf("%s in state %s: possible is %t, stopped by %v, want %t", e, s, ok, p.stopped, possible)
			}
			if !possible && p.state != s {
				t.Errorf("%s in state %s is impossible, and leads to %s", e, s, p.state)
			}
		}
	}
}

// The laws that the table must keep, whatever it is changed to.
func TestTransitionsKeepLaws(t *testing.T) {
	for s := empty; s < states; s++ {
		for e := build; e < events; e++ {
			next := transitions[s][e]
			if next == impossible {
				continue
			}
			if s.maybeStored() && !next.maybeStored() && e != confirm && e != refuse && e != renew && e != remove {
				t.Errorf("%s in state %s forgets that the batch may be stored", e, s)
			}
			if s.pending() && next == made && e == build {
				t.Errorf("a batch is replaced in state %s", s)
			}
			if next.underWay() != (e == send) {
				t.Errorf("%s in state %s leads to %s", e, s, next)
			}
			if e == end && next.underWay() {
				t.Errorf("a delivery ends with a batch that is %s", next)
			}
		}
	}
}
