package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// quick is how long a delivery may take that has to notice one failure. A busy machine
// needs far less. The time limits and the age of metadata are longer: no delivery may
// wait for them.
const quick = time.Second

// A leader that has moved is asked for at once.
func TestLeaderMoves(t *testing.T) {
	c := startCluster(t, kfake.SeedTopics(1, DefaultTopic))
	sink := c.watch(t, func(cfg *Config) { cfg.AckTimeout = 10 * time.Second })
	source := sinktest.NewSource(1, 1)
	all := source.Take(10)
	sink.deliver(t, all)
	for range 5 {
		leader := c.LeaderFor(DefaultTopic, 0)
		if err := c.MoveTopicPartition(DefaultTopic, 0, (leader+1)%3); err != nil {
			t.Fatal(err)
		}
		events := source.Take(10)
		all = append(all, events...)
		begin := time.Now()
		sink.deliver(t, events)
		if took := time.Since(begin); took > quick {
			t.Errorf("a delivery to a leader that had moved took %v", took)
		}
	}
	c.stores(t, all)
}

// A broker that is cut off from the others, and claims still to lead, is not asked alone.
func TestStaleBroker(t *testing.T) {
	c := startCluster(t, kfake.SeedTopics(1, DefaultTopic))
	if err := c.MoveTopicPartition(DefaultTopic, 0, 0); err != nil {
		t.Fatal(err)
	}
	sink := c.watch(t)
	events := oneDomain(30)
	sink.deliver(t, events[:10])
	c.answerMetadata(t, func(*kmsg.MetadataResponse) {}, 0) // what is true now, for ever
	if err := c.MoveTopicPartition(DefaultTopic, 0, 1); err != nil {
		t.Fatal(err)
	}
	sink.deliver(t, events[10:20])
	sink.deliver(t, events[20:])
	c.stores(t, events)
}

// A leader that does not answer is left as soon as there is another: when a delivery has
// failed, the next one asks for leaders first.
func TestStuckLeader(t *testing.T) {
	c := startCluster(t, kfake.SeedTopics(1, DefaultTopic))
	if err := c.MoveTopicPartition(DefaultTopic, 0, 0); err != nil {
		t.Fatal(err)
	}
	sink := c.watch(t, func(cfg *Config) { cfg.AckTimeout = 300 * time.Millisecond })
	events := oneDomain(20)
	sink.deliver(t, events[:10])
	stuck := make(chan struct{})
	defer close(stuck)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if c.CurrentNode() == 0 {
			c.SleepControl(func() { <-stuck })
		}
		return nil, nil, false
	})
	err := sink.fails(t, events[10:])
	oneLine(t, err, "no answer within 300ms", "the broker is stuck")
	if err := c.MoveTopicPartition(DefaultTopic, 0, 1); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	sink.deliver(t, events[10:])
	if took := time.Since(begin); took > 5*time.Second { // the age of metadata is a minute
		t.Errorf("a delivery to the new leader took %v", took)
	}
	c.stores(t, events)
}

// A broker that keeps silent holds up its own partitions only. The Deliver that notices
// waits for it, and later ones do not, for as long as the wait was.
func TestSilentBroker(t *testing.T) {
	c := startCluster(t)
	for p := range int32(6) {
		if err := c.MoveTopicPartition(DefaultTopic, p, p%3); err != nil {
			t.Fatal(err)
		}
	}
	sink := c.watch(t, func(cfg *Config) { cfg.AckTimeout = 3 * time.Second })
	source := sinktest.NewSource(2, 60)
	all := source.Take(120)
	sink.deliver(t, all)
	stuck := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if c.CurrentNode() == 0 {
			c.SleepControl(func() { <-stuck })
		}
		return nil, nil, false
	})
	var rest []schema.Event
	for round := range 3 {
		fresh := source.Take(120)
		all, rest = append(all, fresh...), append(rest, fresh...)
		begin := time.Now()
		o := sink.try(t, rest)
		took := time.Since(begin)
		for i := range rest {
			if got, want := o.Open(i), at(&rest[i], 6)%3 == 0; got != want {
				t.Fatalf("round %d: event %d of partition %d has no outcome: %t, want %t", round, i, at(&rest[i], 6), got, want)
			}
		}
		oneLine(t, o.Err, "no answer within 3s", "the broker is stuck")
		if round > 0 && took > quick {
			t.Errorf("round %d took %v, though the broker had just kept silent", round, took)
		}
		rest = open(rest, o)
	}
	close(stuck)
	sink.pump(t, rest)
	c.stores(t, all)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}

// While a partition has no leader, deliveries fail for a reason that is given; then they
// go on.
func TestNoLeader(t *testing.T) {
	c := single(t)
	sink := c.watch(t)
	events := oneDomain(30)
	sink.deliver(t, events[:10])
	tape := c.record()
	tape.fail(6, 1_000_000)
	restore := c.answerMetadata(t, func(m *kmsg.MetadataResponse) {
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				p.Leader, p.ErrorCode = -1, int16(client.CodeLeaderNotAvailable)
			}
		}
	})
	err := sink.fails(t, events[10:])
	oneLine(t, err, "partition 0 of virt.events", "LEADER_NOT_AVAILABLE", "election")
	if got := len(tape.batches()); got != 1 {
		t.Errorf("%d batches were sent, want 1: nobody leads", got)
	}
	restore()
	tape.answer(nil)
	sink.deliver(t, events[10:])
	c.stores(t, events)
}

// A request that is delayed past its time limit changes nothing when it is carried out
// after its own repetition, and after the next batch.
func TestZombie(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t, func(cfg *Config) { cfg.AckTimeout = 500 * time.Millisecond })
	events := oneDomain(40)
	sink.deliver(t, events[:10])

	released, carriedOut := make(chan struct{}), c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: -1, Observe: true})
	held := false
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !held {
			held = true
			c.SleepControl(func() { <-released })
		}
		return nil, nil, false
	})
	sink.pump(t, events[10:20])
	sink.pump(t, events[20:30])
	before := carriedOut.Hits()
	close(released)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := carriedOut.Wait(ctx, before+1); err != nil {
		t.Fatalf("the delayed request was never carried out: %v", err)
	}
	sink.deliver(t, events[30:])
	if b := tape.batches(); len(b) < 5 || !bytes.Equal(b[1].wire, b[2].wire) {
		t.Errorf("%d batches were sent, the second and third equal: %t; want a repetition", len(b), bytes.Equal(b[1].wire, b[2].wire))
	}
	c.stores(t, events)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}

// An answer without a partition is no acknowledgement of its batch.
func TestEmptyAnswer(t *testing.T) {
	c := startCluster(t)
	tape := c.record()
	sink := c.watch(t)
	events := sinktest.NewSource(1, 30).Take(90)
	tape.mu.Lock()
	tape.empty = 2
	tape.mu.Unlock()
	sink.deliver(t, events)
	c.stores(t, events)
}

// A partition that fails keeps its own events open, and no others. They are presented
// again, also in small pieces, and nothing is sent twice.
func TestOutcomesByPartition(t *testing.T) {
	c := startCluster(t)
	tape := c.record()
	sink := c.watch(t)
	events := sinktest.NewSource(2, 40).Take(400)
	bad := at(&events[17], 6)
	fault := c.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{bad}, Err: kerr.NotEnoughReplicas, Count: -1,
	})
	rest := events
	for range 3 {
		o := sink.try(t, rest)
		for i := range rest {
			if got, want := o.Open(i), at(&rest[i], 6) == bad; got != want {
				t.Fatalf("event %d has no outcome: %t, want %t", i, got, want)
			}
		}
		rest = open(rest, o)
		oneLine(t, o.Err, fmt.Sprintf("%d of", len(rest)), "events are not stored", fmt.Sprintf("partition %d", bad),
			"NOT_ENOUGH_REPLICAS", "start the missing brokers")
	}
	fault.Remove()
	for ; len(rest) > 0; rest = rest[min(3, len(rest)):] {
		sink.deliver(t, rest[:min(3, len(rest))])
	}
	records := map[int32]int{}
	for _, b := range tape.batches() {
		records[b.partition] += b.count()
	}
	for p, stored := range c.records(t, DefaultTopic) {
		if p != int(bad) && records[int32(p)] != len(stored) {
			t.Errorf("partition %d was sent %d records, want the %d that it has", p, records[int32(p)], len(stored))
		}
	}
	c.stores(t, events)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}

// A caller that presents other events after a failure, against the contract, stops
// nothing.
func TestOtherEventsAfterFailure(t *testing.T) {
	c := startCluster(t)
	sink := c.watch(t)
	source := sinktest.NewSource(2, 60)
	const size = 120
	fault := c.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1,
	})
	for range 8 {
		if o := sink.try(t, source.Take(size)); o.Err == nil {
			t.Fatal("Deliver returns nil while a partition fails")
		}
	}
	fault.Remove()
	last := source.Take(size)
	sink.deliver(t, last)
	sink.deliver(t, source.Take(size))
	if r := sinktest.Check(last, c.events(t, DefaultTopic)); r.Lost+r.Duplicates+r.Inversions > 0 {
		t.Errorf("the events of the first delivery that succeeded: %+v", r)
	}
}

// A record that is larger than any broker takes is refused without a request.
func TestEnormousRecord(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(5)
	events[2].Object.Name = strings.Repeat("x", 64<<20)
	err := sink.refuses(t, events, 2)
	oneLine(t, err, "larger than the 67108864 that are tried")
	c.stores(t, slices.Delete(events, 2, 3))
	for _, b := range tape.batches() {
		if len(b.wire) > 1<<20 {
			t.Errorf("a batch of %d bytes was sent", len(b.wire))
		}
	}
}

// An event about a connection as a whole is sent when everything before it is
// acknowledged, and the later events when it is itself.
func TestGapWaits(t *testing.T) {
	c := startCluster(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 20)
	events := slices.Concat(source.Take(40), []schema.Event{source.Gap(0)}, source.Take(40))
	bad := at(&events[20], 6)
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{bad}, Err: kerr.NotEnoughReplicas, Count: -1})
	o := sink.try(t, events)
	for i := range events {
		if got, want := o.Open(i), i >= 40 || at(&events[i], 6) == bad; got != want {
			t.Fatalf("event %d has no outcome: %t, want %t", i, got, want)
		}
	}
	if stored := c.events(t, DefaultTopic); len(stored) >= 40 || sinktest.Check(events[:40], stored).Strange > 0 {
		t.Errorf("%d events are stored, want none from the gap on", len(stored))
	}
	fault.Remove()
	before := len(tape.batches())
	sink.pump(t, open(events, o))
	c.stores(t, events)
	// Now in the order of the requests: the rest of the first level, the gap, the second
	// level.
	var levels []int
	for _, b := range tape.batches()[before:] {
		gap := bytes.Contains(b.records(), []byte("connection.gap"))
		switch {
		case gap && b.count() == 1:
			levels = append(levels, 1)
		case gap:
			t.Errorf("the gap is in a batch of %d", b.count())
		case slices.Contains(levels, 1):
			levels = append(levels, 2)
		default:
			levels = append(levels, 0)
		}
	}
	if !slices.IsSorted(levels) || !slices.Contains(levels, 1) {
		t.Errorf("the levels of the batches are %v", levels)
	}
}

// A small delivery waits until enough time has passed since the last one; a large one
// does not.
func TestLinger(t *testing.T) {
	c := single(t)
	sink := c.watch(t, func(cfg *Config) { cfg.Linger = maxLinger })
	sink.cfg.Linger = time.Hour // longer than the test may take
	events := oneDomain(2 + worthwhile)
	sink.deliver(t, events[:1])
	sink.deliver(t, events[1:1+worthwhile])
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	n, err := sinktest.Prefix(ctx, sink, events[1+worthwhile:])
	if n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Deliver = %d, %v, want 0 and the context's error", n, err)
	}
	sink.cfg.Linger = 100 * time.Millisecond
	begin := time.Now()
	sink.begun = begin
	sink.deliver(t, events[1+worthwhile:])
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("a delivery was made to wait for %v, want 100ms", took)
	}
	c.stores(t, events)
}
