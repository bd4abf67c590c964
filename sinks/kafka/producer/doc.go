// Package producer brings records to Kafka: in order per key, acknowledged by all in-sync
// replicas, and stored once for as long as the producer lives. It knows keys and bytes,
// and not what they are about.
//
// # How order is kept
//
// A client that has several requests under way for a partition, or that goes on after a
// batch has failed, loses, duplicates or reorders. This one does neither. Each partition
// has at most one batch under way. The same bytes are sent again until the broker has
// acknowledged them or refused them for good. Each batch carries a producer id and a
// sequence, by which the broker drops what it has already:
//
//	Deliver ─► route by key ─► partition 0: [batch, sequence 40] ─┐
//	                       ├─► partition 1: [batch, sequence 17] ─┼─► sender: one request at a time
//	                       └─► partition 2: [batch, sequence  3] ─┘
//
// What a partition goes through is a table: see transitions.
//
// # Outcomes
//
// Each record gets its outcome when its own batch is answered. A partition that has no
// leader, or whose broker fails, keeps its records without one, and holds up nobody else.
// The caller presents those records again.
//
// A batch that was sent and not answered is unconfirmed. It outlives its delivery, with
// the ids of its records, and is the first that is sent to its partition by the next one.
// Records that are presented again are recognised by their ids. They may come late: newer
// records of the partition with other keys may come first, and the batch must precede
// them. So the ids of its records are remembered until each was presented.
//
// # Senders
//
// The partitions that one broker leads are shared among two senders, with a connection
// each. While a broker works on a request, the sender makes the batches of the next one.
// Senders live as long as a round of sending: no goroutine outlives a call of Deliver.
package producer
