package sinktest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/schema"
)

// Pump delivers events as the bridge does, at most batch at a time and again from the first that is
// not acknowledged, until all are. It returns how often it had to try again. The error is a breach of the contract, a
// permanent error, or ctx's.
func Pump(ctx context.Context, sink bridge.Sink, events []schema.Event, batch int) (retries int, err error) {
	pause := time.Millisecond
	for len(events) > 0 {
		some := events[:min(batch, len(events))]
		n, err := sink.Deliver(ctx, some)
		if err := checkResult(n, len(some), err); err != nil {
			return retries, err
		}
		events = events[n:]
		if err == nil {
			pause = time.Millisecond
			continue
		}
		if IsPermanent(err) {
			return retries, err
		}
		retries++
		select {
		case <-ctx.Done():
			return retries, fmt.Errorf("%w; the last error was: %w", context.Cause(ctx), err)
		case <-time.After(pause):
			pause = min(2*pause, 200*time.Millisecond)
		}
	}
	return retries, nil
}

// checkResult holds what the contract says about the numbers.
func checkResult(n, events int, err error) error {
	switch {
	case n < 0 || n > events:
		return fmt.Errorf("contract: Deliver of %d events returned n = %d", events, n)
	case n < events && err == nil:
		return fmt.Errorf("contract: Deliver returned n = %d of %d without an error", n, events)
	case n == events && err != nil:
		return fmt.Errorf("contract: Deliver acknowledged all %d events and returned error %w", events, err)
	}
	return nil
}

// IsPermanent reports whether err says that no retry can cure it, as the bridge finds out.
func IsPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
