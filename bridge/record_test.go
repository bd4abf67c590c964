package bridge_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// listed is a listing of running, transient domains.
func listed(complete bool, domains ...int) schema.Matched {
	l := &schema.Listing{Connection: kvm01, Received: time.Unix(1_800_000_009, 0).UTC(), Complete: complete}
	for _, d := range domains {
		l.Domains = append(l.Domains, schema.ListedDomain{Object: domain(d), State: 1, Reason: 1, Persistence: schema.NotPersistent})
	}
	return schema.Matched{
		Observation: schema.Observation{Connection: kvm01, Received: l.Received},
		Listing:     l,
		Route:       func(*schema.Observation) ([]string, bool) { return nil, true },
	}
}

// brief are events as "started d1 #2", with the number in the domain's sequence.
func brief(events []schema.Event) []string {
	var text []string
	for i := range events {
		e := &events[i]
		text = append(text, fmt.Sprintf("%s %s #%d", schema.EventName(e.Kind, e.Event), e.Object.Name, e.DomainSequence))
	}
	return text
}

// TestListing: a listing becomes the events that it leads to, at its place among the
// others, and the same listing again becomes none.
func TestListing(t *testing.T) {
	s := newMemory()
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	record(t, r.Bridge, lifecycle(1, 2, 0), lifecycle(2, 2, 0))
	record(t, r.Bridge, lifecycle(1, 3, 0), listed(true, 1, 3), lifecycle(3, 3, 0))
	record(t, r.Bridge, listed(true, 1), listed(false, 1))
	r.settled(t)
	want := []string{
		"started d1 #1", "started d2 #1",
		"suspended d1 #2", "resumed d1 #3", "started d3 #1", "stopped d2 #2", "undefined d2 #3", "suspended d3 #2",
		"stopped d3 #3",
	}
	if diff := cmp.Diff(want, brief(s.got())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for i, e := range s.got() {
		if e.Sequence != uint64(i+1) || e.Synthetic != (i >= 3 && i != 7) {
			t.Errorf("event %d: sequence %d, synthetic %t", i, e.Sequence, e.Synthetic)
		}
	}
}

// TestListingIsRouted: what a listing leads to goes where the registrations say.
func TestListingIsRouted(t *testing.T) {
	a, b := newMemory(), newMemory()
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": a, "b": b})
	m := listed(true, 1, 2, 3)
	m.Route = func(o *schema.Observation) ([]string, bool) {
		return []string{"a"}, o.Object.UUID != domain(2).UUID
	}
	record(t, r.Bridge, m)
	r.settled(t)
	if diff := cmp.Diff([]string{"started d1 #1", "started d3 #1"}, brief(a.got())); diff != "" || len(b.got()) > 0 {
		t.Errorf("b got %v; a (-want +got)\n%s", brief(b.got()), diff)
	}
}

// fullJournal is a bridge whose journal takes nothing until its sink is opened.
func fullJournal(t *testing.T) (r *running, s *memory, open func()) {
	t.Helper()
	s = newMemory()
	gate := make(chan struct{})
	s.before = func(ctx context.Context, events []schema.Event) (int, error) {
		select {
		case <-gate:
			return len(events), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	r = start(t, t.TempDir(), journal.Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	for n := 0; ; n++ {
		err := r.Record(t.Context(), schema.MatchedBatch{Matched: []schema.Matched{observe(9, n)}})
		if errors.Is(err, journal.ErrFull) {
			return r, s, func() { close(gate) }
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusedBatchIsTakenBack: a batch that the journal refuses leaves neither sequences
// nor knowledge nor a position, so that the same batch, recorded again, leads to the same
// events.
func TestRefusedBatchIsTakenBack(t *testing.T) {
	r, s, open := fullJournal(t)
	batch := schema.MatchedBatch{
		Connection: "kvm01", Position: schema.Position("second"),
		Matched: []schema.Matched{lifecycle(1, 2, 0), listed(true, 1, 2, 9)},
	}
	for range 3 {
		if err := r.Record(t.Context(), batch); !errors.Is(err, journal.ErrFull) {
			t.Fatalf("Record = %v, want a full journal", err)
		}
		if at := r.Position("kvm01"); at != nil {
			t.Fatalf("the position is %q after a refusal", at)
		}
	}
	open()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := r.Record(t.Context(), batch)
		if err == nil {
			break
		}
		if !errors.Is(err, journal.ErrFull) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if at := r.Position("kvm01"); string(at) != "second" {
		t.Errorf("the position is %q", at)
	}
	r.settled(t)
	events := s.got()
	verify(t, events[:0], 1)
	if got, want := brief(events[len(events)-2:]), []string{"started d1 #1", "started d2 #1"}; !slices.Equal(got, want) {
		t.Errorf("the last events are %q, want %q", got, want)
	}
	if last := events[len(events)-1]; last.Sequence != uint64(len(events)) {
		t.Errorf("%d events, the last has sequence %d", len(events), last.Sequence)
	}
}

// TestLargeListing: a listing that leads to more than a batch holds is recorded in parts.
func TestLargeListing(t *testing.T) {
	dir := t.TempDir()
	s := newMemory()
	r := start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	const many = 12_000
	m := listed(true)
	for n := range many {
		m.Listing.Domains = append(m.Listing.Domains, schema.ListedDomain{
			Object: schema.Object{UUID: schema.UUID{1, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}, Name: fmt.Sprint("vm-", n), ID: int32(n)},
			State:  1, Reason: 1, Persistence: schema.Persistent,
		})
	}
	record(t, r.Bridge, m)
	m.Listing.Domains = nil // It is the caller's again.
	s.await(t, 2*many)
	record(t, r.Bridge, observe(1, 1))
	r.settled(t)
	if n := len(s.got()); n != 2*many+1 {
		t.Errorf("%d events, want %d", n, 2*many+1)
	}
	if r.journal.Stats().Batches < 3 {
		t.Errorf("%d batches", r.journal.Stats().Batches)
	}
}

// TestPositions: a position is durable with the events of its batch, and by itself within
// a second.
func TestPositions(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, journal.Options{}, bridge.Options{}, nil)
	put := func(at string, matched ...schema.Matched) {
		t.Helper()
		err := r.Record(t.Context(), schema.MatchedBatch{Connection: "kvm01", Matched: matched, Position: schema.Position(at)})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(at string) {
		t.Helper()
		if got := string(r.Position("kvm01")); got != at {
			t.Fatalf("position %q, want %q", got, at)
		}
	}
	want("")
	put("one", observe(1, 1))
	want("one")
	record(t, r.Bridge, observe(1, 2)) // without a position: as before
	want("one")
	batches := r.journal.Stats().Batches
	begin := time.Now()
	for n := range 100 {
		put(fmt.Sprint("alone ", n))
	}
	if took := time.Since(begin); took < 500*time.Millisecond {
		want("one") // It waits for a batch with events.
	}
	put("two", observe(1, 3))
	want("two")
	if n := r.journal.Stats().Batches - batches; n > 3 {
		t.Errorf("%d batches for a hundred positions and an event", n)
	}
	put("three")
	for deadline := time.Now().Add(10 * time.Second); string(r.Position("kvm01")) != "three"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a position alone did not become durable")
		}
	}
	put("four") // and is durable when the bridge stops
	if err := r.Record(t.Context(), schema.MatchedBatch{Position: make(schema.Position, schema.MaxPosition+1)}); err == nil {
		t.Error("a position that is too large was taken")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, journal.Options{}, bridge.Options{}, nil)
	want("four")
	if at := r.Position("other"); at != nil {
		t.Errorf("another connection's position is %q", at)
	}
}

// rewrite changes a value of a journal that is not in use.
func rewrite(t *testing.T, dir string, change func(key, value []byte) (newKey, newValue []byte)) {
	t.Helper()
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b journal.Batch
	j.Values(func(key, value []byte) bool {
		if k, v := change(bytes.Clone(key), bytes.Clone(value)); k != nil {
			b.Put(k, v)
		}
		return true
	})
	if err := errors.Join(j.Append(&b), j.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestSourceOfAnEarlierVersion: a source's value without an epoch is read; the source
// goes on in the journal's.
func TestSourceOfAnEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	s := newMemory()
	r := start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	record(t, r.Bridge, observe(1, 1))
	r.settled(t)
	rewrite(t, dir, func(key, _ []byte) ([]byte, []byte) {
		if key[0] != 's' {
			return nil, nil
		}
		old := binary.AppendUvarint(nil, 41)
		for _, text := range []string{kvm01.Name, kvm01.URI, kvm01.Hostname} {
			old = append(binary.AppendUvarint(old, uint64(len(text))), text...)
		}
		return key, old
	})
	for n := range 2 { // The second time with the value in its new form.
		r = start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
		record(t, r.Bridge, observe(1, 2+n))
		r.settled(t)
	}
	got := s.got()
	if got[1].Sequence != 42 || got[2].Sequence != 43 || got[1].Epoch != got[0].Epoch || got[2].Epoch != got[0].Epoch {
		t.Errorf("sequences %d and %d, epochs %s, %s and %s", got[1].Sequence, got[2].Sequence, got[0].Epoch, got[1].Epoch, got[2].Epoch)
	}
}

// TestEpochIsTheSources: a source keeps its epoch, whichever the journal's is.
func TestEpochIsTheSources(t *testing.T) {
	dir := t.TempDir()
	s, store := newMemory(), newMemory()
	r := start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	record(t, r.Bridge, lifecycle(1, 2, 0))
	r.settled(t)
	const other = "01vvvvvvvv"
	rewrite(t, dir, func(key, value []byte) ([]byte, []byte) {
		return key, bytes.ReplaceAll(value, []byte(s.got()[0].Epoch), []byte(other))
	})
	r = stateful(t, dir, bridge.Options{}, s, nil, nil)
	kvm02 := *kvm01
	kvm02.Name, kvm02.Source = "kvm02", "qemu://kvm02.example.com/system"
	there := lifecycle(5, 2, 0)
	there.Connection = &kvm02
	record(t, r.Bridge, lifecycle(1, 3, 0), there)
	r.settled(t)
	r = stateful(t, dir, bridge.Options{}, s, store, nil)
	store.await(t, 2)
	r.settled(t)
	epochs := map[string]string{}
	for _, e := range store.got() {
		epochs[e.Connection.Name] = e.Epoch
	}
	if want := map[string]string{"kvm01": other, "kvm02": s.got()[0].Epoch}; !cmp.Equal(want, epochs) {
		t.Errorf("the states' epochs are %v, want %v", epochs, want)
	}
}

// TestOnlyOwnedIsDelivered: pumps and priming pass over the events of sources that
// another bridge owns, also those that were in the backlog.
func TestOnlyOwnedIsDelivered(t *testing.T) {
	dir := t.TempDir()
	kvm02 := *kvm01
	kvm02.Name, kvm02.Source = "kvm02", "qemu://kvm02.example.com/system"
	of := func(c *schema.Connection, m schema.Matched) schema.Matched {
		m.Connection = c
		return m
	}
	var lost atomic.Bool
	opts := bridge.Options{Registerer: prometheus.NewRegistry(), Owned: func(source string) bool {
		return source == kvm01.Source && !lost.Load() || source == kvm02.Source && lost.Load()
	}}
	k, store := newKeyed(), newMemory()
	k.stuck = domainIs(1)
	r := stateful(t, dir, opts, k, store, nil)
	record(t, r.Bridge, lifecycle(1, 2, 0), of(&kvm02, lifecycle(2, 2, 0)), lifecycle(3, 2, 0))
	k.settled(t, 1)
	lost.Store(true)
	record(t, r.Bridge, of(&kvm02, lifecycle(4, 2, 0)))
	r.settled(t)
	if got, want := brief(k.settled(t, 2)), []string{"started d3 #1", "started d4 #1"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	opts.Registerer = nil
	fresh := newMemory()
	r = stateful(t, dir, opts, k, fresh, nil)
	fresh.await(t, 2)
	r.settled(t)
	for _, e := range fresh.got() {
		if e.Connection.Name != "kvm02" {
			t.Errorf("the state of %s at %s was primed", e.Object.Name, e.Connection.Name)
		}
	}
}

// TestNewerRecordStopsItsSink: a record of a newer version stops the sinks that come to
// it, says how to go on, and is kept; another sink, whose cursor is behind it, goes on.
func TestNewerRecordStopsItsSink(t *testing.T) {
	dir := t.TempDir()
	s := newMemory()
	r := start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	record(t, r.Bridge, observe(1, 1))
	r.settled(t)
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b journal.Batch
	b.Record([]byte{99, 0, 1, 2, 3})
	if err := errors.Join(j.Append(&b), j.Close()); err != nil {
		t.Fatal(err)
	}
	var log logBuffer
	other := newMemory()
	r = start(t, dir, journal.Options{}, bridge.Options{Logger: log.logger()}, map[string]bridge.Sink{"a": s, "b": other})
	record(t, r.Bridge, observe(1, 2))
	other.await(t, 1)
	log.await(t, "install that version again")
	begin := time.Now()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v: it waited for a sink that has stopped", took)
	}
	if n := len(s.got()); n != 1 {
		t.Errorf("the stopped sink got %d events, want the one before the record", n)
	}
	if j, err = journal.Open(dir, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	reader, err := j.Reader("a")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := reader.Pending(); n != 2 {
		t.Errorf("%d records are kept for the sink, want the newer one and that behind it", n)
	}
	if letters := letters(t, j); len(letters) > 0 {
		t.Errorf("dead letters %v", letters)
	}
}
