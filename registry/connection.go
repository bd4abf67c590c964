package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// connection watches one hypervisor. Two goroutines serve it, both started and waited for
// by run: the supervisor opens sessions and keeps their callbacks, the recorder
// empties the queue. The driver has its own, which calls queue.push.
type connection struct {
	name     string
	driver   Driver
	registry *Registry
	queue    *queue
	logger   *slog.Logger
	// changed has an element when registrations changed since the supervisor last looked.
	changed chan struct{}

	// mu guards status. It is a leaf.
	mu     sync.Mutex
	status status
}

// status is what the supervisor says of a connection.
type status struct {
	up                          bool
	opens, openFailures, losses uint64
	callbacks, refused          int
	refusals                    uint64
	backoff                     time.Duration
}

func newConnection(r *Registry, c Connection) *connection {
	return &connection{
		name:     c.Name,
		driver:   c.Driver,
		registry: r,
		queue:    newQueue(&r.pool, r.opts.QueueBound),
		logger:   r.opts.Logger.With(keyConnection, c.Name),
		changed:  make(chan struct{}, 1),
	}
}

// notify says that registrations changed. It never blocks.
func (c *connection) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// update changes the status.
func (c *connection) update(change func(*status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.status)
}

// run watches until ctx ends, and then records what is queued until recordCtx ends.
func (c *connection) run(ctx, recordCtx context.Context) {
	var recording sync.WaitGroup
	rec := recorder{registry: c.registry, name: c.name, queue: c.queue}
	recording.Go(func() { rec.run(recordCtx) })
	c.supervise(ctx)
	c.queue.close()
	recording.Wait()
	if lost := c.queue.abandon(); lost > 0 {
		c.logger.ErrorContext(ctx, "stopped before everything was recorded", keyLost, lost)
	}
}

// supervise opens session after session until ctx ends.
func (c *connection) supervise(ctx context.Context) {
	wait := backoff{bounds: c.registry.opts.Backoff}
	var lostAt time.Time // zero before the first session
	var lastFailure string
	for ctx.Err() == nil {
		opened := time.Now()
		s, err := c.open(ctx)
		switch {
		case err == nil:
			lastFailure = ""
			lostAt = c.serve(ctx, s, lostAt)
			if time.Since(opened) >= c.registry.opts.Backoff.Max {
				wait.reset()
			}
		case ctx.Err() != nil:
			return
		default:
			// A host that is down for days says the same every minute: once is enough.
			level := slog.LevelWarn
			if err.Error() == lastFailure {
				level = slog.LevelDebug
			}
			lastFailure = err.Error()
			c.logger.Log(ctx, level, "no session, trying again", keyError, err)
		}
		if ctx.Err() != nil {
			return
		}
		delay := wait.next()
		c.update(func(s *status) { s.backoff = delay })
		sleep(ctx, delay)
		c.update(func(s *status) { s.backoff = 0 })
	}
}

func (c *connection) open(ctx context.Context) (Session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.registry.opts.CallTimeout)
	defer cancel()
	s, err := c.driver.Open(ctx, c.queue.push)
	if err != nil {
		c.update(func(s *status) { s.openFailures++ })
		return nil, fmt.Errorf("open: %w", err)
	}
	return s, nil
}

// serve watches one session until it is lost or ctx ends, closes it, and returns
// the time since which the connection is not observed. lostAt is that time of the session
// before; zero if there was none.
func (c *connection) serve(ctx context.Context, s Session, lostAt time.Time) time.Time {
	c.update(func(s *status) { s.opens++ })
	opened := time.Now()
	if !lostAt.IsZero() {
		// Before the first RegisterAny: whatever the session says comes after the gap.
		c.queue.hold(s.Connection(), lostAt)
	}
	callbacks := newWire(s, c.queue, c.registry.opts.CallTimeout, c.logger)
	err := c.follow(ctx, callbacks)
	watched := err == nil
	if watched {
		// Here is the place of reconciliation: now that every callback is answered,
		// s.Domains lists the states as they are; compared with the last known ones, each
		// difference is an observation (Synthetic, UnobservedSince: lostAt) that belongs directly
		// behind the gap, before what the callbacks have brought meanwhile.
		// The queue is held until release, so that it can be put there; a first session, after a
		// restart of the bridge, will have to be held as well.
		c.queue.release(time.Now().UTC())
		c.update(func(s *status) { s.up = true })
		c.logger.InfoContext(ctx, "watching", keyURI, s.Connection().URI, keySource, s.Connection().Source, keyCallbacks, len(callbacks.have))
		err = c.watch(ctx, s, callbacks)
	}
	since := unobservedSince(s)
	if !watched && !lostAt.IsZero() {
		since = lostAt // It was never wholly observed: the next gap covers all of it.
	}
	// Close waits: after it no observation comes. Why it fails is of no use, the session is over.
	_ = s.Close()
	c.queue.release(time.Now().UTC())
	c.update(func(s *status) { s.up, s.callbacks, s.refused = false, 0, 0 })
	if ctx.Err() == nil {
		c.update(func(s *status) { s.losses++ })
		c.logger.WarnContext(ctx, "session lost", keyError, err, keySince, since, keyDuration, time.Since(opened))
	}
	return since
}

// watch keeps the session's callbacks as they are wanted until it is lost or ctx ends.
func (c *connection) watch(ctx context.Context, s Session, callbacks *wire) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Done():
			return lossOf(s)
		case <-c.changed:
			if err := c.follow(ctx, callbacks); err != nil {
				return err
			}
		}
	}
}

func (c *connection) follow(ctx context.Context, callbacks *wire) error {
	err := callbacks.follow(ctx, wanted(*c.registry.list.Load(), c.name))
	c.update(func(s *status) {
		s.callbacks = len(callbacks.have)
		s.refusals += uint64(len(callbacks.refused) - s.refused)
		s.refused = len(callbacks.refused)
	})
	return err
}

func lossOf(s Session) error {
	if err := s.Err(); err != nil {
		return err
	}
	return errors.New("the driver closed the session")
}

// unobservedSince returns the time since which a session that is over may have missed
// something: when it last heard of its peer, where it can say so, else now.
func unobservedSince(s Session) time.Time {
	if s, ok := s.(LastHeard); ok {
		if at := s.LastHeard(); !at.IsZero() {
			return at.UTC()
		}
	}
	return time.Now().UTC()
}
