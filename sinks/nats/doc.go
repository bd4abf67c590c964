// Package nats delivers events to NATS. In JetStream mode a stream stores and
// acknowledges each event, in order per domain and without duplicates. In core mode the
// events go to the clients that are subscribed at that moment.
//
// # JetStream mode
//
// A publisher that has many unacknowledged messages cannot keep their order: when one of
// them fails, the stream has stored later ones already. The sink therefore publishes in
// one of two ways that keep it (docs/adr/0005-nats-schemes.md has the measurements):
//
//   - Batch: all events of one Deliver form one ordered fast-ingest batch (ADR-50 of
//     NATS, "gap: fail"). Whatever fails, the stream stores a prefix of the batch. The
//     sink uses batches where the stream allows them (allow_batched, nats-server 2.14 and
//     later).
//   - Lanes: each domain has at most one unacknowledged message, and many domains have
//     one at a time. Lanes work with any stream.
//
// Every message carries Nats-Msg-Id = <hash of the source>-<event id>, the same on every
// retry. A message that was stored, and whose acknowledgement was lost, is therefore not
// stored twice, as long as the retry comes within the stream's duplicates window. After
// that, the sink first asks the stream for the last message of the event's subject, and
// takes as stored what is there: see unconfirmed.
//
// Every message carries Nats-Expected-Stream, too. Another stream that listens on the
// subject refuses it, and an acknowledgement of another stream counts as none.
//
// Some messages may still be on their way when the next Deliver begins: after a failure,
// and at the start of a process. The sink then sends in lanes. The reason is a stream with
// replicas, and a duplicate of a message that is still being replicated. In a batch, the
// stream counts it as stored, although both may still be lost. By itself, the stream
// refuses it, and the sink sends it again later. See guard for when batches are safe.
//
// # Failures
//
// A Deliver is one round: what has no outcome at its end is presented again by the
// bridge. An event that the stream does not take holds up only the events that must wait
// for it: those of its domain, and those about its connection as a whole. When the stream
// ends a batch for such an event, the rest of the round goes in lanes.
//
// From one Deliver to the next, the sink remembers whether the last round left anything
// open, and when a message was last not answered. Of single events it remembers the ids of
// those that were sent and not answered, at most 16,384, and when they were first sent.
//
// An event that is larger than the limits that are known is refused only after the sink
// has asked for the limits again, once in a round. What the stream refuses makes the sink
// look at the stream's configuration before the next round.
//
// # Connections
//
// The client library never reconnects by itself: what it had buffered could overtake. The
// sink closes a connection on which a message was not answered, and the next Deliver
// dials a new one, to a server that is configured or that the cluster has announced.
// Certificates and credentials are read at each connection. No goroutine
// of this package outlives a call; those of the client library end with [Sink.Close].
package nats
