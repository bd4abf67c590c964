package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// The first byte of a record is the version of its form. Version 2 is written; version 1,
// which had neither states nor repeats, is still read.
//
// The rest, where a string is its length as uvarint and its bytes,
// and a time is its Unix seconds as varint and its nanoseconds as uvarint:
//
//	flags            byte, the record… constants
//	sinks            uvarint count, that many strings    if recordSinks
//	kind             uvarint
//	event, detail    varint each
//	received         time
//	epoch            string
//	sequence         uvarint
//	domainsequence   uvarint
//	connection       strings name, uri, hostname, source
//	domain           16 bytes, string name, varint id    if recordDomain
//	unobservedsince  time                                if recordUnobserved
//	gap              string reason, uvarint lost, time   if recordGap
//	state            varint code, varint reason, byte    if recordState
//
// The last byte of a state is its persistence, and stateGone if the domain is gone.
//
// A record carries no checksum: that the bytes are those that were written is the
// journal's promise.
const (
	recordV1 = 1
	recordV2 = 2
)

// The flags of a record.
const (
	recordSynthetic = 1 << iota
	recordSinks
	recordDomain
	recordUnobserved
	recordGap
	recordState   // since version 2
	recordRepeat  // since version 2
	recordV2Flags = 1<<iota - 1
	recordV1Flags = recordState - 1
)

// stateGone is set in the last byte of the state of a domain that is gone.
const stateGone = 0x80

// ErrRecord is returned when bytes are not a record of a version that this program
// knows: they are damaged, or a newer program wrote them.
var ErrRecord = errors.New("unreadable record")

func recordError(what string) error { return fmt.Errorf("%w: %s", ErrRecord, what) }

// AppendRecord appends the durable form of e and of the names of the sinks it
// goes to, nil meaning every sink. The record needs nothing else to be
// understood. It allocates nothing if dst has room; a lifecycle event
// takes about 140 bytes.
func AppendRecord(dst []byte, e *Event, sinks []string) []byte {
	var flags byte
	if e.Synthetic {
		flags |= recordSynthetic
	}
	if sinks != nil {
		flags |= recordSinks
	}
	if e.Object != (Object{}) {
		flags |= recordDomain
	}
	if !e.UnobservedSince.IsZero() {
		flags |= recordUnobserved
	}
	if e.Gap != nil {
		flags |= recordGap
	}
	if e.State.Valid {
		flags |= recordState
	}
	dst = append(dst, recordV2, flags)
	if sinks != nil {
		dst = binary.AppendUvarint(dst, uint64(len(sinks)))
		for _, sink := range sinks {
			dst = appendRecordString(dst, sink)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(e.Kind))
	dst = binary.AppendVarint(dst, int64(e.Observation.Event))
	dst = binary.AppendVarint(dst, int64(e.Detail))
	dst = appendRecordTime(dst, e.Received)
	dst = appendRecordString(dst, e.Epoch)
	dst = binary.AppendUvarint(dst, e.Sequence)
	dst = binary.AppendUvarint(dst, e.DomainSequence)
	c := e.connection()
	dst = appendRecordString(dst, c.Name)
	dst = appendRecordString(dst, c.URI)
	dst = appendRecordString(dst, c.Hostname)
	dst = appendRecordString(dst, c.Source)
	if flags&recordDomain != 0 {
		dst = append(dst, e.Object.UUID[:]...)
		dst = appendRecordString(dst, e.Object.Name)
		dst = binary.AppendVarint(dst, int64(e.Object.ID))
	}
	if flags&recordUnobserved != 0 {
		dst = appendRecordTime(dst, e.UnobservedSince)
	}
	if flags&recordGap != 0 {
		dst = appendRecordString(dst, string(e.Gap.Reason))
		dst = binary.AppendUvarint(dst, e.Gap.Lost)
		dst = appendRecordTime(dst, e.Gap.Until)
	}
	if flags&recordState != 0 {
		dst = binary.AppendVarint(dst, int64(e.State.Code))
		dst = binary.AppendVarint(dst, int64(e.State.Reason))
		last := byte(e.State.Persistence)
		if e.State.Gone {
			last |= stateGone
		}
		dst = append(dst, last)
	}
	return dst
}

// AppendRepeat is [AppendRecord] for an event that goes to one sink once more, out of
// its place in the order: see [RecordIsRepeat].
func AppendRepeat(dst []byte, e *Event, sink string) []byte {
	start := len(dst)
	dst = AppendRecord(dst, e, []string{sink})
	dst[start+1] |= recordRepeat
	return dst
}

// RecordIsRepeat reports whether a record was made by [AppendRepeat]: newer events of the
// same domain may stand before it.
func RecordIsRepeat(b []byte) bool {
	return len(b) > 1 && b[0] == recordV2 && b[1]&recordRepeat != 0
}

// ParseRecord reads what [AppendRecord] made: the same event, with times in UTC, and
// the same sinks. Equal connections, names and sets of sinks are shared through
// in, which may be nil; then everything is allocated anew. Nothing refers to b
// afterwards. The sinks are read only. The error is an [ErrRecord].
func ParseRecord(b []byte, in *Interner) (Event, []string, error) {
	var e Event
	r, flags := openRecord(b)
	e.Synthetic = flags&recordSynthetic != 0
	var sinks []string
	if flags&recordSinks != 0 {
		sinks = in.stringSet(r.sinks())
	}
	e.Kind = Kind(r.uvarint(math.MaxUint32))
	e.Observation.Event = r.int32()
	e.Detail = r.int32()
	e.Received = r.time()
	e.Epoch = in.text(r.bytes())
	e.Sequence = r.uvarint(math.MaxUint64)
	e.DomainSequence = r.uvarint(math.MaxUint64)
	e.Connection = in.connection(r.connection())
	if flags&recordDomain != 0 {
		copy(e.Object.UUID[:], r.take(len(e.Object.UUID)))
		e.Object.Name = in.text(r.bytes())
		e.Object.ID = r.int32()
	}
	if flags&recordUnobserved != 0 {
		e.UnobservedSince = r.time()
	}
	if flags&recordGap != 0 {
		e.Gap = &Gap{Reason: GapReason(in.text(r.bytes())), Lost: r.uvarint(math.MaxUint64), Until: r.time()}
	}
	if flags&recordState != 0 {
		e.State = r.state()
	}
	if r.problem == "" && len(r.rest) > 0 {
		r.problem = "bytes after its end"
	}
	if r.problem != "" {
		return Event{}, nil, recordError(r.problem)
	}
	return e, sinks, nil
}

// RecordGoesTo reports whether a record is for that sink, without reading the rest
// of it. The error is an [ErrRecord].
func RecordGoesTo(b []byte, sink string) (bool, error) {
	r, flags := openRecord(b)
	goes := flags&recordSinks == 0
	if !goes {
		names := recordReader{rest: r.sinks()}
		for len(names.rest) > 0 {
			goes = string(names.bytes()) == sink || goes
		}
	}
	if r.problem != "" {
		return false, recordError(r.problem)
	}
	return goes, nil
}

func appendRecordString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendRecordTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

// recordReader reads a record from the front. After the first problem every
// read returns zero.
type recordReader struct {
	rest    []byte
	problem string
}

// openRecord reads the version and the flags.
func openRecord(b []byte) (recordReader, byte) {
	r := recordReader{rest: b}
	head := r.take(2)
	switch {
	case head == nil:
		return r, 0
	case head[0] != recordV1 && head[0] != recordV2:
		return recordReader{problem: fmt.Sprintf("version %d", head[0])}, 0
	case head[1]&^recordV2Flags != 0, head[0] == recordV1 && head[1]&^recordV1Flags != 0:
		return recordReader{problem: "unknown flags"}, 0
	}
	return r, head[1]
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

// sinks returns the names in their encoded form.
func (r *recordReader) sinks() []byte {
	n := r.uvarint(math.MaxInt32)
	start := r.rest
	for ; n > 0 && r.problem == ""; n-- {
		r.bytes()
	}
	if r.problem != "" {
		return nil
	}
	return start[:len(start)-len(r.rest)]
}

// connection returns the four strings in their encoded form.
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
