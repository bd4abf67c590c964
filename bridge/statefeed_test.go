package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// lifecycle is an observation of a lifecycle event.
func lifecycle(d int, event, detail int32, to ...string) schema.Matched {
	m := observe(d, 0, to...)
	m.Event, m.Detail = event, detail
	if event < 2 {
		m.Object.ID = -1
	}
	return m
}

// world is a store of states in memory, that remembers how it was filled.
type world struct {
	*memory
}

// states returns what the store has of each domain: "running 3", by name, with the
// sequence of the domain.
func (w world) states() map[string]string {
	all := map[string]string{}
	for _, e := range w.got() {
		if delete(all, e.Object.Name); !e.State.Gone {
			all[e.Object.Name] = fmt.Sprintf("%s %d", schema.StateName(e.State.Code), e.DomainSequence)
		}
	}
	return all
}

// stateful is a bridge with a sink "bus" and a store of states beside it.
func stateful(t *testing.T, dir string, opts bridge.Options, bus, store bridge.Sink, belongs func(string, schema.UUID) bool) *running {
	t.Helper()
	if belongs == nil {
		belongs = func(string, schema.UUID) bool { return true }
	}
	return startWith(t, dir, journal.Options{}, opts, func(b *bridge.Bridge) error {
		err := b.AddSink("bus", bus)
		if store != nil {
			err = errors.Join(err, b.AddStateStore("bus", store, belongs))
		}
		return err
	})
}

// settled waits until nothing is pending for a cursor, and stops.
func (r *running) settled(t *testing.T) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func down(context.Context, []schema.Event) (int, error) { return 0, errors.New("down") }

func TestStateStoreHasTheLastOfEach(t *testing.T) {
	bus, store := newMemory(), world{newMemory()}
	registry := prometheus.NewRegistry()
	r := stateful(t, t.TempDir(), bridge.Options{Registerer: registry}, bus, store, nil)
	record(t, r.Bridge,
		lifecycle(1, 0, 0), lifecycle(2, 0, 0), lifecycle(1, 2, 0), lifecycle(3, 0, 0),
		lifecycle(1, 3, 0), lifecycle(2, 1, 0), lifecycle(3, 2, 0, "screen"), lifecycle(1, 4, 0))
	r.settled(t)
	want := map[string]string{"d1": "running 4", "d3": "shutoff 1"} // d2 is gone; what d3 did is not for bus
	if diff := cmp.Diff(want, store.states()); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
	got := store.got()
	for _, e := range got {
		if e.Kind != schema.KindState || e.Type() != "org.libvirt.domain.state.v1" {
			t.Errorf("the store was given a %s", e.Type())
		}
	}
	if len(got) != 3 {
		t.Errorf("the store was given %d states of one batch, want 3: the last of each domain", len(got))
	}
	if n := len(bus.got()); n != 7 {
		t.Errorf("the sink beside the store got %d events, want 7", n)
	}
	values := values(t, registry)
	for name, want := range map[string]float64{
		"virtcast_recorded_total":       8,
		"virtcast_sink_delivered_total": 7 + 3,
		"virtcast_sink_skipped_total":   1 + 5,
		"virtcast_sink_pending":         0,
	} {
		if values[name] != want {
			t.Errorf("%s is %v, want %v", name, values[name], want)
		}
	}
}

// TestNewStateStoreIsPrimed adds a store to a bridge that knows domains already.
func TestNewStateStoreIsPrimed(t *testing.T) {
	dir := t.TempDir()
	bus := newMemory()
	r := stateful(t, dir, bridge.Options{}, bus, nil, nil)
	last := lifecycle(2, 2, 0)
	last.Synthetic, last.UnobservedSince = true, time.Unix(1_700_000_000, 1).UTC()
	record(t, r.Bridge, lifecycle(1, 0, 0), lifecycle(1, 2, 0), lifecycle(2, 0, 0), last,
		lifecycle(3, 0, 0), lifecycle(3, 1, 0), lifecycle(4, 0, 0))
	r.settled(t)

	store := world{newMemory()}
	hidden := lifecycle(4, 0, 0).Object.UUID
	r = stateful(t, dir, bridge.Options{}, bus, store, func(connection string, d schema.UUID) bool {
		return connection == "kvm01" && d != hidden
	})
	store.await(t, 2)
	record(t, r.Bridge, lifecycle(1, 3, 0))
	store.await(t, 3)
	r.settled(t)
	want := map[string]string{"d1": "paused 3", "d2": "running 2"} // d3 is gone, d4 does not belong
	if diff := cmp.Diff(want, store.states()); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
	for _, e := range store.got() {
		if e.State.Gone {
			t.Errorf("%s, which is gone, was primed", e.Object.Name)
		}
	}
	// It is the same event that the store would have been given then.
	for _, e := range bus.got() {
		if e.Object.Name != "d2" || e.DomainSequence != 2 {
			continue
		}
		for _, s := range store.got() {
			if s.Object.Name == "d2" {
				if diff := cmp.Diff(e.StateEvent(), s); diff != "" {
					t.Errorf("a primed state (-as it was +as it is)\n%s", diff)
				}
			}
		}
	}
}

// TestStateStoreGoesOnAfterRestart has a store that was down while domains changed and
// went.
func TestStateStoreGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	bus, store := newMemory(), world{newMemory()}
	r := stateful(t, dir, bridge.Options{}, bus, store, nil)
	record(t, r.Bridge, lifecycle(1, 0, 0), lifecycle(2, 0, 0), lifecycle(3, 0, 0))
	store.await(t, 3)
	r.settled(t)

	store.before = down
	r = stateful(t, dir, bridge.Options{DrainTimeout: -1}, bus, store, nil)
	record(t, r.Bridge, lifecycle(1, 2, 0), lifecycle(2, 1, 0), lifecycle(1, 3, 0), lifecycle(3, 1, 0), lifecycle(3, 0, 0))
	const many = 20_000 // more than one delivery takes
	for range many / 100 {
		batch := make([]schema.Matched, 100)
		for i := range batch {
			batch[i] = lifecycle(1, 3, 0)
		}
		record(t, r.Bridge, batch...)
	}
	bus.await(t, 8+many)
	r.settled(t)

	store.before = nil
	r = stateful(t, dir, bridge.Options{}, bus, store, nil)
	store.await(t, 3+3)
	record(t, r.Bridge, lifecycle(1, 4, 0))
	store.await(t, 3+4)
	r.settled(t)
	want := map[string]string{"d1": fmt.Sprintf("running %d", 4+many), "d3": "shutoff 3"}
	if diff := cmp.Diff(want, store.states()); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
	last := map[string]uint64{}
	for _, e := range store.got() {
		if e.DomainSequence < last[e.Object.Name] {
			t.Errorf("%s went back from %d to %d", e.Object.Name, last[e.Object.Name], e.DomainSequence)
		}
		last[e.Object.Name] = e.DomainSequence
	}
}

func TestDeadStateStoreDelaysNobody(t *testing.T) {
	bus, store := newMemory(), newMemory()
	store.before = func(ctx context.Context, _ []schema.Event) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	r := stateful(t, t.TempDir(), bridge.Options{DrainTimeout: time.Millisecond}, bus, store, nil)
	for n := range 100 {
		record(t, r.Bridge, observe(1, n))
	}
	verify(t, bus.await(t, 100), 1)
	r.settled(t)
}

// TestStateIsNotPutBack holds that a dead letter of a store is not retried over a newer
// state.
func TestStateIsNotPutBack(t *testing.T) {
	bus, store := newMemory(), newMemory()
	store.before = func(context.Context, []schema.Event) (int, error) { return 0, permanent{} }
	r := stateful(t, t.TempDir(), bridge.Options{}, bus, store, nil)
	record(t, r.Bridge, lifecycle(1, 0, 0))
	var ids []uint64
	for deadline := time.Now().Add(10 * time.Second); len(ids) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		err := r.journal.DeadLetters(func(d journal.DeadLetter) bool {
			if d.Reader != bridge.StateReader("bus") {
				t.Errorf("a dead letter of %s", d.Reader)
			}
			ids = append(ids, d.ID)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := r.Retry(t.Context(), ids); n != 0 || !errors.Is(err, bridge.ErrOldState) {
		t.Errorf("Retry = %d, %v, want ErrOldState", n, err)
	}
}

// TestOtherHostsStateIsNotStored holds that what the source of a migration says late does
// not get to a store.
func TestOtherHostsStateIsNotStored(t *testing.T) {
	bus, store := newMemory(), world{newMemory()}
	r := stateful(t, t.TempDir(), bridge.Options{}, bus, store, nil)
	kvm02 := *kvm01
	kvm02.Name, kvm02.Source = "kvm02", "qemu://kvm02.example.com/system"
	there := lifecycle(1, 4, 1)
	there.Connection = &kvm02
	record(t, r.Bridge, lifecycle(1, 2, 0))
	record(t, r.Bridge, there)
	record(t, r.Bridge, lifecycle(1, 5, 3))
	r.settled(t)
	if n := len(bus.got()); n != 3 {
		t.Errorf("the sink got %d events, want 3", n)
	}
	got := store.got()
	if last := got[len(got)-1]; last.Connection.Name != "kvm02" || last.State.Code != schema.StateRunning {
		t.Errorf("the last state stored is %+v of %s", last.State, last.Connection.Name)
	}
}

// TestRepeatedEventIsNoNews holds that an event that the sink beside a store gets again,
// late, does not bring an old state back.
func TestRepeatedEventIsNoNews(t *testing.T) {
	bus, store := newMemory(), world{newMemory()}
	refuse := true
	bus.before = func(_ context.Context, events []schema.Event) (int, error) {
		if refuse {
			refuse = false
			return 0, permanent{}
		}
		return len(events), nil
	}
	r := stateful(t, t.TempDir(), bridge.Options{}, bus, store, nil)
	record(t, r.Bridge, lifecycle(1, 0, 0))
	record(t, r.Bridge, lifecycle(1, 2, 0))
	bus.await(t, 1)
	if n, err := r.Retry(t.Context(), []uint64{1}); n != 1 || err != nil {
		t.Fatalf("Retry = %d, %v", n, err)
	}
	bus.await(t, 2)
	r.settled(t)
	if diff := cmp.Diff(map[string]string{"d1": "running 2"}, store.states()); diff != "" {
		t.Errorf("states (-want +got)\n%s", diff)
	}
}

type permanent struct{}

func (permanent) Error() string   { return "never" }
func (permanent) Permanent() bool { return true }
