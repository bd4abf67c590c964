package nats

import "context"

// deliverCore publishes and waits for a round trip, after which the server has everything.
// Without the round trip nothing is known, and no event is acknowledged.
func (s *Sink) deliverCore(ctx context.Context, l *link) error {
	r := &s.round
	l.unanswered = true
	for i := range r.events {
		m, err := s.encode(l, &r.events[i])
		if err != nil {
			r.refuse(i, err)
			continue
		}
		if err := l.nc.PublishMsg(m); err != nil {
			return l.publishFailed(ctx, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AckTimeout)
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil {
		if fault := l.asyncError(); fault != nil {
			err = fault
		}
		return err
	}
	// The server refuses a subject before it answers the flush.
	if err := l.nc.LastError(); err != nil {
		return err
	}
	l.unanswered = false
	for i, settled := range r.settled {
		if !settled {
			r.acknowledge(i)
		}
	}
	return nil
}
