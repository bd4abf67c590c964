package libvirt

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// Stats counts what a session has seen since it was dialled. Frames is every frame; of
// its parts only those that need an eye have a counter.
type Stats struct {
	// Frames is how many whole frames were read.
	Frames uint64
	// Events is how many observations were delivered.
	Events uint64
	// Unknown is how many frames were skipped since their program, version, type,
	// procedure or serial means nothing here.
	Unknown uint64
	// Undecodable is how many events were skipped since their payload is malformed.
	Undecodable uint64
	// Stale is how many events were skipped since their callback is gone.
	Stale uint64
	// Duplicates is how many events were dropped since they came by two callbacks, while
	// these changed over.
	Duplicates uint64
	// Late is how many replies came after their caller had given up.
	Late uint64
	// PingsSent and PingsReceived count keepalives that were written and read.
	PingsSent, PingsReceived uint64
}

type counters struct {
	frames, events, unknown, undecodable, stale, duplicates, late, pingsSent, pingsReceived atomic.Uint64
}

// Stats returns the counters as they stand. It may be called at any time.
func (s *Session) Stats() Stats {
	return Stats{
		Frames:        s.count.frames.Load(),
		Events:        s.count.events.Load(),
		Unknown:       s.count.unknown.Load(),
		Undecodable:   s.count.undecodable.Load(),
		Stale:         s.count.stale.Load(),
		Duplicates:    s.count.duplicates.Load(),
		Late:          s.count.late.Load(),
		PingsSent:     s.count.pingsSent.Load(),
		PingsReceived: s.count.pingsReceived.Load(),
	}
}

// skip counts a skipped frame, and warns about the 1st, 2nd, 4th, 8th and so on, so that
// a flood of them does not flood the log.
func (s *Session) skip(counter *atomic.Uint64, reason string, attrs ...slog.Attr) {
	n := counter.Add(1)
	if n&(n-1) != 0 {
		return
	}
	attrs = append(attrs, slog.String("reason", reason), slog.String("connection", s.config.Name), slog.Uint64("count", n))
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "skipped a frame", attrs...)
}
