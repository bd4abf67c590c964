package nats

import (
	"fmt"
	"slices"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// benchBatch is how many events one Deliver gets.
const benchBatch = 500

// BenchmarkPublish compares the sink with a bare publisher of the same messages, encoded
// in advance, by the same scheme. They take turns within one run, round by round, since
// the machine's speed varies; "ratio" is the sink's rate over the bare one's.
func BenchmarkPublish(b *testing.B) {
	for _, content := range []Content{ContentStructured, ContentBinary} {
		b.Run("batch/"+string(content), func(b *testing.B) {
			benchmarkPublish(b, Config{Content: content}, true, bareFastIngest)
		})
		b.Run("lanes/"+string(content), func(b *testing.B) {
			benchmarkPublish(b, Config{Content: content}, false, bareAsync)
		})
		b.Run("core/"+string(content), func(b *testing.B) {
			benchmarkPublish(b, Config{Content: content, Mode: ModeCore}, false, bareCore)
		})
	}
}

type bare func(b *testing.B, nc *natsgo.Conn, messages []natsgo.Msg)

func benchmarkPublish(b *testing.B, cfg Config, batch bool, publish bare) {
	srv := startServer(b, nil)
	nc := connectClient(b, srv.ClientURL())
	createStream(b, nc, func(c *jetstream.StreamConfig) {
		c.AllowBatchPublish, c.Duplicates, c.MaxBytes = batch, 5*time.Second, 1<<30
	})
	if cfg.Mode == ModeCore {
		js, err := jetstream.New(nc)
		if err != nil {
			b.Fatal(err)
		}
		if err := js.DeleteStream(b.Context(), "VIRTCAST"); err != nil {
			b.Fatal(err)
		}
	}
	cfg.URL = srv.ClientURL()
	sink := newSink(b, cfg)
	defer func() { _ = sink.Close() }()
	source := sinktest.NewSource(20, 2000)
	encoder := newEncoder(sink.subject, sink.cfg.Content, sink.cfg.Stream)
	deliver(b, sink, source.Take(benchBatch))
	var bareTime, sinkTime time.Duration
	var bareCount, sinkCount int
	const round = 20 * benchBatch
	for b.Loop() {
		b.StopTimer()
		var messages []natsgo.Msg
		for _, e := range source.Take(round) {
			m := *encoder.encode(&e)
			m.Data = slices.Clone(m.Data)
			h := natsgo.Header{}
			for k, v := range m.Header {
				h[k] = slices.Clone(v)
			}
			m.Header = h
			messages = append(messages, m)
		}
		start := time.Now()
		for chunk := range slices.Chunk(messages, benchBatch) {
			publish(b, nc, chunk)
		}
		bareTime += time.Since(start)
		bareCount += len(messages)
		events := source.Take(round)
		b.StartTimer()
		start = time.Now()
		for chunk := range slices.Chunk(events, benchBatch) {
			deliver(b, sink, chunk)
		}
		sinkTime += time.Since(start)
		sinkCount += len(events)
	}
	sinkRate, bareRate := float64(sinkCount)/sinkTime.Seconds(), float64(bareCount)/bareTime.Seconds()
	b.ReportMetric(0, "ns/op") // One op is a round of many events.
	b.ReportMetric(sinkRate, "events/s")
	b.ReportMetric(bareRate, "bare/s")
	b.ReportMetric(sinkRate/bareRate, "ratio")
}

func deliver(b *testing.B, sink *Sink, events []schema.Event) {
	stored := 0
	err := sink.Deliver(b.Context(), events, func(_ int, err error) {
		if err == nil {
			stored++
		}
	})
	if err != nil || stored != len(events) {
		b.Fatalf("Deliver stored %d of %d events: %v", stored, len(events), err)
	}
}

// bareFastIngest publishes one batch with the client library's extension.
func bareFastIngest(b *testing.B, nc *natsgo.Conn, messages []natsgo.Msg) {
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	p, err := jetstreamext.NewFastPublisher(js, jetstreamext.FastPublishFlowControl{
		Flow: batchFlow, MaxOutstandingAcks: batchFlows, AckTimeout: 5 * time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	last := len(messages) - 1
	for i := range messages[:last] {
		if _, err := p.AddMsg(&messages[i]); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := p.CommitMsg(b.Context(), &messages[last]); err != nil {
		b.Fatal(err)
	}
}

// bareAsync publishes with a window, without the order that lanes keep.
func bareAsync(b *testing.B, nc *natsgo.Conn, messages []natsgo.Msg) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(lanesWindow))
	if err != nil {
		b.Fatal(err)
	}
	for i := range messages {
		if _, err := js.PublishMsgAsync(&messages[i], jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	js.CleanupPublisher()
}

func bareCore(b *testing.B, nc *natsgo.Conn, messages []natsgo.Msg) {
	for i := range messages {
		if err := nc.PublishMsg(&messages[i]); err != nil {
			b.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEncode measures the making of a message.
func BenchmarkEncode(b *testing.B) {
	s, err := parseSubject(DefaultSubject)
	if err != nil {
		b.Fatal(err)
	}
	events := sinktest.NewSource(20, 2000).Take(1024)
	for _, content := range []Content{ContentStructured, ContentBinary} {
		b.Run(fmt.Sprint(content), func(b *testing.B) {
			b.ReportAllocs()
			encoder := newEncoder(s, content, "VIRTCAST")
			for i := 0; b.Loop(); i++ {
				encoder.encode(&events[i%len(events)])
			}
		})
	}
}
