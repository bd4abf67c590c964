package producer_test

import (
	"fmt"

	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// The partition of a key is the one that Kafka's Java client chooses.
func ExamplePartitionOf() {
	fmt.Println(producer.PartitionOf([]byte("6695eb01-f6a4-8304-79aa-97f2502e193f"), 12))
	// Output: 8
}

// A batch is made once, and its bytes are sent until the broker has answered.
func ExampleBatch() {
	var (
		batch      producer.Batch
		compressor producer.Compressor
	)
	batch.Reset(0) // no compression
	batch.Add(&producer.Record{Key: []byte("key"), Value: []byte("value"), Time: 1_700_000_000_000})
	batch.Add(&producer.Record{Key: []byte("key"), Value: nil, Time: 1_700_000_000_001}) // a tombstone
	if err := batch.Seal(&compressor); err != nil {
		fmt.Println(err)
		return
	}
	batch.Sign(client.ProducerID{ID: 4000, Epoch: 0}, 17)
	fmt.Println(batch.Count(), "records in", len(batch.Wire()), "bytes")
	// Output: 2 records in 90 bytes
}
