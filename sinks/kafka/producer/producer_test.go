package producer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// leaderless makes the cluster's metadata name no leader for a partition, until stop.
func (b *bench) leaderless(partition int32) (stop func()) {
	stopped := make(chan struct{})
	b.cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-stopped:
			return nil, nil, false
		default:
		}
		b.cluster.KeepControl()
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		for i, address := range b.cluster.ListenAddrs() {
			var host string
			var port int32
			if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &port); err == nil {
				host = "127.0.0.1"
			}
			mb := kmsg.NewMetadataResponseBroker()
			mb.NodeID, mb.Host, mb.Port = int32(i), host, port
			response.Brokers = append(response.Brokers, mb)
		}
		mt := kmsg.NewMetadataResponseTopic()
		mt.Topic = kmsg.StringPtr(testTopic)
		for p := range int32(6) {
			mp := kmsg.NewMetadataResponseTopicPartition()
			mp.Partition, mp.Leader = p, b.cluster.LeaderFor(testTopic, p)
			if p == partition {
				mp.Leader, mp.ErrorCode = -1, int16(client.CodeLeaderNotAvailable)
			}
			mt.Partitions = append(mt.Partitions, mp)
		}
		response.Topics = append(response.Topics, mt)
		return response, nil, true
	})
	return func() { close(stopped) }
}

// A partition without a leader keeps its records, and nobody else's: theirs have an
// outcome at once, and later deliveries do not wait for it.
func TestPartitionWithoutLeader(t *testing.T) {
	b := newBench(t)
	first := numbered(0, 60, 30)
	b.all(first)
	stuck := first.partition(0)
	var code client.Code = 6 // NOT_LEADER_OR_FOLLOWER
	b.record()
	b.answers(func(s sentBatch) (client.Code, bool) { return code, s.partition == stuck })
	restore := b.leaderless(stuck)
	isStuck := func(d *plainRecords, open []int) {
		t.Helper()
		for i := range d.keys {
			if got, want := slices.Contains(open, i), d.partition(i) == stuck; got != want {
				t.Fatalf("record %d of partition %d has no outcome: %t, want %t", i, d.partition(i), got, want)
			}
		}
	}
	window := numbered(60, 60, 30)
	open, _, err := b.deliver(window)
	isStuck(window, open)
	var e *client.CodeError
	if !errors.As(err, &e) || e.Code != client.CodeLeaderNotAvailable {
		t.Errorf("the reason is %v, want LEADER_NOT_AVAILABLE", err)
	}
	all := first.and(window)
	for round := range 5 {
		fresh := numbered(120+60*round, 60, 30)
		all = all.and(fresh)
		window = window.only(open).and(fresh)
		begin := time.Now()
		open, _, _ = b.deliver(window)
		isStuck(window, open)
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("round %d: a delivery took %v while one partition had no leader", round, took)
		}
	}
	b.answers(nil)
	restore()
	b.all(window.only(open))
	b.holds(all)
	if b.counts.mayRepeat > 0 {
		t.Errorf("%d records may be stored twice, want 0", b.counts.mayRepeat)
	}
}

// A batch that was sent and not answered is sent again as it was, whatever is presented
// with it, and in pieces of any size.
func TestUnconfirmedBatchIsSentAgain(t *testing.T) {
	for _, piece := range []int{1, 3, 100} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			b := newBench(t)
			b.record()
			records := numbered(0, 40, 1)
			b.answers(func(sentBatch) (client.Code, bool) { return client.CodeUnknown, true })
			if open, _, err := b.deliver(records); len(open) != 40 {
				t.Fatalf("%d records have no outcome, %v; want all", len(open), err)
			}
			kept := b.batches()[0]
			b.answers(nil)
			rest := records.and(numbered(40, 20, 1))
			for at := 0; at < rest.Len(); at += piece {
				var indexes []int
				for i := at; i < min(at+piece, rest.Len()); i++ {
					indexes = append(indexes, i)
				}
				b.all(rest.only(indexes))
			}
			again := b.batches()
			if !bytes.Equal(again[0].records, kept.records) {
				t.Error("the unconfirmed batch was not sent again as it was")
			}
			b.holds(rest)
			if len(b.left) > 0 || !b.Producer.stored.empty() {
				t.Errorf("in the end %d batches are kept and %d records remembered", len(b.left), len(b.Producer.stored.since))
			}
		})
	}
}

// Records of an unconfirmed batch that are presented again late, after any number of
// records with other keys in the same partition, and after other unconfirmed batches of
// it, are not sent again.
func TestPresentedAgainLate(t *testing.T) {
	b := newBench(t)
	b.record()
	unanswered := func(d *plainRecords) {
		t.Helper()
		b.answers(func(sentBatch) (client.Code, bool) { return client.CodeUnknown, true })
		if open, _, _ := b.deliver(d); len(open) != d.Len() {
			t.Fatalf("%d records have no outcome, want %d", len(open), d.Len())
		}
		b.answers(nil)
	}
	named := func(key string, n int) *plainRecords {
		d := numbered(0, n, 1)
		for i := range d.keys {
			d.keys[i], d.rec[i].Key = key, []byte(key)
			d.rec[i].Value = fmt.Appendf(nil, "%s %d", key, i)
		}
		return d
	}
	// Three keys of one partition.
	var keys []string
	for i := 0; len(keys) < 3; i++ {
		if key := fmt.Sprint("k", i); PartitionOf([]byte(key), 6) == 0 {
			keys = append(keys, key)
		}
	}
	first, second, third := named(keys[0], 30), named(keys[1], 20), named(keys[2], 500)
	unanswered(first)
	unanswered(second) // The first batch is sent again, and not answered.
	for i := 0; i < 500; i += 100 {
		var some []int
		for k := i; k < i+100; k++ {
			some = append(some, k)
		}
		b.all(third.only(some))
	}
	b.batches()
	b.all(second)
	b.all(first)
	for _, s := range b.batches() {
		if bytes.Contains(s.records, []byte(keys[0]+" ")) {
			t.Errorf("records with %s are sent again", keys[0])
		}
	}
	b.holds(first.and(second).and(third))
	if !b.Producer.stored.empty() {
		t.Errorf("%d records are remembered in the end", len(b.Producer.stored.since))
	}
}

// Records of an unconfirmed batch that are never presented again fill no memory.
func TestNeverPresentedAgain(t *testing.T) {
	b := newBench(t)
	b.record()
	for round := range 8 {
		b.answers(func(sentBatch) (client.Code, bool) { return client.CodeUnknown, true })
		_, _, _ = b.deliver(numbered(1000*round, 120, 60))
		if kept := len(b.left); kept > 6 {
			t.Fatalf("round %d: %d batches are kept, want no more than partitions", round, kept)
		}
		b.answers(nil)
		b.all(numbered(100_000+1000*round, 10, 10))
	}
	b.all(numbered(200_000, 120, 60))
	b.all(numbered(300_000, 120, 60))
	if got := len(b.Producer.stored.since); len(b.left) != 0 || got > 8*120 {
		t.Errorf("%d batches are kept and %d records remembered, want 0 and what was never presented", len(b.left), got)
	}
	for id := range b.Producer.stored.since {
		b.Producer.stored.since[id] = time.Now().Add(-2 * storedAge)
	}
	b.Producer.stored.expired = time.Time{}
	b.all(numbered(400_000, 10, 10))
	if got := len(b.Producer.stored.since); got != 0 {
		t.Errorf("%d records are remembered for ever", got)
	}
}

// A record that the broker refuses has its outcome; the others of its batch are stored.
func TestRefusedRecord(t *testing.T) {
	b := newBench(t)
	b.record()
	b.answers(func(s sentBatch) (client.Code, bool) {
		return client.CodeMessageTooLarge, bytes.Contains(s.records, []byte("poison"))
	})
	records := numbered(0, 50, 1)
	records.rec[13].Value = []byte("poison 13")
	open, refused, err := b.deliver(records)
	if len(open) > 0 || err != nil || len(refused) != 1 || refused[13] == nil {
		t.Fatalf("refused: %v, without outcome: %v, %v; want record 13 refused", refused, open, err)
	}
	var good []int
	for i := range records.keys {
		if i != 13 {
			good = append(good, i)
		}
	}
	b.holds(records.only(good))
}

// Keys do not move to new partitions while a batch is unconfirmed: they would overtake
// it.
func TestPartitionsAddedWhileUnconfirmed(t *testing.T) {
	b := newBench(t)
	b.record()
	b.all(numbered(0, 60, 60))
	b.answers(func(sentBatch) (client.Code, bool) { return client.CodeUnknown, true })
	old := numbered(60, 60, 60)
	open, _, _ := b.deliver(old)
	if len(open) != 60 {
		t.Fatalf("%d records have no outcome, want 60", len(open))
	}
	known := b.topics.byName[testTopic].known
	known.Leaders = append(known.Leaders, known.Leaders...) // as if 6 had been added
	b.sync(t.Context())
	if got := b.topics.byName[testTopic]; got.width != 6 || len(got.partitions) != 12 {
		t.Fatalf("keys go to %d of %d partitions, want 6 of 12", got.width, len(got.partitions))
	}
	b.topics.widen()
	if got := b.topics.byName[testTopic].width; got != 6 {
		t.Errorf("keys go to %d partitions while a batch is unconfirmed, want 6", got)
	}
	for _, part := range b.topics.byName[testTopic].partitions {
		if part.state == unconfirmed {
			part.state = empty // as if it had been confirmed
		}
	}
	b.topics.widen()
	if got := b.topics.byName[testTopic].width; got != 12 {
		t.Errorf("keys go to %d partitions when every batch is confirmed, want 12", got)
	}
}
