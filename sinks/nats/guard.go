package nats

import "time"

// settleTime is how long a message that was written to a connection may take to reach the
// stream's leader after the connection was closed: a generous multiple of what a cluster
// needs.
const settleTime = time.Second

// guard tells whether a batch is safe. In a stream with replicas it is not while a
// message may still be on its way through the leader: the leader counts a duplicate of
// such a message in a batch as stored, and a later leader may never have it.
//
// The guard is shut at the start of a process, since an earlier process may have left
// messages on their way, and after each round that left an event open. It opens when
//
//   - a round has left nothing open,
//   - everything that was sent and not answered has reached the leader or never will, and
//   - where the stream has replicas, the leader has stored a message that was sent after
//     that. A stream stores in the order in which its leader took messages, so that all
//     earlier ones are stored or lost by then. An answer that a message is a duplicate
//     shows nothing: the leader gives it from memory.
type guard struct {
	// careful is set until a round has left nothing open.
	careful bool
	// settled is when every message that was sent and not answered has reached the
	// leader, or never will. Its event need not be in the next round.
	settled time.Time
	// begun is set with the first round; proven when the leader has stored a message that
	// was sent after settled.
	begun, proven bool
	// sent is when the present round began.
	sent time.Time
}

// begin begins a round on a stream with that many replicas. It reports whether a batch is
// safe.
func (g *guard) begin(now time.Time, replicas int) bool {
	if !g.begun && replicas > 1 {
		g.settled = now.Add(settleTime)
	}
	safe := g.begun && !g.careful && now.After(g.settled) && (g.proven || replicas <= 1)
	g.begun, g.careful, g.sent = true, true, now
	return safe
}

// stored notes that the stream has stored a message of this round, which is no duplicate.
func (g *guard) stored() {
	if g.sent.After(g.settled) {
		g.proven = true
	}
}

// end ends a round that has left events open or not. With unanswered, or where an answer
// leaves it open whether a message is stored, messages may be on their way.
func (g *guard) end(now time.Time, open, unanswered bool) {
	g.careful = open
	if unanswered {
		g.settled, g.proven = now.Add(settleTime), false
	}
}
