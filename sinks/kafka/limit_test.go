package kafka

import (
	"sync"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

const (
	// limitPartitions is how many partitions the topics of the benchmark have.
	limitPartitions = 12
	// limitConnections is how many connections the limit has: as many as the sink.
	limitConnections = 2
)

// limitContestant is what a broker takes at most from this machine: finished batches of
// up to 1 MB, without a producer id, sent as they are. Each connection has one request at
// a time, with half of the partitions. No client can do less.
func limitContestant(b *testing.B, cluster *lab.KafkaCluster, compression Compression, events []schema.Event) *contestant {
	topic := benchTopic(b, cluster, "limit", compression)
	batches := finishedBatches(b, compression, events)
	c := client.New(client.Config{
		Brokers: cluster.Bootstrap(), ConnectTimeout: 5 * time.Second, AckTimeout: time.Minute,
	}, client.Options{})
	b.Cleanup(c.Close)
	known, err := c.Open(b.Context(), topic)
	if err != nil {
		b.Fatal(err)
	}
	requests := make([]client.Produce, limitConnections)
	return &contestant{name: "limit", publish: func(b *testing.B) {
		var sending sync.WaitGroup
		for i := range limitConnections {
			socket := client.Socket{Node: known.Leaders[0], Number: i}
			sending.Go(func() { sendFinished(b, c, socket, &requests[i], topic, batches) })
		}
		sending.Wait()
	}}
}

// finishedBatches returns the batches of each partition.
func finishedBatches(b *testing.B, compression Compression, events []schema.Event) [][]*producer.Batch {
	batches := make([][]*producer.Batch, limitPartitions)
	var c producer.Compressor
	finish := func(made *producer.Batch) {
		if err := made.Seal(&c); err != nil {
			b.Fatal(err)
		}
		made.Sign(client.ProducerID{ID: -1, Epoch: -1}, -1)
	}
	last := func(of []*producer.Batch) *producer.Batch { return of[len(of)-1] }
	eachRecord(events, func(r *producer.Record) {
		of := &batches[producer.PartitionOf(r.Key, limitPartitions)]
		if len(*of) == 0 || last(*of).Size()+r.Size() > 1_000_000 {
			if len(*of) > 0 {
				finish(last(*of))
			}
			*of = append(*of, &producer.Batch{})
			last(*of).Reset(compressions[compression])
		}
		last(*of).Add(r)
	})
	for _, of := range batches {
		if len(of) > 0 {
			finish(last(of))
		}
	}
	return batches
}

// sendFinished sends the batches of every limitConnections-th partition, one of each at a
// time.
func sendFinished(b *testing.B, c *client.Cluster, s client.Socket, request *client.Produce, topic string, batches [][]*producer.Batch) {
	for round := 0; ; round++ {
		request.Batches = request.Batches[:0]
		for p := s.Number; p < limitPartitions; p += limitConnections {
			if round < len(batches[p]) {
				request.Batches = append(request.Batches, client.Batch{
					Topic: topic, Partition: int32(p), Wire: batches[p][round].Wire(),
				})
			}
		}
		if len(request.Batches) == 0 {
			return
		}
		if _, err := c.Produce(b.Context(), s, request); err != nil {
			b.Error(err)
			return
		}
		for _, batch := range request.Batches {
			if batch.Answer != client.CodeNone {
				b.Errorf("partition %d: %s", batch.Partition, batch.Answer.Name())
				return
			}
		}
	}
}
