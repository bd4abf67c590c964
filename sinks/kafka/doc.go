// Package kafka delivers events to Apache Kafka: ordered per domain, acknowledged by
// all in-sync replicas, and stored once as long as the process lives.
//
// # How order is kept
//
// A client that has several requests under way, or that goes on after a batch has
// failed, loses, duplicates or reorders. This one does neither. Each partition has
// at most one batch under way; the same bytes are sent again until the
// broker has acknowledged them or refused them for good; and each batch carries a producer
// id and a sequence by which the broker drops what it has already:
//
//	Deliver ─► route by key ─► partition 0: [batch, sequence 40] ─┐
//	                       ├─► partition 1: [batch, sequence 17] ─┼─► one request per connection
//	                       └─► partition 2: [batch, sequence  3] ─┘
//
// A batch whose fate is unknown when Deliver returns is kept, and is the first thing
// that the next Deliver sends. What was acknowledged behind the first event that was not is
// remembered, and is not sent again when the caller presents it again.
//
// An event about a connection as a whole (a gap, say) is sent when everything before
// it on that connection is acknowledged, and everything after it waits for it.
//
// # What the broker cannot prevent
//
// A producer id lives as long as the process. After a restart, events that were stored but not
// known to be are stored again, with the same source and id. The same may happen when the broker has
// fenced the producer id; that is counted and logged.
//
// A broker forgets a producer id one day (producer.id.expiration.ms) after the time of the last record, by the
// record's own clock: that of the event. While events are caught up on that are older, a batch whose acknowledgement
// is lost in the restart of a broker may be stored again, which nobody notices but the readers, by source and id.
//
// # Connections
//
// There are at most two connections to each broker that is needed. Each carries one request at a time, with batches of
// its own half of the partitions; is closed at the first error, and is made again when it is needed. No goroutine of this
// package outlives a call.
package kafka
