package libvirt

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// peer is the daemon's end of a pipe, acted out by a test step by step.
type peer struct {
	t    testing.TB
	conn net.Conn
	r    *wire.Reader
}

func newPeer(t testing.TB) (*peer, func(context.Context) (net.Conn, error)) {
	client, server := net.Pipe()
	t.Cleanup(func() { _ = server.Close() })
	return &peer{t, server, wire.NewReader(server)}, func(context.Context) (net.Conn, error) { return client, nil }
}

// next reads a frame that must come within a minute; args are a copy.
func (p *peer) next() (wire.Header, []byte) {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		p.t.Fatal(err)
	}
	h, args, err := p.r.Next()
	if err != nil {
		p.t.Fatalf("peer: %v", err)
	}
	return h, append([]byte(nil), args...)
}

// expect reads a call of a procedure.
func (p *peer) expect(procedure int32) (wire.Header, []byte) {
	p.t.Helper()
	h, args := p.next()
	if h.Procedure != procedure || h.Program != wire.ProgramRemote || h.Type != wire.TypeCall {
		p.t.Fatalf("peer: got %+v, want a call of %d", h, procedure)
	}
	return h, args
}

func (p *peer) send(h wire.Header, payload []byte) {
	p.t.Helper()
	p.write(wire.AppendFrame(nil, h, payload))
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("peer: %v", err)
	}
}

func (p *peer) reply(h wire.Header, fill func(*wire.Encoder)) {
	p.t.Helper()
	var e wire.Encoder
	if fill != nil {
		fill(&e)
	}
	h.Type = wire.TypeReply
	p.send(h, e.Payload())
}

func (p *peer) refuse(h wire.Header, code int32) {
	p.t.Helper()
	var e wire.Encoder
	e.RemoteError(&wire.RemoteError{Code: code, Message: "refused"})
	h.Type, h.Status = wire.TypeReply, wire.StatusError
	p.send(h, e.Payload())
}

var eventHeader = wire.Header{
	Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: wire.ProcDomainEventLifecycle,
	Type: wire.TypeMessage, Serial: 1, // as libvirtd does it, whatever calls there are
}

func eventFrame(callbackID, event int32) []byte { return eventFrameOf(callbackID, 1, event) }

// eventFrameOf is an event of the domain with a number.
func eventFrameOf(callbackID int32, domain byte, event int32) []byte {
	var e wire.Encoder
	e.LifecycleMessage(wire.LifecycleMessage{
		CallbackID: callbackID, Domain: schema.Object{UUID: schema.UUID{domain}, Name: "d", ID: 1}, Event: event,
	})
	return wire.AppendFrame(nil, eventHeader, e.Payload())
}

func (p *peer) event(callbackID, event int32) {
	p.t.Helper()
	p.write(eventFrame(callbackID, event))
}

func int32Reply(v int32) func(*wire.Encoder) { return func(e *wire.Encoder) { e.Int32(v) } }

func stringReply(s string) func(*wire.Encoder) { return func(e *wire.Encoder) { e.String(s) } }

// welcome plays the whole opening.
func (p *peer) welcome() {
	p.t.Helper()
	h, _ := p.expect(wire.ProcAuthList)
	p.reply(h, func(e *wire.Encoder) { e.Uint32(1); e.Int32(wire.AuthNone) })
	p.welcomeAuthenticated()
}

func (p *peer) welcomeAuthenticated() {
	p.t.Helper()
	for _, step := range []struct {
		procedure int32
		answer    func(*wire.Encoder)
	}{
		{wire.ProcConnectSupportsFeature, int32Reply(1)},
		{wire.ProcConnectOpen, nil},
		{wire.ProcConnectGetURI, stringReply("test:///default")},
		{wire.ProcConnectGetHostname, stringReply("host")},
		{wire.ProcConnectGetType, stringReply("Test")},
		{wire.ProcConnectGetLibVersion, func(e *wire.Encoder) { e.Uint64(9_000_000) }},
		{wire.ProcConnectSupportsFeature, int32Reply(1)},
	} {
		h, _ := p.expect(step.procedure)
		p.reply(h, step.answer)
	}
}

// script is what a scripted test plays with.
type script struct {
	t *testing.T // the bubble's own
	s *Session
	p *peer
	c *collector
}

// scripted runs a test inside a bubble of fake time, with an open session and its peer.
func scripted(t *testing.T, config Config, test func(script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, dial := newPeer(t)
		c := newCollector()
		config.Name = "scripted"
		opened := make(chan struct{})
		var s *Session
		var err error
		go func() {
			defer close(opened)
			s, err = New(config, Options{Dial: dial}).open(t.Context(), c.take)
		}()
		p.welcome()
		<-opened
		if err != nil {
			t.Fatal(err)
		}
		test(script{t, s, p, c})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// watched is what a Watch in another goroutine came to.
type watched struct {
	missing []drivers.Missing
	err     error
}

// all is the filter for the lifecycle events of every domain.
var all = drivers.Filter{Kind: schema.KindLifecycle}

// of returns the filter for the lifecycle events of the domain with a number.
func of(domain byte) drivers.Filter {
	return drivers.Filter{Kind: schema.KindLifecycle, Domain: schema.UUID{domain}}
}

func watchAsync(t *testing.T, s *Session, want ...drivers.Filter) <-chan watched {
	done := make(chan watched, 1)
	go func() {
		missing, err := s.Watch(t.Context(), want)
		done <- watched{missing, err}
	}()
	return done
}

// wantAll wants a Watch to have brought everything into force.
func wantAll(t *testing.T, done <-chan watched) {
	t.Helper()
	if got := <-done; got.err != nil || len(got.missing) > 0 {
		t.Fatalf("Watch: %+v", got)
	}
}

// answering watches filters, to whose registrations the peer answers with ids, and to
// whose deregistrations it agrees. Filters in force are not asked for.
func answering(t *testing.T, s *Session, p *peer, ids map[drivers.Filter]int32) <-chan watched {
	t.Helper()
	var want []drivers.Filter
	asks := 0
	for f := range ids {
		want = append(want, f)
		if _, live := s.watching.live[f]; !live {
			asks++
		}
	}
	for f := range s.watching.live {
		if _, stays := ids[f]; !stays {
			asks++
		}
	}
	done := watchAsync(t, s, want...)
	for range asks {
		h, args := p.next()
		if h.Procedure == wire.ProcDomainEventDeregisterAny {
			p.reply(h, nil)
			continue
		}
		p.reply(h, int32Reply(ids[filterOf(t, h, args)]))
	}
	return done
}

// filterOf returns the filter that a registration is for.
func filterOf(t *testing.T, h wire.Header, args []byte) drivers.Filter {
	t.Helper()
	d := wire.NewDecoder(args)
	f := drivers.Filter{Kind: schema.KindOf(schema.FamilyDomain, d.Int32())}
	if d.Bool() {
		f.Domain = d.Domain().UUID
	}
	if h.Procedure != wire.ProcDomainEventRegisterAny || d.Err() != nil {
		t.Fatalf("got %+v with %x, want a registration", h, args)
	}
	return f
}

// register brings the filter for all domains into force, whose callback the peer gives
// the id.
func register(t *testing.T, s *Session, p *peer, id int32) {
	t.Helper()
	done := watchAsync(t, s, all)
	h, _ := p.expect(wire.ProcDomainEventRegisterAny)
	p.reply(h, int32Reply(id))
	wantAll(t, done)
}

// settled returns what was observed once everything has come to rest.
func (c *collector) settled() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return lines(c.seen)
}
