package kafka

import (
	"fmt"
)

// none ends a list of events.
const none = int32(-1)

// maxRecord is the size of a record that is not even tried: a broker closes the connection on a
// request of 100 MiB, by default.
const maxRecord = 64 << 20

// maxCorrupt is how often the same batch may be called corrupt before its records are looked at one by one.
const maxCorrupt = 3

// identity is what makes an event the same event when it is presented again.
type identity struct {
	source, epoch string
	sequence      uint64
}

// cargo is what a producer brings to Kafka, in order.
type cargo interface {
	// len is the number of records.
	len() int
	// levels is how many levels there are; a record of a level is sent when all of the levels
	// below are settled.
	levels() int
	level(i int) int
	identity(i int) identity
	// route appends the topic and the key of a record to topic and key.
	route(i int, topic, key []byte) ([]byte, []byte)
	// record returns the i-th record, valid until the next call with the same encoder.
	record(i int, e *encoder) *record
}

// partition is what is on its way to one partition: at most one batch, and the queue behind it. At any time it belongs
// to the producer or to one lane.
type partition struct {
	topic  *topic
	id     int32
	leader node
	// gone is set when the partition no longer exists.
	gone bool

	// producer and sequence are for the next batch, or for the pending one.
	producer producerID
	sequence int32
	// renew is set when a new producer id is needed, as it is at first; started is set once it has one.
	renew, started bool

	// batch is pending from when it is made until it is stored, or refused for good: it is never
	// replaced before. doubtful is set when it may be stored already.
	batch             batch
	pending, doubtful bool
	corrupt           int
	// at are the records in the batch, as indexes into the cargo. For a batch that is left from an earlier
	// delivery, ids has them, and left is set.
	at   []int32
	ids  []identity
	left bool

	// The queue of the records that are not in a batch yet, linked by producer.next.
	head, tail int32
	queued     bool // on the producer's list of partitions with work

	// maxBytes, if not 0, bounds a batch; maxCount, if not 0, does while a record that is
	// refused is looked for.
	maxBytes, maxCount int

	sending bool // in the request that is under way

	// What a round of sending has come to.
	stopped  error // why nothing more is sent to it in this round
	fatal    bool  // an operator has to do something
	progress bool
	refusals []refusal
}

// refusal is a record that the broker will never take.
type refusal struct {
	at  int32
	err error
}

func newPartition(t *topic, id int32) *partition {
	return &partition{topic: t, id: id, leader: noLeader, renew: true, head: none, tail: none}
}

func (p *partition) String() string { return fmt.Sprintf("partition %d of %s", p.id, p.topic.name) }

// limit lowers the size of the batches; 0 is no limit.
func (p *partition) limit(bytes int) {
	if bytes > 0 && (p.maxBytes == 0 || bytes < p.maxBytes) {
		p.maxBytes = max(bytes, minBatchBytes)
	}
}

// push appends a record to the queue.
func (p *partition) push(next []int32, i int32) {
	next[i] = none
	if p.head == none {
		p.head = i
	} else {
		next[p.tail] = i
	}
	p.tail = i
}

// pushBack puts the records of the batch back to the head of the queue.
func (p *partition) pushBack(next []int32) {
	if p.head == none {
		p.tail = p.at[len(p.at)-1]
	}
	for k := len(p.at) - 1; k >= 0; k-- {
		next[p.at[k]], p.head = p.head, p.at[k]
	}
}

// idle reports whether nothing is on its way.
func (p *partition) idle() bool { return p.gone || !p.pending && p.head == none }

// build makes a batch of the head of the queue and reports whether there is one now.
func (p *partition) build(cfg *Config, c cargo, next []int32, e *encoder, z *compressor) (bool, error) {
	maxBytes, maxCount := cfg.BatchBytes, cfg.BatchEvents
	if p.maxBytes > 0 {
		maxBytes = min(maxBytes, p.maxBytes)
	}
	if p.maxCount > 0 {
		maxCount = min(maxCount, p.maxCount)
	}
	p.at = p.at[:0]
	p.batch.reset(codes[cfg.Compression])
	for p.head != none && len(p.at) < maxCount {
		r := c.record(int(p.head), e)
		size := recordSize(r)
		if size > maxRecord {
			if len(p.at) > 0 {
				break
			}
			p.refusals = append(p.refusals, refusal{p.head, fmt.Errorf("record of %d bytes is larger than the %d that are tried", size, maxRecord)})
			p.head = next[p.head]
			p.progress = true
			continue
		}
		if len(p.at) > 0 && p.batch.size()+size > maxBytes {
			break
		}
		p.batch.add(r)
		p.at = append(p.at, p.head)
		p.head = next[p.head]
	}
	if len(p.at) == 0 {
		return false, nil
	}
	if err := p.batch.seal(z); err != nil {
		p.pushBack(next)
		return false, err
	}
	p.batch.sign(p.producer, p.sequence)
	p.pending, p.doubtful, p.corrupt = true, false, 0
	return true, nil
}

// settled ends the pending batch, which is stored.
func (p *partition) settled() {
	p.sequence = nextSequence(p.sequence, p.batch.count)
	p.pending, p.doubtful, p.progress = false, false, true
}

// refuse ends the pending batch, which is not stored and never will be as it is: its halves are tried,
// and a single record is refused. It returns how many records may be stored twice because of that.
func (p *partition) refuse(next []int32, err *codeError) (duplicates int) {
	p.pending, p.progress = false, true
	if p.doubtful {
		// An earlier attempt may have been stored, and the same sequence with other records would
		// be taken for it.
		p.renew, p.doubtful, duplicates = true, false, p.batch.count
	}
	switch n := len(p.at); {
	case p.left:
		p.left, p.ids = false, nil // The events come again.
	case n == 1:
		p.refusals = append(p.refusals, refusal{p.at[0], err})
		// It was this record, and not the size of the batches that it was in.
		p.maxCount, p.maxBytes = 0, 0
		p.limit(p.topic.fit.MaxMessage)
	default:
		p.pushBack(next)
		p.maxCount = n / 2
		if err.code == codeMessageTooLarge || err.code == codeRecordListTooLarge {
			p.limit(p.batch.size() / 2)
		}
	}
	return duplicates
}

// leave makes of a pending batch one that the next delivery has to begin with, and empties the queue.
func (p *partition) leave(c cargo) {
	if p.pending && !p.left {
		p.ids = make([]identity, len(p.at))
		for k, i := range p.at {
			p.ids[k] = c.identity(int(i))
		}
		p.left = true
	}
	p.at, p.head, p.tail, p.maxCount = p.at[:0], none, none, 0
}
