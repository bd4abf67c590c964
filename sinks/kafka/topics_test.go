package kafka

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// A topic that is deleted and made anew, with as many partitions or others, takes what comes then. What was under way is
// stored in the new one.
func TestTopicMadeAnew(t *testing.T) {
	for _, partitions := range []int32{6, 2, 9} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			c := startCluster(t)
			sink := c.watch(t, func(cfg *Config) { cfg.AckTimeout = 500 * time.Millisecond })
			source := sinktest.NewSource(2, 40)
			sink.deliver(t, source.Take(200))
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
			events := source.Take(200)
			if n, err := sinktest.Prefix(t.Context(), sink, events); n != 0 || err == nil {
				t.Fatalf("Deliver = %d, %v", n, err)
			}
			if err := c.DeleteTopic(DefaultTopic); err != nil {
				t.Fatal(err)
			}
			fault.Remove()
			n, err := sinktest.Prefix(t.Context(), sink, events)
			if n != 0 || sinktest.IsPermanent(err) {
				t.Fatalf("Deliver without a topic = %d, %v, want 0 and a transient error", n, err)
			}
			oneLine(t, err, "virt.events", "UNKNOWN_TOPIC_OR_PARTITION", "create the topic")
			if err := c.CreateTopic(DefaultTopic, partitions, nil); err != nil {
				t.Fatal(err)
			}
			sink.pump(t, events)
			events = append(events, source.Take(200)...)
			sink.deliver(t, events[200:])
			c.stores(t, events)
			if got := len(sink.cluster.topics[DefaultTopic].partitions); got != int(partitions) {
				t.Errorf("the sink knows %d partitions, want %d", got, partitions)
			}
		})
	}
}

// Where the configuration makes topics, one that is deleted meanwhile is made again.
func TestTopicIsMadeAgain(t *testing.T) {
	c := startCluster(t)
	sink := c.watch(t, func(cfg *Config) { cfg.Create = &CreateConfig{Partitions: 6} })
	source := sinktest.NewSource(1, 20)
	sink.deliver(t, source.Take(100))
	if err := c.DeleteTopic(DefaultTopic); err != nil {
		t.Fatal(err)
	}
	events := source.Take(100)
	sink.pump(t, events)
	c.stores(t, events)
}

// A broker that has been away while partitions were added is not believed at once: what is under way to them stays in order
// and is stored once.
func TestStaleMetadata(t *testing.T) {
	c := startCluster(t)
	sink := c.watch(t)
	source := sinktest.NewSource(1, 40)
	all := source.Take(200)
	sink.deliver(t, all)
	restore := c.answerMetadata(t, func(m *kmsg.MetadataResponse) {
		m.Topics[0].Partitions = slices.DeleteFunc(m.Topics[0].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool {
			return p.Partition >= 3
		})
	})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend}) // stored, in truth
	events := source.Take(200)
	all = append(all, events...)
	n, err := sinktest.Prefix(t.Context(), sink, events)
	if n == len(events) || sinktest.IsPermanent(err) {
		t.Fatalf("Deliver = %d, %v, want a transient error", n, err)
	}
	oneLine(t, err, "3 of 6 partitions are known")
	restore()
	sink.pump(t, events[n:])
	c.stores(t, all)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}

// Partitions that are added are used once the metadata are refreshed.
func TestPartitionsAdded(t *testing.T) {
	c := startCluster(t)
	sink := c.watch(t)
	source := sinktest.NewSource(1, 60)
	sink.deliver(t, source.Take(300))
	addPartitions(t, c.ListenAddrs(), DefaultTopic, 12)
	sink.cluster.refreshed = time.Now().Add(-2 * metadataAge)
	sink.deliver(t, source.Take(300))
	records := c.records(t, DefaultTopic)
	stored := 0
	for p, r := range records {
		stored += len(r)
		if p >= 6 && len(r) == 0 {
			t.Errorf("partition %d has no record", p)
		}
	}
	if len(records) != 12 || stored != 600 {
		t.Errorf("%d records in %d partitions, want 600 in 12", stored, len(records))
	}
}

func addPartitions(t testing.TB, brokers []string, topic string, n int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, n
	request.Topics = append(request.Topics, rt)
	request.TimeoutMillis = 5000
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(answer.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// Events before the first whose topic is missing are delivered.
func TestOneOfTheTopicsIsMissing(t *testing.T) {
	c := startCluster(t, kfake.SeedTopics(2, "virt.kvm00"))
	sink := c.watch(t, func(cfg *Config) { cfg.Topic = "virt.{connection}" })
	events := sinktest.NewSource(2, 20).Take(40)
	slices.SortStableFunc(events, func(a, b schema.Event) int {
		if a.Connection.Name < b.Connection.Name {
			return -1
		}
		return 1
	})
	first := slices.IndexFunc(events, func(e schema.Event) bool { return e.Connection.Name == "kvm01" })
	for range 2 {
		n, err := sinktest.Prefix(t.Context(), sink, events)
		if n != first {
			t.Fatalf("Deliver = %d, %v, want %d", n, err, first)
		}
		oneLine(t, err, "topic virt.kvm01", "UNKNOWN_TOPIC_OR_PARTITION", "create the topic, or add create: {partitions: 12}")
		events, first = events[n:], 0
	}
	if err := c.CreateTopic("virt.kvm01", 2, nil); err != nil {
		t.Fatal(err)
	}
	sink.deliver(t, events)
	for _, topic := range []string{"virt.kvm00", "virt.kvm01"} {
		if got := len(c.events(t, topic)); got != 20 {
			t.Errorf("%s has %d events, want 20", topic, got)
		}
	}
}

// A record that is too large does not make the batches behind it small.
func TestLimitIsForgotten(t *testing.T) {
	c := startCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, DefaultTopic))
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	events := source.Take(300)
	poison(events, 100)
	tape.answer(func(s sent) (code, bool) { return codeMessageTooLarge, isPoison(s) })
	n, err := sinktest.Prefix(t.Context(), sink, events)
	if n != 100 || !sinktest.IsPermanent(err) {
		t.Fatalf("Deliver = %d, %v, want 100 and a permanent error", n, err)
	}
	sink.deliver(t, events[101:])
	before := len(tape.batches())
	sink.deliver(t, source.Take(300))
	if got := len(tape.batches()) - before; got != 1 {
		t.Errorf("300 events take %d batches, want 1", got)
	}
}

// A limit that nobody told of is learned.
func TestLimitIsLearned(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	tape.answer(func(s sent) (code, bool) { return codeMessageTooLarge, len(s.wire) > 20_000 })
	events := source.Take(300)
	sink.deliver(t, events)
	before := len(tape.batches())
	more := source.Take(300)
	sink.deliver(t, more)
	for _, b := range tape.batches()[before:] {
		if len(b.wire) > 20_000 {
			t.Errorf("a batch of %d bytes was sent again", len(b.wire))
		}
	}
	c.stores(t, append(events, more...))
}
