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
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// A topic that is deleted and created again, with as many partitions or others, takes the
// events from then on. Events without an outcome are stored in the new topic.
func TestTopicRecreated(t *testing.T) {
	for _, partitions := range []int32{6, 2, 9} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			c := startCluster(t)
			sink := c.watch(t, func(cfg *Config) { cfg.AckTimeout = 500 * time.Millisecond })
			source := sinktest.NewSource(2, 40)
			sink.deliver(t, source.Take(200))
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
			events := source.Take(200)
			_ = sink.fails(t, events)
			if err := c.DeleteTopic(DefaultTopic); err != nil {
				t.Fatal(err)
			}
			fault.Remove()
			err := sink.fails(t, events)
			oneLine(t, err, "virt.events", "UNKNOWN_TOPIC_OR_PARTITION", "create the topic")
			if err := c.CreateTopic(DefaultTopic, partitions, nil); err != nil {
				t.Fatal(err)
			}
			sink.pump(t, events)
			events = append(events, source.Take(200)...)
			sink.deliver(t, events[200:])
			c.stores(t, events)
			known, err := sink.cluster.Open(t.Context(), DefaultTopic)
			if err != nil || len(known.Leaders) != int(partitions) {
				t.Errorf("the sink knows %v, %v; want %d partitions", known, err, partitions)
			}
		})
	}
}

// Where the configuration creates topics, one that is deleted meanwhile is created again.
func TestTopicIsCreatedAgain(t *testing.T) {
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

// A broker that has been away while partitions were added is not believed at once: events
// that are under way to them stay in order and are stored once.
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
	o := sink.try(t, events)
	oneLine(t, o.Err, "3 of 6 partitions are known")
	restore()
	sink.pump(t, open(events, o))
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
	sink.cluster.Distrust() // as after a minute
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
	asker, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer asker.Close()
	request := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, n
	request.Topics = append(request.Topics, rt)
	request.TimeoutMillis = 5000
	answer, err := request.RequestWith(t.Context(), asker)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(answer.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// A topic that is missing keeps its own events open, and no others.
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
	for range 2 {
		o := sink.try(t, events)
		for i := range events {
			if got, want := o.Open(i), events[i].Connection.Name == "kvm01"; got != want {
				t.Fatalf("event %d of %s has no outcome: %t, want %t", i, events[i].Connection.Name, got, want)
			}
		}
		oneLine(t, o.Err, "topic virt.kvm01", "UNKNOWN_TOPIC_OR_PARTITION", "create the topic, or add create: {partitions: 12}")
		events = open(events, o)
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
	tape.answer(func(s sent) (client.Code, bool) { return client.CodeMessageTooLarge, isPoison(s) })
	_ = sink.refuses(t, events, 100)
	before := len(tape.batches())
	sink.deliver(t, source.Take(300))
	if got := len(tape.batches()) - before; got != 1 {
		t.Errorf("300 events take %d batches, want 1", got)
	}
}

// A limit that is not among the topic's settings is learned.
func TestLimitIsLearned(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	tape.answer(func(s sent) (client.Code, bool) { return client.CodeMessageTooLarge, len(s.wire) > 20_000 })
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
