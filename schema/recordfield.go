package schema

import (
	"encoding/binary"
	"math"
	"time"
)

// recordReader reads a record from the front. After the first problem every
// read returns zero.
type recordReader struct {
	rest    []byte
	problem string
}

func (r *recordReader) fail(problem string) {
	if r.problem == "" {
		r.problem = problem
	}
	r.rest = nil
}

// take returns the next n bytes, or nil.
func (r *recordReader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail("cut short")
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *recordReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > limit {
		r.fail("bad number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *recordReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *recordReader) int32() int32 {
	v := r.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail("bad number")
		return 0
	}
	return int32(v)
}

func (r *recordReader) bytes() []byte {
	return r.take(int(r.uvarint(math.MaxInt32)))
}

func (r *recordReader) time() time.Time {
	seconds, nanos := r.varint(), r.uvarint(999_999_999)
	if r.problem != "" {
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

// state reads what is known of the domain.
func (r *recordReader) state() State {
	s := State{Valid: true, Code: r.int32(), Reason: r.int32()}
	if last := r.take(1); last != nil {
		s.Gone = last[0]&stateGone != 0
		if s.Persistence = Persistence(last[0] &^ stateGone); s.Persistence > NotPersistent {
			r.fail("bad state")
		}
	}
	if r.problem != "" {
		return State{}
	}
	return s
}

// connection returns the four strings of a connection in their encoded form.
func (r *recordReader) connection() []byte {
	start := r.rest
	for range 4 {
		r.bytes()
	}
	if r.problem != "" {
		return nil
	}
	return start[:len(start)-len(r.rest)]
}
