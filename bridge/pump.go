package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// Retries of a failing sink back off between these bounds, with full jitter.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
	// reminder is how often a sink that keeps failing is logged again.
	reminder = time.Minute
)

const (
	// maxDeliverBytes bounds the new records of one call of Deliver.
	maxDeliverBytes = 1 << 20
	// maxSweepBytes bounds the parked records that are read again for one call of Deliver.
	maxSweepBytes = 16 << 20
)

// pump brings the journal's records to one sink. Each step is a round: it reads, delivers,
// and moves the cursor over the records before the first that has no outcome.
//
// New records are delivered as they come. What a round has left without outcome is kept
// in the backlog, and is delivered again after a pause, before or together with newer
// records that must wait for it; meanwhile all other new records go on. Where a
// round of new records alone brings no outcome at all, the sink as a whole may be down, and
// the next new ones wait for a pause, too.
type pump struct {
	// name is that of the cursor; routed is the one that registrations know the sink by.
	name   string
	routed string
	sink   Sink
	// states is set where the sink keeps states instead of events.
	states  *stateFeed
	reader  *journal.Reader
	journal *journal.Journal
	log     *slog.Logger
	metrics *sinkMetrics
	// progress gets a value, if there is room, whenever the cursor may have moved.
	progress chan struct{}
	// begin is where the cursor was at the start; settled counts the records since that
	// were delivered, skipped or buried.
	begin   uint64
	settled atomic.Uint64
	halted  atomic.Bool // see halt
	owned   func(source string) bool

	interner *schema.Interner
	records  []journal.Record // the new ones
	swept    []journal.Record // those read again
	read     uint64           // offset after the last record read
	round    round
	outcome  func(i int, err error) // p.note
	backlog  backlog
	again    attempts // of the backlog
	fresh    attempts // of new records
	failing  time.Time
	reminded time.Time
}

// newPump returns a pump for a sink, or for a store of states beside the sink that is called routed.
func newPump(name, routed string, s Sink, r *journal.Reader, b *Bridge, states *stateFeed) *pump {
	pending, _ := r.Pending()
	begin := b.journal.Stats().Next - pending
	p := &pump{
		name:     name,
		routed:   routed,
		states:   states,
		sink:     s,
		reader:   r,
		journal:  b.journal,
		log:      b.log.With(logSink, name),
		progress: make(chan struct{}, 1),
		begin:    begin,
		read:     begin,
		interner: schema.NewInterner(0),
		backlog:  backlog{limit: waitingBytes},
		owned:    b.opts.Owned,
	}
	p.outcome = p.note
	p.metrics = b.metrics.sink(name, p)
	return p
}

// pending is the number of records that are neither delivered nor skipped nor buried.
func (p *pump) pending() uint64 {
	settled := p.settled.Load() // Before Next: what is settled was appended.
	return p.journal.Stats().Next - p.begin - settled
}

// run delivers until ctx ends, and returns nil then. An error means that the
// journal cannot be read.
func (p *pump) run(ctx context.Context) error {
	p.connect(ctx)
	for ctx.Err() == nil {
		switch err := p.step(ctx); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, schema.ErrNewerRecord):
			return p.halt(ctx, err)
		default:
			return err
		}
	}
	return nil
}

// halt waits until ctx ends: behind what this sink has, there is a record that this
// program cannot read. It stays in the journal, as everything behind it.
func (p *pump) halt(ctx context.Context, err error) error {
	p.halted.Store(true)
	p.keepRest()
	if err := p.commit(); err != nil {
		return err
	}
	p.failed(err)
	for sleep(ctx, reminder) == nil {
		p.failed(err)
	}
	return nil
}

// connect connects a sink that can be, for as long as it takes or until ctx ends.
func (p *pump) connect(ctx context.Context) {
	c, ok := p.sink.(Connector)
	for ok && ctx.Err() == nil {
		err := c.Connect(ctx)
		if err == nil {
			p.again.reset()
			p.recovered()
			return
		}
		if ctx.Err() == nil {
			p.failed(err)
			p.again.failed()
			_ = sleep(ctx, time.Until(p.again.due)) // the loop asks why it ended
		}
	}
}

// step makes a round. It blocks until there is something to deliver.
func (p *pump) step(ctx context.Context) error {
	p.round.reset()
	again := !p.backlog.empty() && !time.Now().Before(p.again.due)
	if again {
		if err := p.sweep(ctx); err != nil {
			return err
		}
		p.backlog.take(&p.round)
		p.round.again = len(p.round.events)
	}
	if err := p.readOn(ctx, again); err != nil {
		return err
	}
	p.keepOwned()
	if p.states != nil {
		p.keepLast()
	}
	if len(p.round.events) == 0 {
		p.keepRest()
		return p.commit()
	}
	return p.deliver(ctx)
}

// sweep adds the next parked events to the round that need not wait for an earlier one.
func (p *pump) sweep(ctx context.Context) error {
	b := &p.backlog
	restarted := false
	for size := 0; size < maxSweepBytes && len(p.round.events) == 0; {
		from, ok := b.parked.next(b.at)
		if !ok {
			if restarted || b.parked.count == 0 {
				return nil
			}
			b.restartSweep()
			restarted = true
			continue
		}
		records, err := p.reader.Reread(ctx, p.swept[:0], from, maxDeliverBytes)
		if err != nil {
			return p.readError(err)
		}
		p.swept = records
		for i := range records {
			size += len(records[i].Data)
			if err := p.sweepRecord(&records[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepRecord adds a record to the round if it is parked and need not wait.
func (p *pump) sweepRecord(r *journal.Record) error {
	b := &p.backlog
	b.at = r.Offset + 1
	if !b.parked.has(r.Offset) {
		return nil
	}
	e, _, err := schema.ParseRecord(r.Data, p.interner)
	if err != nil { // It could be read when it was parked.
		return p.readError(fmt.Errorf("record %d: %w", r.Offset, err))
	}
	if p.states != nil {
		e = e.StateEvent()
	}
	if b.inWait.mustWait(&e) || b.leftOver.mustWait(&e) {
		b.leftOver.add(&e)
		return nil
	}
	p.round.add(entry{offset: r.Offset, data: r.Data, sent: b.sent.has(r.Offset), parked: true}, &e)
	return nil
}

// readOn adds new events to the round. It waits for them, unless the round has
// something to deliver or the backlog is due.
func (p *pump) readOn(ctx context.Context, again bool) error {
	if now := time.Now(); now.Before(p.fresh.due) {
		if again {
			return nil
		}
		due := p.fresh.due
		if p.again.due.Before(due) {
			due = p.again.due
		}
		return sleep(ctx, due.Sub(now))
	}
	if p.states != nil && p.states.priming() {
		return p.prime(ctx, again)
	}
	if again && !p.reader.Ready() {
		return nil
	}
	wait := ctx
	if !p.backlog.empty() {
		var cancel context.CancelFunc
		wait, cancel = context.WithDeadline(ctx, p.again.due)
		defer cancel()
		if again {
			wait = ctx // It does not wait.
		}
	}
	records, err := p.reader.Next(wait, p.records[:0], maxDeliverBytes)
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil
	case err != nil:
		return p.readError(err)
	}
	p.records = records
	return p.decode(ctx)
}

func (p *pump) readError(err error) error {
	return fmt.Errorf("sink %s: read the journal: %w", p.name, err)
}

// decode makes events of the new records that are meant for the sink. Those that must wait
// for an earlier one go to the backlog at once.
func (p *pump) decode(ctx context.Context) error {
	skipped := 0
	for i := range p.records {
		r := &p.records[i]
		e, mine, err := schema.ReadRecord(r.Data, p.routed, p.interner)
		if err == nil && mine && p.states != nil {
			mine = p.states.wants(*r, &e)
		}
		switch {
		case errors.Is(err, schema.ErrNewerRecord):
			p.skip(skipped)
			return fmt.Errorf("record %d: %w", r.Offset, err)
		case err != nil:
			if err := p.bury(ctx, *r, fmt.Errorf("unreadable record: %w", err)); err != nil {
				return err
			}
		case mine:
			p.admit(entry{offset: r.Offset, data: r.Data}, &e)
		default:
			skipped++
		}
		p.read = r.Offset + 1
	}
	p.skip(skipped)
	return nil
}

// admit adds a new event to the round, to be presented unless it must wait.
func (p *pump) admit(en entry, e *schema.Event) {
	r := &p.round
	if p.backlog.mustWait(e) || r.heldOrder.mustWait(e) {
		r.held = append(r.held, undelivered{en, *e})
		r.heldOrder.add(e)
		return
	}
	r.add(en, e)
}

// keepOwned takes the events of sources that are another bridge's to deliver out of the
// round.
func (p *pump) keepOwned() {
	if p.owned == nil {
		return
	}
	p.keep(func(_ int, _ *entry, e *schema.Event) bool { return p.owned(e.Connection.Source) })
}

// keep takes out of the round, and passes over, all events for which wanted returns false.
// wanted is called with their indexes, in order.
func (p *pump) keep(wanted func(i int, en *entry, e *schema.Event) bool) {
	r := &p.round
	again, skipped, i := 0, 0, -1
	r.filter(func(en *entry, e *schema.Event) bool {
		i++
		if wanted(i, en, e) {
			if i < r.again {
				again++
			}
			return true
		}
		if en.parked {
			p.backlog.unpark(en, e)
		}
		if en.offset != 0 {
			skipped++
		}
		return false
	})
	r.again = again
	p.skip(skipped)
}

// skip counts records that are not meant for the sink.
func (p *pump) skip(n int) {
	if n > 0 {
		p.metrics.skipped.Add(float64(n))
		p.settled.Add(uint64(n))
	}
}

// deliver makes the round's call, and brings the outcomes and the cursor up to date.
func (p *pump) deliver(ctx context.Context) error {
	r := &p.round
	start := time.Now()
	err := r.failure(p.sink.Deliver(ctx, r.events, p.outcome))
	p.metrics.seconds.Observe(time.Since(start).Seconds())
	buryErr := p.buryRefused(ctx)
	againDone, freshDone := p.keepRest()
	if err := p.commit(); err != nil {
		return err
	}
	switch {
	case buryErr != nil:
		return buryErr
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.schedule(err, againDone, freshDone)
	return nil
}

// note is the outcome func of the round.
func (p *pump) note(i int, err error) {
	if !p.round.set(i, err) || err != nil {
		return
	}
	if p.round.entries[i].offset == 0 {
		p.metrics.primed.Inc()
		return
	}
	p.metrics.delivered.Inc()
	p.settled.Add(1)
}

// buryRefused makes dead letters of what the sink can never take. It blocks until they are
// durable, or ctx ends.
func (p *pump) buryRefused(ctx context.Context) error {
	for i := range p.round.entries {
		en := &p.round.entries[i]
		if en.result != refused {
			continue
		}
		if en.offset == 0 {
			// There is no record to keep; the domain's next event has its state again.
			p.log.ErrorContext(ctx, "a domain's state cannot be stored", logDomain, p.round.events[i].Object.UUID, logError, en.reason)
			continue
		}
		if err := p.bury(ctx, journal.Record{Offset: en.offset, Data: en.data}, en.reason); err != nil {
			for ; i < len(p.round.entries); i++ {
				if p.round.entries[i].result == refused {
					p.round.entries[i].result = open // It is still to be settled.
				}
			}
			return err
		}
	}
	return nil
}

// keepRest puts what has no outcome into the backlog, and takes out of it what has one. It
// returns how many of the events that were presented again, and of the new ones, have one.
func (p *pump) keepRest() (againDone, freshDone int) {
	r := &p.round
	for _, swept := range [...]bool{false, true} { // What was in memory before stays there first.
		held := r.held
		if swept {
			held = nil
		}
		for i := range r.entries {
			en, e := &r.entries[i], &r.events[i]
			if en.parked != swept {
				continue
			}
			if en.result == open {
				en.sent = true
				for i >= r.again && len(held) > 0 && held[0].offset < en.offset {
					p.backlog.keep(&held[0].entry, &held[0].event)
					held = held[1:]
				}
				p.backlog.keep(en, e)
				continue
			}
			if en.parked {
				p.backlog.unpark(en, e)
			}
			if i < r.again {
				againDone++
			} else {
				freshDone++
			}
		}
		for i := range held {
			p.backlog.keep(&held[i].entry, &held[i].event)
		}
	}
	if len(p.backlog.waiting) == 0 {
		p.backlog.restartSweep()
	}
	return againDone, freshDone
}

// schedule says when the backlog and the next new events are due.
func (p *pump) schedule(err error, againDone, freshDone int) {
	r := &p.round
	if againDone+freshDone > 0 {
		p.fresh.reset()
	}
	if err == nil {
		if r.again > 0 {
			p.again.reset()
		}
		if p.backlog.empty() {
			p.recovered()
		}
		return
	}
	p.failed(err)
	if againDone+freshDone == 0 && len(r.events) > r.again {
		p.fresh.failed()
	}
	if r.again > 0 {
		if againDone > 0 {
			p.again.reset()
		}
		p.again.failed()
		return
	}
	// New events have joined the backlog: they need not wait for as long as what was there before.
	once := attempts{count: p.fresh.count}
	once.failed()
	if p.again.due.IsZero() || once.due.Before(p.again.due) {
		p.again.due = once.due
	}
}

// commit moves the cursor to the first record that is not settled.
func (p *pump) commit() error {
	next := p.read
	if first, ok := p.backlog.first(); ok {
		next = first
	}
	if err := p.reader.Commit(next); err != nil {
		return fmt.Errorf("sink %s: move the cursor: %w", p.name, err)
	}
	select {
	case p.progress <- struct{}{}:
	default:
	}
	return nil
}

// bury keeps a record that can never be delivered. It retries a failing disk
// until ctx ends, whose error it then returns: nothing is delivered meanwhile, and the cursor
// does not pass the record, before it is safe.
func (p *pump) bury(ctx context.Context, r journal.Record, reason error) error {
	var retry attempts
	for {
		err := p.journal.DeadLetter(p.name, r, reason.Error())
		if err == nil {
			break
		}
		p.failed(fmt.Errorf("keep a dead letter: %w", err))
		retry.failed()
		if err := sleep(ctx, time.Until(retry.due)); err != nil {
			return err
		}
	}
	p.metrics.dead.Inc()
	p.settled.Add(1)
	p.log.ErrorContext(ctx, "an event cannot be delivered; it is kept as a dead letter",
		logOffset, r.Offset, logError, reason)
	return nil
}

// failed notes a failure: the first of an episode is logged, then one a minute.
func (p *pump) failed(err error) {
	now := time.Now()
	p.metrics.retries.Inc()
	if p.failing.IsZero() {
		p.failing, p.reminded = now, now
		p.metrics.failing.Set(1)
		p.log.Warn("the sink does not take events; they stay in the journal and are tried again",
			logError, err, logPending, p.pending())
		return
	}
	if now.Sub(p.reminded) >= reminder {
		p.reminded = now
		p.log.Warn("the sink still does not take events",
			logError, err, logPending, p.pending(), logFor, now.Sub(p.failing).Round(time.Second))
	}
}

func (p *pump) recovered() {
	if p.failing.IsZero() {
		return
	}
	p.log.Info("the sink takes events again", logFor, time.Since(p.failing).Round(time.Millisecond), logPending, p.pending())
	p.failing = time.Time{}
	p.metrics.failing.Set(0)
}

// attempts counts failures in a row, and says when the next attempt is due. The zero value
// is due at once.
type attempts struct {
	count int
	due   time.Time
}

func (a *attempts) reset() { *a = attempts{} }

func (a *attempts) failed() {
	a.count++
	ceiling := min(minBackoff<<min(a.count, 16), maxBackoff)
	a.due = time.Now().Add(minBackoff/2 + rand.N(ceiling))
}

// sleep waits for d, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
