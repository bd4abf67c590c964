package libvirttest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// peer is a raw client: it sends frames and reads them, and knows nothing more.
type peer struct {
	t      testing.TB
	conn   net.Conn
	frames *wire.Reader
	serial uint32
	// events are the messages that came while a reply was awaited.
	events []frame
}

type frame struct {
	wire.Header
	payload []byte
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{t: t, conn: conn, frames: wire.NewReader(conn)}
}

// openPeer returns a peer that has opened uri.
func openPeer(t testing.TB, conn net.Conn, uri string, flags uint32) *peer {
	t.Helper()
	p := newPeer(t, conn)
	p.must(wire.ProcAuthList, nil)
	p.must(wire.ProcConnectOpen, openArgs(uri, flags))
	return p
}

func openArgs(uri string, flags uint32) []byte {
	var e wire.Encoder
	e.OptionalString(uri)
	e.Uint32(flags)
	return e.Payload()
}

func registerAnyArgs(eventID int32, filter *schema.Object) []byte {
	var e wire.Encoder
	e.Int32(eventID)
	e.Bool(filter != nil)
	if filter != nil {
		e.Domain(*filter)
	}
	return e.Payload()
}

func (p *peer) send(h wire.Header, payload []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(wire.AppendFrame(nil, h, payload)); err != nil {
		p.t.Fatalf("send procedure %d: %v", h.Procedure, err)
	}
}

// next returns the next frame, or an error after half a minute without one.
func (p *peer) next() (frame, error) {
	return p.nextWithin(30 * time.Second)
}

func (p *peer) nextWithin(d time.Duration) (frame, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(d)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return frame{}, err
	}
	h, payload, err := p.frames.Next()
	return frame{h, append([]byte(nil), payload...)}, err
}

// call sends a call and returns its reply; events that come first are kept.
func (p *peer) call(procedure int32, payload []byte) frame {
	p.t.Helper()
	p.serial++
	return p.callHeader(wire.Header{
		Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: procedure, Serial: p.serial,
	}, payload)
}

func (p *peer) callHeader(h wire.Header, payload []byte) frame {
	p.t.Helper()
	p.send(h, payload)
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("reply to procedure %d: %v", h.Procedure, err)
		}
		if f.Type == wire.TypeMessage {
			p.events = append(p.events, f)
			continue
		}
		return f
	}
}

// must is call for what has to succeed.
func (p *peer) must(procedure int32, payload []byte) []byte {
	p.t.Helper()
	f := p.call(procedure, payload)
	if f.Status != wire.StatusOK {
		d := wire.NewDecoder(f.payload)
		p.t.Fatalf("procedure %d: %v", procedure, d.RemoteError())
	}
	return f.payload
}

// register registers for lifecycle events and returns the callback id.
func (p *peer) register(filter *schema.Object) int32 {
	p.t.Helper()
	d := wire.NewDecoder(p.must(wire.ProcDomainEventRegisterAny, registerAnyArgs(0, filter)))
	return d.Int32()
}

// event returns the next lifecycle event.
func (p *peer) event() wire.LifecycleMessage {
	p.t.Helper()
	if len(p.events) == 0 {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("event: %v", err)
		}
		p.events = append(p.events, f)
	}
	f := p.events[0]
	p.events = p.events[1:]
	if f.Type != wire.TypeMessage || f.Procedure != wire.ProcDomainEventLifecycle || f.Serial != 1 {
		p.t.Fatalf("got frame %+v, want a lifecycle event with serial 1", f.Header)
	}
	d := wire.NewDecoder(f.payload)
	m := d.LifecycleMessage()
	if d.Err() != nil || d.Rest() != 0 {
		p.t.Fatalf("event: %v, %d bytes left", d.Err(), d.Rest())
	}
	return m
}

// wantQuiet fails if anything comes within d.
func (p *peer) wantQuiet(d time.Duration) {
	p.t.Helper()
	if len(p.events) > 0 {
		p.t.Fatalf("got %d events, want none", len(p.events))
	}
	f, err := p.nextWithin(d)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("got frame %+v, error %v, want silence", f.Header, err)
	}
}

// wantEOF fails unless the connection is at its end.
func (p *peer) wantEOF() {
	p.t.Helper()
	f, err := p.next()
	if !errors.Is(err, io.EOF) {
		p.t.Fatalf("got frame %+v, error %v, want end of file", f.Header, err)
	}
}
