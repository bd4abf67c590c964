// Package bridge makes observations durable and delivers them to the sinks. It is the
// only home of virtcast's delivery promises:
//
//  1. Order. The events of one object reach each sink in the order in which they were
//     recorded. So does an event about a connection itself, such as a gap, among all
//     events of that connection. No retry changes this.
//  2. Durable before published. [Bridge.Record] returns nil only when the events are on
//     disk (fsync). No sink sees an event before that.
//  3. Stable ids. An event gets its id and its sequence numbers once, before it is
//     written. Every delivery to every sink, after any number of retries and restarts, has
//     the same id.
//  4. No silent loss. What was recorded is delivered to every sink that it is meant for,
//     or is kept as a dead letter with the reason. For each sink, at any moment,
//     recorded + retried + pending at start = delivered + skipped + dead letters + pending.
//  5. Isolation. Each sink has a pump and a cursor of its own: a slow or dead sink delays
//     neither another sink nor Record. Within a sink, what one key or partition cannot
//     take holds up only the events that must wait for it.
//
// # Words
//
//	word         meaning
//	observation  what a driver saw: it has no id yet
//	stamp        the epoch, and the sequences of the source and of the object; they make the id
//	record       an event as bytes in the journal, with the names of its sinks
//	offset       the number of a record in the journal
//	cursor       the offset before which a sink needs nothing any more; durable
//	outcome      what a sink says of an event: acknowledged, or refused for good
//	round        one call of [Sink].Deliver
//	backlog      the events that were read and have no outcome
//	position     where a driver can resume, in the history that its hypervisor keeps
//	listing      all domains of a connection, as the hypervisor lists them
//
// # The way of an event
//
//	Record ─┐                             ┌─ pump A: Next → Deliver → Commit ── sink A
//	Record ─┼─ committer: stamp → journal ┤
//	Record ─┘  (group commit)             └─ pump B: Next → Deliver → Commit ── sink B
//
// The committer takes the batches of all callers of Record, one after the other. It
// stamps each observation, appends its record to a journal batch, and adds the values
// that have changed: the sequences, what is known of each domain (package domains), and
// the positions. One fsync makes all of it durable. If the journal refuses the batch, all
// of it is taken back: no sequence has a hole.
//
// A group is what queued up during the last write. Where writes follow each other within
// 2 ms, a small group first waits until 2 ms have passed, so that fewer fsyncs serve more
// events. An event that comes alone is written at once.
//
// A batch may contain a listing. The committer compares it with what is known and appends
// the events that tell the differences, at the listing's place in the order.
//
// # Outcomes and the cursor
//
// A pump reads the records behind its cursor and presents them to its sink in rounds. The
// sink gives each event an outcome, in any order. Events without one go to the backlog;
// they are presented again after a pause of at most 5 s, before or together with newer
// events that must wait for them. Other new events go on at once.
//
//	offset    40   41   42   43   44   45   46
//	outcome   yes  yes  no   yes  no   yes  …
//	                    └ the cursor
//
// The cursor stands at the first event without outcome. So after a restart, everything
// behind it is delivered again, also what was acknowledged (43 and 45), with the same
// ids. The backlog's events are in memory up to a MiB. Beyond that two bits per record
// are kept, and the records are read again from the journal: the journal's size is the
// bound.
//
// An event that was refused for good becomes a dead letter after the round, before the
// cursor passes it; after a restart it is not presented again. A record that a newer
// version wrote stops its sink, when that has everything before it, and nothing else.
//
// # State stores
//
// A sink may have a store of each domain's last known state beside it
// ([Bridge.AddStateStore]). The record of a lifecycle event carries the state after it. A
// store has a pump and a cursor of its own: it delays nothing but itself.
//
// # Sources, epochs and owners
//
// Sequences count for a source within an epoch. The epoch is kept with the source; a new
// source takes the journal's. Where several bridges share connections, [Options].Owned
// says which sources are this one's to deliver: pumps ask before every delivery.
//
// # Goroutines
//
// [Bridge.Run] owns the committer and one pump for each sink and store, and waits for
// them. Nothing polls.
package bridge
