package kafka

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// cpuWindow is how many events a Deliver brings: about as many as a pump brings at a
// time.
const cpuWindow = 2000

// BenchmarkCPU compares the processor time of this process per event, and the throughput,
// of the sink and of kgoSink. Both encode the same events and publish them to a real
// broker in windows of cpuWindow, in turns. Processor time depends little on what else
// the machine does.
func BenchmarkCPU(b *testing.B) {
	cluster := lab.Kafka(b, lab.KafkaOptions{HeapMB: 768, Config: []string{
		"log.retention.check.interval.ms=2000", "log.segment.bytes=33554432", "log.retention.bytes=33554432", "log.segment.delete.delay.ms=500",
	}})
	events := sinktest.NewSource(20, 2000).Take(benchRound)
	kgoCfg := Config{Brokers: cluster.Bootstrap(), Topic: benchTopic(b, cluster, "kgo", CompressionNone)}
	oracle, err := newKgoSink(kgoCfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = oracle.Close() })
	contestants := []struct {
		name string
		sink connector
		cpu  []time.Duration
		wall []time.Duration
	}{
		{name: "sink", sink: newSink(b, Config{Brokers: cluster.Bootstrap(), Topic: benchTopic(b, cluster, "own", CompressionNone)})},
		{name: "kgo", sink: oracle},
	}
	turns := 0
	turn := func() {
		for i := range contestants {
			c := &contestants[(turns+i)%len(contestants)]
			begin, used := time.Now(), processTime(b)
			for window := range slices.Chunk(events, cpuWindow) {
				stored := 0
				err := c.sink.Deliver(context.Background(), window, func(int, error) { stored++ })
				if stored != len(window) || err != nil {
					b.Fatalf("%s stored %d of %d events: %v", c.name, stored, len(window), err)
				}
			}
			c.cpu, c.wall = append(c.cpu, processTime(b)-used), append(c.wall, time.Since(begin))
		}
		turns++
	}
	for range 2 { // warms up
		turn()
	}
	for i := range contestants {
		contestants[i].cpu, contestants[i].wall = nil, nil
	}
	for b.Loop() {
		turn()
	}
	b.ReportMetric(0, "ns/op") // One op is a turn of many events.
	for i := range contestants {
		c := &contestants[i]
		b.ReportMetric(float64(median(c.cpu).Nanoseconds())/1000/benchRound, c.name+"-cpu-µs/event")
		b.ReportMetric(benchRound/median(c.wall).Seconds(), c.name+"-events/s")
	}
}

// processTime is the processor time that this process has used.
func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
