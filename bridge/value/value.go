package value

import (
	"encoding/binary"
	"errors"
	"math"
)

// The errors of [Reader.Err].
var (
	// ErrFormat is returned when bytes are not a value: they are damaged.
	ErrFormat = errors.New("unreadable value")
	// ErrNewer is returned when a newer program wrote the value.
	ErrNewer = errors.New("it was written by a newer virtcast: install that version again")
)

// Section appends a section. write appends the content to the slice that it is given, and
// returns that. The content has at most 16,383 bytes.
func Section(dst []byte, kind byte, write func([]byte) []byte) []byte {
	dst = append(dst, kind, 0, 0)
	start := len(dst)
	dst = write(dst)
	n := len(dst) - start // in two bytes, so that nothing is moved
	dst[start-2], dst[start-1] = byte(n)|0x80, byte(n>>7)
	return dst
}

// Bytes appends a section with that content.
func Bytes(dst []byte, kind byte, content []byte) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(len(content)))
	return append(dst, content...)
}

// AppendString appends a string for [Reader.String].
func AppendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// Reader reads from the front of a value. After the first fault every read returns zero,
// and Err says which fault it was.
type Reader struct {
	Rest []byte
	err  error
}

// Err returns the first fault: an [ErrFormat] or an [ErrNewer].
func (r *Reader) Err() error { return r.err }

// Fail makes err the fault, unless there is one already.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.Rest = nil
}

// Sections calls read with each section that is left. read returns false for a type that
// it does not know.
func (r *Reader) Sections(read func(kind byte, content *Reader) bool) {
	for len(r.Rest) > 0 {
		kind := r.Byte()
		content := Reader{Rest: r.take(r.Uvarint())}
		if r.err != nil {
			return
		}
		switch known := read(kind, &content); {
		case content.err != nil:
			r.Fail(content.err)
		case !known && kind%2 == 1:
			r.Fail(ErrNewer)
		}
	}
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.Rest)
	if n <= 0 {
		r.Fail(ErrFormat)
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.Rest)
	if n <= 0 {
		r.Fail(ErrFormat)
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

// Int32 reads a signed number that must fit.
func (r *Reader) Int32() int32 {
	v := r.Varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.Fail(ErrFormat)
		return 0
	}
	return int32(v)
}

// String reads what [AppendString] wrote.
func (r *Reader) String() string { return string(r.take(r.Uvarint())) }

// take returns the next n bytes, or nil.
func (r *Reader) take(n uint64) []byte {
	if n > uint64(len(r.Rest)) {
		r.Fail(ErrFormat)
		return nil
	}
	b := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return b
}
