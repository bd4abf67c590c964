// Package libvirt is virtcast's libvirt client: pure Go, read-only, and made for events.
// It speaks the RPC of package wire over any net.Conn that its caller dials, and turns
// what the daemon sends into observations.
//
// What it promises, beyond the laws of package drivers:
//
//  1. Events are routed by the type of their frame, never by its serial, and are
//     delivered in the order of the frames, across all callbacks of the session. An event
//     that overtakes the answer to its own registration waits for the answer, and so does
//     everything behind it.
//  2. Nothing is dropped in silence. What the session cannot keep ends it with an error
//     ([ErrOverflow]). What it may skip is counted in [Stats]: unknown procedures,
//     payloads that do not decode, events of callbacks that have ended.
//  3. At most 4 calls are unanswered at a time, even if their callers gave up. libvirtd
//     stops reading at 5, and then a keepalive would look dead too.
//  4. Every call ends with its context or after [Config].CallTimeout. A late answer is
//     dropped. A callback that was registered too late is deregistered again.
//  5. A peer that falls silent is noticed within KeepaliveInterval × KeepaliveCount. In
//     that time it is sent KeepaliveCount pings, evenly spaced, and each has as long to
//     be answered.
//
// # Callbacks
//
// The daemon sends events to callbacks, each with an id: one callback for each filter
// that [Session.Watch] brings into force. Two callbacks may cover the same domain for a
// moment, while they change over. Then each event comes twice, and one of the two is
// dropped.
//
// # Sure
//
// [Session.Sure] follows from the order of the wire. Whatever the daemon had sent when it
// answered a ping or a call stands before that answer. So everything up to the moment at
// which the question was sent has been read, less the second that an event may take
// inside the daemon.
//
// # Goroutines
//
// A session has two goroutines. The reader decodes, takes answers to their callers, and
// delivers batches. The writer alone writes. So neither a stuck peer nor a caller that
// gives up can stop the reading, or leave half a frame behind. The keepalive is a timer.
//
//	dial ── reader ─┬─ reply ──── settle ──── caller
//	                ├─ event ──── held (bounded) ──── batch ──── out
//	                └─ ping ───┐
//	callers ── slots (4) ── outgoing (4) ── writer
package libvirt
