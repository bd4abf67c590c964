package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/schema"
)

// connection watches one hypervisor. Two goroutines serve it, both started and waited for
// by run: the supervisor opens sessions and keeps their filters in force, the recorder
// empties the queue. The driver has its own, which calls queue.push.
type connection struct {
	name     string
	driver   drivers.Driver
	registry *Registry
	queue    *queue
	logger   *slog.Logger
	// changed has an element when registrations changed since the supervisor last looked.
	changed chan struct{}

	// mu guards status. It is a leaf.
	mu     sync.Mutex
	status status
}

// status is the supervisor's part of [Stats].
type status struct {
	up                          bool
	opens, openFailures, losses uint64
	filters, refused            int
	refusals                    uint64
	backoff                     time.Duration
}

func newConnection(r *Registry, c Connection) *connection {
	return &connection{
		name:     c.Name,
		driver:   c.Driver,
		registry: r,
		queue:    newQueue(&r.pool, &r.budget, r.opts.QueueBytes),
		logger:   r.opts.Logger.With(keyConnection, c.Name),
		changed:  make(chan struct{}, 1),
	}
}

// notify tells the supervisor that registrations changed. It never blocks.
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
	began := time.Now().UTC()
	wait := retry.Backoff{Min: c.registry.opts.Backoff.Min, Max: c.registry.opts.Backoff.Max}
	var lostAt time.Time // zero before the first session
	lastFailure := ""
	for ctx.Err() == nil {
		opened := time.Now()
		p := c.position()
		s, err := c.open(ctx, p)
		switch {
		case err == nil:
			lastFailure = ""
			lostAt = c.serve(ctx, s, unobservedSince(s, p, lostAt, began))
			if time.Since(opened) >= c.registry.opts.Backoff.Max {
				wait.Reset()
			}
		case ctx.Err() != nil:
			return
		default:
			// A host that is down for days gives the same error every minute: it is
			// logged once.
			level := slog.LevelWarn
			class := retry.Class(err)
			if class == lastFailure {
				level = slog.LevelDebug
			}
			lastFailure = class
			c.logger.Log(ctx, level, "no session, trying again", keyError, err)
		}
		if ctx.Err() != nil {
			return
		}
		delay := wait.Next()
		c.update(func(s *status) { s.backoff = delay })
		_ = retry.Sleep(ctx, delay)
		c.update(func(s *status) { s.backoff = 0 })
	}
}

// position returns where the next session is to resume: behind what was queued last, or,
// for the first session, behind what is durable.
func (c *connection) position() schema.Position {
	if p := c.queue.resume(); p != nil {
		return p
	}
	if c.registry.opts.Position == nil {
		return nil
	}
	return c.registry.opts.Position(c.name)
}

func (c *connection) open(ctx context.Context, p schema.Position) (drivers.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.registry.opts.CallTimeout)
	defer cancel()
	s, err := c.driver.Open(ctx, p, c.queue.push)
	if err != nil {
		c.update(func(s *status) { s.openFailures++ })
		return nil, fmt.Errorf("open: %w", err)
	}
	return s, nil
}

// unobservedSince returns the time since which the connection was not observed when a
// session was opened; zero if nothing was missed, or nobody watched before. A session
// that could not resume from a position that an earlier run of the program left has
// missed what happened since then: since the time up to which the position reaches, where
// the driver knows it, or at least since this run began.
func unobservedSince(s drivers.Session, p schema.Position, lostAt, began time.Time) time.Time {
	switch {
	case s.Resumed():
		return time.Time{}
	case !lostAt.IsZero() || p == nil:
		return lostAt
	}
	if sure := s.Sure(); !sure.IsZero() && sure.Before(began) {
		return sure.UTC()
	}
	return began
}

// serve watches one session until it is lost or ctx ends, closes it, and returns the time
// since which the connection is not observed. unobserved is that time before this
// session; zero if there is no gap to declare.
func (c *connection) serve(ctx context.Context, s drivers.Session, unobserved time.Time) time.Time {
	c.update(func(s *status) { s.opens++ })
	opened := time.Now().UTC()
	if unobserved.IsZero() {
		unobserved = opened
	} else {
		// Before the first Watch: whatever the session delivers comes behind the gap.
		c.queue.hold(s.Connection(), unobserved)
	}
	w := newWatcher(s, c)
	defer w.stop()
	err := w.apply(ctx, unobserved)
	since := unobserved // It was never watched: the next gap covers all of it.
	if err == nil {
		began := time.Now().UTC()
		c.queue.release(began)
		if w.missing == 0 {
			c.logger.InfoContext(ctx, "watching", keyURI, s.Connection().URI, keySource, s.Connection().Source, keyFilters, w.inForce)
		}
		err = c.watch(ctx, w)
		since = c.lostSince(w, began)
	}
	// Close waits: after it nothing is delivered. Its error changes nothing, the session
	// is over.
	_ = s.Close()
	c.queue.release(time.Now().UTC())
	c.update(func(s *status) { s.up, s.filters, s.refused = false, 0, 0 })
	if ctx.Err() == nil {
		c.update(func(s *status) { s.losses++ })
		c.logger.WarnContext(ctx, "session lost", keyError, err, keySince, since, keyDuration, time.Since(opened))
	}
	return since
}

// watch keeps the session's filters as they are wanted until it is lost or ctx ends.
func (c *connection) watch(ctx context.Context, w *watcher) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.session.Done():
			return lossOf(w.session)
		case <-c.changed:
		case <-w.due():
		}
		if err := w.apply(ctx, time.Now().UTC()); err != nil {
			return err
		}
	}
}

func lossOf(s drivers.Session) error {
	if err := s.Err(); err != nil {
		return err
	}
	return errors.New("the driver closed the session")
}

// lostSince returns the time since which a session that is over may have missed
// something, where it was watched since began: the end of what the driver is sure of, but
// no earlier than began and no later than now. A filter that is missing is not observed
// since longer.
func (c *connection) lostSince(w *watcher, began time.Time) time.Time {
	if !w.since.IsZero() {
		return w.since
	}
	now := time.Now().UTC()
	sure := w.session.Sure()
	if delivered := c.queue.delivered(); delivered.After(sure) {
		sure = delivered
	}
	switch {
	case sure.IsZero() || sure.After(now):
		return now
	case sure.Before(began):
		return began
	}
	return sure.UTC()
}
