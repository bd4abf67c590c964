package registry

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is one exponential back-off with full jitter. Not safe for concurrent use.
type backoff struct {
	bounds  Backoff
	ceiling time.Duration
}

// next returns the next wait, between 0 and a ceiling that doubles from Min to Max.
// Full jitter spreads those that lost the same host at the same moment.
func (b *backoff) next() time.Duration {
	switch {
	case b.ceiling == 0:
		b.ceiling = b.bounds.Min
	case b.ceiling > b.bounds.Max/2:
		b.ceiling = b.bounds.Max
	default:
		b.ceiling *= 2
	}
	b.ceiling = min(b.ceiling, b.bounds.Max)
	return rand.N(b.ceiling + 1)
}

func (b *backoff) reset() { b.ceiling = 0 }

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
