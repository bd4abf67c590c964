package libvirt

import (
	"fmt"
	"log/slog"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// read is the reader: it takes frames off the connection until that ends, and returns
// why. It hands observations over when it has no further whole frame or the batch is
// full, so a burst costs one call and a single event no delay.
func (s *Session) read() error {
	err := s.readFrames()
	s.mu.Lock()
	s.registering = 0 // no answer will come
	s.mu.Unlock()
	s.drainHeld()
	s.flush()
	return err
}

func (s *Session) readFrames() error {
	for {
		h, payload, err := s.frames.Next()
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		s.count.frames.Add(1)
		if err := s.route(h, payload); err != nil {
			return err
		}
		if len(s.held) > 0 {
			s.drainHeld()
		}
		if len(s.batch) == maxBatch || !s.frames.Ready() {
			s.flush()
		}
	}
}

// route gives a frame to its handler: by type first, since libvirtd sends events with a
// serial that may be a call's. An error ends the session.
func (s *Session) route(h wire.Header, payload []byte) error {
	switch {
	case h.Type == wire.TypeMessage && h.Program == wire.ProgramRemote:
		return s.onEvent(h, payload)
	case h.Type == wire.TypeMessage && h.Program == wire.ProgramKeepalive:
		s.onKeepalive(h)
	case h.Type == wire.TypeReply && h.Program == wire.ProgramRemote:
		return s.onReply(h, payload)
	default:
		s.skipUnknown(h)
	}
	return nil
}

// flush delivers the batch and keeps its memory, which maxBatch bounds.
func (s *Session) flush() {
	if len(s.batch) == 0 {
		return
	}
	s.out(drivers.Batch{Observations: s.batch})
	s.count.events.Add(uint64(len(s.batch)))
	clear(s.batch) // idle sessions keep no names alive
	s.batch = s.batch[:0]
}

func (s *Session) skipUnknown(h wire.Header) {
	s.skip(&s.count.unknown, "unknown meaning",
		slog.Uint64("program", uint64(h.Program)), slog.Int("procedure", int(h.Procedure)),
		slog.Int("type", int(h.Type)), slog.Uint64("serial", uint64(h.Serial)))
}
