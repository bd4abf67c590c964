package registry

import (
	"sync"
	"time"

	"github.com/virtcast/virtcast/schema"
)

const (
	// chunkLength is how many observations a chunk holds: about 9 KiB.
	chunkLength = 64
	// batchLength bounds how many observations are recorded by one call.
	batchLength = 1024
)

// chunk is a piece of a queue. Chunks come from a pool that all queues share, so that a queue
// that is empty owns none.
type chunk struct {
	next *chunk
	n    int
	// gaps is how many of the n are gaps, which were not received.
	gaps         int
	observations [chunkLength]schema.Observation
}

type chunkPool struct{ sync.Pool }

func (p *chunkPool) get() *chunk { return p.Get().(*chunk) } //nolint:errcheck // the pool holds nothing else

// put gives back a chunk and lets go of what it points to.
func (p *chunkPool) put(c *chunk) {
	clear(c.observations[:c.n])
	c.next, c.n, c.gaps = nil, 0, 0
	p.Put(c)
}

// queue is where the observations of one connection wait to be recorded:
//
//	driver ── push ──▶ [ chunk ▸ chunk ▸ ▮chunk ▸ chunk ] ── take ──▶ recorder ── done
//	                                      ▮ held: taken only after release
//
// push never blocks. When bound observations wait, newer ones are lost: counted at once, and declared by
// a gap that is queued in the same moment in which the recorder makes room, hence
// before anything newer.
type queue struct {
	pool  *chunkPool
	bound int
	// ready has an element when take may have something, or closed was set.
	ready chan struct{}

	// mu guards what follows. It is a leaf: no other lock is taken while it is held.
	mu         sync.Mutex
	head, tail *chunk
	// held is the first chunk that must not be taken yet, and declared the gap at
	// its start, whose end is not known yet.
	held     *chunk
	declared *schema.Observation
	waiting  int // received observations in the chunks, gaps not counted
	tally    tally
	overrun  overrun
	copies   copyFilter
	closed   bool
}

// tally is what became of the observations received: at any moment
//
//	received = recorded + observed + unmatched + queued + lost
type tally struct {
	received, recorded, observed, unmatched, lost uint64
	// taken is how many of those queued the recorder has in hand.
	taken uint64
	// copied counts copies of observations that were received already by another callback.
	copied uint64
	// gaps counts the gaps recorded.
	gaps uint64
}

// overrun is what was lost since the queue became full and is not declared yet.
type overrun struct {
	lost       uint64
	since      time.Time
	connection *schema.Connection
}

func newQueue(pool *chunkPool, bound int) *queue {
	return &queue{pool: pool, bound: bound, ready: make(chan struct{}, 1)}
}

// push takes over what a driver has received. It never blocks.
func (q *queue) push(observations []schema.Observation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range observations {
		o := &observations[i]
		if q.copies.active && q.copies.drop(o) {
			q.tally.copied++
			continue
		}
		q.tally.received++
		if q.waiting >= q.bound {
			q.lose(o)
			continue
		}
		*q.grow() = *o
		q.waiting++
	}
	q.signal()
}

func (q *queue) lose(o *schema.Observation) {
	q.tally.lost++
	if q.overrun.lost == 0 {
		q.overrun.since = o.Received
	}
	q.overrun.lost++
	q.overrun.connection = o.Connection
}

// grow returns the next free place at the end.
func (q *queue) grow() *schema.Observation {
	if q.tail == nil || q.tail.n == chunkLength {
		q.extend()
	}
	q.tail.n++
	return &q.tail.observations[q.tail.n-1]
}

func (q *queue) extend() {
	c := q.pool.get()
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// hold queues the gap of a connection that was lost, not observed since a time, and keeps
// it and what follows from being taken until release, when the gap's end is known. A gap
// that directly follows another (the session was lost again) prolongs it, so that their number is bounded
// by the number of observations.
func (q *queue) hold(connection *schema.Connection, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tail != nil {
		// A gap of hold is always the first of its chunk.
		if first := &q.tail.observations[0]; q.tail.n == 1 && disconnected(first) {
			first.Connection = connection
			q.held, q.declared = q.tail, first
			return
		}
	}
	q.extend()
	q.declared = q.grow()
	*q.declared = gap(connection, schema.GapDisconnected, since)
	q.tail.gaps++
	q.held = q.tail
}

func disconnected(o *schema.Observation) bool {
	return o.Gap != nil && o.Gap.Reason == schema.GapDisconnected
}

// release ends the gap of hold at a time and lets it be taken.
func (q *queue) release(until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held == nil {
		return
	}
	q.declared.Received = until
	q.declared.Gap.Until = until
	q.held, q.declared = nil, nil
	q.signal()
}

// take removes and returns a list of chunks of at most batchLength observations, or nil
// if there is nothing to take. Its caller owns them, and must call done for them.
func (q *queue) take() *chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	var last *chunk
	count := 0
	for c := q.head; c != nil && c != q.held && count+c.n <= batchLength; c = c.next {
		last = c
		count += c.n
		q.tally.taken += uint64(c.n - c.gaps)
		q.waiting -= c.n - c.gaps
	}
	if last == nil {
		return nil
	}
	taken := q.head
	q.head, last.next = last.next, nil
	if q.head == nil {
		q.tail = nil
	}
	q.declareOverrun()
	return taken
}

// declareOverrun queues the gap of an overrun. The queue has room, for the first time since.
func (q *queue) declareOverrun() {
	if q.overrun.lost == 0 {
		return
	}
	now := time.Now().UTC()
	o := gap(q.overrun.connection, schema.GapOverrun, q.overrun.since)
	o.Received = now
	o.Gap.Until = now
	o.Gap.Lost = q.overrun.lost
	*q.grow() = o
	q.tail.gaps++
	q.overrun = overrun{}
	q.signal()
}

// done counts what became of the observations that were taken.
func (q *queue) done(outcome tally) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tally.taken -= outcome.recorded + outcome.observed + outcome.unmatched
	q.tally.recorded += outcome.recorded
	q.tally.observed += outcome.observed
	q.tally.unmatched += outcome.unmatched
	q.tally.gaps += outcome.gaps
}

// close says that nothing more will be pushed.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// drained reports whether the queue is closed and empty.
func (q *queue) drained() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.head == nil
}

// abandon counts what is still queued or taken as lost, lets go of it, and returns its number.
func (q *queue) abandon() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := uint64(q.waiting) + q.tally.taken
	q.tally.lost += lost
	q.tally.taken, q.waiting = 0, 0
	q.head, q.tail, q.held, q.declared = nil, nil, nil, nil
	return lost
}

// snapshot returns the tally and the number of observations queued, consistently.
func (q *queue) snapshot() (t tally, queued uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tally, uint64(q.waiting) + q.tally.taken
}

// gap returns the observation that declares a gap; its end is yet to be set.
func gap(connection *schema.Connection, reason schema.GapReason, since time.Time) schema.Observation {
	return schema.Observation{
		Connection:      connection,
		Kind:            schema.KindGap,
		Received:        since,
		UnobservedSince: since,
		Gap:             &schema.Gap{Reason: reason},
	}
}
