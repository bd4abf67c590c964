// Package bridge stamps observations, makes them durable and delivers them to the
// sinks. It is the only home of virtcast's delivery promises:
//
//  1. Order. The events of one domain reach each sink in the order in which
//     they were recorded; no retry changes it.
//  2. Durable before published. [Bridge.Record] returns nil only when the
//     events are on disk (fsync); no sink sees an event before that.
//  3. Stable ids. An event is stamped once, before it is written. Every delivery
//     to every sink, after any number of retries and restarts, has the same id.
//  4. No silent loss. What was recorded is delivered to every sink that it is meant for, or is
//     kept as a dead letter with the reason; for each sink, at any moment,
//     recorded + retried + pending at start = delivered + not meant for it + dead letters + pending.
//  5. Isolation. Each sink has a pump of its own and its own cursor; a slow or
//     dead sink delays neither another sink nor Record.
//
// The way of an event:
//
//	Record ─┐                        ┌─ pump A: Next → Deliver → Commit ── sink A
//	Record ─┼─ committer: stamp ─ journal
//	Record ─┘   (group commit)       └─ pump B: Next → Deliver → Commit ── sink B
//
// Beside the events, the committer concludes each domain's state from them (rules.go), keeps it in the journal with the
// sequences, and puts it into the record. A sink may have a store of these states beside it ([Bridge.AddState]): with a
// pump and a cursor of its own, off the way of the events.
//
// Goroutines: [Bridge.Run] owns the committer and one pump for each sink and
// store, and waits for them. Nothing here polls; nothing is buffered outside the journal
// but the batch in hand.
package bridge
