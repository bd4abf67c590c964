package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// sent is a batch that a broker was sent.
type sent struct {
	partition int32
	wire      []byte
}

// Where the fields of a record batch are, in bytes from its beginning.
const (
	atProducerID   = 43
	atEpoch        = 51
	atBaseSequence = 53
	atCount        = 57
	atRecords      = 61
)

func (s sent) producer() client.ProducerID {
	return client.ProducerID{
		ID:    int64(binary.BigEndian.Uint64(s.wire[atProducerID:])),
		Epoch: int16(binary.BigEndian.Uint16(s.wire[atEpoch:])),
	}
}

func (s sent) sequence() int32 { return int32(binary.BigEndian.Uint32(s.wire[atBaseSequence:])) }
func (s sent) count() int      { return int(binary.BigEndian.Uint32(s.wire[atCount:])) }

// records returns the bytes that do not depend on the producer.
func (s sent) records() []byte { return s.wire[atRecords:] }

// tape records what a cluster is sent, and answers in its place.
type tape struct {
	cluster *testCluster

	mu    sync.Mutex
	sent  []sent
	reply func(s sent) (client.Code, bool) // nil, or false: the cluster answers itself
	empty int                              // how many requests are answered with nothing
}

// record begins to record the produce requests to a cluster.
func (c *testCluster) record() *tape {
	t := &tape{cluster: c}
	c.ControlKey(int16(kmsg.Produce), t.produce)
	return t
}

// produce answers a request if reply answers for any batch in it.
func (t *tape) produce(r kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // What a control looks like.
	t.cluster.KeepControl()
	request := r.(*kmsg.ProduceRequest)
	t.mu.Lock()
	defer t.mu.Unlock()
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	handled := t.empty > 0
	t.empty = max(t.empty-1, 0)
	for _, topic := range request.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = topic.Topic
		for _, p := range topic.Partitions {
			s := sent{p.Partition, bytes.Clone(p.Records)}
			t.sent = append(t.sent, s)
			if t.reply == nil || handled {
				continue
			}
			if c, ok := t.reply(s); ok {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, int16(c)
				rt.Partitions = append(rt.Partitions, rp)
			}
		}
		if len(rt.Partitions) > 0 {
			response.Topics = append(response.Topics, rt)
		}
	}
	if handled || len(response.Topics) > 0 {
		return response, nil, true
	}
	return nil, nil, false
}

// answer sets what the cluster answers from now on; nil is the truth.
func (t *tape) answer(reply func(s sent) (client.Code, bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reply = reply
}

// fail makes the next n batches be answered with c, without being stored.
func (t *tape) fail(c client.Code, n int) {
	t.answer(func(sent) (client.Code, bool) {
		n--
		return c, n >= 0
	})
}

// batches returns what was sent so far.
func (t *tape) batches() []sent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.sent)
}

// watched is a sink whose metrics can be read.
type watched struct {
	*Sink
	registry *prometheus.Registry
}

// watch returns a sink for the cluster.
func (c *testCluster) watch(t testing.TB, change ...func(*Config)) watched {
	t.Helper()
	cfg := c.config()
	for _, f := range change {
		f(&cfg)
	}
	return watchSink(t, cfg)
}

func watchSink(t testing.TB, cfg Config) watched {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	s, err := New(cfg, Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return watched{s, registry}
}

// mayRepeat is the value of the metric of events that may be stored twice.
func (w watched) mayRepeat() int { return int(testutil.ToFloat64(w.metrics.duplicates)) }

// try delivers events once, and holds the contract.
func (w watched) try(t testing.TB, events []schema.Event) *sinktest.Outcomes {
	t.Helper()
	o, err := sinktest.Deliver(t.Context(), w.Sink, events)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// deliver delivers all events, and fails the test if that does not succeed at once.
func (w watched) deliver(t testing.TB, events []schema.Event) {
	t.Helper()
	o := w.try(t, events)
	if acknowledged, _, _ := o.Count(); acknowledged != len(events) {
		t.Fatalf("Deliver acknowledged %d of %d events: %v", acknowledged, len(events), o.Err)
	}
}

// fails delivers events of which none may have an outcome, and returns why.
func (w watched) fails(t testing.TB, events []schema.Event) error {
	t.Helper()
	o := w.try(t, events)
	if _, _, open := o.Count(); open != len(events) {
		t.Fatalf("%d of %d events have no outcome (%v), want all", open, len(events), o.Err)
	}
	return o.Err
}

// refuses delivers events of which those with these indexes must be refused, and all
// others stored. It returns why the first was.
func (w watched) refuses(t testing.TB, events []schema.Event, indexes ...int) error {
	t.Helper()
	o := w.try(t, events)
	for i := range events {
		if refused := o.Refused[i] != nil; o.Open(i) || refused != slices.Contains(indexes, i) {
			t.Fatalf("event %d: no outcome %t, refused %v, reason %v; want %v refused", i, o.Open(i), o.Refused[i], o.Err, indexes)
		}
	}
	return o.Refused[indexes[0]]
}

// open returns the events without an outcome.
func open(events []schema.Event, o *sinktest.Outcomes) (without []schema.Event) {
	for i := range events {
		if o.Open(i) {
			without = append(without, events[i])
		}
	}
	return without
}

// pump delivers all events as the bridge does.
func (w watched) pump(t testing.TB, events []schema.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := sinktest.Pump(ctx, w.Sink, events, 1000); err != nil {
		t.Fatal(err)
	}
}

// stores holds that exactly these events are stored, once and in order.
func (c *testCluster) stores(t testing.TB, events []schema.Event) {
	t.Helper()
	if r := sinktest.Check(events, c.events(t, DefaultTopic)); !r.OK() {
		t.Fatalf("stored events: %+v", r)
	}
}

// oneDomain returns n events of one domain: they go to one partition.
func oneDomain(n int) []schema.Event { return sinktest.NewSource(1, 1).Take(n) }

// poison makes events[i] one that reply can recognise, see isPoison.
func poison(events []schema.Event, i int) { events[i].Object.Name = "poison" }

func isPoison(s sent) bool { return bytes.Contains(s.records(), []byte("poison")) }

// at returns the partition of an event's domain.
func at(e *schema.Event, partitions int) int32 {
	return int32(producer.PartitionOf(appendKey(nil, e), partitions))
}

// oneLine holds that an error is one line that contains all of these.
func oneLine(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	text := err.Error()
	if strings.ContainsAny(text, "\n\r") {
		t.Errorf("error of more than one line: %q", text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("error %q, want one with %q", text, part)
		}
	}
}

// single is a cluster of one broker and a topic of one partition.
func single(t testing.TB) *testCluster {
	return startCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, DefaultTopic))
}

// codes are the known codes with one of these verdicts.
func codes(of ...client.Verdict) (found []client.Code) {
	for _, c := range client.Codes() {
		if slices.Contains(of, c.Verdict()) {
			found = append(found, c)
		}
	}
	return found
}

// answerMetadata makes the cluster, or only some of its brokers, go on with the answers
// about topics that it gives now, with changes, until stop.
func (c *testCluster) answerMetadata(t testing.TB, change func(*kmsg.MetadataResponse), brokers ...int32) (stop func()) {
	t.Helper()
	// A control cannot ask the cluster that it holds up.
	asker, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer asker.Close()
	answer, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), asker)
	if err != nil {
		t.Fatal(err)
	}
	change(answer)
	stopped := atomic.Bool{}
	c.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if stopped.Load() || len(brokers) > 0 && !slices.Contains(brokers, c.CurrentNode()) {
			return nil, nil, false
		}
		c.KeepControl()
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		version := response.Version
		*response = *answer
		response.Version = version
		return response, nil, true
	})
	return func() { stopped.Store(true) }
}
