package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// TestBroker runs against a real broker, one for all of its parts.
func TestBroker(t *testing.T) {
	c := lab.Kafka(t, lab.KafkaOptions{})
	b := &realBroker{KafkaCluster: c}
	for _, part := range []struct {
		name string
		run  func(t *testing.T, b *realBroker)
	}{
		{"compression", testCompression},
		{"missing topic", testMissingTopic},
		{"create", testCreate},
		{"misfit", testMisfit},
		{"small messages", testSmallMessages},
		{"recreated", testRecreated},
		{"conformance", testConformance},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, b) })
	}
}

// realBroker is a real broker with a topic for each test.
type realBroker struct {
	*lab.KafkaCluster
	topics int
}

// topic makes a topic that nobody has used.
func (b *realBroker) topic(t *testing.T, partitions int, config map[string]string) string {
	t.Helper()
	b.topics++
	name := fmt.Sprintf("t%d", b.topics)
	b.CreateTopic(t, lab.KafkaTopic{Name: name, Partitions: partitions, Config: config})
	return name
}

// watch returns a sink for a topic.
func (b *realBroker) watch(t *testing.T, topic string, change ...func(*Config)) watched {
	t.Helper()
	cfg := Config{Brokers: b.Bootstrap(), Topic: topic}
	for _, f := range change {
		f(&cfg)
	}
	return watchSink(t, cfg)
}

// events reads a topic with franz-go.
func (b *realBroker) events(t *testing.T, topic string) []schema.Event {
	t.Helper()
	return merge(t, readRecords(t, b.Bootstrap(), topic))
}

// testCompression: the broker takes every compression in both content modes, and another
// client reads the same events.
func testCompression(t *testing.T, b *realBroker) {
	for _, content := range []Content{ContentBinary, ContentStructured} {
		for _, compression := range allCompressions {
			t.Run(fmt.Sprintf("%s/%s", content, compression), func(t *testing.T) {
				topic := b.topic(t, 3, nil)
				sink := b.watch(t, topic, func(cfg *Config) { cfg.Content, cfg.Compression = content, compression })
				source := sinktest.NewSource(2, 10)
				want := slices.Concat(source.Take(200), []schema.Event{source.Gap(0)}, source.Peculiar(), source.Take(200))
				sink.pump(t, want)
				got := b.events(t, topic)
				if r := sinktest.Check(want, got); !r.OK() {
					t.Fatalf("stored events: %+v", r)
				}
				byTime := func(a, b schema.Event) int { return a.Received.Compare(b.Received) }
				slices.SortFunc(got, byTime)
				slices.SortFunc(want, byTime)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("events (-delivered +stored):\n%s", diff)
				}
			})
		}
	}
}

// testMissingTopic: a topic that is missing is not created, unless the configuration
// wants it.
func testMissingTopic(t *testing.T, b *realBroker) {
	sink := b.watch(t, "absent")
	for _, do := range []func() error{
		func() error { return sink.Connect(t.Context()) },
		func() error { return sink.fails(t, oneDomain(1)) },
	} {
		err := do()
		oneLine(t, err, "topic absent", "UNKNOWN_TOPIC_OR_PARTITION", "create the topic, or add create: {partitions: 12}")
		if sinktest.IsPermanent(err) {
			t.Errorf("%v is permanent", err)
		}
	}
	b.CreateTopic(t, lab.KafkaTopic{Name: "absent"})
	sink.pump(t, oneDomain(5))
}

// testCreate: a missing topic is created as it is configured.
func testCreate(t *testing.T, b *realBroker) {
	sink := b.watch(t, "made", func(cfg *Config) { cfg.Create = &CreateConfig{Partitions: 5, Replication: 1} })
	if err := sink.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	fit := sink.Fit()
	want := Fit{Topic: "made", Created: true, Partitions: 5, Replicas: 1, MinInsync: 1, Cleanup: "delete", MaxMessage: 1048588}
	if diff := cmp.Diff(want, fit); diff != "" {
		t.Errorf("fit (-want +got):\n%s", diff)
	}
	events := sinktest.NewSource(1, 20).Take(100)
	sink.deliver(t, events)
	if r := sinktest.Check(events, b.events(t, "made")); !r.OK() {
		t.Errorf("stored events: %+v", r)
	}
	again := b.watch(t, "made", func(cfg *Config) { cfg.Create = &CreateConfig{Partitions: 7} })
	err := again.Connect(t.Context())
	if fit = again.Fit(); err != nil || fit.Created || fit.Partitions != 5 {
		t.Errorf("a topic that is there: %+v, %v; want 5 partitions, not created", fit, err)
	}
	err = b.watch(t, "toomany", func(cfg *Config) { cfg.Create = &CreateConfig{Replication: 3} }).Connect(t.Context())
	oneLine(t, err, "create topic toomany", "INVALID_REPLICATION_FACTOR", "lower create.replication, or start more brokers")
}

// testMisfit: a topic that cannot keep the events is refused, and advice names what could
// be better.
func testMisfit(t *testing.T, b *realBroker) {
	for _, test := range []struct {
		name   string
		config map[string]string
		err    []string // nil means that it fits
		advice string
	}{
		{name: "fits"},
		{"compacted", map[string]string{"cleanup.policy": "compact"}, []string{"cleanup.policy is compact", "set cleanup.policy=delete"}, ""},
		{"compacted and deleted", map[string]string{"cleanup.policy": "compact,delete"}, []string{"all but the last event of each domain", "set cleanup.policy=delete"}, ""},
		{"min.insync.replicas", map[string]string{"min.insync.replicas": "2"}, []string{"min.insync.replicas is 2", "it has 1 replicas", "set min.insync.replicas to 1"}, ""},
		{"small messages", map[string]string{"max.message.bytes": "10000"}, nil, "max.message.bytes is 10000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			topic := b.topic(t, 1, test.config)
			sink := b.watch(t, topic)
			err := sink.Connect(t.Context())
			fit := sink.Fit()
			if test.err != nil {
				oneLine(t, err, append(test.err, "topic "+topic)...)
				oneLine(t, sink.fails(t, oneDomain(1)), test.err...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(fit.Advice, "; "); !strings.Contains(got, test.advice) || (test.advice == "") != (got == "") {
				t.Errorf("advice %q, want one with %q", got, test.advice)
			}
		})
	}
}

// testSmallMessages: events that are too large for the topic are refused, and the rest is
// stored.
func testSmallMessages(t *testing.T, b *realBroker) {
	topic := b.topic(t, 2, map[string]string{"max.message.bytes": "8192"})
	sink := b.watch(t, topic)
	events := sinktest.NewSource(1, 9).Take(300)
	large := []int{0, 40, 41, 170, 299}
	for _, i := range large {
		events[i].Object.Name = strings.Repeat("x", 9000)
	}
	err := sink.refuses(t, events, large...)
	oneLine(t, err, "event "+events[0].ID(), "MESSAGE_TOO_LARGE", "max.message.bytes")
	var good []schema.Event
	for i := range events {
		if !slices.Contains(large, i) {
			good = append(good, events[i])
		}
	}
	if r := sinktest.Check(good, b.events(t, topic)); !r.OK() {
		t.Errorf("stored events: %+v", r)
	}
}

// testRecreated: a topic that is deleted and created again takes the events from then on.
func testRecreated(t *testing.T, b *realBroker) {
	topic := b.topic(t, 3, nil)
	sink := b.watch(t, topic, func(cfg *Config) { cfg.Create = &CreateConfig{Partitions: 3} })
	source := sinktest.NewSource(1, 20)
	sink.deliver(t, source.Take(100))
	b.Tool(t, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", "@", "--delete", "--topic", topic)
	events := source.Take(100)
	sink.pump(t, events)
	if r := sinktest.Check(events, b.events(t, topic)); !r.OK() {
		t.Errorf("stored events: %+v", r)
	}
}

// testConformance runs the suite of all sinks, with a broker that is killed, restarted
// and paused. The content modes take turns.
func testConformance(t *testing.T, b *realBroker) {
	contents := []Content{ContentBinary, ContentStructured}
	made := 0
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture {
		topic := b.topic(t, 4, map[string]string{"max.message.bytes": "65536"})
		content := contents[made%2]
		made++
		return b.fixture(t, topic, content)
	}})
}

// recent is a sink whose events have just happened. Brokers forget a producer by the time
// of its last record: the suite's events are older than a day, and could be stored again
// after a restart.
type recent struct {
	*Sink
	by time.Duration
}

func (r recent) Deliver(ctx context.Context, events []schema.Event, outcome func(int, error)) error {
	return r.Sink.Deliver(ctx, shift(events, r.by), outcome)
}

// shift returns events that happened later.
func shift(events []schema.Event, by time.Duration) []schema.Event {
	shifted := slices.Clone(events)
	for i := range shifted {
		shifted[i].Received = shifted[i].Received.Add(by)
	}
	return shifted
}

func (b *realBroker) fixture(t *testing.T, topic string, content Content) sinktest.Fixture {
	cfg := Config{
		Brokers: b.Bootstrap(), Topic: topic, Content: content,
		ConnectTimeout: 2 * time.Second, AckTimeout: 2 * time.Second,
	}
	by := time.Since(sinktest.NewSource(1, 1).Take(1)[0].Received).Truncate(time.Second)
	failed := false // The suite fails often, and a real broker takes seconds to start.
	once := func(do func(*testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			if failed {
				time.Sleep(time.Millisecond)
				return
			}
			failed = true
			time.Sleep(50 * time.Millisecond) // Events shall flow.
			do(t)
		}
	}
	return sinktest.Fixture{
		Open:     func(t *testing.T) sinktest.Sink { return recent{newSink(t, cfg), by} },
		Read:     func(t *testing.T) []schema.Event { return shift(b.events(t, topic), -by) },
		TooLarge: 64 << 10,
		Break: []sinktest.Break{
			{Name: "kill", Do: once(func(t *testing.T) { b.Kill(t, 0); b.Start(t, 0) })},
			{Name: "restart", Do: once(func(t *testing.T) { b.Restart(t, 0) })},
			{Name: "pause", Do: once(func(t *testing.T) {
				b.Pause(t, 0)
				time.Sleep(cfg.AckTimeout + 500*time.Millisecond) // Requests are given up, and carried out later.
				b.Resume(t, 0)
			})},
		},
		Repeats: strings.HasSuffix(t.Name(), "/restart") && !strings.Contains(t.Name(), "/break/"),
		Events:  20_000,
	}
}
