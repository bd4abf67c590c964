package producer

import (
	"math"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// A sequence goes on with 0 behind 2^31 - 1, as a real broker has it.
func TestSequenceWraps(t *testing.T) {
	cluster := lab.Kafka(t, lab.KafkaOptions{})
	cluster.CreateTopic(t, lab.KafkaTopic{Name: testTopic, Partitions: 1})
	b := (&bench{t: t}).connect(cluster.Bootstrap())
	records := numbered(0, 40, 1)
	slice := func(from, to int) *plainRecords {
		return &plainRecords{keys: records.keys[from:to], rec: records.rec[from:to]}
	}
	b.all(slice(0, 1))
	id, err := b.Producer.cluster.NewProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := b.topics.byName[testTopic].partitions[0]
	p.producer, p.sequence = id, math.MaxInt32-10 // as if it had sent that many
	for i := 1; i < 40; i += 3 {
		b.all(slice(i, i+3))
	}
	checkStored(t, records, storedAt(t, cluster.Bootstrap(), 1))
	if p.producer != id || p.sequence != 28 {
		t.Errorf("producer %v has come to %d, want %v and 28", p.producer, p.sequence, id)
	}
}
