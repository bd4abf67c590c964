package registry

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

func TestWatchRecordsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		var want []string
		for i := range 3000 {
			h.emit(schema.KindLifecycle, uuidA, int32(i))
			want = append(want, fmt.Sprintf("lifecycle a %d", i))
		}
		synctest.Wait()
		if diff := cmp.Diff(want, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
		if s := w.stat("kvm01"); !s.Up || s.Opens != 1 || s.Filters != 1 || s.Recorded != 3000 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestDeadConnectionDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, alive := &host{name: "dead", down: errors.New("no route to host")}, &host{name: "alive"}
		w := watch(t, Options{}, dead, alive)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		if !w.stat("alive").Up {
			t.Error("the connection that is alive is not up")
		}
		time.Sleep(time.Hour)
		failures := w.stat("dead").OpenFailures
		// Full jitter up to 60 s: 30 s on average.
		if failures < 60 || failures > 300 {
			t.Errorf("%d attempts in an hour, want about 120", failures)
		}
		dead.setDown(nil)
		time.Sleep(DefaultMaxBackoff)
		synctest.Wait()
		if s := w.stat("dead"); !s.Up || s.Backoff != 0 {
			t.Errorf("not up a minute after it came to life: %+v", s)
		}
		if lines := w.journal.lines(); len(lines) != 0 {
			t.Errorf("recorded %q, want nothing: nothing was lost", lines)
		}
	})
}

func TestReconnectDeclaresGapBeforeAnythingNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		w.register(Registration{Kinds: []schema.Kind{kindReboot}, Sinks: []string{"bus"}})
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		sure := time.Now().UTC()
		h.current().sure = sure
		time.Sleep(20 * time.Second)
		h.setDown(errors.New("refused"))
		h.setDelay(time.Second)
		h.cut()
		time.Sleep(10 * time.Minute)
		h.setDown(nil)
		// Events come while the registrations are under way.
		for h.over() {
			time.Sleep(time.Second / 2)
		}
		for i := range 10 {
			h.emit(schema.KindLifecycle, uuidA, int32(i+2))
			h.emit(kindReboot, uuidA, int32(i+2))
			time.Sleep(time.Second / 2)
		}
		synctest.Wait()
		records := w.journal.all()
		if len(records) < 3 {
			t.Fatalf("recorded %q", w.journal.lines())
		}
		if got := line(records[0].Observation); got != "lifecycle a 1" {
			t.Errorf("first record %s", got)
		}
		gap := records[1]
		if gap.Gap == nil || gap.Gap.Reason != schema.GapDisconnected || gap.Gap.Lost != 0 || gap.Sinks != nil {
			t.Fatalf("second record %+v, want the gap, for every sink", gap)
		}
		if !gap.UnobservedSince.Equal(sure) {
			t.Errorf("unobserved since %v, want %v, up to when the session is sure", gap.UnobservedSince, sure)
		}
		if gap.Connection != h.current().Connection() || gap.Received != gap.Gap.Until {
			t.Errorf("gap %+v", gap)
		}
		if first := records[2]; first.Received.After(gap.Gap.Until) && first.Detail != 2 {
			t.Errorf("the first event after the gap is %s", line(first.Observation))
		}
		for _, m := range records[2:] {
			if m.Gap != nil {
				t.Errorf("a second gap: %+v", m.Gap)
			}
		}
		if s := w.stat("kvm01"); s.Losses != 1 || s.Opens != 2 || s.Gaps != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestSessionsLostInTurnDeclareOneGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		w.journal.setFail(errors.New("disk full"))
		h.emit(schema.KindLifecycle, uuidA, 1) // holds the recorder up
		synctest.Wait()
		lost := time.Now().UTC()
		for range 5 {
			h.cut()
			time.Sleep(2 * time.Minute)
		}
		h.emit(schema.KindLifecycle, uuidA, 2)
		w.journal.setFail(nil)
		time.Sleep(time.Minute)
		want := []string{"lifecycle a 1", "gap disconnected 0", "lifecycle a 2"}
		if diff := cmp.Diff(want, w.journal.lines()); diff != "" {
			t.Fatalf("recorded (-want +got):\n%s", diff)
		}
		gap := w.journal.all()[1]
		if !gap.UnobservedSince.Equal(lost) || gap.Gap.Until.Sub(lost) < 8*time.Minute {
			t.Errorf("gap from %v to %v, want from %v to the last session's start", gap.UnobservedSince, gap.Gap.Until, lost)
		}
	})
}

func TestBackoffStartsAfreshAfterALongSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01", down: errors.New("refused")}
		w := watch(t, Options{}, h)
		defer w.stop()
		time.Sleep(time.Hour) // The ceiling is 60 s now.
		h.setDown(nil)
		time.Sleep(2 * DefaultMaxBackoff)
		for range 20 {
			time.Sleep(DefaultMaxBackoff)
			h.cut()
			synctest.Wait()
			if b := w.stat("kvm01").Backoff; b > DefaultMinBackoff {
				t.Fatalf("waits %v after a session of a minute, want at most %v", b, DefaultMinBackoff)
			}
			time.Sleep(2 * DefaultMinBackoff)
		}
	})
}

func TestRegisterTimeoutClosesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01", delay: time.Hour}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		time.Sleep(DefaultCallTimeout + time.Second)
		if s := w.stat("kvm01"); s.Losses != 1 || s.Up {
			t.Errorf("stats: %+v, want the silent session given up", s)
		}
	})
}

func TestRefusedKindLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01", refuse: map[drivers.Filter]bool{{Kind: kindReboot}: true, {Kind: kindReboot, Domain: uuidA}: true}}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(Registration{Kinds: []schema.Kind{kindReboot, schema.KindLifecycle}})
		synctest.Wait()
		w.register(Registration{Kinds: []schema.Kind{kindReboot}, Domain: &uuidA, Callback: &spy{}})
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle/all"}, h.filters()); diff != "" {
			t.Errorf("filters (-want +got):\n%s", diff)
		}
		if s := w.stat("kvm01"); s.Refused != 1 || s.Filters != 1 || !s.Up {
			t.Errorf("stats: %+v", s)
		}
		h.cut()
		time.Sleep(time.Minute)
		if s := w.stat("kvm01"); s.Refused != 2 || !s.Up {
			t.Errorf("stats: %+v, want one more refusal in the new session", s)
		}
	})
}

func TestAddConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &host{name: "first"}, &host{name: "second"}
		w := watch(t, Options{}, first)
		w.register(lifecycle())
		synctest.Wait()
		if err := w.AddConnection(Connection{Name: "second", Driver: second}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second.emit(schema.KindLifecycle, uuidB, 7)
		synctest.Wait()
		if diff := cmp.Diff([]string{"lifecycle b 7"}, w.journal.lines()); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
		for _, bad := range []Connection{{Name: "first", Driver: first}, {Name: "Bad", Driver: first}, {Name: "", Driver: first}, {Name: "none"}} {
			if err := w.AddConnection(bad); err == nil {
				t.Errorf("AddConnection(%q) succeeded", bad.Name)
			}
		}
		w.stop()
		if err := w.AddConnection(Connection{Name: "late", Driver: first}); err == nil {
			t.Error("AddConnection succeeded after Run")
		}
		if err := w.Run(t.Context()); err == nil {
			t.Error("a second Run succeeded")
		}
	})
}
