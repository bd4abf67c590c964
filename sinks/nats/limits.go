package nats

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// payloadAge is how old a connection must be before another one is made to learn the
	// server's max_payload: a server tells it at the beginning of a connection only.
	payloadAge = 2 * time.Second
	// refreshTimeout bounds the wait for the stream's configuration where events could be
	// published without it.
	refreshTimeout = 2 * time.Second
)

// tooLong handles an event of the round whose message is larger than the limits that are
// known. It reports whether that is final. Where the limits are of an earlier round, they
// may have been raised since: the event, and what must wait for it, are then held until
// relimit has asked for them.
func (s *Sink) tooLong(err *tooLargeError) (final bool) {
	if s.round.limitsKnown || err.fixed {
		return true
	}
	s.round.held = max(s.round.held, err.size)
	return false
}

// relimit asks for the limits again, once in a round, and only while nothing is
// unanswered. It returns the connection to go on with: another one where the server's
// max_payload is what holds an event.
func (s *Sink) relimit(ctx context.Context, l *link) (*link, error) {
	r := &s.round
	size := r.held
	r.limitsKnown, r.held = true, 0
	if s.cfg.Mode == ModeJetStream {
		if err := s.refresh(ctx, l, s.cfg.AckTimeout); err != nil {
			return l, err
		}
	}
	if size <= l.fit.MaxMessage || l.fit.MaxMessage < int(l.nc.MaxPayload()) || time.Since(l.made) < payloadAge {
		return l, nil
	}
	s.drop(l)
	again, err := s.connected(ctx)
	if err != nil {
		return l, err
	}
	r.abortWith(ctx, again)
	return again, nil
}

// refresh looks at the stream's configuration again.
func (s *Sink) refresh(ctx context.Context, l *link, timeout time.Duration) error {
	config, err := l.streamRequest(ctx, "INFO", s.cfg.Stream, nil, timeout)
	if err != nil {
		return s.streamError(err)
	}
	l.stale = false
	before := l.fit
	l.fit = Fit{MaxMessage: int(l.nc.MaxPayload()), Created: before.Created}
	if err := s.inspect(l, config, allowsBatches(l.nc.ConnectedServerVersion())); err != nil {
		l.fit = before
		return err
	}
	s.mu.Lock()
	s.fit = l.fit
	s.mu.Unlock()
	return nil
}

// refreshStale looks at the stream again where it has refused a message in an earlier
// round. A stream that takes messages may be one that nobody answers for: where there is
// no answer, what is known of it stays. It returns an error where the answer says that
// the stream cannot take the events.
func (s *Sink) refreshStale(ctx context.Context, l *link) error {
	if !l.stale {
		return nil
	}
	l.stale = false
	err := s.refresh(ctx, l, min(refreshTimeout, s.cfg.AckTimeout))
	if isMisfit(err) || isCode(err, jetstream.JSErrCodeStreamNotFound) {
		l.stale = true
		return err
	}
	return nil
}
