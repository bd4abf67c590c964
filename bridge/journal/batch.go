package journal

import "encoding/binary"

// Batch is what one Append makes durable: records and changes of values, in the order in
// which they were added. The zero value is empty and ready. It is not safe for concurrent
// use.
type Batch struct {
	buf     []byte // room for a frame header, then the body
	records uint32
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.buf, b.records = b.buf[:0], 0
}

// Record adds a record that holds a copy of p.
func (b *Batch) Record(p []byte) {
	b.begin(opRecord, len(p))
	b.buf = append(b.buf, p...)
	b.records++
}

// BeginRecord begins a record and returns a slice, to which its content is to be
// appended. EndRecord, with the result, completes it; the batch must not be used in
// between. It saves the copy that Record makes.
func (b *Batch) BeginRecord() []byte {
	b.begin(opRecord, 0)
	return b.buf
}

// EndRecord completes the record that BeginRecord has begun.
func (b *Batch) EndRecord(buf []byte) {
	start := len(b.buf)
	binary.LittleEndian.PutUint32(buf[start-4:], uint32(len(buf)-start))
	b.buf = buf
	b.records++
}

// Put adds a change of a value: key has value from now on.
func (b *Batch) Put(key, value []byte) {
	b.begin(opPut, len(key))
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(len(value)))
	b.buf = append(b.buf, key...)
	b.buf = append(b.buf, value...)
}

// Delete adds a change of a value: key has no value from now on.
func (b *Batch) Delete(key []byte) {
	b.begin(opDelete, len(key))
	b.buf = append(b.buf, key...)
}

// Len returns the number of records.
func (b *Batch) Len() int { return int(b.records) }

// Bytes returns what the batch takes in the log, in bytes; 0 if it is empty.
func (b *Batch) Bytes() int {
	if len(b.buf) == 0 {
		return 0
	}
	return len(b.buf) + frameTrailer
}

// begin adds the head of an entry.
func (b *Batch) begin(op byte, length int) {
	if len(b.buf) == 0 {
		b.buf = append(b.buf, make([]byte, frameHeader)...)
	}
	b.buf = append(b.buf, op)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(length))
}

// seal returns the batch as a frame, valid until the batch is changed. It may be called
// again.
func (b *Batch) seal(salt, first uint64) []byte {
	p := sealFrame(b.buf, salt, first, b.records)
	b.buf = p[:len(p)-frameTrailer]
	return p
}
