package producer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/segmentio/kafka-go/compress"

	"github.com/virtcast/virtcast/sinks/kafka/client"
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

// Batch is a record batch in the making, and then its bytes. The memory is reused: Reset,
// Add, Seal, Sign; and Sign again for another producer id or sequence.
type Batch struct {
	compression compress.Compression
	// wire is the length of the batch and the batch.
	wire []byte
	// raw holds the records while they are to be compressed.
	raw     []byte
	count   int
	first   int64 // time of the first record
	maxTime int64
}

// Reset empties the batch.
func (b *Batch) Reset(compression compress.Compression) {
	b.compression, b.count = compression, 0
	b.raw = b.raw[:0]
	if cap(b.wire) < sizePrefix+batchHeader {
		b.wire = make([]byte, 0, 16<<10)
	}
	b.wire = b.wire[:sizePrefix+batchHeader]
	clear(b.wire)
}

// Wire returns the bytes, with their length in front as in a produce request. They are
// valid until Reset.
func (b *Batch) Wire() []byte { return b.wire }

// Count returns the number of records.
func (b *Batch) Count() int { return b.count }

// Size returns the size of the batch in bytes before compression.
func (b *Batch) Size() int { return len(b.wire) - sizePrefix + len(b.raw) }

// recordOverhead bounds the bytes of a record beside its key, value and headers.
const recordOverhead = 1 + 6*binary.MaxVarintLen64

// Size bounds the bytes that the record adds to a batch.
func (r *Record) Size() int {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 2*binary.MaxVarintLen32 + len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

// Add appends a record.
func (b *Batch) Add(r *Record) {
	if b.count == 0 {
		b.first, b.maxTime = r.Time, r.Time
	}
	b.maxTime = max(b.maxTime, r.Time)
	if b.compression == compress.None {
		b.wire = appendRecord(b.wire, r, r.Time-b.first, b.count)
	} else {
		b.raw = appendRecord(b.raw, r, r.Time-b.first, b.count)
	}
	b.count++
}

func appendRecord(dst []byte, r *Record, timeDelta int64, offsetDelta int) []byte {
	size := 1 + varintSize(timeDelta) + varintSize(int64(offsetDelta)) +
		bytesSize(r.Key) + bytesSize(r.Value) + varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintSize(int64(len(h.Name))) + len(h.Name) + bytesSize(h.Value)
	}
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, 0) // attributes: none are defined
	dst = binary.AppendVarint(dst, timeDelta)
	dst = binary.AppendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = binary.AppendVarint(dst, int64(len(h.Name)))
		dst = append(dst, h.Name...)
		dst = appendBytes(dst, h.Value)
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

// varintSize returns how many bytes the zigzag varint of v takes.
func varintSize(v int64) int { return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7 }

// Seal compresses the records and fills in the header, except for the fields of Sign.
func (b *Batch) Seal(c *Compressor) error {
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

// Sign writes the producer id, the sequence of the first record, and the checksum.
func (b *Batch) Sign(p client.ProducerID, sequence int32) {
	put, h := binary.BigEndian, b.wire[sizePrefix:]
	put.PutUint64(h[atProducerID:], uint64(p.ID))
	put.PutUint16(h[atEpoch:], uint16(p.Epoch))
	put.PutUint32(h[atBaseSequence:], uint32(sequence))
	put.PutUint32(h[atCRC:], crc32.Checksum(h[atAttributes:], castagnoli))
}

// nextSequence returns the sequence after n records that begin at sequence. It wraps to 0
// as brokers expect.
func nextSequence(sequence int32, n int) int32 {
	return int32((uint32(sequence) + uint32(n)) & 0x7fffffff)
}
