package bridge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// oneOfMany is a domain of a host that has more than domain can tell apart.
func oneOfMany(n int) schema.Object {
	return schema.Object{UUID: schema.UUID{1, 12: byte(n >> 16), 13: byte(n >> 8), 14: byte(n), 15: 1}, Name: fmt.Sprint("vm-", n), ID: int32(n)}
}

// listedMany is a complete listing of that many running, transient domains.
func listedMany(n int) schema.Matched {
	m := listed(true)
	for i := range n {
		m.Listing.Domains = append(m.Listing.Domains, schema.ListedDomain{
			Object: oneOfMany(i), State: 1, Reason: 1, Persistence: schema.NotPersistent,
		})
	}
	return m
}

// TestListingIsOvertaken: where a listing is recorded in parts, what follows it in its
// batch may come before its rest, which must not undo what that has told.
func TestListingIsOvertaken(t *testing.T) {
	s := newMemory()
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	const many = 20_000
	stopped := observe(0, 0)
	stopped.Object, stopped.Event = oneOfMany(many-1), 5
	started := observe(0, 0)
	started.Object = oneOfMany(many) // The listing does not have it yet.
	record(t, r.Bridge, listedMany(many), stopped, started)
	r.settled(t)
	last := map[string]string{}
	for _, e := range s.got() {
		last[e.Object.Name] = fmt.Sprintf("%s, synthetic %t", schema.EventName(e.Kind, e.Event), e.Synthetic)
	}
	for n, want := range map[int]string{
		0: "started, synthetic true", many - 2: "started, synthetic true",
		many - 1: "stopped, synthetic false", many: "started, synthetic false",
	} {
		if got := last[oneOfMany(n).Name]; got != want {
			t.Errorf("the last event of domain %d is %q, want %q", n, got, want)
		}
	}
	if len(last) != many+1 || r.journal.Stats().Batches < 2 {
		t.Errorf("events of %d domains, want %d; %d batches", len(last), many+1, r.journal.Stats().Batches)
	}
}

// TestListingGoesOnByItself: the rest of a listing that a full journal refused becomes
// durable when there is room, without a further call of Record.
func TestListingGoesOnByItself(t *testing.T) {
	k := newKeyed()
	k.set(func(*schema.Event) bool { return true })
	registry := prometheus.NewRegistry()
	r := start(t, t.TempDir(), journal.Options{MaxBytes: 16 << 20, SegmentBytes: 1 << 20},
		bridge.Options{Registerer: registry}, map[string]bridge.Sink{"k": k})
	const many = 40_000
	n := 0
	for ; r.journal.Stats().Bytes < 11<<20; n += 1000 {
		batch := make([]schema.Matched, 1000)
		for i := range batch {
			batch[i] = observe(3, n+i)
		}
		record(t, r.Bridge, batch...)
	}
	m := listedMany(many)
	m.Listing.Complete = false
	record(t, r.Bridge, m)
	for begin := time.Now(); values(t, registry)["virtcast_record_refused_total"] == 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the journal took all of it")
		}
	}
	k.set(func(*schema.Event) bool { return false })
	if stored := k.settled(t, n+many); len(stored) != n+many {
		t.Errorf("%d events, want %d", len(stored), n+many)
	}
	verifyDomains(t, k.settled(t, n+many), 1)
}

// TestListingOfKnownDomains: a listing that leads to no event, and tells a little of more
// domains than a batch of the journal can hold, holds up nothing.
func TestListingOfKnownDomains(t *testing.T) {
	s := newMemory()
	r := start(t, t.TempDir(), journal.Options{MaxBytes: 16 << 20}, bridge.Options{}, map[string]bridge.Sink{"a": s})
	const many = 60_000
	for n := 0; n < many; n += 2000 {
		batch := make([]schema.Matched, 2000)
		for i := range batch {
			batch[i] = observe(0, 0)
			batch[i].Object = oneOfMany(n + i)
		}
		record(t, r.Bridge, batch...)
	}
	record(t, r.Bridge, listedMany(many))
	record(t, r.Bridge, observe(1, 1))
	r.settled(t)
	if n := len(s.got()); n != many+1 {
		t.Errorf("%d events, want %d", n, many+1)
	}
}
