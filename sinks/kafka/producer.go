package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// pauses are how long a delivery waits before it sends again after rounds without any progress. After the
// last of them it gives up: the caller has more patience.
var pauses = [...]time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond}

// errChanged is returned when a topic was made anew while events were on their way to it.
var errChanged = errors.New("the topic was made anew meanwhile")

// producer brings cargo to Kafka, in order per partition, and once as far as the broker can tell. Not for
// concurrent use.
type producer struct {
	cfg     Config
	cluster *cluster
	log     *slog.Logger
	metrics *metrics

	// shared is the producer id that partitions begin with; one that loses it gets its own, so
	// that the others' sequences go on.
	shared    producerID
	hasShared bool

	// left are the partitions with a batch of an earlier delivery. done has what was stored behind
	// the first event that was not, until it is presented again. window is the largest delivery since
	// both were empty, passed how many events were acknowledged since something was added to done: a
	// caller that goes on where it was has presented everything again once passed reaches window.
	left           []*partition
	done           map[identity]struct{}
	window, passed int

	// The rest belongs to one delivery.
	cargo   cargo
	stored  []bool // by index into the cargo
	next    []int32
	refused map[int]error
	active  []*partition // with work, or with what a round came to
	lanes   []*lane
	topic   []byte
	key     []byte
	content Content
}

// deliver brings c to Kafka and returns how much of it, counted from the first record, is stored. It
// returns a *refusedError when the next record never will be. Everything else is transient.
func (p *producer) deliver(ctx context.Context, c cargo) (n int, err error) {
	p.begin(c)
	err = p.send(ctx)
	return p.finish(err)
}

// refusedError is returned for a record that the broker refuses for good.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func (p *producer) begin(c cargo) {
	n := c.len()
	p.cargo, p.refused, p.active = c, nil, p.active[:0]
	if len(p.left) == 0 && len(p.done) == 0 {
		p.window = 0
	}
	p.window = max(p.window, n)
	if cap(p.next) < n {
		p.next, p.stored = make([]int32, n), make([]bool, n)
	}
	p.next, p.stored = p.next[:n], p.stored[:n]
	clear(p.stored)
}

func (p *producer) send(ctx context.Context) error {
	if time.Since(p.cluster.refreshed) > metadataAge && len(p.cluster.topics) > 0 {
		if err := p.cluster.refresh(ctx); err != nil {
			return err
		}
	}
	for _, part := range p.left {
		p.activate(part)
	}
	p.left = p.left[:0]
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.recognise()
	for level := range p.cargo.levels() {
		missing := p.enqueue(ctx, level)
		if err := p.settle(ctx); err != nil {
			return err
		}
		if missing != nil {
			return missing
		}
	}
	return nil
}

// recognise marks what an earlier delivery has stored.
func (p *producer) recognise() {
	if len(p.done) == 0 {
		return
	}
	for i := range p.stored {
		if _, ok := p.done[p.cargo.identity(i)]; ok {
			p.stored[i] = true
		}
	}
}

// enqueue brings the records of a level to the queues of their partitions. With an error, those before the one whose topic
// cannot be used are there.
func (p *producer) enqueue(ctx context.Context, level int) error {
	leveled := p.cargo.levels() > 1
	for i := range p.stored {
		if p.stored[i] || leveled && p.cargo.level(i) != level {
			continue
		}
		p.topic, p.key = p.cargo.route(i, p.topic[:0], p.key[:0])
		t := p.cluster.topics[string(p.topic)]
		if t == nil || len(t.partitions) == 0 {
			var err error
			if t, err = p.cluster.open(ctx, string(p.topic)); err != nil {
				return err
			}
		}
		part := t.partitions[partitionOf(p.key, len(t.partitions))]
		part.push(p.next, int32(i))
		p.activate(part)
	}
	return nil
}

func (p *producer) activate(part *partition) {
	if !part.queued {
		part.queued = true
		p.active = append(p.active, part)
	}
}

// settle sends until everything is stored or refused, and gives up when that takes too long. Then the leaders are in
// doubt: the next delivery asks for them before it does anything else.
func (p *producer) settle(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.cluster.doubt()
		}
	}()
	attempts, last := 0, time.Now()
	for p.busy() {
		progress, fatal, err := p.round(ctx)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case fatal, errors.Is(err, ErrClosed):
			return err
		case progress:
			attempts, last = 0, time.Now()
		}
		if attempts >= len(pauses) || time.Since(last) > p.cfg.AckTimeout {
			return err
		}
		if err := sleep(ctx, pauses[attempts]); err != nil {
			return err
		}
		attempts++
		// Whatever it was, the leaders may have changed.
		p.cluster.doubt()
		if err := p.cluster.refresh(ctx); err != nil {
			return err
		}
		if err := p.cluster.remake(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *producer) busy() bool {
	for _, part := range p.active {
		if !part.idle() {
			return true
		}
	}
	return false
}

// round sends to every leader at once until each has everything, or has failed.
func (p *producer) round(ctx context.Context) (progress, fatal bool, err error) {
	var lanes []*lane
	fail := func(e error, f bool) {
		if e != nil && (err == nil || f && !fatal) {
			err, fatal = e, f
		}
	}
	for _, part := range p.active {
		if part.idle() {
			continue
		}
		part.stopped, part.fatal, part.progress = nil, false, false
		if part.leader == noLeader {
			if part.topic.err != nil {
				fail(part.topic.err, isFatal(part.topic.err))
			} else {
				fail(&codeError{code: codeLeaderNotAvailable, what: part.String()}, false)
			}
			continue
		}
		if part.renew {
			if e := p.renew(ctx, part); e != nil {
				return false, isFatal(e), e
			}
		}
		lanes = p.laneOf(lanes, part)
	}
	if len(lanes) == 1 {
		lanes[0].run(ctx)
	} else {
		var running sync.WaitGroup
		for _, l := range lanes {
			running.Go(func() { l.run(ctx) })
		}
		running.Wait()
	}
	for _, l := range lanes {
		fail(l.outcome())
		for _, part := range l.partitions {
			progress = p.gather(part) || progress
		}
	}
	return progress, fatal, err
}

// laneOf adds a partition to the lane of its leader that has the fewest.
func (p *producer) laneOf(lanes []*lane, part *partition) []*lane {
	var best *lane
	number := 0
	for _, l := range lanes {
		if l.socket.node == part.leader {
			number++
			if best == nil || len(l.partitions) < len(best.partitions) {
				best = l
			}
		}
	}
	if number == lanesPerBroker {
		best.partitions = append(best.partitions, part)
		return lanes
	}
	if len(lanes) == len(p.lanes) {
		p.lanes = append(p.lanes, &lane{producer: p, encoder: newEncoder(p.content)})
	}
	l := p.lanes[len(lanes)]
	l.socket, l.partitions = socket{part.leader, number}, append(l.partitions[:0], part)
	return append(lanes, l)
}

// gather takes in what a round of sending to a partition has come to.
func (p *producer) gather(part *partition) (progress bool) {
	for _, r := range part.refusals {
		if p.refused == nil {
			p.refused = map[int]error{}
		}
		p.refused[int(r.at)] = r.err
	}
	part.refusals = part.refusals[:0]
	if part.left && !part.pending { // stored
		p.remember(part.ids...)
		part.left, part.ids = false, nil
	}
	return part.progress
}

// acknowledged notes that the pending batch of a partition is stored. Lanes call it.
func (p *producer) acknowledged(part *partition) {
	part.settled()
	p.metrics.delivered.Add(float64(part.batch.count))
	if part.left {
		return // gather remembers it.
	}
	for _, i := range part.at {
		p.stored[i] = true
	}
}

// renew gives a partition a producer id that the broker accepts.
func (p *producer) renew(ctx context.Context, part *partition) error {
	first := !part.started
	if p.cluster.shrunk {
		p.hasShared, p.cluster.shrunk = false, false
	}
	id := p.shared
	if !first || !p.hasShared {
		var err error
		if id, err = p.cluster.newProducer(ctx); err != nil {
			return err
		}
	}
	if first && !p.hasShared {
		p.shared, p.hasShared = id, true
	}
	if part.doubtful {
		p.mayRepeat(part, part.batch.count, nil)
	} else if !first {
		p.log.WarnContext(ctx, "the broker did not accept the producer id; a new one is used", "partition", part.String())
	}
	part.producer, part.sequence, part.started, part.renew, part.doubtful = id, 0, true, false, false
	if part.pending {
		part.batch.sign(id, 0)
	}
	return nil
}

// mayRepeat counts and logs events that may be stored twice.
func (p *producer) mayRepeat(part *partition, events int, err error) {
	p.metrics.duplicates.Add(float64(events))
	p.log.Warn("events are sent again under a new producer id and may be stored twice, with the same ids",
		"partition", part.String(), "events", events, "error", err)
}

// remember keeps what is stored behind an event that is not, to recognise it when it comes again. A caller that goes
// on where it was has no more of it than one delivery has events; one that does not shall not fill the memory.
func (p *producer) remember(ids ...identity) {
	if p.done == nil {
		p.done = map[identity]struct{}{}
	}
	p.passed = 0
	if len(p.done) > p.window {
		clear(p.done)
	}
	for _, id := range ids {
		p.done[id] = struct{}{}
	}
}

// finish counts what is stored, and keeps what the next delivery has to know.
func (p *producer) finish(err error) (int, error) {
	for _, part := range p.active {
		part.leave(p.cargo)
		part.queued = false
		if part.pending && !part.gone {
			p.left = append(p.left, part)
		}
	}
	if err != nil {
		p.recognise() // What is left from earlier may have been stored just now.
	}
	n := 0
	for n < len(p.stored) && p.stored[n] {
		n++
	}
	if len(p.done) > 0 {
		for i := range n {
			delete(p.done, p.cargo.identity(i))
		}
	}
	if p.passed += n; p.passed >= p.window && len(p.done) > 0 {
		clear(p.done) // What is in it was not presented again.
	}
	if n == len(p.stored) {
		return n, nil
	}
	for i := n + 1; i < len(p.stored); i++ {
		if p.stored[i] {
			p.remember(p.cargo.identity(i))
		}
	}
	if why, ok := p.refused[n]; ok {
		return n, &refusedError{why}
	}
	if err == nil {
		err = errChanged
	}
	return n, err
}

// isRetry reports whether err is one that passes by itself.
func isRetry(err error) bool {
	var e *codeError
	return errors.As(err, &e) && e.code.lookup().verdict == retry
}

// isFatal reports whether err is one that only an operator can cure.
func isFatal(err error) bool {
	var e *codeError
	return errors.As(err, &e) && e.code.lookup().verdict == operator
}
