package nats

import (
	"context"

	natsgo "github.com/nats-io/nats.go"
)

// deliverCore publishes and waits for a round trip, after which the server has
// everything. Without the round trip nothing is known, and no event is acknowledged. The
// server does not tell which of many messages it refused; after a refusal the events
// therefore go one by one.
func (s *Sink) deliverCore(ctx context.Context, l *link) (*link, error) {
	oneByOne := s.refused
	s.refused = false
	for {
		l.unanswered = true
		var err error
		if oneByOne {
			err = s.deliverOneByOne(ctx, l)
		} else {
			err = s.deliverTogether(ctx, l)
		}
		if err != nil {
			_, s.refused = deniedSubject(err)
			return l, err
		}
		l.unanswered = false
		if s.round.held == 0 {
			return l, nil
		}
		if l, err = s.relimit(ctx, l); err != nil {
			return l, err
		}
	}
}

func (s *Sink) deliverTogether(ctx context.Context, l *link) error {
	r := &s.round
	end := len(r.events) // of what is sent
	for i := range r.events {
		if r.settled[i] {
			continue
		}
		m, tooLarge := s.encode(l, &r.events[i])
		if tooLarge != nil && !s.tooLong(tooLarge) {
			end = i
			break
		}
		if tooLarge != nil {
			r.refuse(i, tooLarge)
			continue
		}
		if err := l.nc.PublishMsg(m); err != nil {
			return l.publishFailed(ctx, err)
		}
	}
	if err := s.flush(ctx, l); err != nil {
		return err
	}
	// The server refuses a subject before it answers the flush.
	if err := l.nc.LastError(); err != nil {
		return err
	}
	for i, settled := range r.settled[:end] {
		if !settled {
			r.acknowledge(i)
		}
	}
	return nil
}

// deliverOneByOne waits for a round trip after each event. An event that the server
// refuses holds up only those that must wait for it.
func (s *Sink) deliverOneByOne(ctx context.Context, l *link) error {
	a := s.startLanes()
	for ; a.next < len(a.ready); a.next++ {
		i := int(a.ready[a.next])
		m, tooLarge := s.encode(l, &s.round.events[i])
		if tooLarge != nil {
			if s.tooLong(tooLarge) {
				s.settleLane(i, tooLarge)
			}
			continue
		}
		err := s.publishOne(ctx, l, m)
		if _, denied := deniedSubject(err); err != nil && !denied {
			return err
		}
		s.settleLane(i, err)
	}
	return a.err
}

// publishOne publishes a message. Where the server refuses its subject, it returns that.
func (s *Sink) publishOne(ctx context.Context, l *link, m *natsgo.Msg) error {
	if err := l.nc.PublishMsg(m); err != nil {
		return l.publishFailed(ctx, err)
	}
	if err := s.flush(ctx, l); err != nil {
		return err
	}
	err := l.nc.LastError()
	if subject, denied := deniedSubject(err); denied && subject != m.Subject {
		return nil // It is about an earlier message.
	}
	return err
}

// flush waits until the server has everything that was published.
func (s *Sink) flush(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AckTimeout)
	defer cancel()
	err := l.nc.FlushWithContext(ctx)
	if fault := l.asyncError(); err != nil && fault != nil {
		return fault
	}
	return err
}
