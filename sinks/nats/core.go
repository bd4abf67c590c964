package nats

import (
	"context"

	"github.com/virtcast/virtcast/schema"
)

// deliverCore publishes and waits for a round trip, after which the server has
// everything. Without it, nothing is known: n is then 0.
func (s *Sink) deliverCore(ctx context.Context, l *link, events []schema.Event) (n int, err error) {
	var tooLarge error
	for ; n < len(events); n++ {
		m, err := s.encode(l, &events[n])
		if err != nil {
			tooLarge = err
			break
		}
		if err := l.nc.PublishMsg(m); err != nil {
			return 0, l.publishFailed(ctx, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AckTimeout)
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil {
		if fault := l.asyncError(); fault != nil {
			err = fault
		}
		return 0, err
	}
	// The server refuses a subject before it answers the flush.
	if err := l.nc.LastError(); err != nil {
		return 0, err
	}
	return n, tooLarge
}
