package kafka

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// limitPartitions is how many partitions the topics of the benchmark have.
const limitPartitions = 12

// limitContestant is what a broker takes at most from this machine: finished batches of up to 1 MB, without a producer id, sent
// as they are on as many connections as the sink has, one request with half of the partitions at a time on each. No client can do
// less.
func limitContestant(b *testing.B, cluster *lab.KafkaCluster, compression Compression, events []schema.Event) *contestant {
	topic := benchTopic(b, cluster, "limit", compression)
	batches := finishedBatches(b, compression, events)
	cfg := Config{}.WithDefaults()
	var links []*link
	for range lanesPerBroker {
		l, err := dial(b.Context(), &cfg, cluster.Bootstrap()[0])
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(l.close)
		links = append(links, l)
	}
	return &contestant{name: "limit", publish: func(b *testing.B) {
		var sending sync.WaitGroup
		for i, l := range links {
			sending.Go(func() { sendFinished(b, l, topic, batches, i) })
		}
		sending.Wait()
	}}
}

// finishedBatches returns the batches of each partition.
func finishedBatches(b *testing.B, compression Compression, events []schema.Event) [][]*batch {
	batches := make([][]*batch, limitPartitions)
	var c compressor
	finish := func(made *batch) {
		if err := made.seal(&c); err != nil {
			b.Fatal(err)
		}
		made.sign(producerID{-1, -1}, -1)
	}
	last := func(of []*batch) *batch { return of[len(of)-1] }
	eachRecord(events, func(r *record) {
		of := &batches[partitionOf(r.key, limitPartitions)]
		if len(*of) == 0 || last(*of).size()+recordSize(r) > 1_000_000 {
			if len(*of) > 0 {
				finish(last(*of))
			}
			*of = append(*of, &batch{})
			last(*of).reset(codes[compression])
		}
		last(*of).add(r)
	})
	for _, of := range batches {
		if len(of) > 0 {
			finish(last(of))
		}
	}
	return batches
}

// sendFinished sends every lanesPerBroker-th partition's batches, one of each at a time.
func sendFinished(b *testing.B, l *link, topic string, batches [][]*batch, first int) {
	for round, sent := 0, true; sent; round++ {
		request := rawproduce.Request{Acks: acksAll, Timeout: int32(time.Minute.Milliseconds()), Topics: []rawproduce.RequestTopic{{Topic: topic}}}
		partitions := &request.Topics[0].Partitions
		for p := first; p < limitPartitions; p += lanesPerBroker {
			if round < len(batches[p]) {
				*partitions = append(*partitions, rawproduce.RequestPartition{
					Partition: int32(p), RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(batches[p][round].wire)},
				})
			}
		}
		if sent = len(*partitions) > 0; !sent {
			return
		}
		answer, err := l.roundTrip(b.Context(), time.Minute, &request)
		if err != nil {
			b.Error(err)
			return
		}
		for _, t := range answer.(*produce.Response).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					b.Errorf("partition %d: error code %d", p.Partition, p.ErrorCode)
					return
				}
			}
		}
	}
}
