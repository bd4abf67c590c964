package producer

import (
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go/compress"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// none ends a list of records, and stands for a record that was not presented again.
const none = int32(-1)

// minBatchBytes is the least bound of a batch.
const minBatchBytes = 1 << 10

// maxRecord is the size of a record that is not even tried: by default, a broker closes
// the connection on a request of 100 MiB.
const maxRecord = 64 << 20

// maxCorrupt is how often a broker may call the same batch corrupt before its records are
// looked at one by one.
const maxCorrupt = 3

// topic is the partitions of a topic.
type topic struct {
	known      *client.Topic
	generation int
	partitions []*partition
	// width is how many of the partitions keys are routed to. It does not grow while a
	// batch is unconfirmed: a key that moves must not overtake its own records.
	width int
}

// partition is the records on their way to one partition: at most one batch, and the
// queue behind it. It belongs to the producer, or to one sender while that runs.
type partition struct {
	topic *topic
	id    int32
	state state

	// producer and sequence are those of the batch, or of the next one.
	producer client.ProducerID
	sequence int32
	// stale is set when another producer id is needed, as it is at first. started is set
	// when the partition has had one.
	stale, started bool

	batch   Batch
	corrupt int // how often the batch was called corrupt
	// at are the records in the batch, by their index in the delivery.
	at []int32
	// kept are the ids of the records of an unconfirmed batch of an earlier delivery.
	// absent are those of such a batch that is stored now, and whose records were not
	// presented in this delivery.
	kept, absent []string

	// The queue of the records that are not in a batch yet, linked by delivery.next.
	head, tail int32
	active     bool // in the producer's list of partitions with work

	// maxBytes, if not 0, bounds a batch. maxCount, if not 0, does so while a record that
	// is refused is searched for.
	maxBytes, maxCount int

	// stopped is why nothing more is sent to the partition in this round.
	stopped error
	// stalled is set while the partition fails since an earlier delivery: then a delivery
	// tries it once, and does not wait for it.
	stalled  bool
	progress bool
}

func newPartition(t *topic, id int32) *partition {
	return &partition{topic: t, id: id, state: empty, stale: true, head: none, tail: none}
}

func (p *partition) String() string { return p.topic.known.Partition(p.id) }

// leader returns the node that leads the partition.
func (p *partition) leader() client.Node {
	if p.state == gone {
		return client.NoLeader
	}
	return p.topic.known.Leader(p.id)
}

// on applies an event. An impossible one stops the partition.
func (p *partition) on(e event) bool {
	next := transitions[p.state][e]
	if next == impossible {
		p.stopped = fmt.Errorf("%s: %s is impossible for a batch that is %s", p, e, p.state)
		return false
	}
	p.state = next
	return true
}

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

// pushBack puts the records of the batch back to the head of the queue, and returns how
// many.
func (p *partition) pushBack(next []int32) int {
	p.at = slices.DeleteFunc(p.at, func(i int32) bool { return i == none })
	if len(p.at) == 0 {
		return 0
	}
	if p.head == none {
		p.tail = p.at[len(p.at)-1]
	}
	for k := len(p.at) - 1; k >= 0; k-- {
		next[p.at[k]], p.head = p.head, p.at[k]
	}
	return len(p.at)
}

// idle reports whether nothing is to be sent.
func (p *partition) idle() bool { return p.state == gone || !p.state.pending() && p.head == none }

// bounds are the configured bounds of a batch.
type bounds struct {
	bytes, records int
	compression    compress.Compression
}

// build makes a batch of the head of the queue. A record that is too large for any broker
// is passed to refused. Without a batch and an error, the queue is empty.
func (p *partition) build(b bounds, next []int32, e Encoder, z *Compressor, refused func(i int32, err error)) error {
	if p.maxBytes > 0 {
		b.bytes = min(b.bytes, p.maxBytes)
	}
	if p.maxCount > 0 {
		b.records = min(b.records, p.maxCount)
	}
	p.at, p.kept = p.at[:0], nil
	p.batch.Reset(b.compression)
	for p.head != none && len(p.at) < b.records {
		r := e.Encode(int(p.head))
		size := r.Size()
		if size > maxRecord {
			if len(p.at) > 0 {
				break
			}
			refused(p.head, fmt.Errorf("record of %d bytes is larger than the %d that are tried", size, maxRecord))
			p.head, p.progress = next[p.head], true
			continue
		}
		if len(p.at) > 0 && p.batch.Size()+size > b.bytes {
			break
		}
		p.batch.Add(r)
		p.at = append(p.at, p.head)
		p.head = next[p.head]
	}
	if len(p.at) == 0 {
		return nil
	}
	if err := p.batch.Seal(z); err != nil {
		p.pushBack(next)
		return err
	}
	p.batch.Sign(p.producer, p.sequence)
	p.corrupt = 0
	p.on(build)
	return nil
}

// confirmed ends the batch, which is stored. The ids of records that are not presented in
// this delivery go to absent.
func (p *partition) confirmed() {
	if !p.on(confirm) {
		return
	}
	p.sequence = nextSequence(p.sequence, p.batch.count)
	p.progress, p.stalled = true, false
	if p.kept == nil {
		return
	}
	for k, i := range p.at {
		if i == none {
			p.absent = append(p.absent, p.kept[k])
		}
	}
	p.kept = nil
}

// refused ends the batch, which will never be stored as it is: its halves are tried, and
// a single record is passed to refused. It returns how many records may be stored twice
// because of that.
func (p *partition) refused(next []int32, err *client.CodeError, refused func(i int32, err error)) (duplicates int) {
	if p.state.maybeStored() {
		// An earlier attempt may be stored, and the broker would take the same sequence
		// with other records for it.
		p.stale, duplicates = true, p.batch.count
	}
	if !p.on(refuse) {
		return 0
	}
	p.progress, p.stalled, p.kept = true, false, nil
	switch p.batch.count {
	case 1:
		if p.at[0] != none {
			refused(p.at[0], err)
		}
		// The reason was this record, and not the size of the batches that it was in.
		p.maxCount, p.maxBytes = 0, 0
		p.limit(p.topic.known.Fit.MaxMessage)
	default:
		if n := p.pushBack(next); n > 0 {
			p.maxCount = max(1, n/2)
		}
		if err.Code == client.CodeMessageTooLarge || err.Code == client.CodeRecordListTooLarge {
			p.limit(p.batch.Size() / 2)
		}
	}
	return duplicates
}

// renewed gives the partition a producer id.
func (p *partition) renewed(id client.ProducerID) {
	p.producer, p.sequence, p.started, p.stale = id, 0, true, false
	if p.on(renew) && p.state == made {
		p.batch.Sign(id, 0)
	}
}

// leave ends a delivery: an unconfirmed batch is kept with the ids of its records, and
// the queue is emptied.
func (p *partition) leave(d Delivery) {
	p.stalled = p.stopped != nil
	p.on(end)
	if p.state == unconfirmed && p.kept == nil {
		p.kept = make([]string, len(p.at))
		var id []byte
		for k, i := range p.at {
			id = d.AppendID(id[:0], int(i))
			p.kept[k] = string(id)
		}
	}
	p.head, p.tail, p.maxCount, p.active = none, none, 0, false
}

// present prepares a kept batch for a delivery: none of its records is known to be in it.
func (p *partition) present() {
	p.at = p.at[:0]
	for range p.kept {
		p.at = append(p.at, none)
	}
}
