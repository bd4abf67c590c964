package registry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/virtcast/virtcast/schema"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registerer := prometheus.NewPedanticRegistry()
		h, dead := &host{name: "kvm01"}, &host{name: "dead", down: errors.New("refused")}
		w := watch(t, Options{Registerer: registerer, QueueBytes: 11 * fakeSize}, h, dead)
		defer w.stop()
		w.register(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA})
		synctest.Wait()
		s := h.current()
		s.deliver(
			s.observation(schema.KindLifecycle, uuidA, 1),
			s.observation(schema.KindLifecycle, uuidB, 2),
		)
		synctest.Wait()
		w.journal.setFail(errors.New("disk full"))
		h.emit(schema.KindLifecycle, uuidA, 3)
		synctest.Wait()
		for i := range int32(15) {
			h.emit(schema.KindLifecycle, uuidA, i)
		}
		want := `
# HELP virtcast_registry_connections_configured Connections that are configured.
# TYPE virtcast_registry_connections_configured gauge
virtcast_registry_connections_configured 2
# HELP virtcast_registry_connections_up Connections whose session is open and has everything wanted in force.
# TYPE virtcast_registry_connections_up gauge
virtcast_registry_connections_up 1
# HELP virtcast_registry_observations_lost_total Observations lost because the queue was full, or left when the registry stopped.
# TYPE virtcast_registry_observations_lost_total counter
virtcast_registry_observations_lost_total{connection="dead"} 0
virtcast_registry_observations_lost_total{connection="kvm01"} 5
# HELP virtcast_registry_observations_received_total Observations received: the sum of recorded, observed, unmatched, lost and queue_depth.
# TYPE virtcast_registry_observations_received_total counter
virtcast_registry_observations_received_total{connection="dead"} 0
virtcast_registry_observations_received_total{connection="kvm01"} 18
# HELP virtcast_registry_observations_unmatched_total Observations that no registration asked for, dropped.
# TYPE virtcast_registry_observations_unmatched_total counter
virtcast_registry_observations_unmatched_total{connection="dead"} 0
virtcast_registry_observations_unmatched_total{connection="kvm01"} 1
# HELP virtcast_registry_queue_depth Observations waiting to be recorded.
# TYPE virtcast_registry_queue_depth gauge
virtcast_registry_queue_depth{connection="dead"} 0
virtcast_registry_queue_depth{connection="kvm01"} 11
`
		if err := testutil.GatherAndCompare(registerer, strings.NewReader(want),
			"virtcast_registry_connections_configured", "virtcast_registry_connections_up",
			"virtcast_registry_observations_lost_total", "virtcast_registry_observations_received_total",
			"virtcast_registry_observations_unmatched_total", "virtcast_registry_queue_depth"); err != nil {
			t.Error(err)
		}
		problems, err := testutil.GatherAndLint(registerer)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
		w.journal.setFail(nil)
	})
}

func TestRefusedMetricsEndRun(t *testing.T) {
	registerer := prometheus.NewRegistry()
	New(Options{Registerer: registerer})
	if err := New(Options{Registerer: registerer}).Run(t.Context()); err == nil {
		t.Error("Run succeeded without its metrics")
	}
}

func TestTroubleIsLoggedOncePerEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		hosts := []*host{{name: "kvm01"}, {name: "kvm02"}, {name: "kvm03"}}
		w := watch(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, hosts...)
		w.register(lifecycle())
		synctest.Wait()
		for range 2 {
			w.journal.setFail(errors.New("disk full"))
			for _, h := range hosts {
				h.emit(schema.KindLifecycle, uuidA, 1)
			}
			time.Sleep(time.Minute)
			w.journal.setFail(nil)
			time.Sleep(time.Minute)
		}
		w.stop()
		for text, want := range map[string]int{"recording fails": 2, "recording succeeds again": 2, "disk full": 2} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, log.String())
			}
		}
		if n := w.trouble.episode.Failures(); n < 6*20 {
			t.Errorf("%d failures counted", n)
		}
	})
}
