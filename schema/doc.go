// Package schema is virtcast's vocabulary: what was seen on a hypervisor, what
// is said about it, and the CloudEvents form in which it is said.
//
// The words, each used in one meaning throughout the project:
//
//   - connection: one configured hypervisor (a libvirt URI and a name).
//   - session: one open connection to that hypervisor, from open to loss.
//   - observation: what a driver saw, not yet stamped ([Observation]).
//   - registration: what a user wants to hear of: connections, domain, kinds, sinks.
//   - matched: an observation and the sinks that its registrations name ([Matched]).
//   - event: a stamped observation, with its id and sequences ([Event]).
//   - record: an event's durable form in the journal, opaque to the journal.
//   - offset: a record's position in the journal.
//   - cursor: the offset up to which one sink has everything.
//   - sink: where events go: NATS, JSON lines, Kafka.
//   - gap: a time in which a connection was not, or not wholly, observed; always
//     declared as an event ([KindGap]).
//
// One type per stage: [Observation] → [Matched] → [Event] → record. Nothing can
// be published that was not stamped, and nothing stamped that was not matched.
//
// The package imports nothing of virtcast's.
package schema
