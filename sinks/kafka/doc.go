// Package kafka delivers events to Apache Kafka: ordered per domain, acknowledged by all
// in-sync replicas, and stored once for as long as the process lives.
//
// Two rooms below it do the work: package client talks to the cluster, and package
// producer brings records to partitions. This package makes records of events.
//
//	Deliver ─► order: what may be sent now ─► producer ─► client ─► brokers
//	             ▲                               │
//	             └── outcome(i, err) ◄── answer ─┘
//
// # How order is kept
//
// The key of a record is the event's partitionkey: a domain's events go to one partition.
// The producer keeps the order of each partition, whatever fails; see its package
// comment. An event about a connection as a whole (a gap, say) is sent when everything
// before it on that connection has its outcome, and everything after it waits for it.
//
// # What a failure holds up
//
// An event has its outcome as soon as the broker has answered for it. A partition without
// a leader, a broker that is down or a topic that is missing holds up its own events
// only: they have no outcome, and Deliver returns how many there are and why. A partition
// that begins to fail is tried again for half a second; while it goes on failing, a
// Deliver tries it once.
//
// A batch that was sent and not answered is unconfirmed: it may be stored. Its bytes and
// its sequence are kept, and sent again by the next Deliver, before newer events of that
// partition. The bridge may present the batch's own events later than those: until it
// does, the sink remembers by their ids that they are stored. It remembers nothing else
// of earlier calls.
//
// # What the broker cannot prevent
//
// A producer id lives as long as the process. After a restart, events that were stored
// but not acknowledged are stored again, with the same source and id. The same may happen
// when the broker has fenced the producer id; that is counted and logged.
//
// A broker forgets a producer id one day (producer.id.expiration.ms) after the time of
// the last record, by the record's own clock: that of the event. While older events are
// caught up on, a batch whose acknowledgement is lost in the restart of a broker may be
// stored again. Only readers can notice that, by source and id.
//
// # Connections
//
// There are at most two connections to each broker that is needed. Each carries one
// request at a time, with batches of its own half of the partitions. It is closed at the
// first error, and made again when it is needed. No goroutine of this package outlives a
// call.
package kafka
