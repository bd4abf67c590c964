package libvirttest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// live runs a scenario and returns its events.
func live(t *testing.T, flavor Flavor, opts ScenarioOptions) (events []wire.LifecycleMessage) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{Flavor: flavor, Empty: true})
		p := watch(t, s)
		done := make(chan error, 1)
		go func() {
			err := s.Scenario(t.Context(), opts)
			synctest.Wait() // Close cuts off what is not written yet.
			s.Close()
			done <- err
		}()
		for {
			f, err := p.nextWithin(24 * time.Hour)
			if err != nil {
				break
			}
			d := wire.NewDecoder(f.payload)
			events = append(events, d.LifecycleMessage())
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	return events
}

func TestScenarioIsRepeatableAndRich(t *testing.T) {
	for flavor, want := range map[Flavor]int{FlavorTest: 9, FlavorQEMU: 16} {
		opts := ScenarioOptions{Seed: 1, Steps: 600}
		first, second := live(t, flavor, opts), live(t, flavor, opts)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("flavor %d: the same seed gives other events:\n%s", flavor, diff)
		}
		opts.Seed = 2
		if cmp.Equal(first, live(t, flavor, opts)) {
			t.Errorf("flavor %d: another seed gives the same events", flavor)
		}
		kinds, names := make(map[step]int), make(map[string]int)
		for _, m := range first {
			kinds[step{m.Event, m.Detail}]++
			names[m.Domain.Name]++
		}
		if len(kinds) < want {
			t.Errorf("flavor %d: got %d kinds of events %v, want at least %d", flavor, len(kinds), kinds, want)
		}
		for _, d := range ScenarioDomains() {
			if names[d.Name] == 0 {
				t.Errorf("flavor %d: nothing happened to %s", flavor, d.Name)
			}
		}
	}
}

func TestScenarioKeepsItsPaceAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{Empty: true})
		defer s.Close()
		start := time.Now()
		if err := s.Scenario(t.Context(), ScenarioOptions{Pace: time.Minute, Steps: 100}); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got < 80*time.Minute || got > 130*time.Minute {
			t.Errorf("103 actions took %v, want about 103 minutes", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.Scenario(ctx, ScenarioOptions{}); err != nil {
			t.Errorf("end of the context: got %v, want nil", err)
		}
	})
}

func TestScenarioSaysWhatIsInItsWay(t *testing.T) {
	s := NewServer(Options{Empty: true})
	defer s.Close()
	if _, err := s.Define("web-1", scriptUUID("t1")); err != nil {
		t.Fatal(err)
	}
	var e *wire.RemoteError
	if err := s.Scenario(t.Context(), ScenarioOptions{Pace: time.Microsecond}); !errors.As(err, &e) {
		t.Errorf("got %v, want libvirt's error", err)
	}
}
