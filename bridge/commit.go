package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// A group is closed when it has this much, so that one write stays small beside the
// journal's limit for a batch, and latency stays bounded.
const (
	maxGroupEvents = 8192
	maxGroupBytes  = 2 << 20
	// groupsInJournal is how many groups a journal holds at least: it takes a quarter of
	// itself at once, and a group grows by its last request and by the values.
	groupsInJournal = 32
	// learnedBytes is about what a batch has of a domain that a listing tells more of.
	learnedBytes = 256
)

const (
	// gatherTime is how long a small group waits for more where groups follow each other
	// closely: each costs an fsync and several switches of goroutines.
	gatherTime = 2 * time.Millisecond
	// gatherEvents is the size from which a group does not wait: most of the cost is
	// spread already.
	gatherEvents = 64
	// positionTime is how long a position without events waits for a batch that has some.
	positionTime = time.Second
)

// ErrClosed is returned by Record when Run has ended, or is ending.
var ErrClosed = errors.New("the bridge is closed")

// request is one call of Record on its way through the committer.
type request struct {
	batch schema.MatchedBatch
	done  chan error // of capacity 1
}

// listing is one that is to be compared with what is known.
type listing struct {
	schema.Matched
	// sequence is the number of the source's last event before the listing.
	sequence uint64
}

// committer turns requests into journal batches. Each group is what queued up during the
// last write. Where writes follow each other closely, a small group first waits a little
// for more.
type committer struct {
	journal    *journal.Journal
	stamps     *stamper
	metrics    *metrics
	maxObjects int
	maxBytes   int // of a group, before its values

	requests chan *request
	orders   chan func()   // what is done between groups
	closing  chan struct{} // closed when requests must be refused
	closed   sync.Once

	// The rest belongs to loop.
	batch  journal.Batch
	event  schema.Event // the one in hand
	group  []*request
	events int
	// listings are those of which the rest did not fit in their batch; before are those
	// as they were before the batch in hand.
	listings, before []listing
	// written is when the last write ended.
	written time.Time
	// flush is due when a position, or what is left of a listing that the journal did not
	// take, has waited long enough; nil while none waits.
	flush *time.Timer
}

func newCommitter(j *journal.Journal, stamps *stamper, m *metrics, maxObjects int) *committer {
	return &committer{
		journal: j, stamps: stamps, metrics: m, maxObjects: maxObjects,
		maxBytes: int(min(maxGroupBytes, j.Stats().MaxBytes/groupsInJournal)),
		requests: make(chan *request), orders: make(chan func()), closing: make(chan struct{}),
	}
}

func (c *committer) close() { c.closed.Do(func() { close(c.closing) }) }

// record hands a batch to the loop, and waits for the answer.
func (c *committer) record(ctx context.Context, batch schema.MatchedBatch) error {
	r := &request{batch: batch, done: make(chan error, 1)}
	select {
	case c.requests <- r:
		return <-r.done
	case <-c.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do calls f between two groups, and waits until it returned.
func (c *committer) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case c.orders <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-c.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loop takes requests and orders until stop is closed or ctx ends, and answers each. It
// refuses what comes afterwards.
func (c *committer) loop(ctx context.Context, stop <-chan struct{}) {
	defer c.close()
	defer c.flushPositions()
	for {
		var due <-chan time.Time
		if c.flush != nil {
			due = c.flush.C
		}
		select {
		case r := <-c.requests:
			c.collect(ctx, r)
			c.write()
		case order := <-c.orders:
			order()
		case <-due:
			c.flushPositions()
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
		for len(c.listings) > 0 && c.resume() { //nolint:revive // each call writes a part
		}
		if len(c.listings) > 0 && c.flush == nil { // It is resumed again, too.
			c.flush = time.NewTimer(positionTime)
		}
	}
}

// collect makes a group of a request and of those that wait behind it.
func (c *committer) collect(ctx context.Context, r *request) {
	c.addListings()
	c.add(r)
	if since := time.Since(c.written); since < gatherTime && c.events < gatherEvents {
		timer := time.NewTimer(gatherTime - since)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	for c.events < maxGroupEvents && c.batch.Bytes() < c.maxBytes {
		select {
		case r := <-c.requests:
			c.add(r)
		default:
			return
		}
	}
}

// add adds a request to the group.
func (c *committer) add(r *request) {
	if r.batch.Position != nil {
		c.stamps.positions.set(r.batch.Connection, r.batch.Position, len(r.batch.Matched) > 0)
	}
	if len(r.batch.Matched) == 0 { // Its position waits for a batch with events.
		if c.flush == nil {
			c.flush = time.NewTimer(positionTime)
		}
		r.done <- nil
		return
	}
	c.group = append(c.group, r)
	for i := range r.batch.Matched {
		if m := &r.batch.Matched[i]; m.Listing != nil {
			c.addListing(&listing{*m, c.stamps.source(m.Listing.Connection.Source).sequence})
		} else {
			c.addEvent(&m.Observation, m.Sinks)
		}
	}
}

// addEvent stamps an observation, and appends its record to the batch.
func (c *committer) addEvent(o *schema.Observation, sinks []string) {
	c.stamps.stamp(o, &c.event)
	c.batch.EndRecord(schema.AppendRecord(c.batch.BeginRecord(), &c.event, sinks))
	c.events++
}

// addListing appends the events that a listing leads to. What does not fit follows in
// batches of its own, when this one is durable. Events that were behind the listing may
// come before that rest: they are newer.
func (c *committer) addListing(l *listing) {
	for _, o := range c.stamps.book.Diff(l.Listing) {
		if c.stamps.book.Overtaken(l.Listing, l.sequence, o.Object.UUID) {
			continue
		}
		if c.batch.Bytes() >= c.maxBytes {
			c.goOnWith(l)
			return
		}
		if l.Route == nil {
			c.addEvent(&o, nil)
		} else if sinks, ok := l.Route(&o); ok {
			c.addEvent(&o, sinks)
		}
	}
	room := (c.maxBytes - c.batch.Bytes()) / learnedBytes
	if !c.stamps.book.Learn(l.Listing, l.sequence, room) {
		c.goOnWith(l)
	}
}

// goOnWith notes a listing of which a part did not fit. The caller of Record may change
// its own.
func (c *committer) goOnWith(l *listing) {
	rest := *l
	copied := *l.Listing
	copied.Domains = slices.Clone(copied.Domains)
	rest.Listing = &copied
	c.listings = append(c.listings, rest)
}

// addListings goes on with listings of which a part is durable.
func (c *committer) addListings() {
	listings := c.listings
	c.listings = nil
	for i := range listings {
		c.addListing(&listings[i])
	}
}

// resume writes the next part of a listing. It reports whether that is durable.
func (c *committer) resume() bool {
	c.addListings()
	return c.write() // Else they go on with the next request, or after positionTime.
}

// write makes the group durable and answers its requests.
func (c *committer) write() (durable bool) {
	if c.events > 0 || len(c.group) > 0 || len(c.before) > 0 {
		durable = c.append()
	}
	if c.stamps.book.Len() > c.maxObjects {
		c.stamps.forgetOldest(c.maxObjects/10+1, &c.batch)
	}
	return durable
}

// append appends the batch to the journal.
func (c *committer) append() bool {
	c.stamps.put(&c.batch)
	err := c.journal.Append(&c.batch)
	if err != nil {
		c.stamps.rollback()
		c.metrics.refused.Add(float64(c.events))
		err = fmt.Errorf("journal: %w", err)
		c.listings = c.before // The requests with newer ones come again.
	} else {
		c.stamps.commit()
		c.metrics.recorded.Add(float64(c.events))
		c.stopFlush()
		c.before = c.listings
	}
	c.written = time.Now()
	c.batch.Reset()
	for _, r := range c.group {
		r.done <- err
	}
	clear(c.group)
	c.group, c.events = c.group[:0], 0
	return err == nil
}

// flushPositions makes the positions durable that wait for a batch with events.
func (c *committer) flushPositions() {
	if c.flush == nil {
		return
	}
	c.stopFlush()
	if !c.append() { // Else they are durable with the next batch.
		c.flush = time.NewTimer(positionTime)
	}
}

func (c *committer) stopFlush() {
	if c.flush != nil {
		c.flush.Stop()
		c.flush = nil
	}
}
