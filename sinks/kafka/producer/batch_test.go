package producer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

var compressions = []compress.Compression{
	compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd,
}

// plainRecord is a record as a reader sees it.
type plainRecord struct {
	Key, Value []byte
	Headers    []plainHeader
	Time       int64
}

type plainHeader struct {
	Name  string
	Value []byte
}

func asRead(r *Record) plainRecord {
	p := plainRecord{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Time: r.Time}
	for _, h := range r.Headers {
		p.Headers = append(p.Headers, plainHeader{h.Name, bytes.Clone(h.Value)})
	}
	return p
}

// seal makes a batch of records.
func seal(t testing.TB, c compress.Compression, p client.ProducerID, sequence int32, records ...*Record) *Batch {
	t.Helper()
	var b Batch
	b.Reset(c)
	for _, r := range records {
		before := b.Size()
		b.Add(r)
		if got, bound := b.Size()-before, r.Size(); got > bound {
			t.Errorf("a record takes %d bytes, Size says at most %d", got, bound)
		}
	}
	if err := b.Seal(new(Compressor)); err != nil {
		t.Fatal(err)
	}
	b.Sign(p, sequence)
	return &b
}

// readKafkaGo reads a batch with kafka-go's reader, which checks its checksum.
func readKafkaGo(t testing.TB, wire []byte) (records []plainRecord, rb *protocol.RecordBatch) {
	t.Helper()
	var set protocol.RecordSet
	if _, err := set.ReadFrom(bytes.NewReader(wire)); err != nil {
		t.Fatal(err)
	}
	stream, ok := set.Records.(*protocol.RecordStream)
	if !ok || len(stream.Records) != 1 {
		t.Fatalf("kafka-go reads %T", set.Records)
	}
	rb, ok = stream.Records[0].(*protocol.RecordBatch)
	if !ok {
		t.Fatalf("kafka-go reads %T", stream.Records[0])
	}
	for {
		r, err := rb.ReadRecord()
		if errors.Is(err, io.EOF) {
			return records, rb
		}
		if err != nil {
			t.Fatal(err)
		}
		p := plainRecord{Key: readAll(t, r.Key), Value: readAll(t, r.Value), Time: r.Time.UnixMilli()}
		for _, h := range r.Headers {
			p.Headers = append(p.Headers, plainHeader{h.Key, h.Value})
		}
		records = append(records, p)
	}
}

func readAll(t testing.TB, b protocol.Bytes) []byte {
	t.Helper()
	if b == nil {
		return nil
	}
	data, err := protocol.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if data == nil {
		data = []byte{}
	}
	return data
}

// readFranz reads a batch with franz-go's decoder, which checks its checksum.
func readFranz(t testing.TB, wire []byte) (records []plainRecord) {
	t.Helper()
	batches := bytes.Clone(wire[sizePrefix:])
	partition := kmsg.NewFetchResponseTopicPartition()
	partition.RecordBatches, partition.HighWatermark = batches, math.MaxInt32
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &partition, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		t.Fatal(fetched.Err)
	}
	for _, r := range fetched.Records {
		p := plainRecord{Key: r.Key, Value: r.Value, Time: r.Timestamp.UnixMilli()}
		for _, h := range r.Headers {
			p.Headers = append(p.Headers, plainHeader{h.Key, h.Value})
		}
		records = append(records, p)
	}
	return records
}

// equalBytes compares bytes at once, which cmp does one by one. No bytes differ from zero
// bytes.
var equalBytes = cmp.Comparer(func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) })

func TestBatch(t *testing.T) {
	records := []*Record{
		{Key: []byte("k"), Value: []byte("v"), Time: 1_700_000_000_000, Headers: []Header{{"ce_id", []byte("1")}, {"empty", []byte{}}}},
		{Key: []byte("k"), Value: nil, Time: 1_700_000_000_001},
		{Key: nil, Value: []byte{}, Time: 1_699_999_999_000}, // a clock that went back
		{Key: []byte("big"), Value: bytes.Repeat([]byte("0123456789"), 50_000), Time: 1_700_000_100_000},
	}
	var want []plainRecord
	for _, r := range records {
		want = append(want, asRead(r))
	}
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			b := seal(t, c, client.ProducerID{ID: 77, Epoch: 3}, 41, records...)
			got, rb := readKafkaGo(t, b.wire)
			if diff := cmp.Diff(want, got, equalBytes); diff != "" {
				t.Errorf("kafka-go (-want +got):\n%s", diff)
			}
			if rb.ProducerID != 77 || rb.ProducerEpoch != 3 || rb.BaseSequence != 41 || rb.PartitionLeaderEpoch != -1 {
				t.Errorf("kafka-go reads producer %d, epoch %d, sequence %d, leader epoch %d", rb.ProducerID, rb.ProducerEpoch, rb.BaseSequence, rb.PartitionLeaderEpoch)
			}
			if diff := cmp.Diff(want, readFranz(t, b.wire), equalBytes); diff != "" {
				t.Errorf("franz-go (-want +got):\n%s", diff)
			}
			var header kmsg.RecordBatch
			if err := header.ReadFrom(b.wire[sizePrefix:]); err != nil {
				t.Fatal(err)
			}
			if int(header.Length) != len(b.wire)-sizePrefix-12 || header.MaxTimestamp != 1_700_000_100_000 || header.NumRecords != 4 || header.LastOffsetDelta != 3 {
				t.Errorf("header: %+v", header)
			}
			before := bytes.Clone(b.wire)
			b.Sign(client.ProducerID{ID: 78}, 0)
			if diff := cmp.Diff(want, readFranz(t, b.wire), equalBytes); diff != "" {
				t.Errorf("signed again (-want +got):\n%s", diff)
			}
			b.Sign(client.ProducerID{ID: 77, Epoch: 3}, 41)
			if !bytes.Equal(before, b.wire) {
				t.Error("signing twice for the same producer gives different bytes")
			}
		})
	}
}

func TestNextSequence(t *testing.T) {
	for _, test := range []struct {
		sequence int32
		n        int
		want     int32
	}{{0, 1, 1}, {math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 5, 3}} {
		if got := nextSequence(test.sequence, test.n); got != test.want {
			t.Errorf("nextSequence(%d, %d) = %d, want %d", test.sequence, test.n, got, test.want)
		}
	}
}

func TestVarintSize(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, 8191, 8192, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		if got, want := varintSize(v), len(binary.AppendVarint(nil, v)); got != want {
			t.Errorf("varintSize(%d) = %d, want %d", v, got, want)
		}
	}
}

func TestBatchAllocates(t *testing.T) {
	r := &Record{
		Key: []byte("66000000-0000-4000-8000-000000000000"), Value: bytes.Repeat([]byte("x"), 300), Time: 1_700_000_000_000,
		Headers: []Header{{"ce_id", []byte("1")}, {"ce_source", []byte("qemu://kvm01/system")}},
	}
	for _, c := range []compress.Compression{compress.None, compress.Zstd} {
		var (
			b Batch
			z Compressor
		)
		fill := func() {
			b.Reset(c)
			for range 500 {
				b.Add(r)
			}
			if err := b.Seal(&z); err != nil {
				t.Fatal(err)
			}
			b.Sign(client.ProducerID{ID: 1}, 0)
		}
		fill()
		if n := testing.AllocsPerRun(10, fill); n > 0 {
			t.Errorf("%s: a batch of 500 records allocates %v times, want 0", c, n)
		}
	}
}

// FuzzBatch holds that whatever is put into a batch comes out of it, read by two other
// implementations.
func FuzzBatch(f *testing.F) {
	f.Add(uint8(0), []byte("key"), []byte("value"), "name", int64(0), int64(1), int32(5))
	f.Add(uint8(4), []byte{}, []byte{}, "", int64(-1), int64(math.MaxInt32), int32(math.MaxInt32))
	f.Fuzz(func(t *testing.T, c uint8, key, value []byte, name string, first, delta int64, sequence int32) {
		const day = 86_400_000
		first %= 20_000 * day
		delta %= 1_000 * day
		records := []*Record{
			{Key: key, Value: value, Time: first, Headers: []Header{{name, value}}},
			{Key: value, Value: nil, Time: first + delta},
			{Key: nil, Value: key, Time: first - delta, Headers: []Header{{"a", key}, {name, []byte{}}, {"b", value}}},
		}
		var want []plainRecord
		for _, r := range records {
			want = append(want, asRead(r))
		}
		b := seal(t, compressions[int(c)%len(compressions)], client.ProducerID{ID: 1}, sequence, records...)
		same := cmp.Comparer(bytes.Equal)
		got, _ := readKafkaGo(t, b.wire)
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("kafka-go (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, readFranz(t, b.wire), same); diff != "" {
			t.Errorf("franz-go (-want +got):\n%s", diff)
		}
	})
}
