package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// errEnough ends a Tail.
var errEnough = errors.New("enough")

// tailed returns the next n messages.
func tailed(t *testing.T, cfg Config, opts TailOptions, n int) []Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []Message
	err := Tail(ctx, cfg, opts, func(m Message) error {
		got = append(got, m)
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("Tail = %v after %d messages, want %d messages", err, len(got), n)
	}
	return got
}

func eventsOf(t *testing.T, messages []Message) []schema.Event {
	t.Helper()
	var events []schema.Event
	for _, m := range messages {
		if m.Err != nil {
			t.Fatalf("record %d of partition %d: %v", m.Offset, m.Partition, m.Err)
		}
		events = append(events, m.Event)
	}
	return events
}

func deliver(t *testing.T, s *Sink, events []schema.Event) {
	t.Helper()
	watched{Sink: s}.deliver(t, events)
}

// Events that exist already come in the order of their times over all partitions,
// whatever the content mode and the compression.
func TestTailAll(t *testing.T) {
	c := startCluster(t)
	want := sinktest.NewSource(3, 30).Take(1000)
	for i, content := range []Content{ContentBinary, ContentStructured} {
		cfg := c.config()
		cfg.Content, cfg.Compression = content, []Compression{CompressionNone, CompressionZstd}[i]
		deliver(t, newSink(t, cfg), want[i*500:(i+1)*500])
	}
	got := eventsOf(t, tailed(t, c.config(), TailOptions{All: true}, len(want)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-delivered +got):\n%s", diff)
	}
}

func TestTailSince(t *testing.T) {
	c := startCluster(t)
	events := sinktest.NewSource(1, 10).Take(100)
	sink := newSink(t, c.config())
	for i := range events { // a batch each: brokers look for times among batches
		events[i].Received = events[i].Received.Add(time.Duration(i) * time.Second)
		deliver(t, sink, events[i:i+1])
	}
	got := eventsOf(t, tailed(t, c.config(), TailOptions{Since: events[60].Received}, 40))
	if diff := cmp.Diff(events[60:], got); diff != "" {
		t.Errorf("messages (-delivered +got):\n%s", diff)
	}
}

// Without options, older events are not shown; and a cut connection loses nothing.
func TestTailFromNow(t *testing.T) {
	c := startCluster(t)
	source := sinktest.NewSource(1, 10)
	sink := newSink(t, c.config())
	deliver(t, sink, source.Take(100))
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan schema.Event, 10_000)
	done := make(chan error, 1)
	go func() {
		done <- Tail(ctx, c.config(), TailOptions{}, func(m Message) error {
			got <- m.Event
			return m.Err
		})
	}()
	var first schema.Event
	var sent []schema.Event
	for first.Sequence == 0 { // until it reads
		next := source.Take(1)
		deliver(t, sink, next)
		sent = append(sent, next...)
		select {
		case first = <-got:
		case <-time.After(50 * time.Millisecond):
		}
	}
	if first.Sequence <= 100 {
		t.Errorf("the first event has sequence %d, want one that was published after the start", first.Sequence)
	}
	c.taps.cut()
	more := source.Take(200)
	deliver(t, sink, more)
	sent = append(sent, more...)
	want := sent[slices.IndexFunc(sent, func(e schema.Event) bool { return e.Sequence == first.Sequence })+1:]
	last := map[schema.UUID]uint64{}
	for range want {
		select {
		case e := <-got:
			if e.DomainSequence <= last[e.Object.UUID] {
				t.Errorf("domain %s: sequence %d after %d", e.Object.Name, e.DomainSequence, last[e.Object.UUID])
			}
			last[e.Object.UUID] = e.DomainSequence
		case <-time.After(30 * time.Second):
			t.Fatal("events are missing after the connections were cut")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Tail = %v after its context has ended, want nil", err)
	}
}

func TestTailTopics(t *testing.T) {
	c := startCluster(t, kfake.SeedTopics(2, "virt.c1", "virt.c2", "virt", "other.c1"))
	source := sinktest.NewSource(1, 5)
	for _, topic := range []string{"virt.c1", "virt.c2", "other.c1", "virt"} {
		cfg := c.config()
		cfg.Topic = topic
		deliver(t, newSink(t, cfg), source.Take(10))
	}
	cfg := c.config()
	cfg.Topic = "virt.{connection}"
	seen := map[string]int{}
	for _, m := range tailed(t, cfg, TailOptions{All: true}, 20) {
		seen[m.Topic]++
	}
	if diff := cmp.Diff(map[string]int{"virt.c1": 10, "virt.c2": 10}, seen); diff != "" {
		t.Errorf("messages by topic (-want +got):\n%s", diff)
	}
	for _, test := range []struct{ topic, want string }{
		{"none.{connection}", "topics none.{connection}: UNKNOWN_TOPIC_OR_PARTITION"},
		{"none", "topic none: UNKNOWN_TOPIC_OR_PARTITION"},
	} {
		cfg.Topic, cfg.Create = test.topic, &CreateConfig{}
		err := Tail(t.Context(), cfg, TailOptions{}, func(Message) error { return nil })
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Tail of %s = %v, want %q", test.topic, err, test.want)
		}
	}
}

// A record that is no event does not end anything.
func TestTailForeignRecord(t *testing.T) {
	c := startCluster(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic(DefaultTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("no event")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	deliver(t, newSink(t, c.config()), sinktest.NewSource(1, 1).Take(1))
	bad := 0
	for _, m := range tailed(t, c.config(), TailOptions{All: true}, 2) {
		if m.Err != nil {
			bad++
		}
	}
	if bad != 1 {
		t.Errorf("%d messages are no events, want 1", bad)
	}
}
