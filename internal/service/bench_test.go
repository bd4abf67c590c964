package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/sinks/nats"
)

// benchRound is how many events one round brings from the firehose to NATS.
const benchRound = 100_000

// benchChunk is how many events the firehose makes at a time. It makes the next when the
// registry has recorded most of them: flat out, it is faster than a disk can sync, and
// what does not fit into the connection's queue is lost and declared.
const benchChunk = 4000

// bareBatch is how many messages the bare publisher commits at a time: about as many as a
// pump delivers at a time.
const bareBatch = 1000

// BenchmarkEndToEnd brings events from a firehose, which is a libvirtd's protocol on a
// unix socket, through the driver, the registry, the journal with its fsyncs and the sink
// to a NATS server in this process, and compares with a bare publisher that publishes the
// same messages, read back from the server, by the same scheme: fast-ingest batches for
// JetStream, plain publishing for core NATS. They take turns in one run. "ratio" is
// virtcast's rate over the bare publisher's, the median of the rounds.
func BenchmarkEndToEnd(b *testing.B) {
	b.Run("jetstream", func(b *testing.B) { benchmarkEndToEnd(b, nats.ModeJetStream) })
	b.Run("core", func(b *testing.B) { benchmarkEndToEnd(b, nats.ModeCore) })
}

// benchBus is the NATS side: it counts what arrives, and is the bare publisher.
type benchBus struct {
	nc       *natsgo.Conn
	js       jetstream.JetStream
	mode     nats.Mode
	received atomic.Int64
	messages []*natsgo.Msg // a round, as it arrived
	keep     atomic.Bool
	rounds   int
}

func benchmarkEndToEnd(b *testing.B, mode nats.Mode) {
	srv := benchServer(b)
	bus := newBenchBus(b, srv.ClientURL(), mode)
	hypervisor := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	b.Cleanup(hypervisor.Close)
	sink := config.Sink{Name: "bus", NATS: &nats.Config{URL: srv.ClientURL(), Mode: mode, Create: mode == nats.ModeJetStream}}
	service := benchService(b, hypervisor, []config.Sink{sink})

	round := func() time.Duration {
		bus.reset(b)
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
		bus.await(b, benchRound)
		return time.Since(start)
	}
	bus.keep.Store(true)
	round() // warms up, and gives the bare publisher its messages
	bus.keep.Store(false)
	bus.collect(b)
	var whole, bare time.Duration
	var ratios []float64
	for b.Loop() {
		bus.reset(b)
		bus.renew()
		start := time.Now()
		bus.publish(b)
		bus.await(b, benchRound)
		bareRound := time.Since(start)
		wholeRound := round()
		whole, bare = whole+wholeRound, bare+bareRound
		ratios = append(ratios, bareRound.Seconds()/wholeRound.Seconds())
	}
	b.ReportMetric(0, "ns/op") // One op is a round of many events.
	b.ReportMetric(float64(b.N)*benchRound/whole.Seconds(), "events/s")
	b.ReportMetric(float64(b.N)*benchRound/bare.Seconds(), "bare/s")
	b.ReportMetric(median(ratios), "ratio")
}

func benchServer(b *testing.B) *server.Server {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	b.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the NATS server is not ready")
	}
	return srv
}

// benchService runs a wired virtcast until the benchmark ends. more are sinks that are
// made already.
func benchService(b *testing.B, hypervisor *libvirttest.Server, sinks []config.Sink, more ...NamedSink) *Service {
	dir := b.TempDir()
	socket := filepath.Join(dir, "sock")
	if _, err := hypervisor.Listen("unix", socket); err != nil {
		b.Fatal(err)
	}
	c := &config.Config{
		DataDir:     dir,
		Connections: []config.Connection{{Name: "kvm01", URI: "test+unix:///default?socket=" + socket}},
		Sinks:       sinks,
	}
	s, err := New(c, Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Sinks: more})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return s
}

func newBenchBus(b *testing.B, url string, mode nats.Mode) *benchBus {
	bus := &benchBus{mode: mode}
	var err error
	if bus.nc, err = natsgo.Connect(url); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bus.nc.Close)
	if bus.js, err = jetstream.New(bus.nc); err != nil {
		b.Fatal(err)
	}
	if mode == nats.ModeCore {
		sub, err := natsgo.Connect(url)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(sub.Close)
		if _, err := sub.Subscribe("*.>", bus.take); err != nil {
			b.Fatal(err)
		}
		if err := sub.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	return bus
}

// take counts a message of core NATS, which both ways pay for.
func (bus *benchBus) take(m *natsgo.Msg) {
	if bus.keep.Load() {
		bus.messages = append(bus.messages, m)
	}
	bus.received.Add(1)
}

// reset forgets the former round.
func (bus *benchBus) reset(b *testing.B) {
	bus.received.Store(0)
	if bus.mode == nats.ModeCore {
		return
	}
	for name := range bus.js.StreamNames(b.Context()).Name() {
		stream, err := bus.js.Stream(b.Context(), name)
		if err == nil {
			err = stream.Purge(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// await blocks until n messages have arrived.
func (bus *benchBus) await(b *testing.B, n int64) {
	for deadline := time.Now().Add(time.Minute); bus.count(b) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d messages arrived", bus.count(b), n)
		}
	}
}

func (bus *benchBus) count(b *testing.B) int64 {
	if bus.mode == nats.ModeCore {
		return bus.received.Load()
	}
	var n int64
	for info := range bus.js.ListStreams(b.Context()).Info() {
		n += int64(info.State.Msgs)
	}
	return n
}

// collect takes the messages of the round that has just arrived, with subjects of their
// own.
func (bus *benchBus) collect(b *testing.B) {
	if bus.mode == nats.ModeJetStream {
		bus.readStream(b)
	}
	for _, m := range bus.messages {
		m.Subject = "bare" + m.Subject[len("virt"):]
		m.Reply = ""
	}
}

func (bus *benchBus) readStream(b *testing.B) {
	all := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	consumer, err := bus.js.OrderedConsumer(b.Context(), "VIRTCAST", all)
	if err != nil {
		b.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		b.Fatal(err)
	}
	defer messages.Stop()
	for range benchRound {
		m, err := messages.Next()
		if err != nil {
			b.Fatal(err)
		}
		header := m.Headers()
		header.Set(natsgo.ExpectedStreamHdr, "BARE")
		bus.messages = append(bus.messages, &natsgo.Msg{Subject: m.Subject(), Header: header, Data: m.Data()})
	}
	stream, err := bus.js.Stream(b.Context(), "VIRTCAST")
	if err != nil {
		b.Fatal(err)
	}
	bare := stream.CachedInfo().Config
	bare.Name, bare.Subjects = "BARE", []string{"bare.>"}
	if _, err := bus.js.CreateStream(b.Context(), bare); err != nil {
		b.Fatal(err)
	}
}

// renew gives the messages new ids, as long as virtcast's: a round is published many
// times, and the stream drops what it knows.
func (bus *benchBus) renew() {
	if bus.mode == nats.ModeCore {
		return
	}
	bus.rounds++
	for i, m := range bus.messages {
		id := m.Header.Get(natsgo.MsgIdHdr)
		m.Header.Set(natsgo.MsgIdHdr, fmt.Sprintf("%0*d", len(id), bus.rounds*benchRound+i))
	}
}

// publish is the bare publisher.
func (bus *benchBus) publish(b *testing.B) {
	if bus.mode == nats.ModeCore {
		for _, m := range bus.messages {
			if err := bus.nc.PublishMsg(m); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	for first := 0; first < len(bus.messages); first += bareBatch {
		batch := bus.messages[first:min(first+bareBatch, len(bus.messages))]
		p, err := jetstreamext.NewFastPublisher(bus.js, jetstreamext.FastPublishFlowControl{
			Flow: 100, MaxOutstandingAcks: 2, AckTimeout: 5 * time.Second,
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range batch[:len(batch)-1] {
			if _, err := p.AddMsg(m); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := p.CommitMsg(b.Context(), batch[len(batch)-1]); err != nil {
			b.Fatal(err)
		}
	}
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	slices.Sort(s)
	return s[len(s)/2]
}
