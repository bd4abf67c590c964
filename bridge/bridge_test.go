package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var kvm01 = &schema.Connection{Name: "kvm01", URI: "qemu:///system", Hostname: "kvm01.example.com", Source: "qemu://kvm01.example.com/system"}

func domain(n int) schema.Object {
	return schema.Object{UUID: schema.UUID{15: byte(n + 1)}, Name: fmt.Sprintf("d%d", n), ID: int32(n)}
}

// observe makes the nth observation of a domain: its detail is n.
func observe(d, n int, to ...string) schema.Matched {
	return schema.Matched{
		Observation: schema.Observation{
			Connection: kvm01, Kind: schema.KindLifecycle, Object: domain(d),
			Event: 2, Detail: int32(n), Received: time.Unix(1_800_000_000, int64(n)).UTC(),
		},
		Sinks: to,
	}
}

// memory is a sink that keeps what it acknowledged. before, if set, may fail a call, or
// cut it short; where its error is permanent, it is that of the next event, and the call
// goes on behind it.
type memory struct {
	before func(ctx context.Context, events []schema.Event) (n int, err error)

	mu     sync.Mutex
	events []schema.Event
	more   chan struct{}
}

func newMemory() *memory { return &memory{more: make(chan struct{}, 1)} }

func (m *memory) Deliver(ctx context.Context, events []schema.Event, outcome func(int, error)) error {
	for done := 0; ; done++ {
		n, err := len(events)-done, error(nil)
		if m.before != nil && n > 0 {
			n, err = m.before(ctx, events[done:])
		}
		m.mu.Lock()
		m.events = append(m.events, events[done:done+n]...)
		m.mu.Unlock()
		for i := range n {
			outcome(done+i, nil)
		}
		select {
		case m.more <- struct{}{}:
		default:
		}
		var permanent interface{ Permanent() bool }
		if done += n; !errors.As(err, &permanent) {
			return err
		}
		outcome(done, err)
	}
}

func (m *memory) got() []schema.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]schema.Event(nil), m.events...)
}

// await waits until the sink has n events.
func (m *memory) await(t *testing.T, n int) []schema.Event {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if got := m.got(); len(got) >= n {
			return got
		}
		select {
		case <-m.more:
		case <-deadline:
			t.Fatalf("the sink has %d events, want %d", len(m.got()), n)
		}
	}
}

// running is a bridge that runs, with its journal.
type running struct {
	*bridge.Bridge
	journal *journal.Journal
	stop    func() error
}

func start(t *testing.T, dir string, jopts journal.Options, opts bridge.Options, to map[string]bridge.Sink) *running {
	t.Helper()
	return startWith(t, dir, jopts, opts, func(b *bridge.Bridge) error {
		for name, s := range to {
			if err := b.AddSink(name, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func startWith(t *testing.T, dir string, jopts journal.Options, opts bridge.Options, add func(*bridge.Bridge) error) *running {
	t.Helper()
	j, err := journal.Open(dir, jopts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(j, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := add(b); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	var once sync.Once
	r := &running{Bridge: b, journal: j}
	r.stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = errors.Join(<-done, j.Close())
		})
		return err
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func record(t *testing.T, b *bridge.Bridge, batch ...schema.Matched) {
	t.Helper()
	if err := b.Record(t.Context(), schema.MatchedBatch{Matched: batch}); err != nil {
		t.Fatal(err)
	}
}

// verify checks what a sink that never failed must see of a source: sequences that rise,
// and what [verifyDomains] checks.
func verify(t *testing.T, events []schema.Event, first uint64) {
	t.Helper()
	var sequence uint64
	for i, e := range events {
		if e.Sequence <= sequence {
			t.Fatalf("event %d: sequence %d after %d", i, e.Sequence, sequence)
		}
		sequence = e.Sequence
	}
	verifyDomains(t, events, first)
}

// verifyDomains checks what every sink must see of a source: domain sequences that are
// contiguous from first, unique ids, details in order.
func verifyDomains(t *testing.T, events []schema.Event, first uint64) {
	t.Helper()
	ids := make(map[string]bool)
	last := make(map[schema.UUID]schema.Event)
	for i, e := range events {
		if ids[e.ID()] {
			t.Fatalf("event %d: the id %s came before", i, e.ID())
		}
		ids[e.ID()] = true
		before, seen := last[e.Object.UUID]
		if !seen && e.DomainSequence != first || seen && e.DomainSequence != before.DomainSequence+1 {
			t.Fatalf("event %d: domain sequence %d after %d", i, e.DomainSequence, before.DomainSequence)
		}
		if seen && e.Detail <= before.Detail {
			t.Fatalf("event %d: domain %s: detail %d after %d", i, e.Object.Name, e.Detail, before.Detail)
		}
		last[e.Object.UUID] = e
	}
}

func TestDeliversInOrder(t *testing.T) {
	a, b := newMemory(), newMemory()
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": a, "b": b})
	const domains, each = 8, 500
	var group sync.WaitGroup
	for d := range domains {
		group.Go(func() {
			for n := 0; n < each; n += 10 {
				batch := make([]schema.Matched, 10)
				for i := range batch {
					batch[i] = observe(d, n+i)
					if d == 0 {
						batch[i].Sinks = []string{"b"}
					}
				}
				if err := r.Record(t.Context(), schema.MatchedBatch{Matched: batch}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	verify(t, b.await(t, domains*each), 1)
	events := a.await(t, (domains-1)*each)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := len(a.got()), (domains-1)*each; got != want {
		t.Errorf("sink a got %d events, want %d: those of d0 are for b only", got, want)
	}
	verify(t, events, 1)
	all := b.got()
	for i, e := range all {
		if e.Sequence != uint64(i+1) {
			t.Fatalf("event %d has sequence %d: it is not contiguous", i, e.Sequence)
		}
	}
}

func TestGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	down := newMemory()
	down.before = func(context.Context, []schema.Event) (int, error) { return 0, errors.New("down") }
	r := start(t, dir, journal.Options{}, bridge.Options{DrainTimeout: -1}, map[string]bridge.Sink{"a": down})
	record(t, r.Bridge, observe(1, 0), observe(2, 1), observe(1, 2))
	<-down.more
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	a := newMemory()
	r = start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": a})
	record(t, r.Bridge, observe(1, 3), observe(3, 4))
	events := a.await(t, 5)
	verify(t, events, 1)
	for i, e := range events {
		if e.Sequence != uint64(i+1) || e.Detail != int32(i) || e.Epoch != events[0].Epoch {
			t.Errorf("event %d: got sequence %d detail %d epoch %s", i, e.Sequence, e.Detail, e.Epoch)
		}
	}
}

// TestRetriesKeepOrder runs a sink that acknowledges random prefixes and fails.
func TestRetriesKeepOrder(t *testing.T) {
	flaky := newMemory()
	rng := rand.New(rand.NewPCG(1, 2))
	flaky.before = func(_ context.Context, events []schema.Event) (int, error) {
		if rng.IntN(4) == 0 {
			return rng.IntN(len(events)), errors.New("cut")
		}
		return len(events), nil
	}
	steady := newMemory()
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"flaky": flaky, "steady": steady})
	const total = 200
	for n := range total {
		record(t, r.Bridge, observe(n%3, n))
	}
	steady.await(t, total)
	verifyDomains(t, flaky.await(t, total), 1)
	verify(t, steady.got(), 1)
}

func TestPermanentErrorIsBuried(t *testing.T) {
	dir := t.TempDir()
	s := newMemory()
	s.before = func(_ context.Context, events []schema.Event) (int, error) {
		for i, e := range events {
			if e.Detail == 2 {
				return i, sinks.Permanent(errors.New("too large"))
			}
		}
		return len(events), nil
	}
	r := start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	for n := range 5 {
		record(t, r.Bridge, observe(1, n))
	}
	events := s.await(t, 4)
	for i, want := range []int32{0, 1, 3, 4} {
		if events[i].Detail != want {
			t.Errorf("event %d: got detail %d, want %d", i, events[i].Detail, want)
		}
	}
	found := 0
	err := r.journal.DeadLetters(func(d journal.DeadLetter) bool {
		found++
		e, _, err := schema.ParseRecord(d.Data, nil)
		if err != nil || e.Detail != 2 || d.Reader != "a" || d.Reason != "too large" {
			t.Errorf("dead letter: %v %v of %s: %s", e, err, d.Reader, d.Reason)
		}
		return true
	})
	if err != nil || found != 1 {
		t.Errorf("%d dead letters, %v; want 1", found, err)
	}
}

func TestDeadSinkDelaysNobody(t *testing.T) {
	dead, alive := newMemory(), newMemory()
	dead.before = func(ctx context.Context, _ []schema.Event) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{DrainTimeout: time.Millisecond}, map[string]bridge.Sink{"dead": dead, "alive": alive})
	for n := range 100 {
		record(t, r.Bridge, observe(1, n))
	}
	verify(t, alive.await(t, 100), 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestStopDrains(t *testing.T) {
	slow := newMemory()
	slow.before = func(ctx context.Context, _ []schema.Event) (int, error) {
		select {
		case <-time.After(20 * time.Millisecond):
			return 1, errors.New("one at a time")
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"slow": slow})
	batch := make([]schema.Matched, 20)
	for n := range batch {
		batch[n] = observe(1, n)
	}
	record(t, r.Bridge, batch...)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := len(slow.got()); got != len(batch) {
		t.Errorf("stopping delivered %d of %d events", got, len(batch))
	}
	if err := r.Record(t.Context(), schema.MatchedBatch{Matched: batch}); !errors.Is(err, bridge.ErrClosed) {
		t.Errorf("Record after the end: %v, want ErrClosed", err)
	}
}

// TestFullJournalLeavesNoHole fills the journal, lets the sink catch up, and goes
// on: sequences are contiguous over what was refused.
func TestFullJournalLeavesNoHole(t *testing.T) {
	s := newMemory()
	open := make(chan struct{})
	s.before = func(ctx context.Context, events []schema.Event) (int, error) {
		select {
		case <-open:
			return len(events), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	r := start(t, t.TempDir(), journal.Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	recorded, refused := 0, 0
	for n := 0; refused < 10; n++ {
		err := r.Record(t.Context(), schema.MatchedBatch{Matched: []schema.Matched{observe(n%5, n)}})
		switch {
		case err == nil && refused == 0:
			recorded++
		case errors.Is(err, journal.ErrFull):
			refused++
		default:
			t.Fatalf("record %d after %d refusals: %v", n, refused, err)
		}
	}
	close(open)
	s.await(t, recorded)
	for n := 1_000_000; ; n++ {
		err := r.Record(t.Context(), schema.MatchedBatch{Matched: []schema.Matched{observe(n%5, n)}})
		if err == nil {
			break
		}
		if !errors.Is(err, journal.ErrFull) || n > 1_000_200 {
			t.Fatalf("the journal does not take records again: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	events := s.await(t, recorded+1)
	verify(t, events, 1)
	if got, want := events[recorded].Sequence, uint64(recorded+1); got != want {
		t.Errorf("the first event after the refusals has sequence %d, want %d", got, want)
	}
}

// TestAccounting holds the equation of the metrics.
func TestAccounting(t *testing.T) {
	dir := t.TempDir()
	down := newMemory()
	down.before = func(context.Context, []schema.Event) (int, error) { return 0, errors.New("down") }
	r := start(t, dir, journal.Options{}, bridge.Options{DrainTimeout: -1}, map[string]bridge.Sink{"a": down})
	record(t, r.Bridge, observe(1, 0), observe(1, 1))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s := newMemory()
	s.before = func(_ context.Context, events []schema.Event) (int, error) {
		for i, e := range events {
			if e.Detail == 3 {
				return i, sinks.Permanent(errors.New("no"))
			}
		}
		return len(events), nil
	}
	registry := prometheus.NewRegistry()
	r = start(t, dir, journal.Options{}, bridge.Options{Registerer: registry}, map[string]bridge.Sink{"a": s})
	record(t, r.Bridge, observe(1, 2), observe(1, 3), observe(1, 4, "other"), observe(1, 5))
	s.await(t, 4)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got := values(t, registry)
	want := map[string]float64{
		"virtcast_recorded_total":          4,
		"virtcast_sink_pending_at_start":   2,
		"virtcast_sink_delivered_total":    4,
		"virtcast_sink_skipped_total":      1,
		"virtcast_sink_dead_letters_total": 1,
		"virtcast_sink_pending":            0,
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

func values(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// TestForgetsSilentDomains bounds the state: what was silent for longest begins at 1
// again.
func TestForgetsSilentDomains(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	s := newMemory()
	opts := bridge.Options{MaxDomains: 10}
	r := start(t, dir, journal.Options{}, opts, map[string]bridge.Sink{"a": s})
	for n := range 11 { // one more than fits: the two that were silent for longest go
		record(t, r.Bridge, observe(n, n))
	}
	record(t, r.Bridge, observe(0, 100), observe(10, 101))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, journal.Options{}, opts, map[string]bridge.Sink{"a": s})
	record(t, r.Bridge, observe(1, 102), observe(2, 103))
	events := s.await(t, 15)
	for i, want := range []uint64{1, 2, 1, 2} {
		if e := events[11+i]; e.DomainSequence != want {
			t.Errorf("%s has domain sequence %d, want %d", e.Object.Name, e.DomainSequence, want)
		}
	}
	if got := events[14].Sequence; got != 15 {
		t.Errorf("the source's sequence is %d, want 15: it is never forgotten", got)
	}
}
