// Package schema defines the words of virtcast and the CloudEvents that it publishes.
//
// An event passes through four stages. Each stage has a type of its own, so the compiler
// forbids a shortcut:
//
//	Observation  what a driver saw on a hypervisor
//	Matched      an observation, and the sinks that registrations name for it
//	Event        a matched observation with its epoch, sequence and id
//	record       the durable form of an event: bytes in the journal
//
// The words, each with one meaning in the whole project:
//
//   - connection: one configured hypervisor, a libvirt URI and a name ([Connection]).
//   - session: one open connection to that hypervisor, from open to loss.
//   - object: what an event is about: a domain, a network, a pool … ([Object]).
//   - kind: one kind of event, such as domain/lifecycle ([Kind]).
//   - payload: the members that only one kind of event has, as JSON.
//   - registration: what a user asks for: connections, a domain, kinds and sinks.
//   - listing: all domains of a connection, as the hypervisor lists them ([Listing]).
//   - position: where a driver can resume in a hypervisor's history ([Position]).
//   - gap: a time in which a connection was not observed, or in which observations were
//     lost. A gap is always published as an event ([KindGap]).
//   - epoch: who numbered an event. Within an epoch, sequences have no holes.
//   - offset: the place of a record in the journal.
//   - cursor: the offset up to which one sink has acknowledged every event.
//   - sink: where events go: NATS, Kafka, JSON lines.
//   - state: what is known of a domain after an event ([State]).
//   - state store: a sink that keeps the last state of each domain.
//
// To consume events in Go, read [Decode], [DecodeBinary] and [FromCloudEvent]. The page
// docs/events.md of the repository describes every attribute and every member.
//
// The package imports no other package of virtcast.
package schema
