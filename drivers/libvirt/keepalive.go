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
		s.keepalive = time.AfterFunc(s.config.KeepaliveInterval, s.tick)
	}
}

// tick pings a silent peer at every interval, and ends the session one interval
// after the last ping that may go unanswered. Any byte from the peer starts the
// reckoning anew, as with libvirtd's own keepalive.
func (s *Session) tick() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ticks.Add(1) // under mu and before ended is set, so the reader's Wait comes later
	s.mu.Unlock()
	defer s.ticks.Done()

	interval, count := s.config.KeepaliveInterval, s.config.KeepaliveCount
	limit := interval * time.Duration(count+1)
	idle := s.conn.idle()
	if idle >= limit {
		s.end(fmt.Errorf("%w: nothing for %s, %d pings unanswered", ErrPeerSilent, idle.Round(time.Millisecond), count))
		return
	}
	wait := interval - idle
	if idle >= interval {
		s.sendPing()
		wait = min(interval, limit-idle)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.keepalive.Reset(wait)
	}
}

// sendPing asks the writer for a ping. It does not block.
func (s *Session) sendPing() {
	select {
	case s.ping <- struct{}{}:
	default: // one is on its way
	}
}

// onKeepalive answers a ping. A pong has done its work by having come.
func (s *Session) onKeepalive(h wire.Header) {
	switch {
	case h.Procedure == wire.ProcKeepalivePing && h.Version == wire.ProgramVersion:
		s.count.pingsReceived.Add(1)
		select {
		case s.pong <- struct{}{}:
		default: // one is on its way, and answers both
		}
	case h.Procedure == wire.ProcKeepalivePong && h.Version == wire.ProgramVersion:
	default:
		s.skipUnknown(h)
	}
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
