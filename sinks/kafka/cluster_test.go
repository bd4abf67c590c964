package kafka

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testCluster is a fake Kafka cluster whose connections can be cut and stalled.
type testCluster struct {
	*kfake.Cluster
	taps *taps
}

// startCluster starts a cluster with one topic of 6 partitions, unless options say
// otherwise.
func startCluster(t testing.TB, options ...kfake.Opt) *testCluster {
	t.Helper()
	w := &taps{conns: map[*tap]struct{}{}, stalled: make(chan struct{})}
	options = append([]kfake.Opt{
		kfake.NumBrokers(3), kfake.SeedTopics(6, DefaultTopic),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return &tapListener{l, w}, err
		}),
	}, options...)
	c, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.cut()
		c.Close()
	})
	return &testCluster{c, w}
}

// taps are the connections of a cluster's brokers.
type taps struct {
	mu      sync.Mutex
	conns   map[*tap]struct{}
	stall   bool
	stalled chan struct{} // closed by cut
	// budget, if positive, is after how many more bytes that brokers read everything is
	// cut.
	budget int
	// damage, if not nil, changes the next answer to a request.
	damage func([]byte) []byte
}

type tapListener struct {
	net.Listener
	taps *taps
}

func (l *tapListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &tap{conn, l.taps}
	l.taps.mu.Lock()
	defer l.taps.mu.Unlock()
	l.taps.conns[w] = struct{}{}
	return w, nil
}

type tap struct {
	net.Conn
	taps *taps
}

func (w *tap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.taps.mu.Lock()
	if w.taps.stall {
		stalled := w.taps.stalled
		w.taps.mu.Unlock()
		<-stalled
		return 0, net.ErrClosed
	}
	cut := w.taps.budget > 0 && w.taps.budget <= n
	w.taps.budget = max(w.taps.budget-n, 0)
	w.taps.mu.Unlock()
	if cut {
		w.taps.cut()
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes an answer. A damaged one is the connection's last.
func (w *tap) Write(p []byte) (int, error) {
	w.taps.mu.Lock()
	damage := w.taps.damage
	w.taps.damage = nil
	w.taps.mu.Unlock()
	if damage == nil {
		return w.Conn.Write(p)
	}
	_, err := w.Conn.Write(damage(bytes.Clone(p)))
	return len(p), errors.Join(err, w.Conn.Close())
}

func (w *tap) Close() error {
	w.taps.mu.Lock()
	delete(w.taps.conns, w)
	w.taps.mu.Unlock()
	return w.Conn.Close()
}

// cut resets every connection, and ends a stall.
func (w *taps) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Conn.Close()
	}
	clear(w.conns)
	if w.stall {
		w.stall = false
		close(w.stalled)
	}
}

// stop makes the brokers neither read nor answer until cut.
func (w *taps) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stall, w.stalled = true, make(chan struct{})
}

// garble sets what is done to the next answer, and reports whether it was not done yet to
// an earlier one.
func (w *taps) garble(damage func([]byte) []byte) (waiting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting = w.damage != nil
	w.damage = damage
	return waiting
}

// cutAfter cuts everything when the brokers have read n more bytes.
func (w *taps) cutAfter(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget = n
}

// config is a configuration for the cluster, with short time limits.
func (c *testCluster) config() Config {
	return Config{Brokers: c.ListenAddrs(), AckTimeout: 2 * time.Second, ConnectTimeout: 2 * time.Second}
}

func newSink(t testing.TB, cfg Config) *Sink {
	t.Helper()
	s, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// records reads everything in a topic, by partition, with a client that shares no code
// with this package.
func (c *testCluster) records(t testing.TB, topic string) [][]*kgo.Record {
	t.Helper()
	return readRecords(t, c.ListenAddrs(), topic)
}

func readRecords(t testing.TB, brokers []string, topic string) [][]*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, total := highWatermarks(ctx, t, client, topic)
	partitions := make([][]*kgo.Record, len(ends))
	for read := 0; read < total; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d of %d records of %s", read, total, topic)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			partitions[r.Partition] = append(partitions[r.Partition], r)
			read++
		})
	}
	return partitions
}

// highWatermarks returns the end of each partition of a topic.
func highWatermarks(ctx context.Context, t testing.TB, client *kgo.Client, topic string) (ends []int64, total int) {
	t.Helper()
	m := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = kmsg.StringPtr(topic)
	m.Topics = append(m.Topics, mt)
	meta, err := m.RequestWith(ctx, client)
	if err != nil || len(meta.Topics) != 1 {
		t.Fatalf("metadata of %s: %v", topic, err)
	}
	ends = make([]int64, len(meta.Topics[0].Partitions))
	request := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for i := range ends {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = int32(i), -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	request.Topics = append(request.Topics, rt)
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, topic := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode != 0 {
					t.Fatalf("offsets of partition %d: error code %d", p.Partition, p.ErrorCode)
				}
				ends[p.Partition] = p.Offset
				total += int(p.Offset)
			}
		}
	}
	return ends, total
}

// events reads everything in a topic, in the order in which the partitions have it. Among
// partitions, the one whose next event is the oldest comes first.
func (c *testCluster) events(t testing.TB, topic string) []schema.Event {
	t.Helper()
	return merge(t, c.records(t, topic))
}

func merge(t testing.TB, partitions [][]*kgo.Record) []schema.Event {
	t.Helper()
	decoded := make([][]schema.Event, len(partitions))
	total := 0
	for i, records := range partitions {
		for _, r := range records {
			e, err := decode(r)
			if err != nil {
				t.Fatalf("record %d of partition %d: %v", r.Offset, r.Partition, err)
			}
			decoded[i] = append(decoded[i], e)
			total++
		}
	}
	all := make([]schema.Event, 0, total)
	for len(all) < total {
		oldest := -1
		for i := range decoded {
			if len(decoded[i]) > 0 && (oldest < 0 || decoded[i][0].Received.Before(decoded[oldest][0].Received)) {
				oldest = i
			}
		}
		all = append(all, decoded[oldest][0])
		decoded[oldest] = decoded[oldest][1:]
	}
	return all
}

// decode reads an event as the Kafka binding of CloudEvents says.
func decode(r *kgo.Record) (schema.Event, error) {
	headers := map[string]string{}
	for _, h := range r.Headers {
		if _, twice := headers[h.Key]; twice {
			return schema.Event{}, errors.New("header " + h.Key + " is there twice")
		}
		headers[h.Key] = string(h.Value)
	}
	if strings.HasPrefix(headers["content-type"], "application/cloudevents") {
		return schema.Decode(r.Value)
	}
	return schema.DecodeBinary(func(name string) string {
		if name == "datacontenttype" {
			return headers["content-type"]
		}
		return headers["ce_"+name]
	}, r.Value)
}
