package libvirt_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/drivertest"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

const (
	conformanceInterval = 100 * time.Millisecond
	conformanceCount    = 3
)

func TestConformance(t *testing.T) {
	// One interval more than pings: the last one has an interval to be answered in.
	drivertest.Run(t, drivertest.Harness{New: newHypervisor, Silence: conformanceInterval * conformanceCount})
}

// hypervisor makes a test server what the suite needs.
type hypervisor struct {
	*libvirttest.Server
	mute *atomic.Bool
	a, b *libvirttest.Domain
}

func newHypervisor(t *testing.T) drivertest.Hypervisor {
	t.Helper()
	h := &hypervisor{mute: new(atomic.Bool)}
	h.Server = libvirttest.NewServer(libvirttest.Options{
		Empty: true,
		OnConnect: func(c *libvirttest.Client) {
			if h.mute.Load() {
				c.Stall()
			}
		},
	})
	t.Cleanup(h.Server.Close)
	for _, d := range []struct {
		domain **libvirttest.Domain
		name   string
		uuid   schema.UUID
	}{{&h.a, "alpha", schema.UUID{1}}, {&h.b, "beta", schema.UUID{2}}} {
		domain, err := h.Define(d.name, d.uuid)
		if err != nil {
			t.Fatal(err)
		}
		*d.domain = domain
	}
	return h
}

func (h *hypervisor) Driver() drivers.Driver {
	return libvirt.New(
		libvirt.Config{
			Name: "conformance", URI: h.URI(),
			KeepaliveInterval: conformanceInterval, KeepaliveCount: conformanceCount,
		},
		libvirt.Options{Dial: func(ctx context.Context) (net.Conn, error) { return h.DialContext(ctx, "", "") }},
	)
}

func (h *hypervisor) Domains() (a, b schema.Object) { return h.a.State().Object, h.b.State().Object }

func (h *hypervisor) Emit(domain schema.UUID, event, detail int32) {
	if d, ok := h.Domain(domain); ok {
		d.Emit(event, detail)
	}
}

func (h *hypervisor) EmitBeforeReply(domain schema.UUID, event, detail int32) {
	if d, ok := h.Domain(domain); ok {
		h.EventBeforeReply(d.State().Object, event, detail)
	}
}

func (h *hypervisor) EmitStale(event, detail int32) {
	h.each(func(c *libvirttest.Client) { c.UnknownCallback(h.a.State().Object, event, detail) })
}

func (h *hypervisor) EmitUndecodable() {
	h.each(func(c *libvirttest.Client) {
		for _, callback := range c.Info().Callbacks {
			c.BadEvent(callback)
		}
	})
}

func (h *hypervisor) EmitLongName() {
	long := schema.Object{UUID: schema.UUID{3}, Name: strings.Repeat("x", 100000)}
	h.each(func(c *libvirttest.Client) {
		for _, callback := range c.Info().Callbacks {
			var e wire.Encoder
			e.LifecycleMessage(wire.LifecycleMessage{CallbackID: callback, Domain: long, Event: 2})
			c.Send(wire.Header{
				Program: wire.ProgramRemote, Version: wire.ProgramVersion,
				Procedure: wire.ProcDomainEventLifecycle, Type: wire.TypeMessage,
			}, e.Payload())
		}
	})
}

func (h *hypervisor) RefuseWatch(refuse bool) {
	code := int32(0)
	if refuse {
		code = wire.CodeSystemError
	}
	h.ErrorFor(wire.ProcDomainEventRegisterAny, code, "cannot allocate memory")
}

func (h *hypervisor) Refused() schema.Kind { return schema.KindOf(schema.FamilyDomain, 99) }

func (h *hypervisor) Sessions() []drivertest.Peer {
	var peers []drivertest.Peer
	h.each(func(c *libvirttest.Client) {
		if info := c.Info(); info.Open {
			peers = append(peers, drivertest.Peer{ReadOnly: info.ReadOnly, Watched: len(info.Callbacks)})
		}
	})
	return peers
}

func (h *hypervisor) Connections() int { return int(h.Server.Connections()) }

func (h *hypervisor) Refuse(refuse bool) { h.RefuseConnections(refuse) }

func (h *hypervisor) Mute() { h.mute.Store(true) }

func (h *hypervisor) Derail() { h.each((*libvirttest.Client).Garbage) }

func (h *hypervisor) Stall() { h.each((*libvirttest.Client).Stall) }

func (h *hypervisor) each(do func(*libvirttest.Client)) {
	for _, c := range h.Clients() {
		do(c)
	}
}
