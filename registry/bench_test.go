package registry

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

func benchList(b testing.TB, registrations ...Registration) *[]*entry {
	b.Helper()
	r := New(Options{})
	for _, reg := range registrations {
		if _, err := r.RegisterAny(reg); err != nil {
			b.Fatal(err)
		}
	}
	return r.list.Load()
}

func BenchmarkMatch(b *testing.B) {
	var domains []Registration
	for i := range 1000 {
		domain := schema.UUID{1, byte(i), byte(i >> 8)}
		domains = append(domains, Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &domain, Sinks: []string{"bus"}})
	}
	domains = append(domains, Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidA})
	benchmarks := []struct {
		name          string
		registrations []Registration
	}{
		{"all domains", []Registration{lifecycle()}},
		{"one of 1001 domains", domains},
	}
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			t := newTable(benchList(b, bench.registrations...), "kvm01")
			o := numbered(1)[0]
			b.ReportAllocs()
			for b.Loop() {
				if t.match(&o) == nil {
					b.Fatal("no match")
				}
			}
		})
	}
}

// BenchmarkQueue is the way of an observation from a driver's batch to a recorded one,
// Record taking no time.
func BenchmarkQueue(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run("batches of "+strconv.Itoa(size), func(b *testing.B) {
			r := New(Options{})
			if _, err := r.RegisterAny(lifecycle()); err != nil {
				b.Fatal(err)
			}
			q := newQueue(&r.pool, &r.budget, 128<<20)
			rec := recorder{registry: r, name: "kvm01", queue: q}
			batch := make([]schema.Observation, 0, size)
			for i := range size {
				batch = append(batch, numbered(int32(i))...)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				q.push(drivers.Batch{Observations: batch})
				if n += size; n >= batchLength/2 {
					n = 0
					rec.process(b.Context(), q.take())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/observation")
		})
	}
}

// BenchmarkPipeline is the same with both goroutines running.
func BenchmarkPipeline(b *testing.B) {
	h := &host{name: "kvm01"}
	r := New(Options{QueueBytes: 128 << 20})
	if _, err := r.RegisterAny(lifecycle()); err != nil {
		b.Fatal(err)
	}
	if err := r.AddConnection(Connection{Name: h.name, Driver: h}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for !up(r, h.name) {
		time.Sleep(time.Millisecond)
	}
	s := h.current()
	batch := make([]schema.Observation, 0, 64)
	for i := range 64 {
		batch = append(batch, s.observation(schema.KindLifecycle, uuidA, int32(i)))
	}
	b.ReportAllocs()
	sent := uint64(0)
	for b.Loop() {
		for sent > 1<<19 && r.Stats()[0].Queued > 1<<19 {
			time.Sleep(100 * time.Microsecond)
		}
		s.deliver(batch...)
		sent += 64
	}
	for r.Stats()[0].Recorded < sent {
		time.Sleep(100 * time.Microsecond)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/observation")
	if lost := r.Stats()[0].Lost; lost > 0 {
		b.Fatalf("lost %d", lost)
	}
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	r := New(Options{})
	if _, err := r.RegisterAny(lifecycle()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RegisterAny(Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuidB, Sinks: []string{"bus"}}); err != nil {
		t.Fatal(err)
	}
	table := newTable(r.list.Load(), "kvm01")
	observations := append(numbered(1), numbered(2)...)
	observations[1].Object.UUID = uuidB
	if n := testing.AllocsPerRun(100, func() {
		for i := range observations {
			table.match(&observations[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
