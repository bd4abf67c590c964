package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// eventually waits until a condition holds: for tests in real time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestRegistrationsChangeUnderLoad changes registrations from many goroutines and inside
// callbacks while events flow and sessions are cut. What a registration that lives
// throughout sees must be whole and in order; every Release must come exactly once and
// after the last call.
func TestRegistrationsChangeUnderLoad(t *testing.T) {
	hosts := []*host{{name: "kvm01"}, {name: "kvm02"}}
	var recorded sync.Map // host → *atomic.Int32, the last detail
	for _, h := range hosts {
		recorded.Store(h.name, new(atomic.Int32))
	}
	r := New(Options{
		Backoff:    Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond},
		QueueBytes: 128 << 20,
		Record: func(_ context.Context, batch schema.MatchedBatch) error {
			for _, m := range batch.Matched {
				if m.Gap != nil || m.Object.UUID != uuidA {
					continue
				}
				v, _ := recorded.Load(m.Connection.Name)
				last := v.(*atomic.Int32)
				if before := last.Swap(m.Detail); m.Detail <= before {
					t.Errorf("%s: %d was recorded after %d", m.Connection.Name, m.Detail, before)
				}
			}
			return nil
		},
	})
	for _, h := range hosts {
		if err := r.AddConnection(Connection{Name: h.name, Driver: h}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.RegisterAny(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()

	var working sync.WaitGroup
	for _, h := range hosts {
		eventually(t, h.name+" is up", func() bool { return up(r, h.name) })
		working.Go(func() { emitUnderLoad(h) })
	}
	var registered, released atomic.Int64
	for worker := range 4 {
		working.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 7))
			for range 150 {
				churn(t, r, rng, &registered, &released)
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
			}
		})
	}
	working.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if registered.Load() != released.Load() || registered.Load() == 0 {
		t.Errorf("%d registered, %d released", registered.Load(), released.Load())
	}
	for _, s := range r.Stats() {
		if s.Received != s.Recorded+s.Observed+s.Unmatched+s.Queued+s.Lost || s.Queued != 0 || s.Recorded == 0 {
			t.Errorf("stats: %+v", s)
		}
		t.Logf("%+v", s)
	}
}

func up(r *Registry, name string) bool {
	for _, s := range r.Stats() {
		if s.Connection == name {
			return s.Up
		}
	}
	return false
}

func emitUnderLoad(h *host) {
	for i := range int32(20000) {
		h.emit(schema.KindLifecycle, uuidA, i+1)
		h.emit(schema.KindLifecycle, uuidB, i+1)
		switch {
		case i%5000 == 4999:
			h.cut()
		case i%50 == 0:
			time.Sleep(time.Millisecond)
		}
	}
}

// churn makes one registration and ends it, sometimes inside its callback.
func churn(t *testing.T, r *Registry, rng *rand.Rand, registered, released *atomic.Int64) {
	t.Helper()
	var id atomic.Int64
	id.Store(-1)
	var gone atomic.Bool
	inside := rng.IntN(2) == 0
	reg := Registration{
		Kinds: []schema.Kind{schema.KindLifecycle},
		Release: func() {
			if gone.Swap(true) {
				t.Error("released twice")
			}
			released.Add(1)
		},
		Callback: ObserverFunc(func(schema.Observation) {
			if gone.Load() {
				t.Error("called after Release")
			}
			if inside && id.Load() >= 0 {
				_ = r.DeregisterAny(ID(id.Load())) // Fails but for the first.
			}
		}),
	}
	if rng.IntN(2) == 0 {
		reg.Domain = &uuidB
	}
	if rng.IntN(2) == 0 {
		reg.Sinks = []string{}
	}
	got, err := r.RegisterAny(reg)
	if err != nil {
		t.Error(err)
		return
	}
	registered.Add(1)
	id.Store(int64(got))
	time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
	err = r.DeregisterAny(got)
	if err != nil && !inside {
		t.Error(err)
	}
}

// TestIdleConnectionsAreSmall measures what the registry itself holds for a connection.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const connections, limit = 1000, 8 << 10
	r := New(Options{})
	if _, err := r.RegisterAny(lifecycle()); err != nil {
		t.Fatal(err)
	}
	hosts := make([]*host, connections)
	before := memory()
	for i := range hosts {
		hosts[i] = &host{name: fmt.Sprintf("kvm%04d", i)}
		if err := r.AddConnection(Connection{Name: hosts[i].name, Driver: hosts[i]}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	recorded := func() (n uint64) {
		for _, s := range r.Stats() {
			n += s.Recorded
		}
		return n
	}
	eventually(t, "all are up", func() bool {
		for _, s := range r.Stats() {
			if !s.Up {
				return false
			}
		}
		return true
	})
	for _, h := range hosts {
		for i := range int32(200) {
			h.emit(schema.KindLifecycle, uuidA, i)
		}
	}
	eventually(t, "all is recorded", func() bool { return recorded() == connections*200 })
	after := memory()
	heap := int(after.HeapAlloc-before.HeapAlloc) / connections
	t.Logf("per idle connection: %d bytes of heap, %d of stacks", heap, int(after.StackInuse-before.StackInuse)/connections)
	if heap > limit {
		t.Errorf("%d bytes of heap per idle connection, want at most %d", heap, limit)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(hosts)
}

// memory returns what is in use. It collects twice, since a pool lets go of what it holds
// at the second collection.
func memory() runtime.MemStats {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}
