package libvirttest

import (
	"encoding/binary"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// faults are those of the whole server; they last until they are taken back. Guarded by
// server.mu.
type faults struct {
	refuse     bool
	mute       bool
	delay      time.Duration           // of every reply
	delays     map[int32]time.Duration // of the replies to one procedure
	errors     map[int32]wire.RemoteError
	early      *schema.Object
	earlyEvent step
}

// RefuseConnections makes the server close new connections as soon as they are made,
// until it is called with false.
func (s *Server) RefuseConnections(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.refuse = refuse
}

// MuteKeepalive leaves the clients' PINGs unanswered, until it is called with false.
func (s *Server) MuteKeepalive(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.mute = mute
}

func (s *Server) mutesKeepalive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.mute
}

// DelayReplies sends the replies to the procedures (none given: to all that have no delay
// of their own) d later than they are ready; events are not held up. Replies with
// different delays overtake each other, as a real daemon's do. 0 ends it.
func (s *Server) DelayReplies(d time.Duration, procedures ...int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(procedures) == 0 {
		s.faults.delay = d
		return
	}
	if s.faults.delays == nil {
		s.faults.delays = make(map[int32]time.Duration)
	}
	for _, p := range procedures {
		if d == 0 {
			delete(s.faults.delays, p)
			continue
		}
		s.faults.delays[p] = d
	}
}

// ErrorFor makes every call of the procedure fail with that code (virErrorNumber), until
// it is called with code 0. The call has no effect.
func (s *Server) ErrorFor(procedure, code int32, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code == 0 {
		delete(s.faults.errors, procedure)
		return
	}
	if s.faults.errors == nil {
		s.faults.errors = make(map[int32]wire.RemoteError)
	}
	s.faults.errors[procedure] = wire.RemoteError{
		Code: code, Domain: fromRPC, Level: levelError,
		Message: message, Str1: "%s", Str2: message, Int1: -1, Int2: -1,
	}
}

// EventBeforeReply makes every registration for lifecycle events that covers the domain
// see one event of it before its own reply, as happens under load; until it is called
// with the zero Domain.
func (s *Server) EventBeforeReply(d schema.Object, event, detail int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.early = &d
	s.faults.earlyEvent = step{event, detail}
	if d.UUID.IsZero() {
		s.faults.early = nil
	}
}

// emitEarly is called with server.mu held, after a registration and before its reply is
// queued.
func (c *Client) emitEarly(eventID int32) {
	f := &c.server.faults
	r := &c.registrations[len(c.registrations)-1]
	if f.early == nil || eventID != 0 || !r.matches(eventID, f.early.UUID) {
		return
	}
	c.queueEvent(wire.ProcDomainEventLifecycle, r.id, lifecycleFields(*f.early, f.earlyEvent.event, f.earlyEvent.detail))
}

func lifecycleFields(d schema.Object, event, detail int32) []byte {
	var e wire.Encoder
	e.Domain(d)
	e.Int32(event)
	e.Int32(detail)
	return e.Payload()
}

// answer queues a reply, now or as late as was asked for.
func (c *Client) answer(h wire.Header, payload []byte) {
	s := c.server
	s.mu.Lock()
	delay, ok := s.faults.delays[h.Procedure]
	if !ok {
		delay = s.faults.delay
	}
	s.mu.Unlock()
	if delay <= 0 {
		c.queueReply(h, payload)
		return
	}
	s.wg.Go(func() { // at most Options.MaxRequests of them: the reader waits for their replies
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			c.queueReply(h, payload)
		case <-c.done:
		}
	})
}

// Cut cuts all connections. New ones are welcome.
func (s *Server) Cut() {
	for _, c := range s.Clients() {
		c.Cut()
	}
}

// Cut ends the connection at once; what is queued is lost.
func (c *Client) Cut() { c.close(ClosedByCut) }

// CutAfter ends the connection once n more frames are written.
func (c *Client) CutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutAfter = n
	if n <= 0 {
		c.closeLocked(ClosedByCut)
	}
}

// Stall stops reading and writing, without a word to the peer, as a host that lost its
// power or its network. What is queued waits. [Client.Unstall] ends it.
func (c *Client) Stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = true
}

// Unstall ends [Client.Stall].
func (c *Client) Unstall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = false
	c.changed.Broadcast()
}

// Garbage sends bytes that no frame begins with: the stream is out of step from there on.
// The connection stays open.
func (c *Client) Garbage() {
	c.queueRaw([]byte("\xff\xff\xff\xff garbage"))
}

// HalfFrame sends the first half of an event and then cuts the connection.
func (c *Client) HalfFrame() {
	frame := appendEvent(nil, wire.ProcDomainEventLifecycle, 0, lifecycleFields(schema.Object{Name: "half"}, 2, 0))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roomLocked(len(frame) / 2) {
		c.out = append(c.out, frame[:len(frame)/2]...)
		c.closing = ClosedByCut
		c.wakeLocked()
	}
}

// UnknownMessage sends a message of a procedure that nobody knows, as a newer daemon may.
func (c *Client) UnknownMessage() {
	c.queueFrame(wire.Header{
		Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: 9999,
		Type: wire.TypeMessage, Serial: 1,
	}, binary.BigEndian.AppendUint32(nil, 0))
}

// UnknownCallback sends a lifecycle event for a callback id that was never handed out.
func (c *Client) UnknownCallback(d schema.Object, event, detail int32) {
	c.queueEvent(wire.ProcDomainEventLifecycle, 1<<30, lifecycleFields(d, event, detail))
}

// BadEvent sends a lifecycle message, in step, whose payload cannot be decoded.
func (c *Client) BadEvent(callback int32) {
	c.queueEvent(wire.ProcDomainEventLifecycle, callback, []byte{0, 0, 1, 0})
}

// Send sends any frame.
func (c *Client) Send(h wire.Header, payload []byte) { c.queueFrame(h, payload) }
