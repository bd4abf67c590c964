package registry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/schema"
)

// Options is what code injects. The zero value works: it discards what is matched, logs
// nothing and exports no metrics.
type Options struct {
	// Record makes a batch durable: it blocks until it is, and returns nil only then. The
	// registry calls it from one goroutine per connection, with observations and listings
	// of that connection in the order of the source, and calls it again with the same
	// batch after an error, for as long as it takes. A batch may consist of a position
	// only. The slices are valid during the call. After ctx ends Record must return soon.
	// nil discards.
	Record func(ctx context.Context, batch schema.MatchedBatch) error
	// Position returns the last durable position of a connection, behind which its first
	// session resumes; nil for none. nil is none.
	Position func(connection string) schema.Position
	// Logger is where sessions, losses and trouble are logged; nil is nowhere.
	Logger *slog.Logger
	// Registerer takes the metrics; nil is none. If it refuses them, Run fails.
	Registerer prometheus.Registerer
	// Backoff bounds the wait between two attempts to open a session.
	Backoff Backoff
	// QueueBytes is how many bytes of observations of one connection may wait to be
	// recorded, by default [DefaultQueueBytes]. TotalBytes is the same for all
	// connections together, by default [DefaultTotalBytes]. Newer observations are lost,
	// counted and declared.
	QueueBytes, TotalBytes int
	// CallTimeout bounds each call to a driver that waits for the hypervisor: Open, and
	// Watch, which has a thousandth of it in addition for each filter. By default
	// [DefaultCallTimeout].
	CallTimeout time.Duration
	// DrainTimeout is how long Run goes on recording after its context ended, by default
	// [DefaultDrainTimeout]. What is queued then is lost, counted and logged.
	DrainTimeout time.Duration
}

// Backoff is the bounds of an exponential back-off with full jitter: the nth wait is
// random between 0 and min(Max, Min × 2ⁿ).
type Backoff struct {
	// Min is by default 1 s, Max 60 s. A session that lived for Max starts the back-off
	// afresh.
	Min, Max time.Duration
}

// The defaults of [Options].
const (
	DefaultQueueBytes   = 8 << 20
	DefaultTotalBytes   = 256 << 20
	DefaultCallTimeout  = 30 * time.Second
	DefaultDrainTimeout = 10 * time.Second
	DefaultMinBackoff   = time.Second
	DefaultMaxBackoff   = 60 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Record == nil {
		o.Record = func(context.Context, schema.MatchedBatch) error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Backoff.Min <= 0 {
		o.Backoff.Min = DefaultMinBackoff
	}
	if o.Backoff.Max <= 0 {
		o.Backoff.Max = DefaultMaxBackoff
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.TotalBytes <= 0 {
		o.TotalBytes = DefaultTotalBytes
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	return o
}
