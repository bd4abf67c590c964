package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

// maxDeliverBytes bounds the records of one call of Deliver.
const maxDeliverBytes = 1 << 20

// pump brings the journal's records to one sink: read, deliver, move the cursor.
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
	// progress gets a value, if there is room, whenever the cursor has moved.
	progress chan struct{}

	interner *schema.Interner
	records  []journal.Record
	events   []schema.Event
	at       []int // events[i] is records[at[i]]
	failing  time.Time
	reminded time.Time
	attempts int
}

// newPump returns a pump for a sink, or for a store of states beside the sink that is called routed.
func newPump(name, routed string, s Sink, r *journal.Reader, b *Bridge, states *stateFeed) *pump {
	p := &pump{
		name:     name,
		routed:   routed,
		states:   states,
		sink:     s,
		reader:   r,
		journal:  b.journal,
		log:      b.log.With(logSink, name),
		progress: make(chan struct{}, 1),
		interner: schema.NewInterner(0),
	}
	p.metrics = b.metrics.sink(name, p)
	return p
}

// pending is the number of records that the cursor has not passed.
func (p *pump) pending() uint64 {
	n, _ := p.reader.Pending()
	return n
}

// run delivers until ctx ends, and returns nil then. An error means that the
// journal cannot be read.
func (p *pump) run(ctx context.Context) error {
	p.connect(ctx)
	if p.states != nil && ctx.Err() == nil {
		if err := p.prime(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := p.step(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// connect connects a sink that can be, for as long as it takes or until ctx ends.
func (p *pump) connect(ctx context.Context) {
	c, ok := p.sink.(Connector)
	for ok && ctx.Err() == nil {
		err := c.Connect(ctx)
		if err == nil {
			p.recovered()
			return
		}
		if ctx.Err() == nil {
			p.failed(err, false)
			_ = sleep(ctx, p.backoff()) // the loop asks why it ended
		}
	}
}

// step delivers the next records. It blocks until there are some.
func (p *pump) step(ctx context.Context) error {
	records, err := p.reader.Next(ctx, p.records[:0], maxDeliverBytes)
	if err != nil {
		return fmt.Errorf("sink %s: read the journal: %w", p.name, err)
	}
	p.records = records
	if err := p.decode(ctx); err != nil {
		return err
	}
	return p.deliver(ctx)
}

// decode makes events of the records that are meant for the sink.
func (p *pump) decode(ctx context.Context) error {
	p.events, p.at = p.events[:0], p.at[:0]
	skipped := 0
	for i := range p.records {
		mine, err := schema.RecordGoesTo(p.records[i].Data, p.routed)
		var e schema.Event
		if err == nil && mine {
			e, _, err = schema.ParseRecord(p.records[i].Data, p.interner)
		}
		if err == nil && mine && p.states != nil {
			mine = p.states.wants(p.records[i], &e)
		}
		switch {
		case err != nil:
			if err := p.bury(ctx, p.records[i], fmt.Errorf("unreadable record: %w", err)); err != nil {
				return err
			}
		case mine:
			p.events, p.at = append(p.events, e), append(p.at, i)
		default:
			skipped++
		}
	}
	if p.states != nil {
		skipped += p.keepLast()
	}
	p.metrics.skipped.Add(float64(skipped))
	return nil
}

// deliver brings the events to the sink, for as long as it takes, and moves the
// cursor with every acknowledgement. It returns ctx's error when ctx ends.
func (p *pump) deliver(ctx context.Context) error {
	err := p.push(ctx, p.events, func(from, to int) error {
		p.metrics.delivered.Add(float64(to - from))
		return p.commit(p.records[p.at[to-1]].Offset + 1)
	}, func(i int, reason error) error {
		return p.bury(ctx, p.records[p.at[i]], reason)
	})
	if err != nil {
		return err
	}
	last := p.records[len(p.records)-1]
	return p.commit(last.Offset + 1)
}

// push calls the sink until it has every event: acknowledged hears of those that it took, and refused of each that it never will.
// It returns their error, or ctx's when ctx ends.
func (p *pump) push(ctx context.Context, events []schema.Event, acknowledged func(from, to int) error, refused func(i int, reason error) error) error {
	done := 0
	for done < len(events) {
		start := time.Now()
		n, err := p.sink.Deliver(ctx, events[done:])
		n = min(max(n, 0), len(events)-done)
		done += n
		p.metrics.seconds.Observe(time.Since(start).Seconds())
		if err == nil && done < len(events) {
			err = fmt.Errorf("the sink acknowledged %d of %d events and gave no reason", n, n+len(events)-done)
		}
		if n > 0 {
			if err := acknowledged(done-n, done); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			p.recovered()
		case ctx.Err() != nil:
			return ctx.Err()
		case isPermanent(err):
			if err := refused(done, err); err != nil {
				return err
			}
			done++
			p.recovered()
		default:
			p.failed(err, n > 0)
			if err := sleep(ctx, p.backoff()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pump) commit(next uint64) error {
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
// until ctx ends, whose error it then returns: nothing behind the record is
// delivered, and the cursor does not pass it, before it is safe.
func (p *pump) bury(ctx context.Context, r journal.Record, reason error) error {
	for {
		err := p.journal.DeadLetter(p.name, r, reason.Error())
		if err == nil {
			break
		}
		p.failed(fmt.Errorf("keep a dead letter: %w", err), false)
		if err := sleep(ctx, p.backoff()); err != nil {
			return err
		}
	}
	p.metrics.dead.Inc()
	p.log.ErrorContext(ctx, "an event cannot be delivered; it is kept as a dead letter",
		logOffset, r.Offset, logError, reason)
	return nil
}

// failed notes a failure: the first of an episode is logged, then one a minute.
func (p *pump) failed(err error, progressed bool) {
	now := time.Now()
	p.metrics.retries.Inc()
	if progressed {
		p.attempts = 0
	}
	p.attempts++
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
	p.attempts = 0
	if p.failing.IsZero() {
		return
	}
	p.log.Info("the sink takes events again", logFor, time.Since(p.failing).Round(time.Millisecond), logPending, p.pending())
	p.failing = time.Time{}
	p.metrics.failing.Set(0)
}

// backoff returns how long to wait before the next attempt.
func (p *pump) backoff() time.Duration {
	ceiling := minBackoff << min(p.attempts, 16)
	if ceiling > maxBackoff {
		ceiling = maxBackoff
	}
	return minBackoff/2 + rand.N(ceiling)
}

// isPermanent reports whether err says that no retry can cure it.
func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
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
