package libvirt

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// pendingCall is a call without an answer. It keeps its slot until the answer comes or
// the session ends, even if its caller gave up: the daemon is still at it.
type pendingCall struct {
	procedure int32
	// reply has room for the one reply, so that the reader never waits for a caller.
	reply chan reply
	// abandoned is set when the caller has given up. Session.mu guards it.
	abandoned bool
	// sent is a time before the call was written.
	sent time.Time
	// registers is the kind that a registration is for, deregisters the callback that a
	// deregistration ends; nil for other calls.
	registers   *schema.Kind
	deregisters *callback
	// lists makes a listing of the reply; nil for other calls.
	lists func(*wire.Decoder) (domains []schema.ListedDomain, complete bool)
}

// reply is the payload of a reply, which the caller owns, or why there is none.
type reply struct {
	payload []byte
	err     error
}

// call makes one call and waits for the answer, until ctx ends or the call's time-out.
// The error wraps a [*RemoteError], ctx's error, context.DeadlineExceeded or [ErrClosed].
func (s *Session) call(ctx context.Context, procedure int32, args []byte) ([]byte, error) {
	return s.do(ctx, &pendingCall{procedure: procedure}, args)
}

func (s *Session) do(ctx context.Context, c *pendingCall, args []byte) ([]byte, error) {
	c.reply = make(chan reply, 1)
	timed, cancel := context.WithTimeoutCause(ctx, s.config.CallTimeout,
		fmt.Errorf("no answer within %s: %w", s.config.CallTimeout, context.DeadlineExceeded))
	defer cancel()
	select {
	case s.slots <- struct{}{}:
	case <-timed.Done():
		return nil, fmt.Errorf("%d calls are unanswered: %w", maxCalls, context.Cause(timed))
	case <-s.ending:
		return nil, s.cause()
	}
	serial, frame, err := s.enter(c, args)
	if err != nil {
		<-s.slots
		return nil, err
	}
	select {
	case s.outgoing <- frame: // has room: no more frames than slots
	case <-s.ending:
		return nil, s.cause()
	}
	select {
	case r := <-c.reply:
		return r.payload, r.err
	case <-s.ending:
		return nil, s.cause()
	case <-timed.Done():
	}
	if r, answered := s.abandon(serial, c); answered {
		return r.payload, r.err
	}
	return nil, context.Cause(timed)
}

// enter gives a call its serial, makes it known to the reader and encodes its frame.
func (s *Session) enter(c *pendingCall, args []byte) (serial uint32, frame []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		if s.err == nil {
			return 0, nil, ErrClosed
		}
		return 0, nil, fmt.Errorf("%w: %w", ErrClosed, s.err)
	}
	serial, frame = s.enterLocked(c, args)
	if c.registers != nil {
		s.registering++
	}
	return serial, frame, nil
}

func (s *Session) enterLocked(c *pendingCall, args []byte) (serial uint32, frame []byte) {
	s.serial++
	for s.pending[s.serial] != nil || s.serial == 0 {
		s.serial++ // after 2^32 calls
	}
	s.pending[s.serial] = c
	c.sent = time.Now()
	header := wire.Header{
		Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: c.procedure,
		Type: wire.TypeCall, Serial: s.serial,
	}
	frame = make([]byte, 0, wire.LengthSize+wire.HeaderSize+len(args))
	return s.serial, wire.AppendFrame(frame, header, args)
}

// abandon leaves a call to the reader, unless its reply is already there.
func (s *Session) abandon(serial uint32, c *pendingCall) (r reply, answered bool) {
	s.mu.Lock()
	if s.pending[serial] != c {
		s.mu.Unlock()
		return <-c.reply, true // the reader took it off, so it is about to hand over the reply
	}
	c.abandoned = true
	if c.deregisters != nil {
		s.silenceLocked(*c.deregisters)
	}
	if c.registers != nil {
		s.registering--
	}
	s.mu.Unlock()
	if c.registers != nil {
		// Events may be held for this registration. The pong wakes the reader, which
		// finds that they need not wait any longer.
		s.sendPing()
	}
	return reply{}, false
}

// onReply settles the call that a reply belongs to, in the order of the wire: what the
// reply changes (a callback becomes known, or gone) is in force before the next frame is
// looked at, and what came before it has been observed before the caller goes on.
func (s *Session) onReply(h wire.Header, payload []byte) error {
	s.mu.Lock()
	c := s.pending[h.Serial]
	if c == nil || c.procedure != h.Procedure {
		s.mu.Unlock()
		s.skipUnknown(h)
		return nil
	}
	delete(s.pending, h.Serial)
	s.sure.answered(c.sent)
	var r reply
	var listing *schema.Listing
	if c.lists != nil && h.Status == wire.StatusOK {
		listing, r = s.listingOf(c, payload)
	} else {
		r = replyOf(h, payload)
	}
	orphan := s.settleLocked(c, &r)
	s.mu.Unlock()
	if c.abandoned {
		s.count.late.Add(1)
	}
	s.drainHeld()
	s.flush()
	if listing != nil {
		if err := s.deliverListing(listing); err != nil {
			return err
		}
	}
	if orphan != nil {
		return s.deregisterOrphan(*orphan) // in the same slot
	}
	<-s.slots
	c.reply <- r
	return nil
}

// replyOf takes a reply apart. The payload is copied, since the caller uses it while the
// reader goes on.
func replyOf(h wire.Header, payload []byte) reply {
	switch h.Status {
	case wire.StatusOK:
		return reply{payload: bytes.Clone(payload)}
	case wire.StatusError:
		d := wire.NewDecoder(payload)
		remote := d.RemoteError()
		remote.Procedure = h.Procedure
		if err := d.Err(); err != nil && remote.Code == 0 {
			return reply{err: fmt.Errorf("the daemon refused and did not say why: %w", err)}
		}
		return reply{err: remote}
	default:
		return reply{err: fmt.Errorf("reply with status %d, want 0 or 1", h.Status)}
	}
}

// write is the writer: the only one that writes to the connection, and whole frames only.
// A write that fails, or takes longer than a call may, ends the session.
func (s *Session) write() {
	defer close(s.wrote)
	for {
		var frame []byte
		var sent func()
		select {
		case <-s.ending:
			return
		case frame = <-s.outgoing:
		case <-s.pong:
			frame = keepaliveFrame(wire.ProcKeepalivePong)
		case <-s.ping:
			frame = keepaliveFrame(wire.ProcKeepalivePing)
			sent = func() { s.count.pingsSent.Add(1) }
		}
		if sent != nil {
			s.pinged()
		}
		if err := s.writeFrame(frame); err != nil {
			s.end(fmt.Errorf("write: %w", err))
			return
		}
		if sent != nil {
			sent()
		}
	}
}
