package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// MaxString is REMOTE_STRING_MAX, the longest string in bytes.
const MaxString = 4 << 20

// MaxDomainList is REMOTE_DOMAIN_LIST_MAX, the most domains in one list.
const MaxDomainList = 16384

// ErrXDR is returned, wrapped, when a payload is shorter than its structure says or a
// count is over its limit.
var ErrXDR = errors.New("malformed XDR")

// Decoder reads XDR (RFC 4506) from a payload. The first fault sticks: later reads return
// zero values, and Err tells. The zero value decodes an empty payload.
type Decoder struct {
	buf []byte
	pos int
	err error
}

// NewDecoder returns a Decoder of b, which it does not copy.
func NewDecoder(b []byte) Decoder { return Decoder{buf: b} }

// Err returns the first fault, or nil.
func (d *Decoder) Err() error { return d.err }

// Rest returns how many bytes have not been read. A newer daemon may append fields; a
// decoder of replies and events does not insist on 0.
func (d *Decoder) Rest() int { return len(d.buf) - d.pos }

func (d *Decoder) fail(what string, n uint64) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s (%d) at byte %d of %d", ErrXDR, what, n, d.pos, len(d.buf))
	}
	d.pos = len(d.buf)
}

// Uint32 reads an unsigned int.
func (d *Decoder) Uint32() uint32 {
	rest := d.buf[d.pos:]
	if len(rest) < 4 {
		d.fail("payload ends inside a word", uint64(len(rest)))
		return 0
	}
	d.pos += 4
	return binary.BigEndian.Uint32(rest)
}

// Int32 reads an int.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Uint64 reads an unsigned hyper.
func (d *Decoder) Uint64() uint64 {
	if d.Rest() < 8 {
		d.fail("payload ends inside a hyper", uint64(d.Rest()))
		return 0
	}
	v := binary.BigEndian.Uint64(d.buf[d.pos:])
	d.pos += 8
	return v
}

// Int64 reads a hyper.
func (d *Decoder) Int64() int64 { return int64(d.Uint64()) }

// Count reads an array length and refuses one above limit, or one that the payload cannot
// hold at elementSize bytes (at least 4) an element.
func (d *Decoder) Count(limit, elementSize int) int {
	n := d.Uint32()
	if uint64(n) > uint64(limit) {
		d.fail("array is longer than its limit", uint64(n))
		return 0
	}
	if uint64(n)*uint64(elementSize) > uint64(d.Rest()) {
		d.fail("array is longer than the payload", uint64(n))
		return 0
	}
	return int(n)
}

// Bytes reads a nonnull string or variable opaque, and returns it without copying.
func (d *Decoder) Bytes() []byte {
	n := d.Uint32()
	if n > MaxString {
		d.fail("string is longer than its limit", uint64(n))
		return nil
	}
	padded := (int(n) + 3) &^ 3
	if padded > d.Rest() {
		d.fail("string is longer than the payload", uint64(n))
		return nil
	}
	b := d.buf[d.pos : d.pos+int(n)]
	d.pos += padded
	return b
}

// String reads a nonnull string.
func (d *Decoder) String() string { return string(d.Bytes()) }

// OptionalString reads an optional string; ok is false for NULL.
func (d *Decoder) OptionalString() (s string, ok bool) {
	if !d.Bool() {
		return "", false
	}
	return d.String(), d.err == nil
}

// Bool reads a boolean, or the discriminant of an optional.
func (d *Decoder) Bool() bool {
	v := d.Uint32()
	if v > 1 {
		d.fail("boolean is neither 0 nor 1", uint64(v))
	}
	return v == 1
}

// UUID reads a remote_uuid.
func (d *Decoder) UUID() (u schema.UUID) {
	if d.Rest() < len(u) {
		d.fail("payload ends inside a uuid", uint64(d.Rest()))
		return u
	}
	d.pos += copy(u[:], d.buf[d.pos:])
	return u
}

// Domain reads a remote_nonnull_domain.
func (d *Decoder) Domain() schema.Object {
	return schema.Object{Name: d.String(), UUID: d.UUID(), ID: d.Int32()}
}

// Encoder appends XDR to a buffer. The zero value is an empty payload.
type Encoder struct{ buf []byte }

// NewEncoder returns an Encoder that appends to buf.
func NewEncoder(buf []byte) Encoder { return Encoder{buf: buf} }

// Payload returns what was encoded.
func (e *Encoder) Payload() []byte { return e.buf }

// Uint32 appends an unsigned int.
func (e *Encoder) Uint32(v uint32) { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }

// Int32 appends an int.
func (e *Encoder) Int32(v int32) { e.Uint32(uint32(v)) }

// Uint64 appends an unsigned hyper.
func (e *Encoder) Uint64(v uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }

// Int64 appends a hyper.
func (e *Encoder) Int64(v int64) { e.Uint64(uint64(v)) }

// Bool appends a boolean, or the discriminant of an optional.
func (e *Encoder) Bool(v bool) {
	var n uint32
	if v {
		n = 1
	}
	e.Uint32(n)
}

// String appends a nonnull string with its padding.
func (e *Encoder) String(s string) {
	e.Uint32(uint32(len(s)))
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, "\x00\x00\x00"[:-len(s)&3]...)
}

// OptionalString appends an optional string that is there.
func (e *Encoder) OptionalString(s string) {
	e.Bool(true)
	e.String(s)
}

// Null appends an optional that is not there.
func (e *Encoder) Null() { e.Bool(false) }

// UUID appends a remote_uuid.
func (e *Encoder) UUID(u schema.UUID) { e.buf = append(e.buf, u[:]...) }

// Domain appends a remote_nonnull_domain.
func (e *Encoder) Domain(d schema.Object) {
	e.String(d.Name)
	e.UUID(d.UUID)
	e.Int32(d.ID)
}
