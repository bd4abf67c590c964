package registry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// retryBackoff bounds the wait before a batch that was not recorded is tried again.
var retryBackoff = Backoff{Min: 20 * time.Millisecond, Max: 2 * time.Second}

// recorder moves one connection's observations from its queue to Options.Record and then
// to the callbacks, in order. It has one goroutine.
type recorder struct {
	registry *Registry
	name     string
	queue    *queue
	// table is what matching used last; nil before the first observation.
	table *table
}

// scratch is the space in which a batch is made. It comes from a pool, so that
// an idle connection has none.
type scratch struct {
	matched []schema.Matched
	calls   []call
	held    []*entry
}

// call is an observation that callbacks are waiting for.
type call struct {
	observation schema.Observation
	target      *target
}

// run records until the queue is closed and empty, or ctx ends.
func (c *recorder) run(ctx context.Context) {
	for {
		if taken := c.queue.take(); taken != nil {
			if !c.process(ctx, taken) {
				return
			}
			continue
		}
		if c.queue.drained() {
			return
		}
		select {
		case <-c.queue.ready:
		case <-ctx.Done():
			return
		}
	}
}

// process matches, records and dispatches one batch. It reports false if ctx ended before the batch was
// durable; its observations are then still counted as queued.
func (c *recorder) process(ctx context.Context, taken *chunk) bool {
	s := c.registry.scratch.Get().(*scratch) //nolint:errcheck // the pool holds nothing else
	defer func() {
		clear(s.matched)
		clear(s.calls)
		s.matched, s.calls = s.matched[:0], s.calls[:0]
		c.registry.scratch.Put(s)
	}()
	outcome := c.match(s, taken)
	if len(s.matched) > 0 && !c.record(ctx, s.matched) {
		return false
	}
	c.queue.done(outcome)
	for i := range s.calls {
		s.dispatch(&s.calls[i])
	}
	return true
}

// match fills s with the batch and gives the chunks back.
func (c *recorder) match(s *scratch, taken *chunk) (outcome tally) {
	if list := c.registry.list.Load(); c.table == nil || c.table.list != list {
		c.table = newTable(list, c.name)
	}
	for taken != nil {
		for i := range taken.observations[:taken.n] {
			c.matchOne(s, &taken.observations[i], &outcome)
		}
		next := taken.next
		c.registry.pool.put(taken)
		taken = next
	}
	return outcome
}

func (c *recorder) matchOne(s *scratch, o *schema.Observation, outcome *tally) {
	target := c.table.match(o)
	isGap := o.Gap != nil
	switch {
	case target != nil && target.record:
		s.matched = append(s.matched, schema.Matched{Observation: *o, Sinks: target.sinks})
		if isGap {
			outcome.gaps++
		} else {
			outcome.recorded++
		}
	case isGap:
	case target != nil:
		outcome.observed++
	default:
		outcome.unmatched++
	}
	if target != nil && len(target.callbacks) > 0 {
		s.calls = append(s.calls, call{*o, target})
	}
}

// record calls Options.Record until it succeeds or ctx ends.
func (c *recorder) record(ctx context.Context, batch []schema.Matched) bool {
	err := c.registry.opts.Record(ctx, batch)
	if err == nil {
		return true
	}
	c.registry.trouble.begin(ctx, c.name, err)
	defer c.registry.trouble.end(ctx)
	wait := backoff{bounds: retryBackoff}
	for err != nil {
		if !sleep(ctx, wait.next()) {
			return false
		}
		if err = c.registry.opts.Record(ctx, batch); err != nil {
			c.registry.trouble.again()
		}
	}
	return true
}

// dispatch calls the callbacks of one observation, in order of their IDs. Every one of them is
// kept from being released until the last has returned.
func (s *scratch) dispatch(c *call) {
	s.held = s.held[:0]
	for _, e := range c.target.callbacks {
		if e.acquire() {
			s.held = append(s.held, e)
		}
	}
	for _, e := range s.held {
		if !e.gone.Load() {
			e.Callback.Observe(c.observation)
		}
	}
	for _, e := range s.held {
		e.release()
	}
	clear(s.held)
}

// episode is a time in which recording fails, for one connection or many: it is logged once when it begins
// and once when the last connection's batch is recorded.
type episode struct {
	logger *slog.Logger

	// mu guards what follows.
	mu       sync.Mutex
	failing  int
	failures uint64
	began    time.Time
}

func (e *episode) begin(ctx context.Context, connection string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures++
	e.failing++
	if e.failing == 1 {
		e.began = time.Now()
		e.logger.ErrorContext(ctx, "recording fails, trying again until it succeeds", keyConnection, connection, keyError, err)
	}
}

func (e *episode) again() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures++
}

func (e *episode) end(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failing--
	if e.failing == 0 && ctx.Err() == nil {
		e.logger.InfoContext(ctx, "recording succeeds again", keyDuration, time.Since(e.began))
	}
}

// count returns how often Record has failed.
func (e *episode) count() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failures
}
