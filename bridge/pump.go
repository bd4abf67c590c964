package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/schema"
)

const (
	// maxDeliverBytes bounds the new records of one call of Deliver.
	maxDeliverBytes = 1 << 20
	// maxSweepBytes bounds the parked records that are read again for one call of
	// Deliver.
	maxSweepBytes = 16 << 20
	// haltReminder is how often a pump that had to stop is logged again.
	haltReminder = time.Minute
)

// pump brings the journal's records to one sink. Each step is a round: it reads,
// delivers, and moves the cursor up to the first record that has no outcome.
//
// New records are delivered as they come. What a round has left without outcome goes to
// the backlog, and is delivered again after a pause, before or together with newer
// records that must wait for it; meanwhile all other new records go on. Where a round of
// new records brings no outcome at all, the sink as a whole may be down, and the next new
// ones wait for a pause, too.
type pump struct {
	name    string // of the cursor
	sink    Sink
	owned   func(source string) bool // nil: always
	journal *journal.Journal
	log     *slog.Logger
	metrics *sinkMetrics
	health  health
	// progress gets a value, if there is room, whenever the cursor may have moved.
	progress chan struct{}
	halted   atomic.Bool // see halt

	feed    feed
	kept    kept
	round   round
	outcome func(i int, err error) // p.note
	backlog backlog
	again   pace // of the backlog
	fresh   pace // of new records
	// stalled is set when nothing of the backlog got an outcome at the last attempt.
	stalled bool
	// newer is set when the next record is one that this program cannot read.
	newer error
}

// pumpOptions are what a pump is made of.
type pumpOptions struct {
	name, routed string
	sink         Sink
	reader       *journal.Reader
	states       *stateFeed // nil for a sink of events
	journal      *journal.Journal
	log          *slog.Logger
	owned        func(source string) bool
	metrics      func(sink string, atStart uint64, next func() uint64, states bool) *sinkMetrics
}

func newPump(o pumpOptions) (*pump, error) {
	pending, _ := o.reader.Pending()
	next := func() uint64 { return o.journal.Stats().Next }
	p := &pump{
		name:     o.name,
		sink:     o.sink,
		owned:    o.owned,
		journal:  o.journal,
		log:      o.log.With(logSink, o.name),
		metrics:  o.metrics(o.name, pending, next, o.states != nil),
		progress: make(chan struct{}, 1),
		backlog:  backlog{limit: waitingBytes},
		feed: feed{
			routed: o.routed, reader: o.reader, interner: schema.NewInterner(0), states: o.states,
			read: next() - pending,
		},
	}
	p.health = newHealth(p.log, p.metrics, p.metrics.pending)
	p.outcome = p.note
	if pending > 0 {
		var err error
		if p.kept, err = loadKept(o.journal, o.name, p.feed.read); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// run delivers until ctx ends, and returns nil then. An error means that the journal
// cannot be read.
func (p *pump) run(ctx context.Context) error {
	p.connect(ctx)
	for ctx.Err() == nil {
		switch err := p.step(ctx); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, schema.ErrNewerRecord):
			return p.halt(ctx, err)
		default:
			return fmt.Errorf("sink %s: %w", p.name, err)
		}
	}
	return nil
}

// connect connects a sink that can be, for as long as it takes or until ctx ends.
func (p *pump) connect(ctx context.Context) {
	c, ok := p.sink.(Connector)
	var pause pace
	for ok && ctx.Err() == nil {
		err := c.Connect(ctx)
		if err == nil {
			p.health.recovered(ctx)
			return
		}
		if ctx.Err() == nil {
			p.health.failed(ctx, err)
			pause.failed()
			_ = retry.Sleep(ctx, time.Until(pause.due)) // the loop asks why it ended
		}
	}
}

// halt waits until ctx ends. Behind what this sink has, there is a record that this
// program cannot read: it stays in the journal, with everything behind it.
func (p *pump) halt(ctx context.Context, err error) error {
	p.halted.Store(true)
	if err := p.commit(); err != nil {
		return err
	}
	for {
		p.health.failed(ctx, err)
		if retry.Sleep(ctx, haltReminder) != nil {
			return nil //nolint:nilerr // ctx has ended: the pump has nothing else to do
		}
	}
}

// step makes a round. It blocks until there is something to deliver.
func (p *pump) step(ctx context.Context) error {
	p.round.reset()
	again := !p.backlog.empty() && !time.Now().Before(p.again.due)
	if again {
		if err := p.feed.sweep(ctx, &p.backlog, &p.round, maxSweepBytes); err != nil {
			return err
		}
		p.backlog.take(&p.round)
		p.round.again = len(p.round.events)
	}
	if err := p.readOn(ctx, again); err != nil {
		return err
	}
	p.passOver()
	if len(p.round.events) == 0 {
		p.backlog.settle(&p.round)
		return p.commit()
	}
	return p.deliver(ctx)
}

// readOn adds new events to the round. It waits for them, unless the backlog is due.
func (p *pump) readOn(ctx context.Context, again bool) error {
	if p.newer != nil {
		return p.readNoFurther(ctx, again)
	}
	full := p.feed.states.priming() && p.stalled && !p.backlog.hasRoom(0)
	if due := p.fresh.due; full || time.Now().Before(due) {
		switch {
		case again:
			return nil
		case full || p.again.due.Before(due):
			due = p.again.due
		}
		return retry.Sleep(ctx, time.Until(due))
	}
	if p.feed.states.priming() {
		p.feed.states.next(func(e *schema.Event) {
			*p.round.slot() = *e
			p.admit(entry{})
		})
		return nil
	}
	if again && !p.feed.reader.Ready() {
		return nil
	}
	wait := ctx
	if !again && !p.backlog.empty() {
		var cancel context.CancelFunc
		wait, cancel = context.WithDeadline(ctx, p.again.due)
		defer cancel()
	}
	records, err := p.feed.next(wait, maxDeliverBytes)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.decode(ctx, records)
}

// readNoFurther waits for the backlog, and returns the reason for it when that is empty.
func (p *pump) readNoFurther(ctx context.Context, again bool) error {
	switch {
	case again:
		return nil
	case p.backlog.empty():
		return p.newer
	}
	return retry.Sleep(ctx, time.Until(p.again.due))
}

// decode makes events of the new records that are meant for the sink, up to one that this
// program cannot read.
func (p *pump) decode(ctx context.Context, records []journal.Record) error {
	skipped := 0
	defer func() { p.metrics.skip(skipped) }()
	for i := range records {
		r := &records[i]
		if p.kept.has(r) {
			skipped++
			p.feed.read = r.Offset + 1
			continue
		}
		switch mine, err := p.feed.event(r, p.round.slot()); {
		case errors.Is(err, schema.ErrNewerRecord):
			p.newer = fmt.Errorf("record %d: %w", r.Offset, err)
			return nil
		case err != nil:
			if err := p.bury(ctx, *r, fmt.Errorf("unreadable record: %w", err)); err != nil {
				return err
			}
		case mine:
			p.admit(entry{offset: r.Offset, data: r.Data})
		default:
			skipped++
		}
		p.feed.read = r.Offset + 1
	}
	return nil
}

// admit adds the event in the round's slot, to be presented unless it must wait.
func (p *pump) admit(en entry) {
	e := p.round.slot()
	if p.backlog.mustWait(e) || p.round.heldOrder.mustWait(e) {
		p.round.hold(en)
		return
	}
	p.round.admit(en)
}

// passOver takes out of the round what is not to be delivered: events of sources that are
// another bridge's, and, for a store, all states of a domain but the last. A state that
// the store was given before stays: it may be on its way, and must not arrive after a
// newer one.
func (p *pump) passOver() {
	skipped := 0
	dropped := func(en *entry, e *schema.Event) {
		if en.parked {
			p.backlog.unpark(en, e)
		}
		if en.offset != 0 {
			skipped++
		}
	}
	r := &p.round
	if p.owned != nil {
		r.filter(func(i int) bool { return p.owned(r.events[i].Connection.Source) }, dropped)
	}
	if states := p.feed.states; states != nil {
		states.note(r.events)
		r.filter(func(i int) bool { return r.entries[i].sent || states.isLast(i, &r.events[i]) }, dropped)
	}
	p.metrics.skip(skipped)
}

// deliver makes the round's call, and brings the outcomes and the cursor up to date.
func (p *pump) deliver(ctx context.Context) error {
	r := &p.round
	start := time.Now()
	err := r.failure(p.sink.Deliver(ctx, r.events, p.outcome))
	p.metrics.seconds.Observe(time.Since(start).Seconds())
	buryErr := p.buryRefused(ctx)
	p.backlog.settle(r)
	if err := p.commit(); err != nil {
		return err
	}
	switch {
	case buryErr != nil:
		return buryErr
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.schedule(ctx, err)
	return nil
}

// note is the outcome func of the round.
func (p *pump) note(i int, err error) {
	if en := p.round.set(i, err); en != nil && en.result == acknowledged {
		p.metrics.acknowledged(en.offset != 0)
	}
}

// buryRefused makes dead letters of what the sink can never take. It blocks until they
// are durable, or ctx ends.
func (p *pump) buryRefused(ctx context.Context) (err error) {
	for i := range p.round.entries {
		switch en := &p.round.entries[i]; {
		case en.result != refused:
		case en.offset == 0:
			// There is no record to keep; the domain's next event has its state again.
			p.log.ErrorContext(ctx, "a domain's state cannot be stored", logDomain, p.round.events[i].Object.UUID, logError, en.reason)
		case err != nil:
			en.result = open // It is still to be settled.
		default:
			if err = p.bury(ctx, journal.Record{Offset: en.offset, Data: en.data}, en.reason); err != nil {
				en.result = open
			}
		}
	}
	return err
}

// schedule says when the backlog and the next new events are due.
func (p *pump) schedule(ctx context.Context, err error) {
	r := &p.round
	again, fresh := r.progress()
	if again+fresh > 0 {
		p.fresh.reset()
	}
	if r.again > 0 {
		p.stalled = again == 0
	}
	if err == nil {
		if r.again > 0 {
			p.again.reset()
		}
		if p.backlog.empty() && p.newer == nil {
			p.health.recovered(ctx)
		}
		return
	}
	p.health.failed(ctx, err)
	joined := pace{} // New events need not wait for as long as what was in the backlog before.
	joined.failed()
	if again+fresh == 0 && len(r.events) > r.again {
		p.fresh.failed()
		joined.due = p.fresh.due
	}
	switch {
	case r.again > 0:
		if again > 0 {
			p.again.reset()
		}
		p.again.failed()
	case p.again.due.IsZero() || joined.due.Before(p.again.due):
		p.again.due = joined.due
	}
}

// commit moves the cursor to the first record that is not settled.
func (p *pump) commit() error {
	next := p.feed.read
	if first, ok := p.backlog.first(); ok {
		next = first
	}
	if err := p.feed.reader.Commit(next); err != nil {
		return fmt.Errorf("move the cursor: %w", err)
	}
	select {
	case p.progress <- struct{}{}:
	default:
	}
	return nil
}

// bury keeps a record that can never be delivered. It retries a failing disk until ctx
// ends, whose error it then returns: nothing is delivered meanwhile, and the cursor does
// not pass the record, before it is safe.
func (p *pump) bury(ctx context.Context, r journal.Record, reason error) error {
	var pause pace
	for {
		err := p.journal.DeadLetter(p.name, r, reason.Error())
		if err == nil {
			break
		}
		p.health.failed(ctx, fmt.Errorf("keep a dead letter: %w", err))
		pause.failed()
		if err := retry.Sleep(ctx, time.Until(pause.due)); err != nil {
			return err
		}
	}
	p.metrics.buried()
	p.log.ErrorContext(ctx, "an event cannot be delivered; it is kept as a dead letter",
		logOffset, r.Offset, logError, reason)
	return nil
}
