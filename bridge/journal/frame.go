package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	frameMagic   = 0x72666376 // "vcfr", little endian
	frameHeader  = 24         // bytes before the body
	frameTrailer = 4          // bytes behind the body
	// maxFrame bounds what is believed of a length found on disk. It leaves room for
	// what a dead letter adds to the largest record.
	maxFrame = MaxBatchBytes + 64<<10
)

// The operations in a frame's body.
const (
	opRecord byte = 1 // op, u32 length, data
	opPut    byte = 2 // op, u32 key length, u32 value length, key, value
	opDelete byte = 3 // op, u32 key length, key
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is a batch as it stands in a segment, checked.
type frame struct {
	first uint64 // offset of the first record, or of the next one if count is 0
	count uint32 // records
	body  []byte
}

// errShort is returned when a frame, or its header, is not there as a whole.
var errShort = errors.New("frame ends early")

// sealFrame fills in the header of p, which is a frame header's room and a body,
// and appends the trailer.
func sealFrame(p []byte, salt, first uint64, count uint32) []byte {
	le := binary.LittleEndian
	le.PutUint32(p[0:], frameMagic)
	le.PutUint32(p[4:], uint32(len(p)-frameHeader))
	le.PutUint64(p[8:], first)
	le.PutUint32(p[16:], count)
	sum := headerSum(p, salt)
	le.PutUint32(p[20:], sum)
	return le.AppendUint32(p, crc32.Update(sum, castagnoli, p[frameHeader:]))
}

// headerSum is the checksum of a frame header. The segment's salt is part of it, so
// that neither bytes of another file nor a frame inside a record can pass for a frame.
func headerSum(p []byte, salt uint64) uint32 {
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, p[:20])
}

// frameSize returns the size of the frame that p begins with, from its header.
func frameSize(p []byte, salt uint64) (int, error) {
	if len(p) < frameHeader {
		return frameHeader, errShort
	}
	le := binary.LittleEndian
	if le.Uint32(p) != frameMagic {
		return 0, errors.New("no frame begins here")
	}
	if le.Uint32(p[20:]) != headerSum(p, salt) {
		return 0, errors.New("wrong checksum of a frame header")
	}
	n := uint64(le.Uint32(p[4:])) + frameHeader + frameTrailer
	if n > maxFrame {
		return 0, fmt.Errorf("frame of %d bytes", n)
	}
	return int(n), nil
}

// parseFrame checks the frame that p begins with and returns it with its size. If p is
// too short, the error is errShort and the size is what is needed to know more.
func parseFrame(p []byte, salt uint64) (frame, int, error) {
	n, err := frameSize(p, salt)
	if err != nil {
		return frame{}, n, err
	}
	if len(p) < n {
		return frame{}, n, errShort
	}
	le := binary.LittleEndian
	f := frame{first: le.Uint64(p[8:]), count: le.Uint32(p[16:]), body: p[frameHeader : n-frameTrailer]}
	if crc32.Update(le.Uint32(p[20:]), castagnoli, f.body) != le.Uint32(p[n-frameTrailer:]) {
		return frame{}, n, errors.New("wrong checksum of a frame")
	}
	return f, n, nil
}

// nextEntry splits the first entry off a body. For a record, data is in value.
func nextEntry(body []byte) (op byte, key, value, rest []byte, err error) {
	le := binary.LittleEndian
	head := 5
	if len(body) > 0 && body[0] == opPut {
		head = 9
	}
	if len(body) < head {
		return 0, nil, nil, nil, errors.New("an entry ends early")
	}
	op = body[0]
	klen, vlen := uint64(le.Uint32(body[1:])), uint64(0)
	switch op {
	case opRecord:
		klen, vlen = 0, klen
	case opPut:
		vlen = uint64(le.Uint32(body[5:]))
	case opDelete:
	default:
		return 0, nil, nil, nil, fmt.Errorf("unknown entry %d", op)
	}
	body = body[head:]
	if uint64(len(body)) < klen+vlen {
		return 0, nil, nil, nil, errors.New("an entry ends early")
	}
	return op, body[:klen], body[klen : klen+vlen], body[klen+vlen:], nil
}

const (
	minRead = 64 << 10
	maxRead = 1 << 20
)

// frameReader reads the frames of one segment in large pieces.
type frameReader struct {
	f    io.ReaderAt
	salt uint64
	pos  int64  // place in the file of the next frame
	buf  []byte // what was read
	off  int    // buf[off:] begins at pos
}

// reset begins to read another file, or another place.
func (r *frameReader) reset(f io.ReaderAt, salt uint64, pos int64) {
	r.f, r.salt, r.pos, r.buf, r.off = f, salt, pos, r.buf[:0], 0
}

// buffered reports whether the next frame can be had without reading, which would
// overwrite the frames given before.
func (r *frameReader) buffered() bool {
	n, err := frameSize(r.buf[r.off:], r.salt)
	return err == nil && len(r.buf)-r.off >= n
}

// next returns the next frame, which is valid until the following call. The file counts
// up to limit. It returns io.EOF at the limit, errShort if the frame would go beyond it,
// a *readError if reading failed, and any other error if the bytes are not a frame.
func (r *frameReader) next(limit int64) (frame, error) {
	need := frameHeader
	for {
		if len(r.buf)-r.off >= need {
			f, n, err := parseFrame(r.buf[r.off:], r.salt)
			if err == nil {
				r.off += n
				r.pos += int64(n)
				return f, nil
			}
			if !errors.Is(err, errShort) {
				return frame{}, err
			}
			need = n
		}
		if r.pos >= limit {
			return frame{}, io.EOF
		}
		if limit-r.pos < int64(need) {
			return frame{}, errShort
		}
		if err := r.fill(limit, need); err != nil {
			return frame{}, err
		}
	}
}

// fill reads until need bytes, and perhaps more, are in the buffer.
func (r *frameReader) fill(limit int64, need int) error {
	want := int(min(limit-r.pos, maxRead))
	want = max(want, need)
	have := len(r.buf) - r.off
	if cap(r.buf) < want {
		grown := make([]byte, have, max(want, min(2*cap(r.buf), maxRead), minRead))
		copy(grown, r.buf[r.off:])
		r.buf = grown
	} else {
		r.buf = r.buf[:copy(r.buf[:have], r.buf[r.off:])]
	}
	r.off = 0
	n, err := r.f.ReadAt(r.buf[have:want], r.pos+int64(have))
	r.buf = r.buf[:have+n]
	if len(r.buf) < need {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return &readError{err}
	}
	return nil
}

// readError says that a file could not be read, as opposed to holding the wrong bytes.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (e *readError) Unwrap() error { return e.err }
