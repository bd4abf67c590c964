package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// logged is a log that a test reads while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

var soon = registry.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond}

// TestLibvirtRegistrationFailsForAMoment holds that a daemon that fails to register for a
// moment is asked again in the same session, that the connection is not up meanwhile, and
// that the time is declared.
func TestLibvirtRegistrationFailsForAMoment(t *testing.T) {
	server := newServer(t, libvirttest.Options{})
	server.ErrorFor(wire.ProcDomainEventRegisterAny, wire.CodeSystemError, "cannot allocate memory")
	j, out := &journal{}, &logged{}
	r := registry.New(registry.Options{Record: j.record, Backoff: soon, Logger: out.logger()})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverFor(server, "kvm01")}); err != nil {
		t.Fatal(err)
	}
	register(t, r, registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}})
	run(t, r)
	eventually(t, func() error {
		if !strings.Contains(out.String(), "cannot allocate memory") {
			return errors.New("the failure is not logged")
		}
		return nil
	})
	time.Sleep(50 * time.Millisecond)
	if s := r.Stats()[0]; s.Up || s.Refused != 0 || s.Losses != 0 {
		t.Errorf("stats while the daemon fails: %+v, want not up, nothing refused", s)
	}
	missed := time.Now()
	define(t, server, "missed", schema.UUID{1})
	server.ErrorFor(wire.ProcDomainEventRegisterAny, 0, "")
	onWire(t, server, 1)
	eventually(t, func() error {
		if s := r.Stats()[0]; !s.Up {
			return fmt.Errorf("stats: %+v", s)
		}
		return nil
	})
	define(t, server, "seen", schema.UUID{2})
	eventually(t, func() error { return recorded(j, 2) })
	gap, seen := j.all()[0], j.all()[1]
	if gap.Gap == nil || gap.UnobservedSince.After(missed) || gap.Gap.Until.Before(missed) {
		t.Errorf("first record %+v, want a gap that covers %v", gap.Observation, missed)
	}
	if seen.Object.Name != "seen" {
		t.Errorf("second record %+v", seen.Observation)
	}
	if n := strings.Count(out.String(), "cannot allocate memory"); n != 1 {
		t.Errorf("the failure is logged %d times, want once:\n%s", n, out.String())
	}
}

// TestLibvirtLostWhileRegistering holds that a session that is lost while it registers is
// not taken for a hypervisor that refuses, nor for one that is watched.
func TestLibvirtLostWhileRegistering(t *testing.T) {
	server := newServer(t, libvirttest.Options{})
	server.DelayReplies(time.Millisecond, wire.ProcDomainEventRegisterAny)
	for range 10 {
		out := &logged{}
		r := registry.New(registry.Options{Backoff: registry.Backoff{Min: time.Hour, Max: time.Hour}, Logger: out.logger()})
		if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverFor(server, "kvm01")}); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			uuid := schema.UUID{1, byte(i >> 8), byte(i)}
			register(t, r, registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &uuid})
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		eventually(t, func() error {
			if clients := server.Clients(); len(clients) == 0 || len(clients[0].Info().Callbacks) < 20 {
				return errors.New("not registering yet")
			}
			return nil
		})
		server.Cut()
		eventually(t, func() error {
			if s := r.Stats()[0]; s.Losses == 0 {
				return fmt.Errorf("stats: %+v", s)
			}
			return nil
		})
		if s := r.Stats()[0]; s.Refused != 0 || s.Up {
			t.Errorf("stats: %+v, want nothing refused", s)
		}
		if strings.Contains(out.String(), "msg=watching connection=kvm01") {
			t.Errorf("a session that was lost is watched:\n%s", out.String())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// stalling is a network that can hold back what the daemon sends, and lose it.
type stalling struct {
	mu   sync.Mutex
	mode int
	// late is what was held back; near and up are the ends of the connection made last.
	late    []byte
	far, up net.Conn
}

const stallPasses, stallHolds, stallLoses = 0, 1, 2

// dial returns the near end of a connection through the network.
func (n *stalling) dial(server *libvirttest.Server) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	near, far := net.Pipe()
	up := server.Pipe()
	n.far, n.up = far, up
	go func() {
		_, _ = io.Copy(up, far)
		_ = up.Close()
	}()
	go func() {
		defer func() { _ = far.Close() }()
		buf := make([]byte, 64<<10)
		for {
			count, err := up.Read(buf)
			if err != nil || !n.pass(far, buf[:count]) {
				return
			}
		}
	}()
	return near, nil
}

func (n *stalling) pass(far net.Conn, b []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch n.mode {
	case stallHolds:
		n.late = append(n.late, b...)
	case stallPasses:
		_, err := far.Write(b)
		return err == nil
	}
	return true
}

func (n *stalling) set(mode int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mode = mode
}

// breakLate delivers what was held back, and breaks the connection.
func (n *stalling) breakLate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mode = stallPasses
	_, _ = n.far.Write(n.late)
	_ = n.up.Close()
}

// TestLibvirtGapCoversWhatAStalledNetworkLost holds that bytes that come late do not
// shorten the gap: an event that was sent after them, and lost, is inside.
func TestLibvirtGapCoversWhatAStalledNetworkLost(t *testing.T) {
	server := newServer(t, libvirttest.Options{Empty: true})
	web := define(t, server, "web", schema.UUID{9})
	network := &stalling{}
	j := &journal{}
	r := registry.New(registry.Options{Record: j.record, Backoff: soon})
	driver := driverOver(server, "kvm01", func() (net.Conn, error) { return network.dial(server) })
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}); err != nil {
		t.Fatal(err)
	}
	register(t, r, registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}})
	run(t, r)
	onWire(t, server, 1)
	time.Sleep(100 * time.Millisecond)
	network.set(stallHolds)
	web.Emit(2, 1) // comes late
	time.Sleep(100 * time.Millisecond)
	network.set(stallLoses)
	lost := time.Now()
	web.Emit(2, 2) // never comes
	time.Sleep(500 * time.Millisecond)
	network.breakLate()
	eventually(t, func() error {
		for _, m := range j.all() {
			if m.Gap == nil {
				continue
			}
			if m.UnobservedSince.After(lost) || m.Gap.Until.Before(lost) {
				t.Errorf("the gap is from %v to %v, the event of %v is lost", m.UnobservedSince, m.Gap.Until, lost.UTC())
			}
			return nil
		}
		return errors.New("no gap")
	})
}

// TestLibvirtDeregistrationDenied holds that access control that lets us register and not
// deregister does not cost the session.
func TestLibvirtDeregistrationDenied(t *testing.T) {
	server := newServer(t, libvirttest.Options{Empty: true})
	server.ErrorFor(wire.ProcDomainEventDeregisterAny, wire.CodeAccessDenied, "access denied")
	a, b := define(t, server, "a", uuidA), define(t, server, "b", uuidB)
	j := &journal{}
	r := registry.New(registry.Options{Record: j.record, Backoff: soon})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverFor(server, "kvm01")}); err != nil {
		t.Fatal(err)
	}
	lifecycle := []schema.Kind{schema.KindLifecycle}
	register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuidA})
	ofB := register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuidB})
	run(t, r)
	onWire(t, server, 2, uuidA, uuidB)
	if err := r.DeregisterAny(ofB); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if s := r.Stats()[0]; s.Filters != 1 {
			return fmt.Errorf("stats: %+v", s)
		}
		return nil
	})
	b.Emit(2, 1)
	a.Emit(2, 2)
	eventually(t, func() error { return recorded(j, 1) })
	if s := r.Stats()[0]; s.Losses != 0 || s.Received != 1 || s.Unmatched != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestLibvirtLongTextsAreCut holds that neither a daemon's error nor its host name fills
// the log or the journal.
func TestLibvirtLongTextsAreCut(t *testing.T) {
	const long = 1 << 20
	server := newServer(t, libvirttest.Options{Hostname: strings.Repeat("h", long)})
	j, out := &journal{}, &logged{}
	r := registry.New(registry.Options{Record: j.record, Backoff: soon, Logger: out.logger()})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverFor(server, "kvm01")}); err != nil {
		t.Fatal(err)
	}
	register(t, r, registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}})
	server.ErrorFor(wire.ProcConnectOpen, wire.CodeSystemError, strings.Repeat("x", long))
	run(t, r)
	eventually(t, func() error {
		if s := r.Stats()[0]; s.OpenFailures == 0 {
			return errors.New("no failure yet")
		}
		return nil
	})
	server.ErrorFor(wire.ProcConnectOpen, 0, "")
	onWire(t, server, 1)
	define(t, server, "web", schema.UUID{1})
	eventually(t, func() error { return recorded(j, 1) })
	c := j.all()[0].Connection
	if len(c.Hostname) > 1024 || len(c.Source) > 2048 || !strings.Contains(c.Hostname, "…") {
		t.Errorf("the host name has %d bytes, the source %d: %.40q…", len(c.Hostname), len(c.Source), c.Hostname)
	}
	if got := len(out.String()); got > 16<<10 {
		t.Errorf("%d bytes are logged", got)
	}
}
