package service

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// benchDeliver is how many events the bare sink gets at a time: about as many as a pump
// brings when there is a backlog.
const benchDeliver = 5000

// BenchmarkEndToEndKafka brings events from a firehose, which is a libvirtd's protocol on
// a unix socket, through the driver, the registry, the journal with its fsyncs and the
// sink to a real broker, and compares with the bare sink, which gets the same events from
// memory. They take turns in one run. "ratio" is virtcast's rate over the bare sink's,
// the median of the rounds; "deliver" is how many events the pump brought at a time.
func BenchmarkEndToEndKafka(b *testing.B) {
	cluster := lab.Kafka(b, lab.KafkaOptions{HeapMB: 768, Config: []string{
		// What is measured is written once and never read: it shall not fill the disk.
		"log.retention.check.interval.ms=2000", "log.segment.bytes=33554432", "log.retention.bytes=33554432", "log.segment.delete.delay.ms=500",
	}})
	for _, compression := range []kafka.Compression{kafka.CompressionNone, kafka.CompressionZstd} {
		b.Run(string(compression), func(b *testing.B) { benchmarkEndToEndKafka(b, cluster, compression) })
	}
}

// countedSink counts what a sink has delivered, and keeps the events of a round.
type countedSink struct {
	*kafka.Sink
	calls, delivered atomic.Int64
	keep             atomic.Bool
	kept             []schema.Event
}

// Deliver implements bridge.Sink.
func (s *countedSink) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	s.calls.Add(1)
	return s.Sink.Deliver(ctx, events, func(i int, err error) {
		outcome(i, err)
		if err != nil {
			return
		}
		if s.keep.Load() {
			e := events[i]
			connection := *e.Connection // The events are the pump's.
			e.Connection = &connection
			s.kept = append(s.kept, e)
		}
		s.delivered.Add(1)
	})
}

func benchmarkEndToEndKafka(b *testing.B, cluster *lab.KafkaCluster, compression kafka.Compression) {
	topic := func(name string) *kafka.Sink {
		name += "." + string(compression)
		cluster.CreateTopic(b, lab.KafkaTopic{Name: name, Partitions: 12})
		sink, err := kafka.New(kafka.Config{Brokers: cluster.Bootstrap(), Topic: name, Compression: compression}, kafka.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return sink
	}
	bare := topic("bare")
	b.Cleanup(func() {
		if err := bare.Close(); err != nil {
			b.Error(err)
		}
	})
	sink := &countedSink{Sink: topic("whole")}
	hypervisor := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	b.Cleanup(hypervisor.Close)
	service := benchService(b, hypervisor, nil, NamedSink{"log", sink})

	round := func() time.Duration {
		sink.delivered.Store(0)
		start := time.Now()
		for range benchRound / benchChunk {
			opts := libvirttest.FirehoseOptions{Domains: 200, Events: benchChunk}
			if _, err := hypervisor.Firehose(b.Context(), opts); err != nil {
				b.Fatal(err)
			}
			for service.registry.Stats()[0].Queued > benchChunk {
				time.Sleep(100 * time.Microsecond)
			}
		}
		for deadline := start.Add(time.Minute); sink.delivered.Load() < benchRound; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatalf("%d of %d events arrived", sink.delivered.Load(), benchRound)
			}
		}
		return time.Since(start)
	}
	publish := func() time.Duration {
		start := time.Now()
		for chunk := range slices.Chunk(sink.kept, benchDeliver) {
			if n, err := sinktest.Prefix(b.Context(), bare, chunk); n != len(chunk) || err != nil {
				b.Fatalf("Deliver = %d, %v", n, err)
			}
		}
		return time.Since(start)
	}
	sink.keep.Store(true)
	round() // warms up, and gives the bare sink its events
	sink.keep.Store(false)
	for range 2 {
		publish()
		round()
	}
	sink.calls.Store(0)
	var whole, alone, ratios []float64
	for b.Loop() {
		aloneRound := publish().Seconds()
		wholeRound := round().Seconds()
		whole, alone = append(whole, wholeRound), append(alone, aloneRound)
		ratios = append(ratios, aloneRound/wholeRound)
	}
	b.ReportMetric(0, "ns/op") // One op is a round of many events.
	b.ReportMetric(benchRound/median(whole), "events/s")
	b.ReportMetric(benchRound/median(alone), "bare/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(len(ratios))*benchRound/float64(sink.calls.Load()), "deliver")
}
