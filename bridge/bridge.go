package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// Defaults of [Options].
const (
	DefaultDrainTimeout = 10 * time.Second
	DefaultMaxDomains   = 1_000_000
)

// Options is what code injects. The zero value works.
type Options struct {
	// Logger gets messages about sinks that fail and recover, and about dead letters; nil
	// means nowhere.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none.
	Registerer prometheus.Registerer
	// DrainTimeout is how long Run goes on delivering what is in the journal after
	// its context has ended; 0 means [DefaultDrainTimeout], negative not at all. What
	// is left then stays in the journal for the next start.
	DrainTimeout time.Duration
	// MaxDomains bounds the domains whose state is kept; 0 means [DefaultMaxDomains].
	// Beyond it, those that were silent for longest are forgotten, a tenth at a time: if
	// one of them has an event again, its domain sequence begins at 1 again.
	MaxDomains int
	// Owned reports whether the events of a source are this bridge's to deliver. It is
	// asked before each delivery, by several goroutines; what is not owned is passed
	// over. nil means always.
	Owned func(source string) bool
}

// Bridge records observations and delivers them. Make one with [New].
type Bridge struct {
	journal *journal.Journal
	opts    Options
	log     *slog.Logger
	metrics *metrics
	stamps  *stamper
	commits *committer
	pumps   []*pump
}

// New returns a bridge on an open journal, which it uses alone for as long as it
// lives and does not close. It starts nothing.
func New(j *journal.Journal, opts Options) (*Bridge, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = DefaultDrainTimeout
	}
	if opts.MaxDomains <= 0 {
		opts.MaxDomains = DefaultMaxDomains
	}
	stamps, err := newStamper(j)
	if err != nil {
		return nil, err
	}
	m := newMetrics(opts.Registerer, j.Stats)
	return &Bridge{
		journal: j,
		opts:    opts,
		log:     opts.Logger,
		metrics: m,
		stamps:  stamps,
		commits: newCommitter(j, stamps, m, opts.MaxDomains),
	}, nil
}

// AddSink adds a sink under a name that is its cursor's name in the journal: the
// same name after a restart goes on where it was; a new name begins with what
// is recorded from now on. It must be called before Run.
func (b *Bridge) AddSink(name string, s Sink) error {
	reader, err := b.journal.Reader(name)
	if err != nil {
		return fmt.Errorf("sink %s: %w", name, err)
	}
	return b.addPump(name, name, s, reader, nil)
}

func (b *Bridge) addPump(name, routed string, s Sink, r *journal.Reader, states *stateFeed) error {
	p, err := newPump(pumpOptions{
		name: name, routed: routed, sink: s, reader: r, states: states,
		journal: b.journal, log: b.log, owned: b.opts.Owned, metrics: b.metrics.sink,
	})
	if err != nil {
		return fmt.Errorf("sink %s: %w", name, err)
	}
	b.pumps = append(b.pumps, p)
	return nil
}

// stateSuffix makes the name of a state store out of its sink's, which has no dot.
const stateSuffix = ".state"

// StateReader is the name of the cursor of a sink's state store.
func StateReader(sink string) string { return sink + stateSuffix }

// AddStateStore adds a store of each domain's last known state, beside the sink of that
// name: what goes to the sink goes to the store, as the [schema.KindState] event that it
// leads to, or as that of a domain that is gone (State.Gone), which the store must
// remove. The store gets each domain's states in order, but not every state: of those
// that wait together only the last. Its cursor is its own, named [StateReader]; it delays
// nothing but itself.
//
// Every time that the bridge runs, the store is first given what is known of all domains
// that exist, so that a store that is new, or lost something, is complete. belongs says
// which of them would go to the sink; it is called in Run.
//
// It must be called before Run. As with AddSink, the first time decides where the cursor
// begins.
func (b *Bridge) AddStateStore(sink string, store Sink, belongs func(connection string, domain schema.UUID) bool) error {
	name := StateReader(sink)
	reader, err := b.journal.Reader(name)
	if err != nil {
		return fmt.Errorf("state store of sink %s: %w", sink, err)
	}
	feed := newStateFeed(b.stamps.known(), b.journal.Stats().Next, belongs)
	return b.addPump(name, sink, store, reader, feed)
}

// Record stamps a batch and makes it durable, with its position. It blocks until then:
// nil means that all of it is on disk. An error means that nothing of it will ever be
// delivered; the same batch may be recorded again ([journal.ErrFull], a failing disk),
// except after [ErrClosed]. The batch belongs to the caller and is read until Record
// returns. Calls from several goroutines share one fsync. The events of each call keep
// their order; of two calls one after the other in one goroutine the former comes first.
//
// An item that is a listing becomes an event for each difference from what is known, at
// its place in the order. Where these are more than a batch of the journal holds, the
// rest becomes durable soon after Record returned; if the program ends before, the next
// listing finds it.
//
// A batch of a position alone returns at once. The position becomes durable with the next
// batch that has events, or within a second.
//
// ctx ends only the wait for the committer to take the batch: once taken it is written or
// refused within the time of one write.
func (b *Bridge) Record(ctx context.Context, batch schema.MatchedBatch) error {
	if err := checkPosition(batch.Position); err != nil {
		return err
	}
	if len(batch.Matched) == 0 && batch.Position == nil {
		return nil
	}
	return b.commits.record(ctx, batch)
}

// Position returns the durable position of a connection: where its driver can resume
// behind what was recorded. It is nil if there is none. It must not be changed.
func (b *Bridge) Position(connection string) schema.Position {
	return b.stamps.positions.durable(connection)
}

// Run records and delivers until ctx ends; then it refuses new records, goes on
// delivering for up to the drain timeout, and returns when its goroutines have ended:
// nil, or what a reader of the journal failed with.
func (b *Bridge) Run(ctx context.Context) error {
	defer b.commits.close()
	group, deliver := errgroup.WithContext(context.WithoutCancel(ctx))
	deliver, stop := context.WithCancel(deliver)
	defer stop()

	for _, p := range b.pumps {
		group.Go(func() error { return p.run(deliver) })
	}
	group.Go(func() error {
		b.commits.loop(deliver, ctx.Done())
		b.drain(deliver)
		stop()
		return nil
	})
	return group.Wait()
}

// drain waits until every pump has delivered everything, or the drain timeout is
// over, or ctx ends.
func (b *Bridge) drain(ctx context.Context) {
	if b.opts.DrainTimeout < 0 {
		return
	}
	deadline := time.NewTimer(b.opts.DrainTimeout)
	defer deadline.Stop()
	for _, p := range b.pumps {
		for p.metrics.pending() > 0 && !p.halted.Load() {
			select {
			case <-p.progress:
			case <-deadline.C:
				b.logLeft()
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

func (b *Bridge) logLeft() {
	for _, p := range b.pumps {
		if n := p.metrics.pending(); n > 0 {
			b.log.Warn("stopped before everything was delivered: the rest stays in the journal and is delivered after the next start",
				logSink, p.name, logPending, n)
		}
	}
}
