package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

const patience = 60 * time.Second

var uuidA, uuidB = schema.UUID{0xa}, schema.UUID{0xb}

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", patience, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// journal keeps what is recorded.
type journal struct {
	mu      sync.Mutex
	records []schema.Matched
}

func (j *journal) record(_ context.Context, batch schema.MatchedBatch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, batch.Matched...)
	return nil
}

func (j *journal) all() []schema.Matched {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}

func driverFor(server *libvirttest.Server, name string) drivers.Driver {
	return driverOver(server, name, func() (net.Conn, error) { return server.Pipe(), nil })
}

// driverOver returns a driver that dials in another way.
func driverOver(server *libvirttest.Server, name string, dial func() (net.Conn, error)) drivers.Driver {
	return libvirt.New(
		libvirt.Config{Name: name, URI: server.URI()},
		libvirt.Options{Dial: func(context.Context) (net.Conn, error) { return dial() }},
	)
}

// noting is a driver that notes the session it opened last.
type noting struct {
	drivers.Driver
	session atomic.Pointer[libvirt.Session]
}

func (n *noting) Open(ctx context.Context, p schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	s, err := n.Driver.Open(ctx, p, out)
	if own, ok := s.(*libvirt.Session); ok {
		n.session.Store(own)
	}
	return s, err
}

// run runs a registry until the test ends.
func run(t *testing.T, r *registry.Registry) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func newServer(t *testing.T, opts libvirttest.Options) *libvirttest.Server {
	t.Helper()
	server := libvirttest.NewServer(opts)
	t.Cleanup(server.Close)
	return server
}

// define defines a domain.
func define(t *testing.T, server *libvirttest.Server, name string, uuid schema.UUID) *libvirttest.Domain {
	t.Helper()
	d, err := server.Define(name, uuid)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func register(t *testing.T, r *registry.Registry, reg registry.Registration) registry.ID {
	t.Helper()
	id, err := r.RegisterAny(reg)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// onWire waits until the daemon has exactly one session with so many callbacks, of which
// those with a filter name the domains given.
func onWire(t *testing.T, server *libvirttest.Server, callbacks int, filters ...schema.UUID) {
	t.Helper()
	eventually(t, func() error {
		clients := server.Clients()
		if len(clients) != 1 {
			return fmt.Errorf("%d sessions", len(clients))
		}
		info := clients[0].Info()
		slices.SortFunc(info.Filters, func(a, b schema.UUID) int { return slices.Compare(a[:], b[:]) })
		if len(info.Callbacks) != callbacks || !slices.Equal(info.Filters, filters) {
			return fmt.Errorf("%d callbacks with the filters %v, want %d with %v", len(info.Callbacks), info.Filters, callbacks, filters)
		}
		return nil
	})
}

func TestLibvirtFilters(t *testing.T) {
	server := newServer(t, libvirttest.Options{Empty: true})
	a, b := define(t, server, "a", uuidA), define(t, server, "b", uuidB)
	j := &journal{}
	r := registry.New(registry.Options{Record: j.record})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverFor(server, "kvm01")}); err != nil {
		t.Fatal(err)
	}
	lifecycle := []schema.Kind{schema.KindLifecycle}
	register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuidA})
	run(t, r)
	onWire(t, server, 1, uuidA)
	// The daemon sends this client the domain's events only.
	before := server.Clients()[0].Info().Events
	b.Emit(2, 1)
	a.Emit(2, 2)
	eventually(t, func() error { return recorded(j, 1) })
	if sent := server.Clients()[0].Info().Events - before; sent != 1 {
		t.Errorf("the daemon sent %d events, want 1", sent)
	}
	ofB := register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuidB})
	onWire(t, server, 2, uuidA, uuidB)
	all := register(t, r, registry.Registration{Kinds: lifecycle})
	onWire(t, server, 1)
	for _, id := range []registry.ID{ofB, all} {
		if err := r.DeregisterAny(id); err != nil {
			t.Fatal(err)
		}
	}
	onWire(t, server, 1, uuidA)
	// A daemon that was restarted gets the same.
	server.Cut()
	onWire(t, server, 1, uuidA)
	eventually(t, func() error { return recorded(j, 2) })
	records := j.all()
	if o := records[0]; o.Detail != 2 || o.Object.Name != "a" {
		t.Errorf("first record %+v", o)
	}
	if o := records[1]; o.Gap == nil || o.Gap.Reason != schema.GapDisconnected || o.UnobservedSince.After(o.Gap.Until) {
		t.Errorf("second record %+v, want a gap", o)
	}
}

func recorded(j *journal, n int) error {
	if got := len(j.all()); got != n {
		return fmt.Errorf("%d records, want %d", got, n)
	}
	return nil
}

// TestLibvirtChangeOver changes registrations back and forth while events flow, without
// loss, duplicates or disorder.
func TestLibvirtChangeOver(t *testing.T) {
	server := newServer(t, libvirttest.Options{Empty: true})
	domains := []*libvirttest.Domain{define(t, server, "a", uuidA), define(t, server, "b", uuidB)}
	server.DelayReplies(2 * time.Millisecond)
	j := &journal{}
	r := registry.New(registry.Options{Record: j.record, QueueBytes: 128 << 20})
	driver := &noting{Driver: driverFor(server, "kvm01")}
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}); err != nil {
		t.Fatal(err)
	}
	lifecycle := []schema.Kind{schema.KindLifecycle}
	register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuidA})
	register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuidB})
	run(t, r)
	onWire(t, server, 2, uuidA, uuidB)

	stop := make(chan struct{})
	var want [2][]int32
	var emitting sync.WaitGroup
	emitting.Go(func() {
		for i := int32(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			domains[i%2].Emit(2, i/4) // in equal pairs
			want[i%2] = append(want[i%2], i/4)
			if i%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	for range 4 {
		all := register(t, r, registry.Registration{Kinds: lifecycle})
		onWire(t, server, 1)
		if err := r.DeregisterAny(all); err != nil {
			t.Fatal(err)
		}
		onWire(t, server, 2, uuidA, uuidB)
	}
	close(stop)
	emitting.Wait()
	eventually(t, func() error { return recorded(j, len(want[0])+len(want[1])) })
	var got [2][]int32
	for _, m := range j.all() {
		i := 0
		if m.Object.UUID == uuidB {
			i = 1
		}
		got[i] = append(got[i], m.Detail)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	s := r.Stats()[0]
	dropped := driver.session.Load().Stats().Duplicates
	if dropped == 0 || s.Losses != 0 {
		t.Errorf("stats: %+v, %d duplicates dropped, want some and no loss", s, dropped)
	}
	t.Logf("%d events, %d duplicates dropped", s.Received, dropped)
}

func TestLibvirtRefusedKind(t *testing.T) {
	server := newServer(t, libvirttest.Options{})
	j := &journal{}
	r := registry.New(registry.Options{Record: j.record})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverFor(server, "kvm01")}); err != nil {
		t.Fatal(err)
	}
	register(t, r, registry.Registration{Kinds: []schema.Kind{schema.KindOf(schema.FamilyDomain, 99), schema.KindLifecycle}})
	run(t, r)
	onWire(t, server, 1)
	eventually(t, func() error {
		if s := r.Stats()[0]; !s.Up || s.Refused != 1 || s.Losses != 0 {
			return fmt.Errorf("stats: %+v", s)
		}
		return nil
	})
}

// TestLibvirtThousandConnections measures an idle bridge, the in-process hypervisor's
// side included.
func TestLibvirtThousandConnections(t *testing.T) {
	const connections, limit = 1000, 48 << 10
	server := newServer(t, libvirttest.Options{})
	r := registry.New(registry.Options{})
	register(t, r, registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}})
	before := memory()
	for i := range connections {
		name := fmt.Sprintf("kvm%04d", i)
		if err := r.AddConnection(registry.Connection{Name: name, Driver: driverFor(server, name)}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, r)
	all := func(what string, ok func(registry.Stats) bool) {
		t.Helper()
		eventually(t, func() error {
			for _, s := range r.Stats() {
				if !ok(s) {
					return errors.New(what + " is missing: " + s.Connection)
				}
			}
			return nil
		})
	}
	all("a session", func(s registry.Stats) bool { return s.Up })
	domain, ok := server.Domain(libvirttest.TestDomainUUID)
	if !ok {
		t.Fatal("no test domain")
	}
	for i := range int32(100) {
		domain.Emit(2, i)
	}
	all("an event", func(s registry.Stats) bool { return s.Recorded == 100 })
	after := memory()
	heap := int(after.HeapAlloc-before.HeapAlloc) / connections
	t.Logf("per idle connection, both sides: %d bytes of heap, %d of stacks", heap, int(after.StackInuse-before.StackInuse)/connections)
	if heap > limit {
		t.Errorf("%d bytes of heap per idle connection, want at most %d", heap, limit)
	}
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
