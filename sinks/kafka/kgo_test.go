package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// kgoSink is a sink on franz-go's producer. It is the oracle of package producer: it
// keeps the same contract, passes the same suite, and stores the same records. docs/adr
// has the reasons why the sink has a producer of its own, and what kgoSink would lack as
// a sink.
//
// kgo keeps a record until it knows its fate, whatever Deliver does meanwhile. So kgoSink
// gives kgo each event once, and remembers by the event's id what kgo has.
type kgoSink struct {
	client   *kgo.Client
	patience time.Duration // without any progress
	delivery delivery
	encoder  producer.Encoder
	closed   atomic.Bool

	mu       sync.Mutex // guards the fields below
	fates    map[string]*fate
	progress chan struct{} // closed and replaced with each fate that is decided
}

// fate is what became of a record that kgo was given.
type fate struct {
	decided bool
	err     error
}

func newKgoSink(cfg Config) (*kgoSink, error) {
	cfg = cfg.WithDefaults()
	topic, err := parseTopic(cfg.Topic)
	if err != nil {
		return nil, err
	}
	s := &kgoSink{
		patience: cfg.AckTimeout, delivery: delivery{topic: topic, content: cfg.Content},
		fates: map[string]*fate{}, progress: make(chan struct{}),
	}
	s.encoder = s.delivery.encoder()
	s.client, err = kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(1<<20), kgo.MetadataMinAge(50*time.Millisecond), kgo.ManualFlushing(),
		kgo.MaxProduceRequestsInflightPerBroker(1), kgo.UnknownTopicRetries(3),
		kgo.ProduceRequestTimeout(cfg.AckTimeout), kgo.RequestTimeoutOverhead(cfg.AckTimeout),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	return s, err
}

// Connect implements bridge.Connector.
func (s *kgoSink) Connect(ctx context.Context) error { return s.client.Ping(ctx) }

// Close ends the client.
func (s *kgoSink) Close() error {
	s.closed.Store(true)
	s.client.Close()
	return nil
}

// Deliver implements bridge.Sink.
func (s *kgoSink) Deliver(ctx context.Context, events []schema.Event, outcome func(int, error)) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.delivery.begin(events)
	status := make([]producer.Status, len(events))
	for {
		ready := s.delivery.Next(nil, status)
		if len(ready) == 0 {
			break
		}
		for _, i := range ready {
			status[i] = producer.Sending
			s.produce(i) //nolint:contextcheck // kgo keeps a record for longer than a call.
		}
		s.await(ctx, ready)
		for _, i := range ready {
			s.settle(ctx, i, status, outcome)
		}
	}
	open := 0
	for _, st := range status {
		if st != producer.Settled {
			open++
		}
	}
	switch {
	case open == 0:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%d of %d events are not stored within %s", open, len(events), s.patience)
}

func (s *kgoSink) id(i int32) string { return string(s.delivery.AppendID(nil, int(i))) }

// produce gives an event to kgo, unless kgo has it.
func (s *kgoSink) produce(i int32) {
	id := s.id(i)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fates[id] != nil {
		return
	}
	f := &fate{}
	s.fates[id] = f
	r := s.encoder.Encode(int(i))
	topic, _ := s.delivery.Route(int(i), nil, nil)
	record := &kgo.Record{
		Topic: string(topic), Key: []byte(string(r.Key)), Value: []byte(string(r.Value)), Timestamp: time.UnixMilli(r.Time),
	}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(string(h.Value))})
	}
	s.client.TryProduce(context.Background(), record, func(_ *kgo.Record, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.decided, f.err = true, err
		close(s.progress)
		s.progress = make(chan struct{})
	})
}

// await waits until the fates of events are decided, or none is for too long.
func (s *kgoSink) await(ctx context.Context, events []int32) {
	ctx, stop := context.WithCancel(ctx)
	var flushing sync.WaitGroup
	flushing.Go(func() { _ = s.client.Flush(ctx) }) // The fates have its error.
	defer flushing.Wait()
	defer stop()
	silent := time.NewTimer(s.patience)
	defer silent.Stop()
	for next := 0; next < len(events); {
		s.mu.Lock()
		decided, progress := s.fates[s.id(events[next])].decided, s.progress
		s.mu.Unlock()
		if decided {
			next++
			continue
		}
		select {
		case <-progress:
			silent.Reset(s.patience)
		case <-silent.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// settle gives an event its outcome, if its fate is decided. kgo fails a whole batch for
// one record: each is tried again alone, in order.
func (s *kgoSink) settle(ctx context.Context, i int32, status []producer.Status, outcome func(int, error)) {
	for alone := false; ; alone = true {
		id := s.id(i)
		s.mu.Lock()
		f := *s.fates[id]
		if f.decided {
			delete(s.fates, id)
		}
		s.mu.Unlock()
		switch {
		case !f.decided, errors.Is(f.err, kgo.ErrClientClosed):
			return
		case f.err == nil:
			outcome(int(i), nil)
		case alone && isPoisonous(f.err):
			outcome(int(i), sinks.Permanent(f.err))
		case ctx.Err() != nil:
			return
		default:
			s.produce(i) //nolint:contextcheck // kgo keeps a record for longer than a call.
			s.await(ctx, []int32{i})
			continue
		}
		status[i] = producer.Settled
		return
	}
}

func isPoisonous(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) ||
		errors.Is(err, kerr.InvalidTimestamp) || errors.Is(err, kerr.RecordListTooLarge)
}

// TestKgoConformance: a sink on franz-go's producer passes the suite.
func TestKgoConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of make quick: it takes 20 seconds")
	}
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture {
		c := startCluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}))
		f := c.fixture(c.config(), func(t *testing.T, cfg Config) connector {
			s, err := newKgoSink(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
		f.Repeats = strings.HasSuffix(t.Name(), "/restart")
		return f
	}})
}

// TestSameRecordsAsKgo: both producers store the same records in the same partitions, in
// the same order.
func TestSameRecordsAsKgo(t *testing.T) {
	source := sinktest.NewSource(3, 50)
	events := source.Take(500)
	events = append(append(events, source.Gap(1)), source.Take(500)...)
	var stored [2][]string
	for k, makeSink := range []func(cfg Config) (bridge.Sink, error){
		func(cfg Config) (bridge.Sink, error) { return New(cfg, Options{}) },
		func(cfg Config) (bridge.Sink, error) { return newKgoSink(cfg) },
	} {
		c := startCluster(t)
		s, err := makeSink(c.config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.(connector).Close() })
		if _, err := sinktest.Pump(t.Context(), s, events, 300); err != nil {
			t.Fatal(err)
		}
		for p, records := range c.records(t, DefaultTopic) {
			for _, r := range records {
				stored[k] = append(stored[k], fmt.Sprintf("%d %s %s %v %d", p, r.Key, r.Value, r.Headers, r.Timestamp.UnixMilli()))
			}
		}
	}
	if len(stored[0]) != len(events) || len(stored[1]) != len(events) {
		t.Fatalf("%d and %d records are stored, want %d", len(stored[0]), len(stored[1]), len(events))
	}
	for i := range stored[0] {
		if stored[0][i] != stored[1][i] {
			t.Fatalf("record %d is\n%s\nby the sink, and\n%s\nby kgo", i, stored[0][i], stored[1][i])
		}
	}
}
