package bridge

import (
	"context"
	"fmt"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// A group is closed when it has this much, so that one write stays small beside
// the journal's limit for a batch and latency stays bounded.
const (
	maxGroupEvents = 8192
	maxGroupBytes  = 2 << 20
)

// committer turns requests into journal batches: each group is what queued up
// during the last write, without a timer.
type committer struct {
	*Bridge
	batch  journal.Batch
	record []byte
	group  []*request
	events int
}

// commitLoop takes requests and orders until stop is closed or ctx ends, and answers
// each. It refuses what comes afterwards.
func (b *Bridge) commitLoop(ctx context.Context, stop <-chan struct{}) {
	defer b.close()
	c := &committer{Bridge: b}
	for {
		select {
		case r := <-b.requests:
			c.collect(r)
			c.write()
		case order := <-b.orders:
			order()
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// collect makes a group of a request and of those that wait behind it.
func (c *committer) collect(r *request) {
	c.add(r)
	for c.events < maxGroupEvents && c.batch.Bytes() < maxGroupBytes {
		select {
		case r := <-c.requests:
			c.add(r)
		default:
			return
		}
	}
}

func (c *committer) add(r *request) {
	c.group = append(c.group, r)
	c.events += len(r.batch)
	for i := range r.batch {
		m := &r.batch[i]
		e := c.stamps.stamp(&m.Observation)
		c.record = schema.AppendRecord(c.record[:0], &e, m.Sinks)
		c.batch.Record(c.record)
	}
}

// write makes the group durable and answers its requests.
func (c *committer) write() {
	c.stamps.put(&c.batch)
	err := c.journal.Append(&c.batch)
	if err != nil {
		c.stamps.rollback()
		c.metrics.refused.Add(float64(c.events))
		err = fmt.Errorf("journal: %w", err)
	} else {
		c.stamps.commit()
		c.metrics.recorded.Add(float64(c.events))
	}
	c.batch.Reset()
	for _, r := range c.group {
		r.done <- err
	}
	clear(c.group)
	c.group, c.events = c.group[:0], 0
	if c.stamps.domains > c.opts.MaxDomains {
		c.stamps.forgetOldest(c.opts.MaxDomains/10+1, &c.batch)
	}
}
