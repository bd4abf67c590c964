package kafka

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// maxRequest is the size, before compression, from which on a request takes no more batches. It is small enough for there
// to be others to make while the broker is busy with it, and large enough for their number not to matter.
const maxRequest = 1 << 20

// acksAll asks for the acknowledgement of all in-sync replicas.
const acksAll = -1

// lanesPerBroker is how many lanes share the partitions of a broker. A broker does one request of a connection at a time, to
// the last replica's acknowledgement; with two, it has another to do while the replicas, or this client, are busy.
const lanesPerBroker = 2

// lane sends what is on its way to some of the partitions that one broker leads: one request at a time, with one batch of
// some of them. While the broker is at it, the batches of others are made. The partitions are nobody else's while
// the lane runs.
type lane struct {
	producer   *producer
	socket     socket
	partitions []*partition
	encoder    *encoder
	compressor compressor

	// sending are the partitions in the request that is under way, coming those in the next. turn counts the
	// partitions that were looked at, so that each has its turn.
	sending, coming []*partition
	turn            int
	readers         []bytes.Reader
	request         rawproduce.Request
	// err is why the broker could not be asked, or a batch not be made.
	err error
}

// run sends until nothing is left, or nothing more can be sent in this round.
func (l *lane) run(ctx context.Context) {
	l.coming = l.coming[:0]
	for l.err = l.collect(); l.err == nil && len(l.coming) > 0; {
		l.sending, l.coming = l.coming, l.sending[:0]
		l.err = l.send(ctx)
		for _, part := range l.sending {
			part.sending = false
		}
		if l.err == nil && len(l.coming) == 0 {
			l.err = l.collect() // There may be more for the same partitions.
		}
	}
}

// collect chooses the batches of the next request among the partitions that are not in the present one, and makes those that are not
// made yet.
func (l *lane) collect() error {
	p := l.producer
	size := 0
	for range l.partitions {
		part := l.partitions[l.turn%len(l.partitions)]
		l.turn++
		if part.stopped != nil || part.sending {
			continue
		}
		if !part.pending {
			ok, err := part.build(&p.cfg, p.cargo, p.next, l.encoder, &l.compressor)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
		}
		l.coming = append(l.coming, part)
		if size += part.batch.size(); size >= maxRequest {
			break
		}
	}
	return nil
}

// send sends the request, makes the batches of the next one, and takes in the answer.
func (l *lane) send(ctx context.Context) error {
	for _, part := range l.sending {
		part.sending = true
	}
	l.makeRequest()
	var (
		asking sync.WaitGroup
		m      protocol.Message
		sent   bool
		err    error
	)
	asking.Go(func() { m, sent, err = l.producer.cluster.ask(ctx, l.socket, &l.request) })
	making := l.collect()
	asking.Wait()
	if err != nil {
		for _, part := range l.sending {
			part.doubtful = part.doubtful || sent
		}
		return err
	}
	answer, ok := m.(*produce.Response)
	if !ok {
		return fmt.Errorf("unexpected answer %T", m)
	}
	l.producer.metrics.requests.Inc()
	for _, part := range l.sending {
		// A partition that the answer says nothing of is asked about again.
		part.stopped = &codeError{code: codeUnknown, what: part.String(), message: "no answer for it"}
	}
	for _, t := range answer.Topics {
		for i := range t.Partitions {
			if part := l.find(t.Topic, t.Partitions[i].Partition); part != nil {
				l.handle(part, &t.Partitions[i])
			}
		}
	}
	return making
}

// makeRequest puts the batches into a request, one topic after the other.
func (l *lane) makeRequest() {
	if cap(l.readers) < len(l.sending) {
		l.readers = make([]bytes.Reader, len(l.sending))
	}
	l.readers = l.readers[:len(l.sending)]
	slices.SortStableFunc(l.sending, func(a, b *partition) int { return strings.Compare(a.topic.name, b.topic.name) })
	topics := l.request.Topics[:0]
	var last *topic
	for i, part := range l.sending {
		if part.topic != last {
			last = part.topic
			if len(topics) < cap(topics) {
				topics = topics[:len(topics)+1]
			} else {
				topics = append(topics, rawproduce.RequestTopic{})
			}
			t := &topics[len(topics)-1]
			t.Topic, t.Partitions = last.name, t.Partitions[:0]
		}
		l.readers[i].Reset(part.batch.wire)
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, rawproduce.RequestPartition{
			Partition: part.id, RecordSet: protocol.RawRecordSet{Reader: &l.readers[i]},
		})
	}
	l.request = rawproduce.Request{
		Acks: acksAll, Timeout: int32(l.producer.cluster.brokerTimeout().Milliseconds()), Topics: topics,
	}
}

func (l *lane) find(topic string, id int32) *partition {
	for _, part := range l.sending {
		if part.id == id && part.topic.name == topic {
			return part
		}
	}
	return nil
}

// handle takes in the answer for one partition.
func (l *lane) handle(part *partition, answer *produce.ResponsePartition) {
	c := code(answer.ErrorCode)
	r := c.lookup()
	err := &codeError{code: c, what: part.String(), message: answer.ErrorMessage}
	if c != codeNone {
		l.producer.metrics.errors.WithLabelValues(r.name).Inc()
	}
	if c == codeCorrupt {
		if part.corrupt++; part.corrupt >= maxCorrupt {
			r.verdict = split
		}
	}
	part.stopped = nil
	switch r.verdict {
	case stored:
		l.producer.acknowledged(part)
	case retry:
		part.doubtful, part.stopped = true, err
	case renew:
		part.renew, part.stopped = true, err
	case split:
		if n := part.refuse(l.producer.next, err); n > 0 {
			l.producer.mayRepeat(part, n, err)
			part.stopped = err
		}
	case operator:
		part.stopped, part.fatal = err, true
	}
}

// outcome returns why the lane stopped, or nil when it has nothing left to send.
func (l *lane) outcome() (err error, fatal bool) { //nolint:revive // The flag belongs to the error.
	for _, part := range l.partitions {
		if part.stopped != nil && (err == nil || part.fatal && !fatal) {
			err, fatal = part.stopped, part.fatal
		}
	}
	if err == nil {
		err, fatal = l.err, isFatal(l.err)
	}
	return err, fatal
}
