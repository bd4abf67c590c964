package producer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

const testTopic = "t"

func newTopic() *client.Topic { return &client.Topic{Name: testTopic, Leaders: make([]client.Node, 6)} }

// plainRecords is a delivery of records "key sequence", all of which may be sent at once.
type plainRecords struct {
	keys []string
	from int // the sequence of the first
	rec  []Record
}

// numbered returns n records with keys that take turns.
func numbered(from, n, keys int) *plainRecords {
	d := &plainRecords{from: from}
	for i := range n {
		key := fmt.Sprintf("key-%d", (from+i)%keys)
		d.keys = append(d.keys, key)
		d.rec = append(d.rec, Record{
			Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", key, from+i), Time: time.Now().UnixMilli(),
		})
	}
	return d
}

// only returns the records with these indexes.
func (d *plainRecords) only(indexes []int) *plainRecords {
	some := &plainRecords{}
	for _, i := range indexes {
		some.keys, some.rec = append(some.keys, d.keys[i]), append(some.rec, d.rec[i])
	}
	return some
}

// and returns the records of both.
func (d *plainRecords) and(other *plainRecords) *plainRecords {
	return &plainRecords{keys: slices.Concat(d.keys, other.keys), rec: slices.Concat(d.rec, other.rec)}
}

func (d *plainRecords) Len() int { return len(d.keys) }

func (d *plainRecords) Route(i int, topic, key []byte) (t, k []byte) {
	return append(topic, testTopic...), append(key, d.keys[i]...)
}

func (d *plainRecords) AppendID(dst []byte, i int) []byte { return append(dst, d.rec[i].Value...) }

func (d *plainRecords) Next(dst []int32, status []Status) []int32 {
	for i, s := range status {
		if s == Waiting {
			dst = append(dst, int32(i))
		}
	}
	return dst
}

// bench is a producer at a fake cluster, whose batches are recorded.
type bench struct {
	t       *testing.T
	cluster *kfake.Cluster
	*Producer
	current *plainRecords // what the encoders encode

	mu     sync.Mutex
	sent   []sentBatch
	answer func(b sentBatch) (client.Code, bool) // nil, or false: the cluster answers itself
	counts counts
}

// sentBatch is a batch that the cluster was sent.
type sentBatch struct {
	partition int32
	records   []byte
}

// counts is what an observer has counted.
type counts struct{ stored, answered, failed, mayRepeat int }

// Stored implements Observer.
func (b *bench) Stored(n int) { b.count(func(c *counts) { c.stored += n }) }

// Answered implements Observer.
func (b *bench) Answered() { b.count(func(c *counts) { c.answered++ }) }

// Failed implements Observer.
func (b *bench) Failed(client.Code) { b.count(func(c *counts) { c.failed++ }) }

// MayRepeat implements Observer.
func (b *bench) MayRepeat(n int) { b.count(func(c *counts) { c.mayRepeat += n }) }

func (b *bench) count(f func(*counts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.counts)
}

// Encode implements Encoder.
func (b *bench) Encode(i int) *Record { return &b.current.rec[i] }

// newBench starts a cluster of three brokers with a topic of 6 partitions.
func newBench(t *testing.T, options ...kfake.Opt) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(3), kfake.SeedTopics(6, testTopic),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &bench{t: t, cluster: cluster}
	return b.connect(cluster.ListenAddrs())
}

// connect makes the producer.
func (b *bench) connect(brokers []string) *bench {
	c := client.New(client.Config{
		Brokers: brokers, ConnectTimeout: 2 * time.Second, AckTimeout: 2 * time.Second,
	}, client.Options{})
	b.t.Cleanup(c.Close)
	b.Producer = New(c, Config{BatchBytes: 512 << 10, BatchRecords: 10_000, Patience: 2 * time.Second}, Options{
		Logger: slog.New(slog.DiscardHandler), Observer: b, Encoder: func() Encoder { return b },
	})
	return b
}

// record begins to record what is sent, and to answer in the cluster's place.
func (b *bench) record() {
	b.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		request := r.(*kmsg.ProduceRequest)
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, topic := range request.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				s := sentBatch{p.Partition, slices.Clone(p.Records)}
				b.sent = append(b.sent, s)
				if b.answer == nil {
					continue
				}
				if code, ok := b.answer(s); ok {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition, rp.ErrorCode = p.Partition, int16(code)
					rt.Partitions = append(rt.Partitions, rp)
				}
			}
			if len(rt.Partitions) > 0 {
				response.Topics = append(response.Topics, rt)
			}
		}
		return response, nil, len(response.Topics) > 0
	})
}

// answers sets what is answered in the cluster's place.
func (b *bench) answers(f func(s sentBatch) (client.Code, bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

// batches returns what was sent since the last call.
func (b *bench) batches() []sentBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

// deliver delivers records, and returns those without an outcome. It holds the contract.
func (b *bench) deliver(d *plainRecords) (open []int, refused map[int]error, err error) {
	b.t.Helper()
	b.current = d
	outcomes := make([]int, d.Len())
	refused = map[int]error{}
	var calls sync.Mutex
	left, err := b.Deliver(b.t.Context(), d, func(i int, err error) {
		if !calls.TryLock() {
			b.t.Error("two calls of outcome at the same time")
			return
		}
		defer calls.Unlock()
		outcomes[i]++
		if err != nil {
			refused[i] = err
		}
	})
	for i, n := range outcomes {
		if n > 1 {
			b.t.Errorf("record %d has %d outcomes", i, n)
		}
		if n == 0 {
			open = append(open, i)
		}
	}
	if left != len(open) || (left > 0) != (err != nil) {
		b.t.Errorf("Deliver = %d, %v, and %d records have no outcome", left, err, len(open))
	}
	return open, refused, err
}

// all delivers records that must all be stored at once.
func (b *bench) all(d *plainRecords) {
	b.t.Helper()
	if open, refused, err := b.deliver(d); len(open) > 0 || len(refused) > 0 {
		b.t.Fatalf("Deliver: %d of %d records have no outcome, %d were refused: %v", len(open), d.Len(), len(refused), err)
	}
}

// stored returns the values in each partition.
func (b *bench) stored() [][]string { return storedAt(b.t, b.cluster.ListenAddrs(), 6) }

// storedAt returns the values in each partition of the topic.
func storedAt(t *testing.T, brokers []string, partitions int) [][]string {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(testTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	values := make([][]string, partitions)
	for quiet := 0; quiet < 2; {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		fetches := c.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			quiet++
		}
		fetches.EachRecord(func(r *kgo.Record) {
			quiet = 0
			values[r.Partition] = append(values[r.Partition], string(r.Value))
		})
	}
	return values
}

// holds holds that exactly these records are stored, once and in the order of each key.
func (b *bench) holds(d *plainRecords) {
	b.t.Helper()
	checkStored(b.t, d, b.stored())
}

func checkStored(t *testing.T, d *plainRecords, stored [][]string) {
	t.Helper()
	want, got := map[string][]string{}, map[string][]string{}
	for i, key := range d.keys {
		want[key] = append(want[key], string(d.rec[i].Value))
	}
	for _, partition := range stored {
		for _, value := range partition {
			var key string
			var n int
			if _, err := fmt.Sscanf(value, "%s %d", &key, &n); err != nil {
				t.Fatalf("%q: %v", value, err)
			}
			got[key] = append(got[key], value)
		}
	}
	for key := range want {
		if !slices.Equal(want[key], got[key]) {
			t.Errorf("stored with %s: %q, want %q", key, got[key], want[key])
		}
	}
	if len(got) > len(want) {
		t.Errorf("%d keys are stored, want %d", len(got), len(want))
	}
}

// partition returns the partition of the i-th record among 6.
func (d *plainRecords) partition(i int) int32 { return int32(PartitionOf([]byte(d.keys[i]), 6)) }
