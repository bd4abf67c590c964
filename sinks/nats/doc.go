// Package nats delivers events to NATS: to a JetStream stream, acknowledged,
// ordered per domain and de-duplicated; or, in core mode, to whoever is
// subscribed at that moment.
//
// # JetStream mode
//
// A window of messages that are acknowledged each for itself cannot keep an order:
// when one of them fails, the ones behind it are stored already. The sink therefore
// publishes in one of two ways that can:
//
//   - Batch: all events of one Deliver form one ordered fast-ingest batch
//     (ADR-50, "gap: fail"): the stream stores a strict prefix of it, whatever
//     fails. Used where the stream allows it (allow_batched, nats-server 2.14).
//   - Lanes: at most one message per domain is sent and not yet acknowledged, many
//     domains at a time. Works with any stream.
//
// Every message carries Nats-Msg-Id = <hash of the source>-<event id>, the same on every
// retry, so that what was stored without our knowing is not stored twice, as long as the
// retry falls into the stream's duplicates window.
//
// Events that may be under way already (after a failure, and in the first Deliver of
// a process) always go by lanes: a clustered stream counts a duplicate of a message that is still
// being replicated as stored when it comes in a batch, but refuses it, to be
// tried again, when it comes by itself.
//
// # Connections
//
// The client library never reconnects by itself: what it would have buffered could
// overtake. A connection on which anything was sent and not answered is closed, and
// the next Deliver dials a new one. No goroutine of this package outlives a call;
// those of the client library end with [Sink.Close].
package nats
