package registry

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/schema"
)

// minRecordWait and maxRecordWait bound the wait before a batch that was not recorded is
// tried again.
const (
	minRecordWait = 20 * time.Millisecond
	maxRecordWait = 2 * time.Second
)

// positionDelay is how long a position waits for observations to become durable with.
const positionDelay = time.Second

// recorder moves one connection's observations from its queue to Options.Record and then
// to the callbacks, in order. It has one goroutine.
type recorder struct {
	registry *Registry
	name     string
	queue    *queue
	// table is what matching used last; nil before the first observation.
	table *table
	// kind is the kind that was matched last, and ofKind its part of table.
	kind   schema.Kind
	ofKind *kindTable
	// position is the last one that is not durable yet; nil for none. Nothing that was
	// matched waits before it. timer fires when it must become durable by itself.
	position schema.Position
	timer    *time.Timer
}

// scratch is the space in which a batch is made. It comes from a pool, so that an idle
// connection has none. Beyond their lengths its slices are zero.
type scratch struct {
	matched []schema.Matched
	calls   []call
	held    []*entry
}

// next returns the next element of matched, which is zero.
func (s *scratch) next() *schema.Matched {
	if n := len(s.matched); n < cap(s.matched) {
		s.matched = s.matched[:n+1]
	} else {
		s.matched = append(s.matched, schema.Matched{})
	}
	return &s.matched[len(s.matched)-1]
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
			c.recordPosition(ctx)
			return
		}
		var due <-chan time.Time
		if c.timer != nil {
			due = c.timer.C
		}
		select {
		case <-c.queue.ready:
		case <-due:
			if !c.recordPosition(ctx) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// recordPosition makes the position durable that waits.
func (c *recorder) recordPosition(ctx context.Context) bool {
	if c.position == nil {
		return true
	}
	return c.record(ctx, nil)
}

// process matches, records and dispatches one batch. It reports false if ctx ended before
// the batch was durable; its observations are then still counted as queued.
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
		c.kind = schema.KindGap // which has no part
	}
	for taken != nil {
		from := 0
		for _, m := range taken.marks {
			for ; from < m.n; from++ {
				c.matchOne(s, &taken.observations[from], &outcome)
			}
			c.mark(s, m, &outcome)
		}
		for ; from < taken.n; from++ {
			c.matchOne(s, &taken.observations[from], &outcome)
		}
		next := taken.next
		c.registry.pool.put(taken)
		taken = next
	}
	return outcome
}

// mark takes up a position, or matches a listing.
func (c *recorder) mark(s *scratch, m mark, outcome *tally) {
	if m.position != nil {
		c.position = m.position
		if c.timer == nil {
			c.timer = time.NewTimer(positionDelay)
		}
		return
	}
	if all := c.table.gap; all == nil || !all.record {
		return
	}
	outcome.listings++
	matched := s.next()
	matched.Connection, matched.Received = m.listing.Connection, m.listing.Received
	matched.Listing, matched.Route = m.listing, c.table.route
}

// target returns where an observation goes; nil is nowhere. Most are of the kind of the
// one before.
func (c *recorder) target(o *schema.Observation) *target {
	switch o.Kind {
	case schema.KindGap:
		return c.table.gap
	case c.kind:
	default:
		c.kind, c.ofKind = o.Kind, c.table.kinds[o.Kind]
	}
	return c.ofKind.match(o)
}

func (c *recorder) matchOne(s *scratch, o *schema.Observation, outcome *tally) {
	target := c.target(o)
	isGap := o.Gap != nil
	switch {
	case target != nil && target.record:
		m := s.next()
		m.Observation, m.Sinks = *o, target.sinks
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

// record calls Options.Record until it succeeds or ctx ends. The position that waits
// becomes durable with the batch.
func (c *recorder) record(ctx context.Context, matched []schema.Matched) bool {
	batch := schema.MatchedBatch{Connection: c.name, Matched: matched, Position: c.position}
	err := c.registry.opts.Record(ctx, batch)
	if err != nil && !c.recordAgain(ctx, batch, err) {
		return false
	}
	if c.position != nil {
		c.timer.Stop()
		c.position, c.timer = nil, nil
	}
	return true
}

// recordAgain calls Options.Record for a batch that it failed to record.
func (c *recorder) recordAgain(ctx context.Context, batch schema.MatchedBatch, err error) bool {
	c.registry.trouble.begin(ctx, c.name, err)
	defer c.registry.trouble.end(ctx)
	wait := retry.Backoff{Min: minRecordWait, Max: maxRecordWait}
	for err != nil {
		if retry.Sleep(ctx, wait.Next()) != nil {
			return false
		}
		if err = c.registry.opts.Record(ctx, batch); err != nil {
			c.registry.trouble.again(ctx, c.name, err)
		}
	}
	return true
}

// dispatch calls the callbacks of one observation, in order of their IDs. Every one of
// them is kept from being released until the last has returned.
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
