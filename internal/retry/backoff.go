package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Bounds of a [Backoff] that sets none.
const (
	defaultLow  = 50 * time.Millisecond
	defaultHigh = 5 * time.Second
)

// Backoff is an exponential back-off with full jitter: each wait is between 0 and a
// ceiling, which doubles from Min to Max. Full jitter spreads clients that lost the same
// server at the same moment. The zero value uses the default bounds. It is not safe for
// concurrent use.
type Backoff struct {
	// Min is the first ceiling; 0 means 50 ms.
	Min time.Duration
	// Max is the highest ceiling; 0 means 5 s, or Min if that is longer.
	Max time.Duration

	ceiling time.Duration // of the wait before; 0 before the first
}

// Next returns how long to wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	lowest, highest := b.bounds()
	switch {
	case b.ceiling == 0:
		b.ceiling = lowest
	case b.ceiling > highest/2:
		b.ceiling = highest
	default:
		b.ceiling *= 2
	}
	b.ceiling = min(b.ceiling, highest)
	return rand.N(b.ceiling + 1)
}

// Reset makes the next wait as short as the first. Call it after an attempt that
// succeeded, or that made progress.
func (b *Backoff) Reset() { b.ceiling = 0 }

func (b *Backoff) bounds() (lowest, highest time.Duration) {
	lowest, highest = b.Min, b.Max
	if lowest <= 0 {
		lowest = defaultLow
	}
	if highest <= 0 {
		highest = max(defaultHigh, lowest)
	}
	return lowest, highest
}

// Sleep waits for d. It returns nil afterwards, or at once the cause of ctx's end when
// ctx ends first or has ended already.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
