package service

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// crashPartitions is how many partitions the topic has.
const crashPartitions = 6

// awaitQuiet waits until neither the stream nor the topic has grown for two seconds.
func awaitQuiet(t *testing.T, url string, brokers []string) {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stored := func() int64 {
		stream, err := js.Stream(t.Context(), "VIRTCAST")
		if err != nil {
			t.Fatal(err)
		}
		return int64(stream.CachedInfo().State.Msgs) + topicEnd(t, brokers)
	}
	deadline := time.Now().Add(2 * lab.Patience)
	for last, since := int64(-1), time.Now(); time.Since(since) < 2*time.Second; time.Sleep(100 * time.Millisecond) {
		if n := stored(); n != last {
			last, since = n, time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatal("the stream and the topic grow without end")
		}
	}
}

// topicEnd returns how many records the topic has.
func topicEnd(t *testing.T, brokers []string) int64 {
	t.Helper()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Transport: transport, Timeout: lab.Patience}
	var ask []kafkago.OffsetRequest
	for i := range crashPartitions {
		ask = append(ask, kafkago.LastOffsetOf(i))
	}
	answer, err := client.ListOffsets(t.Context(), &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{crashTopic: ask}})
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, p := range answer.Topics[crashTopic] {
		if p.Error != nil {
			t.Fatal(p.Error)
		}
		total += p.LastOffset
	}
	return total
}

// readTopicPublished reads the topic, and checks what every reader relies on: the first
// appearances of a domain's events are in order without a hole; what appears again is
// equal; and a partition goes back to earlier events no more often than virtcast was
// started again. It returns what was published, and how many records were there again.
func readTopicPublished(t *testing.T, brokers []string, restarts int) (published map[fired]bool, repeats int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*lab.Patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(crashTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	published = make(map[fired]bool)
	sequences := make(map[uint64]string) // of the one source, with what had it
	last := make(map[schema.UUID]schema.Event)
	var newest [crashPartitions]uint64 // the last sequence of each partition
	var back [crashPartitions]int      // how often it was less than the one before
	read := int64(0)
	for end := topicEnd(t, brokers); read < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read %d of %d records: %v", read, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			e := decodeRecord(t, r)
			if e.Sequence <= newest[r.Partition] {
				back[r.Partition]++
			}
			newest[r.Partition] = e.Sequence
			before, again := sequences[e.Sequence]
			if again {
				repeats++
				if before != string(r.Value) {
					t.Fatalf("event %s appears again as another one", e.ID())
				}
				return
			}
			sequences[e.Sequence] = string(r.Value)
			if e.Kind != schema.KindLifecycle {
				return // a gap
			}
			if former, seen := last[e.Object.UUID]; seen && (e.DomainSequence != former.DomainSequence+1 || e.Object.ID <= former.Object.ID) {
				t.Fatalf("%s: event %d (domain sequence %d) after event %d (%d)",
					e.Object.Name, e.Object.ID, e.DomainSequence, former.Object.ID, former.DomainSequence)
			}
			last[e.Object.UUID] = e
			published[fired{binary.BigEndian.Uint32(e.Object.UUID[12:]), uint32(e.Object.ID)}] = true
		})
	}
	for i, n := range back {
		if n > restarts {
			t.Errorf("partition %d goes back %d times, but virtcast was started again %d times", i, n, restarts)
		}
	}
	for n := range uint64(len(sequences)) {
		if _, ok := sequences[n+1]; !ok {
			t.Fatalf("the topic has %d events, and none with sequence %d", len(sequences), n+1)
		}
	}
	return published, repeats
}

// decodeRecord decodes an event in binary mode.
func decodeRecord(t *testing.T, r *kgo.Record) schema.Event {
	t.Helper()
	headers := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	e, err := schema.DecodeBinary(func(name string) string {
		if name == "datacontenttype" {
			return headers["content-type"]
		}
		return headers["ce_"+name]
	}, r.Value)
	if err != nil {
		t.Fatalf("record %d of partition %d: %v", r.Offset, r.Partition, err)
	}
	return e
}
