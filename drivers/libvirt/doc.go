// Package libvirt is virtcast's libvirt client: pure Go, read-only, and made for
// events. It speaks the RPC of package wire over any net.Conn that its caller
// dials, and turns what the daemon sends into observations.
//
// What it promises, beyond what package drivers asks of every driver:
//
//  1. Events are routed by the type of their frame, never by its serial, and are observed
//     in the order in which the frames came, across all callbacks of the session. An event
//     that overtakes the answer to its own registration waits for it, and so does
//     every event behind it.
//  2. What the session cannot keep ends it with an error ([ErrOverflow]); nothing
//     is dropped in silence. What it may skip (unknown procedures, payloads that do not
//     decode, events of callbacks that are gone) is counted in [Stats].
//  3. At most 4 calls are unanswered at a time, even if their callers gave up:
//     libvirtd stops reading at 5, and then a keepalive would look dead too.
//  4. Every call ends with its context or after [Config].CallTimeout. A late answer is
//     dropped; a callback that was registered too late is deregistered again.
//  5. A peer that falls silent is noticed within KeepaliveInterval × KeepaliveCount:
//     in that time it is sent KeepaliveCount pings, evenly spaced, and each has as
//     long to be answered.
//
// A session has two goroutines. The reader decodes, answers calls and calls the
// handler; the writer alone writes, so neither a stuck peer nor a caller that gives up
// can stop the reading or leave half a frame behind. The keepalive is a timer.
//
//	dial ── reader ─┬─ reply ──── settle ── caller
//	                ├─ event ──── held (bounded) ── batch ── observe
//	                └─ ping ───┐
//	callers ── slots (4) ── out (4) ── writer
package libvirt
