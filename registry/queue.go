package registry

import (
	"bytes"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

const (
	// batchLength and batchBytes bound what is recorded by one call. One observation that
	// is larger is recorded alone.
	batchLength = 1024
	batchBytes  = 1 << 20
	// sealLength is after how many observations a position ends a chunk.
	sealLength = 256
)

// queue is where the observations of one connection wait to be recorded:
//
//	driver ── push ──▶ [ chunk ▸ chunk ▸ ▮chunk ▸ chunk ] ── take ──▶ recorder ── done
//	                                      ▮ held: taken only after release
//
// Positions and listings stand between the observations, in their places.
//
// push never blocks. An observation that finds no room, in the queue's own bound or in
// the budget of all queues, is lost: counted at once, and declared by a gap that is
// queued in its place. The gap grows with each observation that is lost behind it, until
// something else is queued or the recorder takes it.
type queue struct {
	pool   *chunkPool
	budget *budget
	// limit bounds what is queued or in the recorder's hands, in bytes.
	limit int
	// ready has an element when take may have something, or closed was set.
	ready chan struct{}

	// mu guards what follows. It is a leaf: no other lock is taken while it is held.
	mu         sync.Mutex
	head, tail *chunk
	// held is the first chunk that must not be taken yet, and declared the gap at its
	// start, whose end is not known yet.
	held     *chunk
	declared *schema.Observation
	// overrun is the gap at the end that still grows; nil for none.
	overrun *schema.Observation
	// bytes is what is queued or taken, taken what the recorder has in its hands of that,
	// granted what the budget has given for it.
	bytes, taken, granted int
	waiting               int // received observations in the chunks, gaps not counted
	unsealed              int // observations since the last sealed chunk
	tally                 tally
	position              schema.Position // the last that was pushed
	sure                  time.Time       // the latest that was pushed
	closed                bool
}

// tally is what became of the observations received: at any moment
//
//	received = recorded + observed + unmatched + queued + lost
type tally struct {
	received, recorded, observed, unmatched, lost uint64
	// taken is how many of those queued the recorder has in hand.
	taken uint64
	// gaps counts the gaps recorded, listings the listings, listingsLost those that found
	// no room.
	gaps, listings, listingsLost uint64
}

func newQueue(pool *chunkPool, b *budget, limit int) *queue {
	return &queue{pool: pool, budget: b, limit: limit, ready: make(chan struct{}, 1)}
}

// push takes over what a driver delivers. It never blocks.
func (q *queue) push(b drivers.Batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tally.received += uint64(len(b.Observations))
	q.unsealed += len(b.Observations)
	for rest := b.Observations; len(rest) > 0; {
		n := q.pushRun(rest)
		if n == 0 {
			q.lose(&rest[0])
			n = 1
		}
		rest = rest[n:]
	}
	if b.Listing != nil {
		q.pushListing(b.Listing)
	}
	if b.Position != nil && len(b.Position) <= schema.MaxPosition {
		q.pushPosition(bytes.Clone(b.Position))
	}
	if !b.Sure.IsZero() && b.Sure.After(q.sure) {
		q.sure = b.Sure
	}
	q.signal()
}

// pushRun queues the first observations, as many as fit into one chunk and find room, and
// returns how many these are.
func (q *queue) pushRun(observations []schema.Observation) int {
	n, size := 1, observations[0].Size()
	fits := q.tail.fits(size)
	if len(observations) > 1 {
		n, size = q.run(observations, size, fits)
	}
	if !q.reserve(size) {
		if n == 1 {
			return 0
		}
		if n, size = 1, observations[0].Size(); !q.reserve(size) {
			return 0
		}
	}
	if !fits {
		q.extend()
	}
	c := q.tail
	if n == 1 {
		c.observations[c.n] = observations[0]
	} else {
		copy(c.observations[c.n:], observations[:n])
	}
	c.n += n
	c.bytes += size
	q.overrun = nil
	q.waiting += n
	return n
}

// run returns how many of the first observations fit together into the last chunk, or
// into a new one, and their size. first is the size of the first.
func (q *queue) run(observations []schema.Observation, first int, fits bool) (n, size int) {
	length, room := 0, chunkBytes
	if fits {
		length, room = q.tail.n, chunkBytes-q.tail.bytes
	}
	room = min(room, q.limit-q.bytes)
	size = first
	most := min(len(observations), chunkLength-length)
	for n = 1; n < most; n++ {
		more := observations[n].Size()
		if size+more > room {
			break
		}
		size += more
	}
	return n, size
}

// reserve takes room for some bytes. An observation that is larger than the whole queue
// is let in while the queue is empty.
func (q *queue) reserve(size int) bool {
	after := q.bytes + size
	if after > q.granted || after > q.limit {
		if !q.widen(after) {
			return false
		}
	}
	q.bytes = after
	return true
}

// widen gets a grant from the budget for so many bytes, if the queue may hold so many.
func (q *queue) widen(after int) bool {
	if after > q.limit && q.bytes > 0 {
		return false
	}
	if after <= q.granted {
		return true
	}
	got := q.budget.take(after - q.granted)
	q.granted += got
	return got > 0
}

// free gives up room for some bytes, and gives back to the budget what is not needed.
func (q *queue) free(size int) {
	q.bytes -= size
	if spare := q.granted - q.bytes; q.bytes == 0 || spare > 4*grant {
		q.budget.give(spare)
		q.granted = q.bytes
	}
}

// lose counts an observation that found no room, and declares it.
func (q *queue) lose(o *schema.Observation) {
	q.tally.lost++
	if q.overrun == nil {
		q.overrun = q.grow(0)
		*q.overrun = gap(o.Connection, schema.GapOverrun, o.Received)
		q.tail.gaps++
	}
	q.overrun.Received = o.Received
	q.overrun.Gap.Until = o.Received
	q.overrun.Gap.Lost++
}

// pushListing queues a listing. Without room it is lost: nothing that happened is missing
// then, and a listing can be asked for again.
func (q *queue) pushListing(l *schema.Listing) {
	size := l.Size()
	if !q.reserve(size) {
		q.tally.listingsLost++
		return
	}
	q.place(mark{listing: l}, size)
	q.overrun = nil
}

// pushPosition queues a position, which always finds room: it takes the place of one that
// nothing was queued behind.
func (q *queue) pushPosition(p schema.Position) {
	q.position = p
	if q.tail != nil && !q.tail.sealed {
		marks := q.tail.marks
		if last := len(marks) - 1; last >= 0 && marks[last].position != nil && marks[last].n == q.tail.n {
			marks[last].position = p
			return
		}
	}
	q.place(mark{position: p}, 0)
	if q.unsealed >= sealLength {
		q.tail.sealed = true
		q.unsealed = 0
	}
}

// place puts a mark at the end.
func (q *queue) place(m mark, size int) {
	if q.tail == nil || q.tail.sealed {
		q.extend()
	}
	m.n = q.tail.n
	q.tail.marks = append(q.tail.marks, m)
	q.tail.bytes += size
}

// grow returns the next free place at the end, for an observation of some bytes.
func (q *queue) grow(size int) *schema.Observation {
	if !q.tail.fits(size) {
		q.extend()
	}
	q.tail.n++
	q.tail.bytes += size
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
	if len(q.ready) > 0 {
		return
	}
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take removes and returns a list of chunks, or nil if there is nothing to take. Together
// they are no larger than a batch. They end behind a position, where the queue has one at
// such a place: what is recorded then, and the position, belong together. The caller owns
// the chunks, and must call done for them before it takes again.
func (q *queue) take() *chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := q.batchEnd()
	if last == nil {
		return nil
	}
	first := q.head
	q.head, last.next = last.next, nil
	if q.head == nil {
		q.tail, q.overrun = nil, nil
	}
	for c := first; c != nil; c = c.next {
		q.tally.taken += uint64(c.n - c.gaps)
		q.waiting -= c.n - c.gaps
		q.taken += c.bytes
	}
	return first
}

// batchEnd returns the chunk that ends the next batch; nil if there is nothing to take.
func (q *queue) batchEnd() (last *chunk) {
	var sealed *chunk
	count, size := 0, 0
	for c := q.head; c != nil && c != q.held; c = c.next {
		count += c.n
		size += c.bytes
		if last != nil && (count > batchLength || size > batchBytes) {
			if sealed != nil {
				return sealed
			}
			return last
		}
		last = c
		if c.sealed {
			sealed = c
		}
	}
	return last
}

// done counts what became of the observations that were taken.
func (q *queue) done(outcome tally) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free(q.taken)
	q.taken = 0
	q.tally.taken -= outcome.recorded + outcome.observed + outcome.unmatched
	q.tally.recorded += outcome.recorded
	q.tally.observed += outcome.observed
	q.tally.unmatched += outcome.unmatched
	q.tally.gaps += outcome.gaps
	q.tally.listings += outcome.listings
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

// abandon counts what is still queued or taken as lost, lets go of it, and returns its
// number.
func (q *queue) abandon() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := uint64(q.waiting) + q.tally.taken
	q.tally.lost += lost
	q.tally.taken, q.waiting = 0, 0
	q.head, q.tail, q.held, q.declared, q.overrun = nil, nil, nil, nil, nil
	q.taken = 0
	q.free(q.bytes)
	return lost
}

// resume returns where the source can resume behind all that was pushed; nil if nothing
// with a position was.
func (q *queue) resume() schema.Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.position
}

// delivered returns up to when the driver has said that it delivered everything.
func (q *queue) delivered() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sure
}

// snapshot returns the tally, and the number of observations queued with their memory,
// consistently.
func (q *queue) snapshot() (t tally, queued, size uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tally, uint64(q.waiting) + q.tally.taken, uint64(q.bytes)
}
