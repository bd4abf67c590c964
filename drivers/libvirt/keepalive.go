package libvirt

import (
	"fmt"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// startKeepalive starts the timer that watches for silence, once the session is open:
// until then every call has its time-out.
func (s *Session) startKeepalive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.keepalive = time.AfterFunc(s.config.pingEvery(), s.tick)
	}
}

// pingEvery is the time between pings: such that each of the pings that may go unanswered
// has as long to be answered, and a dead peer is noticed within KeepaliveInterval ×
// KeepaliveCount.
func (c Config) pingEvery() time.Duration {
	return c.KeepaliveInterval * time.Duration(c.KeepaliveCount) / time.Duration(c.KeepaliveCount+1)
}

// tick pings the peer at every such interval, and ends the session one interval after the
// last ping that may go unanswered. Any byte from the peer starts the count again, as
// with libvirtd's own keepalive. What counts is pings that had their interval, not time:
// a bridge that was itself stopped for a while gives up no peer.
//
// A peer that talks is pinged too, as long as it answers: only an answer tells up to when
// everything was read. A peer that falls silent is pinged one interval after its last
// byte.
func (s *Session) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	interval := s.config.pingEvery()
	if last := s.conn.last.Load(); last != s.lastAtTick {
		s.lastAtTick, s.unanswered = last, 0
		if idle := s.conn.idle(); idle < interval {
			if s.sure.awaited == 0 && time.Since(s.sure.at) >= interval {
				s.sendPing()
			}
			s.keepalive.Reset(interval - idle)
			return
		}
	}
	if s.unanswered >= s.config.KeepaliveCount {
		s.ticks.Go(s.giveUp) // under mu and before ended is set, so the reader's Wait comes later
		return
	}
	s.unanswered++
	s.sendPing()
	s.keepalive.Reset(interval)
}

// giveUp ends the session of a silent peer.
func (s *Session) giveUp() {
	s.end(fmt.Errorf("%w: nothing for %s, %d pings unanswered",
		ErrPeerSilent, s.conn.idle().Round(time.Millisecond), s.config.KeepaliveCount))
}

// sendPing asks the writer for a ping. It does not block.
func (s *Session) sendPing() {
	select {
	case s.ping <- struct{}{}:
	default: // one is on its way
	}
}

// onKeepalive answers a ping, and notes a pong.
func (s *Session) onKeepalive(h wire.Header) {
	switch {
	case h.Procedure == wire.ProcKeepalivePing && h.Version == wire.ProgramVersion:
		s.count.pingsReceived.Add(1)
		select {
		case s.pong <- struct{}{}:
		default: // one is on its way, and answers both
		}
	case h.Procedure == wire.ProcKeepalivePong && h.Version == wire.ProgramVersion:
		s.mu.Lock()
		s.sure.ponged()
		s.mu.Unlock()
		s.rest()
	default:
		s.skipUnknown(h)
	}
}

// rest gives up the memory of the batch if no event came since the last pong.
func (s *Session) rest() {
	events := s.count.events.Load()
	if len(s.batch) == 0 && events == s.eventsAtPong {
		s.batch = nil
	}
	s.eventsAtPong = events
}

func keepaliveFrame(procedure int32) []byte {
	return wire.AppendFrame(make([]byte, 0, wire.LengthSize+wire.HeaderSize), wire.Header{
		Program: wire.ProgramKeepalive, Version: wire.ProgramVersion, Procedure: procedure, Type: wire.TypeMessage,
	}, nil)
}

// writeFrame writes one frame within the time-out of a call. A connection without
// deadlines is bounded by the keepalive, which closes it.
func (s *Session) writeFrame(frame []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.config.CallTimeout)) // see above
	_, err := s.conn.Write(frame)
	return err
}
