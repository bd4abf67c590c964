package registry

import (
	"cmp"
	"slices"
	"time"
)

// Stats is what a connection has done since it was added. All figures are of one moment,
// in which
//
//	Received = Recorded + Observed + Unmatched + Queued + Lost
type Stats struct {
	Connection string
	// Up is whether a session is open and everything wanted is in force, but for what the
	// hypervisor does not have.
	Up bool
	// Opens, OpenFailures and Losses count sessions: opened, not opened, lost.
	Opens, OpenFailures, Losses uint64
	// Filters is how many filters are in force in the session.
	Filters int
	// Refused counts filters that a hypervisor does not have, for each session again.
	Refused uint64
	// Backoff is the wait before the next attempt to open a session; 0 if none is
	// waiting.
	Backoff time.Duration

	// Received counts what the driver has delivered, each event once.
	Received uint64
	// Recorded counts what Options.Record has taken, gaps not counted.
	Recorded uint64
	// Observed counts what only callbacks without sinks have asked for.
	Observed uint64
	// Unmatched counts what no registration has asked for.
	Unmatched uint64
	// Queued is how many observations are waiting to be recorded.
	Queued uint64
	// QueuedBytes is about how much memory these take.
	QueuedBytes uint64
	// Lost counts what the queue had no room for, and what was left when Run ended.
	Lost uint64

	// Gaps counts the gaps recorded, Listings the listings, and ListingsLost those that
	// the queue had no room for. They are not in Received.
	Gaps, Listings, ListingsLost uint64
}

// Stats returns the figures of every connection, in order of name.
func (r *Registry) Stats() []Stats {
	connections := r.snapshot()
	stats := make([]Stats, 0, len(connections))
	for _, c := range connections {
		stats = append(stats, c.stats())
	}
	slices.SortFunc(stats, func(a, b Stats) int { return cmp.Compare(a.Connection, b.Connection) })
	return stats
}

func (r *Registry) snapshot() []*connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	connections := make([]*connection, 0, len(r.connections))
	for _, c := range r.connections {
		connections = append(connections, c)
	}
	return connections
}

func (c *connection) stats() Stats {
	t, queued, size := c.queue.snapshot()
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Connection:   c.name,
		Up:           c.status.up,
		Opens:        c.status.opens,
		OpenFailures: c.status.openFailures,
		Losses:       c.status.losses,
		Filters:      c.status.filters,
		Refused:      c.status.refusals,
		Backoff:      c.status.backoff,
		Received:     t.received,
		Recorded:     t.recorded,
		Observed:     t.observed,
		Unmatched:    t.unmatched,
		Queued:       queued,
		QueuedBytes:  size,
		Lost:         t.lost,
		Gaps:         t.gaps,
		Listings:     t.listings,
		ListingsLost: t.listingsLost,
	}
}
