package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/segmentio/kafka-go/compress"
)

// Where the fields of a record batch (format v2) are, in bytes from its beginning.
const (
	atLength       = 8
	atLeaderEpoch  = 12
	atMagic        = 16
	atCRC          = 17
	atAttributes   = 21 // the checksum covers everything from here
	atLastDelta    = 23
	atFirstTime    = 27
	atMaxTime      = 35
	atProducerID   = 43
	atEpoch        = 51
	atBaseSequence = 53
	atCount        = 57
	batchHeader    = 61
)

// sizePrefix is the length in front of a batch in a produce request.
const sizePrefix = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is one header of a record.
type header struct {
	name  string
	value []byte
}

// record is one Kafka record. A nil value is a tombstone.
type record struct {
	key     []byte
	value   []byte
	headers []header
	// time is in milliseconds since 1970.
	time int64
}

// producerID is by what a broker knows who sends a sequence of batches.
type producerID struct {
	id    int64
	epoch int16
}

// batch is a record batch in the making, and then its bytes. The memory is reused: reset,
// add, seal, sign; sign again for another producer or sequence.
type batch struct {
	compression compress.Compression
	// wire is the size prefix and the batch.
	wire []byte
	// raw holds the records while they are to be compressed.
	raw     []byte
	count   int
	first   int64 // time of the first record
	maxTime int64
}

// reset empties the batch.
func (b *batch) reset(compression compress.Compression) {
	b.compression, b.count = compression, 0
	b.raw = b.raw[:0]
	if cap(b.wire) < sizePrefix+batchHeader {
		b.wire = make([]byte, 0, 16<<10)
	}
	b.wire = b.wire[:sizePrefix+batchHeader]
	clear(b.wire)
}

// size is the size of the batch in bytes before compression.
func (b *batch) size() int { return len(b.wire) - sizePrefix + len(b.raw) }

// recordOverhead bounds what a record takes beside its key, value and headers.
const recordOverhead = 1 + 6*binary.MaxVarintLen64

// recordSize bounds what r adds to the size of a batch.
func recordSize(r *record) int {
	n := recordOverhead + len(r.key) + len(r.value)
	for i := range r.headers {
		n += 2*binary.MaxVarintLen32 + len(r.headers[i].name) + len(r.headers[i].value)
	}
	return n
}

// add appends a record.
func (b *batch) add(r *record) {
	if b.count == 0 {
		b.first, b.maxTime = r.time, r.time
	}
	b.maxTime = max(b.maxTime, r.time)
	if b.compression == compress.None {
		b.wire = appendRecord(b.wire, r, r.time-b.first, b.count)
	} else {
		b.raw = appendRecord(b.raw, r, r.time-b.first, b.count)
	}
	b.count++
}

func appendRecord(dst []byte, r *record, timeDelta int64, offsetDelta int) []byte {
	size := 1 + varintSize(timeDelta) + varintSize(int64(offsetDelta)) +
		bytesSize(r.key) + bytesSize(r.value) + varintSize(int64(len(r.headers)))
	for i := range r.headers {
		h := &r.headers[i]
		size += varintSize(int64(len(h.name))) + len(h.name) + bytesSize(h.value)
	}
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, 0) // attributes: none are defined
	dst = binary.AppendVarint(dst, timeDelta)
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, r.key)
	dst = appendBytes(dst, r.value)
	dst = binary.AppendVarint(dst, int64(len(r.headers)))
	for i := range r.headers {
		h := &r.headers[i]
		dst = binary.AppendVarint(dst, int64(len(h.name)))
		dst = append(dst, h.name...)
		dst = appendBytes(dst, h.value)
	}
	return dst
}

// appendBytes appends nullable bytes.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

// varintSize is how many bytes the zigzag varint of v takes.
func varintSize(v int64) int { return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7 }

// seal compresses the records and fills in the header but for what sign does.
func (b *batch) seal(c *compressor) error {
	if b.compression != compress.None {
		var err error
		if b.wire, err = c.append(b.wire, b.raw, b.compression); err != nil {
			return fmt.Errorf("compress a batch: %w", err)
		}
	}
	put, h := binary.BigEndian, b.wire[sizePrefix:]
	put.PutUint32(b.wire, uint32(len(h)))
	put.PutUint32(h[atLength:], uint32(len(h)-atLeaderEpoch))
	put.PutUint32(h[atLeaderEpoch:], ^uint32(0)) // -1: the broker fills it in
	h[atMagic] = 2
	put.PutUint16(h[atAttributes:], uint16(b.compression))
	put.PutUint32(h[atLastDelta:], uint32(b.count-1))
	put.PutUint64(h[atFirstTime:], uint64(b.first))
	put.PutUint64(h[atMaxTime:], uint64(b.maxTime))
	put.PutUint32(h[atCount:], uint32(b.count))
	return nil
}

// sign writes who sends the batch, with which sequence, and the checksum.
func (b *batch) sign(p producerID, sequence int32) {
	put, h := binary.BigEndian, b.wire[sizePrefix:]
	put.PutUint64(h[atProducerID:], uint64(p.id))
	put.PutUint16(h[atEpoch:], uint16(p.epoch))
	put.PutUint32(h[atBaseSequence:], uint32(sequence))
	put.PutUint32(h[atCRC:], crc32.Checksum(h[atAttributes:], castagnoli))
}

// nextSequence is the sequence after n records beginning at sequence. It wraps to 0 as brokers expect.
func nextSequence(sequence int32, n int) int32 {
	return int32((uint32(sequence) + uint32(n)) & 0x7fffffff)
}
