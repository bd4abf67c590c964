package registry

import (
	"time"

	"github.com/virtcast/virtcast/schema"
)

// gap returns the observation that declares a gap. Its end is set later.
func gap(connection *schema.Connection, reason schema.GapReason, since time.Time) schema.Observation {
	return schema.Observation{
		Connection:      connection,
		Kind:            schema.KindGap,
		Received:        since,
		UnobservedSince: since,
		Gap:             &schema.Gap{Reason: reason},
	}
}

// end sets the end of a gap, which is not before its start: the clock may have been set
// back.
func end(gap *schema.Observation, until time.Time) {
	if until.Before(gap.UnobservedSince) {
		until = gap.UnobservedSince
	}
	gap.Received, gap.Gap.Until = until, until
}

// hold queues the gap of a connection that was not observed since a time, and keeps it
// and what follows from being taken until release, when the gap's end is known. A gap
// that directly follows another (the session was lost again) prolongs it, so that their
// number is bounded by the number of observations.
func (q *queue) hold(connection *schema.Connection, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overrun = nil
	if q.tail != nil {
		// A gap of hold is always the first of its chunk.
		if first := &q.tail.observations[0]; q.tail.n == 1 && disconnected(first) {
			first.Connection = connection
			q.held, q.declared = q.tail, first
			return
		}
	}
	q.extend()
	q.declared = q.grow(0)
	*q.declared = gap(connection, schema.GapDisconnected, since)
	q.tail.gaps++
	q.held = q.tail
}

func disconnected(o *schema.Observation) bool {
	return o.Gap != nil && o.Gap.Reason == schema.GapDisconnected
}

// release ends the gap of hold at a time and lets it be taken.
func (q *queue) release(until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held == nil {
		return
	}
	end(q.declared, until)
	q.held, q.declared = nil, nil
	q.signal()
}

// declare queues a gap whose end is known.
func (q *queue) declare(connection *schema.Connection, since, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overrun = nil
	o := q.grow(0)
	*o = gap(connection, schema.GapDisconnected, since)
	end(o, until)
	q.tail.gaps++
	q.signal()
}
