package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

// TestMissingIsAskedForAgain holds that what the hypervisor failed to register is asked
// for again in the same session, that the connection is not up until all is in force,
// that what is in force is recorded meanwhile, and that the time is declared when it is
// over.
func TestMissingIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		h.setFail(kindReboot, errors.New("cannot allocate memory"))
		w := watch(t, Options{}, h)
		defer w.stop()
		opened := time.Now().UTC()
		w.register(Registration{Kinds: []schema.Kind{kindReboot, schema.KindLifecycle}})
		synctest.Wait()
		h.emit(schema.KindLifecycle, uuidA, 1)
		h.emit(kindReboot, uuidA, 2) // missed
		time.Sleep(5 * time.Minute)
		if s := w.stat("kvm01"); s.Up || s.Filters != 1 || s.Refused != 0 || s.Losses != 0 {
			t.Errorf("stats while one kind is missing: %+v", s)
		}
		h.setFail(kindReboot, nil)
		well := time.Now().UTC()
		time.Sleep(maxWatchBackoff)
		synctest.Wait()
		if s := w.stat("kvm01"); !s.Up || s.Filters != 2 || s.Opens != 1 {
			t.Errorf("stats when the hypervisor is well again: %+v", s)
		}
		h.emit(kindReboot, uuidA, 3)
		synctest.Wait()
		want := []string{"lifecycle a 1", "gap disconnected 0", "unknown-1 a 3"}
		if diff := cmp.Diff(want, w.journal.lines()); diff != "" {
			t.Fatalf("recorded (-want +got):\n%s", diff)
		}
		if gap := w.journal.all()[1]; !gap.UnobservedSince.Equal(opened) || gap.Gap.Until.Before(well) {
			t.Errorf("the gap is from %v to %v, want from %v to %v or later", gap.UnobservedSince, gap.Gap.Until, opened, well)
		}
	})
}

// TestSessionLostWhileSomethingIsMissing holds that the next gap begins when it began to
// be missing.
func TestSessionLostWhileSomethingIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		h.setFail(kindReboot, errors.New("cannot allocate memory"))
		missing := time.Now().UTC()
		w.register(Registration{Kinds: []schema.Kind{kindReboot}})
		time.Sleep(time.Hour)
		h.current().sure = time.Now()
		h.setFail(kindReboot, nil)
		h.cut()
		time.Sleep(time.Minute)
		synctest.Wait()
		records := w.journal.all()
		if len(records) != 1 || records[0].Gap == nil || !records[0].UnobservedSince.Equal(missing) {
			t.Errorf("recorded %+v, want a gap since %v", records, missing)
		}
	})
}

func TestSessionLostInWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01", lose: true}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		if s := w.stat("kvm01"); s.Up || s.Refused != 0 || s.Losses != 1 {
			t.Errorf("stats: %+v, want a lost session and nothing refused", s)
		}
		time.Sleep(time.Minute)
		if s := w.stat("kvm01"); !s.Up || s.Opens != 2 {
			t.Errorf("stats: %+v, want the next session up", s)
		}
	})
}

// TestClockSetBack holds that a gap does not end before it begins.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{name: "kvm01"}
		w := watch(t, Options{}, h)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		h.current().sure = time.Now().Add(time.Hour) // noted before the clock was set back
		h.cut()
		time.Sleep(time.Minute)
		q := testQueue(10)
		since := time.Now().UTC()
		q.hold(nil, since)
		q.release(since.Add(-time.Hour))
		got := []schema.Observation{w.journal.all()[0].Observation, q.take().observations[0]}
		for _, gap := range got {
			if gap.UnobservedSince.After(gap.Gap.Until) || gap.Received.Before(gap.UnobservedSince) {
				t.Errorf("a gap from %v to %v", gap.UnobservedSince, gap.Gap.Until)
			}
		}
	})
}

// TestFailureIsLoggedOnce holds that errors that differ only in a port are one.
func TestFailureIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		h := &host{name: "kvm01", down: errors.New("refused")}
		w := watch(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, h)
		for port := range 100 {
			h.setDown(fmt.Errorf("read tcp 10.0.0.1:%d->10.0.0.2:16509: connection reset by peer", 40000+port))
			time.Sleep(2 * time.Minute)
		}
		w.stop()
		if n := strings.Count(log.String(), "connection reset"); n != 1 {
			t.Errorf("the failure is logged %d times, want once", n)
		}
	})
}
