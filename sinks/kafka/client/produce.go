package client

import (
	"bytes"
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// acksAll asks for the acknowledgement of all in-sync replicas.
const acksAll = -1

// Batch is a finished record batch for one partition, and what the broker answers.
type Batch struct {
	Topic     string
	Partition int32
	// Wire is the batch with its length in front, as in a produce request.
	Wire []byte

	// Answer and Message are set by [Cluster.Produce].
	Answer  Code
	Message string
}

// Produce is a request with batches of different partitions. Batches of one topic stand
// side by side. The memory is reused from request to request.
type Produce struct {
	Batches []Batch

	readers []bytes.Reader
	request rawproduce.Request
}

// Produce sends batches on one connection of a node and waits for the acknowledgement of
// all in-sync replicas. After an error the batches may have been stored, if sent is set.
// Without an error, each batch has its answer.
func (c *Cluster) Produce(ctx context.Context, s Socket, p *Produce) (sent bool, err error) {
	p.fill(int32(c.cfg.brokerTimeout().Milliseconds()))
	m, sent, err := c.pool.ask(ctx, s, &p.request)
	if err != nil {
		return sent, err
	}
	answer, ok := m.(*produce.Response)
	if !ok {
		return true, fmt.Errorf("unexpected answer %T", m)
	}
	for i := range p.Batches {
		p.Batches[i].Answer, p.Batches[i].Message = CodeUnknown, "no answer for it"
	}
	for _, t := range answer.Topics {
		for i := range t.Partitions {
			a := &t.Partitions[i]
			if b := p.find(t.Topic, a.Partition); b != nil {
				b.Answer, b.Message = Code(a.ErrorCode), a.ErrorMessage
			}
		}
	}
	return true, nil
}

// fill makes the request.
func (p *Produce) fill(timeout int32) {
	if cap(p.readers) < len(p.Batches) {
		p.readers = make([]bytes.Reader, len(p.Batches))
	}
	p.readers = p.readers[:len(p.Batches)]
	topics := p.request.Topics[:0]
	for i := range p.Batches {
		b := &p.Batches[i]
		if i == 0 || b.Topic != p.Batches[i-1].Topic {
			if len(topics) < cap(topics) {
				topics = topics[:len(topics)+1]
			} else {
				topics = append(topics, rawproduce.RequestTopic{})
			}
			t := &topics[len(topics)-1]
			t.Topic, t.Partitions = b.Topic, t.Partitions[:0]
		}
		p.readers[i].Reset(b.Wire)
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, rawproduce.RequestPartition{
			Partition: b.Partition, RecordSet: protocol.RawRecordSet{Reader: &p.readers[i]},
		})
	}
	p.request = rawproduce.Request{Acks: acksAll, Timeout: timeout, Topics: topics}
}

// find returns the batch for a partition, or nil.
func (p *Produce) find(topic string, partition int32) *Batch {
	for i := range p.Batches {
		if b := &p.Batches[i]; b.Partition == partition && b.Topic == topic {
			return b
		}
	}
	return nil
}
