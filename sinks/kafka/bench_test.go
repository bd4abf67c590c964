package kafka

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

const (
	// benchRound is how many events each contestant publishes in its turn.
	benchRound = 50_000
	// benchDeliver is how many events one Deliver gets: as many as the Writer may put
	// into a batch, and twice as many as a pump brings when there is a backlog.
	benchDeliver = 10_000
	// benchWarmUp is how many turns come before those that count: a broker's virtual
	// machine compiles its code then.
	benchWarmUp = 4
)

// BenchmarkPublish compares the sink with other Go clients: franz-go's idempotent
// producer and kafka-go's Writer. All publish the same records, with the same keys,
// headers, values and times, to 12 partitions of one real broker, chosen by murmur2 as
// Java does, and wait for the acknowledgements of all in-sync replicas; a turn ends with
// the last.
//
//   - The sink gets events, as the bridge brings them, and encodes them in its turn. It
//     publishes what one Deliver brings before the next, with its default configuration.
//   - franz-go gets finished records. It is idempotent with one request in flight per
//     broker and 10 ms of linger, which are its defaults, as many records in memory as a
//     turn has, and batches of up to 1 MiB.
//   - The Writer gets finished messages, a few hundred at a time, and sends
//     asynchronously batches of up to 10,000 messages and 1 MiB, after 10 ms at the
//     latest.
//   - The limit is finished batches, sent as they are: what the broker takes at most on
//     this machine.
//
// The contestants take turns, since the speed of a machine varies, and begin in another
// order each time. The ratios are the sink's rate over the others', the medians of all
// turns. java/s is Kafka's own producer-perf-test, for scale: the same bytes without key
// and headers, whose partitions it chooses freely.
func BenchmarkPublish(b *testing.B) {
	cluster := lab.Kafka(b, lab.KafkaOptions{HeapMB: 768, Config: []string{
		// What is measured is written once and never read: it shall not fill the disk.
		"log.retention.check.interval.ms=2000", "log.segment.bytes=33554432", "log.retention.bytes=33554432", "log.segment.delete.delay.ms=500",
	}})
	for _, compression := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		b.Run(string(compression), func(b *testing.B) { benchmarkPublish(b, cluster, compression) })
	}
}

// contestant is one way to publish a round.
type contestant struct {
	name    string
	publish func(b *testing.B)
	turns   []time.Duration
}

// rate returns the median of the turns in events per second.
func (c *contestant) rate() float64 { return benchRound / median(c.turns).Seconds() }

func benchmarkPublish(b *testing.B, cluster *lab.KafkaCluster, compression Compression) {
	events := sinktest.NewSource(20, 2000).Take(benchRound)
	contestants := []*contestant{
		sinkContestant(b, cluster, compression, events),
		franzContestant(b, cluster, compression, events),
		writerContestant(b, cluster, compression, events),
		limitContestant(b, cluster, compression, events),
	}
	sink := contestants[0]
	for range benchWarmUp {
		for _, c := range contestants {
			c.publish(b)
		}
	}
	b.ResetTimer()
	for turn := 0; b.Loop(); turn++ {
		b.StopTimer()
		for i := range contestants {
			c := contestants[(turn+i)%len(contestants)]
			start := time.Now()
			if c == sink {
				b.StartTimer()
			}
			c.publish(b)
			b.StopTimer()
			c.turns = append(c.turns, time.Since(start))
		}
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(0, "ns/op") // One op is a turn of many events.
	b.ReportMetric(sink.rate(), "events/s")
	for _, other := range contestants[1:] {
		b.ReportMetric(other.rate(), other.name+"/s")
		b.ReportMetric(ratio(sink.turns, other.turns), other.name+"-ratio")
	}
	b.ReportMetric(javaRate(b, cluster, compression, events), "java/s")
}

func median[T int64 | float64 | time.Duration](v []T) T {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}

// ratio returns the median of how many times as fast a was as b in the same turn.
func ratio(a, b []time.Duration) float64 {
	var ratios []float64
	for i := range a {
		ratios = append(ratios, b[i].Seconds()/a[i].Seconds())
	}
	return median(ratios)
}

// benchTopic makes a topic of its own for a contestant.
func benchTopic(b *testing.B, cluster *lab.KafkaCluster, contestant string, compression Compression) string {
	name := contestant + "." + string(compression)
	cluster.CreateTopic(b, lab.KafkaTopic{Name: name, Partitions: limitPartitions})
	return name
}

func sinkContestant(b *testing.B, cluster *lab.KafkaCluster, compression Compression, events []schema.Event) *contestant {
	sink := newSink(b, Config{
		Brokers: cluster.Bootstrap(), Topic: benchTopic(b, cluster, "sink", compression), Compression: compression,
	})
	return &contestant{name: "sink", publish: func(b *testing.B) {
		for chunk := range slices.Chunk(events, benchDeliver) {
			stored := 0
			err := sink.Deliver(b.Context(), chunk, func(_ int, err error) {
				if err == nil {
					stored++
				}
			})
			if stored != len(chunk) || err != nil {
				b.Fatalf("Deliver stored %d of %d, %v", stored, len(chunk), err)
			}
		}
	}}
}

func franzContestant(b *testing.B, cluster *lab.KafkaCluster, compression Compression, events []schema.Event) *contestant {
	codec := map[Compression]kgo.CompressionCodec{
		CompressionNone: kgo.NoCompression(), CompressionLZ4: kgo.Lz4Compression(), CompressionZstd: kgo.ZstdCompression(),
	}[compression]
	client, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.Bootstrap()...), kgo.DefaultProduceTopic(benchTopic(b, cluster, "franz", compression)),
		kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(benchRound), kgo.ProducerBatchMaxBytes(1<<20-4096),
	)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	var records []*kgo.Record
	eachRecord(events, func(r *producer.Record) {
		k := &kgo.Record{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value), Timestamp: time.UnixMilli(r.Time)}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Name, Value: slices.Clone(h.Value)})
		}
		records = append(records, k)
	})
	return &contestant{name: "franz", publish: func(b *testing.B) {
		var stored atomic.Int64
		for _, r := range records {
			client.Produce(b.Context(), r, func(_ *kgo.Record, err error) {
				if err == nil {
					stored.Add(1)
				}
			})
		}
		if err := client.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if n := stored.Load(); n != benchRound {
			b.Fatalf("franz-go stored %d of %d records", n, benchRound)
		}
	}}
}

func writerContestant(b *testing.B, cluster *lab.KafkaCluster, compression Compression, events []schema.Event) *contestant {
	var (
		stored sync.WaitGroup
		failed atomic.Pointer[error]
	)
	transport := &kafkago.Transport{}
	w := &kafkago.Writer{
		Addr: kafkago.TCP(cluster.Bootstrap()...), Topic: benchTopic(b, cluster, "writer", compression), Balancer: kafkago.Murmur2Balancer{},
		RequiredAcks: kafkago.RequireAll, Async: true, BatchSize: 10_000, BatchBytes: 1<<20 - 4096, BatchTimeout: 10 * time.Millisecond,
		Compression: compressions[compression], Transport: transport,
		Completion: func(messages []kafkago.Message, err error) {
			if err != nil {
				failed.Store(&err)
			}
			stored.Add(-len(messages))
		},
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Error(err)
		}
		transport.CloseIdleConnections()
	})
	var messages []kafkago.Message
	eachRecord(events, func(r *producer.Record) {
		m := kafkago.Message{Key: slices.Clone(r.Key), Value: slices.Clone(r.Value), Time: time.UnixMilli(r.Time)}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafkago.Header{Key: h.Name, Value: slices.Clone(h.Value)})
		}
		messages = append(messages, m)
	})
	return &contestant{name: "writer", publish: func(b *testing.B) {
		stored.Add(len(messages))
		for chunk := range slices.Chunk(messages, 500) {
			if err := w.WriteMessages(b.Context(), chunk...); err != nil {
				b.Fatal(err)
			}
		}
		stored.Wait()
		if err := failed.Load(); err != nil {
			b.Fatal(*err)
		}
	}}
}

// eachRecord calls do with the record of each event, which is valid until do returns.
func eachRecord(events []schema.Event, do func(*producer.Record)) {
	e := newEncoder(ContentBinary)
	for i := range events {
		do(e.encode(&events[i]))
	}
}

// javaRate returns what Kafka's own measuring tool gets, in records per second.
func javaRate(b *testing.B, cluster *lab.KafkaCluster, compression Compression, events []schema.Event) float64 {
	var payloads strings.Builder
	for i := range events[:10_000] {
		payloads.Write(schema.AppendJSON(nil, &events[i])) // about as long as the headers and the value
		payloads.WriteByte('\n')
	}
	file := filepath.Join(b.TempDir(), "payloads")
	if err := os.WriteFile(file, []byte(payloads.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	out := cluster.Measure(b, "org.apache.kafka.tools.ProducerPerformance",
		"--topic", benchTopic(b, cluster, "java", compression), "--num-records", strconv.Itoa(10*benchRound), "--throughput", "-1", "--payload-file", file,
		"--producer-props", "bootstrap.servers="+strings.Join(cluster.Bootstrap(), ","), "acks=all", "compression.type="+string(compression),
		"batch.size=1044480", "linger.ms=10")
	found := regexp.MustCompile(`(?m)^\d+ records sent, ([\d.]+) records/sec`).FindAllStringSubmatch(out, -1)
	if len(found) == 0 {
		b.Fatalf("the tool says nothing that is understood: %s", out)
	}
	rate, err := strconv.ParseFloat(found[len(found)-1][1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}
