package sinktest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/schema"
)

// Outcomes is what a call of Deliver has said of its events.
type Outcomes struct {
	// Acknowledged, by the index of an event, is set where outcome(i, nil) was called.
	Acknowledged []bool
	// Refused has the permanent error of an event, where there is one.
	Refused []error
	// Err is what Deliver returned.
	Err error
}

// Open reports whether event i has no outcome.
func (o *Outcomes) Open(i int) bool { return !o.Acknowledged[i] && o.Refused[i] == nil }

// Count returns how many events were acknowledged, were refused, and have no outcome.
func (o *Outcomes) Count() (acknowledged, refused, open int) {
	for i := range o.Acknowledged {
		switch {
		case o.Acknowledged[i]:
			acknowledged++
		case o.Refused[i] != nil:
			refused++
		default:
			open++
		}
	}
	return acknowledged, refused, open
}

// Deliver calls the sink once. The error is a breach of the contract.
func Deliver(ctx context.Context, sink bridge.Sink, events []schema.Event) (*Outcomes, error) {
	o := &Outcomes{Acknowledged: make([]bool, len(events)), Refused: make([]error, len(events))}
	var mu sync.Mutex // Calls are serialised: it is never waited for.
	var breach error
	returned := false
	o.Err = sink.Deliver(ctx, events, func(i int, err error) {
		if !mu.TryLock() {
			panic("contract: two calls of outcome at a time") //nolint:forbidigo // there is nobody to return it to
		}
		defer mu.Unlock()
		switch {
		case returned:
			panic("contract: a call of outcome after Deliver has returned") //nolint:forbidigo // as above
		case i < 0 || i >= len(events):
			breach = errors.Join(breach, fmt.Errorf("contract: outcome of event %d of %d", i, len(events)))
		case !o.Open(i):
			breach = errors.Join(breach, fmt.Errorf("contract: two outcomes of event %d", i))
		case err == nil:
			o.Acknowledged[i] = true
		case IsPermanent(err):
			o.Refused[i] = err
		default:
			breach = errors.Join(breach, fmt.Errorf("contract: outcome of event %d is an error that is not permanent: %w", i, err))
		}
	})
	mu.Lock()
	returned = true
	mu.Unlock()
	switch _, _, open := o.Count(); {
	case open > 0 && o.Err == nil:
		breach = errors.Join(breach, fmt.Errorf("contract: Deliver returned nil, and %d of %d events have no outcome", open, len(events)))
	case open == 0 && o.Err != nil && len(events) > 0:
		breach = errors.Join(breach, fmt.Errorf("contract: all %d events have an outcome, and Deliver returned: %w", len(events), o.Err))
	case o.Err != nil && IsPermanent(o.Err):
		breach = errors.Join(breach, fmt.Errorf("contract: Deliver returned a permanent error: %w", o.Err))
	}
	return o, breach
}

// Prefix calls the sink once, and returns how many events were acknowledged before the
// first that was not, and why that one was not: the permanent error, if it has one, else
// what Deliver returned, or the breach of the contract.
func Prefix(ctx context.Context, sink bridge.Sink, events []schema.Event) (n int, err error) {
	o, err := Deliver(ctx, sink, events)
	if err != nil {
		return 0, err
	}
	for n < len(events) && o.Acknowledged[n] {
		n++
	}
	if n < len(events) && o.Refused[n] != nil {
		return n, o.Refused[n]
	}
	return n, o.Err
}

// Pump delivers events as the bridge does, at most batch at a time, until all are
// acknowledged: what has no outcome is presented again, before newer events. It returns
// how many rounds failed. The error is a breach of the contract, a permanent error, or
// ctx's.
func Pump(ctx context.Context, sink bridge.Sink, events []schema.Event, batch int) (retries int, err error) {
	refused, retries, err := settle(ctx, sink, events, batch)
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("%d events were refused, the first is %s", len(refused), name(&refused[0]))
	}
	return retries, err
}

// settle delivers events until all have an outcome, and returns those that were refused.
func settle(ctx context.Context, sink bridge.Sink, events []schema.Event, batch int) (refused []schema.Event, retries int, err error) {
	pause := time.Millisecond
	var round []schema.Event
	for len(events) > 0 || len(round) > 0 {
		n := min(max(batch-len(round), 0), len(events))
		round, events = append(round, events[:n]...), events[n:]
		o, err := Deliver(ctx, sink, round)
		if err != nil {
			return refused, retries, err
		}
		kept := 0
		for i := range round {
			if o.Refused[i] != nil {
				refused = append(refused, round[i])
			}
			if o.Open(i) {
				round[kept] = round[i]
				kept++
			}
		}
		round = round[:kept]
		if o.Err == nil {
			pause = time.Millisecond
			continue
		}
		retries++
		select {
		case <-ctx.Done():
			return refused, retries, fmt.Errorf("%w; the last error was: %w", context.Cause(ctx), o.Err)
		case <-time.After(pause):
			pause = min(2*pause, 200*time.Millisecond)
		}
	}
	return refused, retries, nil
}

// IsPermanent reports whether err says that no retry can cure it, as the bridge finds
// out.
func IsPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
