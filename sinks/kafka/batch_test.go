package kafka

import (
	"fmt"
	"testing"

	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

var allCompressions = []Compression{
	CompressionNone, CompressionGzip, CompressionSnappy, CompressionLZ4, CompressionZstd,
}

// Making a batch of events allocates nothing.
func TestBatchAllocates(t *testing.T) {
	events := sinktest.NewSource(2, 50).Take(500)
	for _, content := range []Content{ContentBinary, ContentStructured} {
		e := newEncoder(content)
		var (
			b producer.Batch
			z producer.Compressor
		)
		fill := func() {
			b.Reset(compressions[CompressionNone])
			for i := range events {
				b.Add(e.encode(&events[i]))
			}
			if err := b.Seal(&z); err != nil {
				t.Fatal(err)
			}
			b.Sign(client.ProducerID{ID: 1}, 0)
		}
		fill()
		if n := testing.AllocsPerRun(10, fill); n > 0 {
			t.Errorf("%s: a batch of %d events allocates %v times, want 0", content, len(events), n)
		}
	}
}

// BenchmarkBatch measures the making of a batch of 500 events.
func BenchmarkBatch(b *testing.B) {
	events := sinktest.NewSource(20, 2000).Take(500)
	for _, content := range []Content{ContentBinary, ContentStructured} {
		for _, c := range allCompressions {
			b.Run(fmt.Sprintf("%s/%s", content, c), func(b *testing.B) {
				e := newEncoder(content)
				var (
					batch producer.Batch
					z     producer.Compressor
				)
				b.ReportAllocs()
				for b.Loop() {
					batch.Reset(compressions[c])
					for i := range events {
						batch.Add(e.encode(&events[i]))
					}
					if err := batch.Seal(&z); err != nil {
						b.Fatal(err)
					}
					batch.Sign(client.ProducerID{ID: 1}, 0)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
				b.ReportMetric(float64(len(batch.Wire()))/float64(len(events)), "wire-bytes/event")
			})
		}
	}
}
