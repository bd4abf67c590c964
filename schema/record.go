package schema

import (
	"encoding/binary"
	"errors"
	"time"
)

// A record is the durable form of an event. Version 3 is written; versions 1 and 2 are
// still read (recordold.go).
//
//	version          byte, recordV3
//	flags            byte, the record… constants
//	kind             uvarint
//	event, detail    varint each
//	received         time
//	epoch            string
//	sequence         uvarint
//	domainsequence   uvarint
//	sections, each:  type byte, uvarint length, that many bytes
//	end              byte, sectionEnd
//
// A string is its length as uvarint and its bytes; a time is its Unix seconds as varint
// and its nanoseconds as uvarint. The section… constants are the sections. A section is
// written only where the event has something for it. A reader passes over a section that
// it does not know if the type is even. An odd type must be known: without it the event
// would be another one.
//
// A record carries no checksum: the journal promises that the bytes are those that were
// written.
const (
	recordV1 = 1
	recordV2 = 2
	recordV3 = 3
)

// The flags of a record of version 3. An unknown flag is a newer version's.
const (
	recordSynthetic = 1 << iota
	recordRepeat
	recordFlags = 1<<iota - 1
)

// The sections, in the order in which they are written. The sinks come first, so that a
// reader that skips an event for its sinks reads no further.
const (
	// sectionEnd ends a record: it has neither length nor content.
	sectionEnd = 0
	// sectionSinks has the names, each a string. Without it the event goes to every sink.
	sectionSinks = 1
	// sectionConnection has the strings name, URI, host name and source.
	sectionConnection = 3
	// sectionObject has the family as a byte, the UUID's 16 bytes, the name as a string
	// and the id as a varint. Without it the event is about the connection.
	sectionObject = 5
	// sectionPayload has the payload as it is.
	sectionPayload = 7
	// sectionUnobserved has a time.
	sectionUnobserved = 9
	// sectionGap has the reason as a string, the lost as a uvarint, and the end as a
	// time.
	sectionGap = 11
	// sectionOccurred has a time.
	sectionOccurred = 12
	// sectionState has code and reason as varints, and a byte: the persistence, and
	// stateGone if the domain is gone.
	sectionState = 13
)

// stateGone is set in the last byte of the state of a domain that is gone.
const stateGone = 0x80

// ErrRecord is returned when bytes are not a record: they are damaged.
var ErrRecord = errors.New("unreadable record")

// ErrNewerRecord is returned when a newer program wrote the record. The record is whole;
// that program, or a later one, can read it.
var ErrNewerRecord = errors.New("the record was written by a newer virtcast: install that version again")

// AppendRecord appends the durable form of e, with the names of the sinks that it goes
// to. nil means every sink. A record can be read without any other. AppendRecord
// allocates nothing if dst has room. A lifecycle event takes about 150 bytes.
func AppendRecord(dst []byte, e *Event, sinks []string) []byte {
	var flags byte
	if e.Synthetic {
		flags |= recordSynthetic
	}
	dst = append(dst, recordV3, flags)
	dst = binary.AppendUvarint(dst, uint64(e.Kind))
	dst = binary.AppendVarint(dst, int64(e.Observation.Event))
	dst = binary.AppendVarint(dst, int64(e.Detail))
	dst = appendRecordTime(dst, e.Received)
	dst = appendRecordString(dst, e.Epoch)
	dst = binary.AppendUvarint(dst, e.Sequence)
	dst = binary.AppendUvarint(dst, e.DomainSequence)
	if sinks != nil {
		dst = appendSinks(dst, sinks)
	}
	dst = appendConnection(dst, e.connection())
	if e.Object != (Object{}) {
		dst = appendRecordObject(dst, &e.Object)
	}
	if e.Payload != "" {
		dst = append(beginSection(dst, sectionPayload, len(e.Payload)), e.Payload...)
	}
	return appendRareSections(dst, e)
}

// appendRareSections appends what few events have, and the state.
func appendRareSections(dst []byte, e *Event) []byte {
	var room [64]byte
	if !e.UnobservedSince.IsZero() {
		dst = appendSection(dst, sectionUnobserved, appendRecordTime(room[:0], e.UnobservedSince))
	}
	if e.Gap != nil {
		gap := appendRecordString(room[:0], string(e.Gap.Reason))
		gap = binary.AppendUvarint(gap, e.Gap.Lost)
		dst = appendSection(dst, sectionGap, appendRecordTime(gap, e.Gap.Until))
	}
	if !e.Occurred.IsZero() {
		dst = appendSection(dst, sectionOccurred, appendRecordTime(room[:0], e.Occurred))
	}
	if e.State.Valid {
		state := binary.AppendVarint(room[:0], int64(e.State.Code))
		state = binary.AppendVarint(state, int64(e.State.Reason))
		last := byte(e.State.Persistence)
		if e.State.Gone {
			last |= stateGone
		}
		dst = appendSection(dst, sectionState, append(state, last))
	}
	return append(dst, sectionEnd)
}

func beginSection(dst []byte, section byte, length int) []byte {
	return binary.AppendUvarint(append(dst, section), uint64(length))
}

func appendSection(dst []byte, section byte, content []byte) []byte {
	return append(beginSection(dst, section, len(content)), content...)
}

func appendSinks(dst []byte, sinks []string) []byte {
	length := 0
	for _, sink := range sinks {
		length += stringLength(sink)
	}
	dst = beginSection(dst, sectionSinks, length)
	for _, sink := range sinks {
		dst = appendRecordString(dst, sink)
	}
	return dst
}

func appendConnection(dst []byte, c *Connection) []byte {
	dst = beginSection(dst, sectionConnection,
		stringLength(c.Name)+stringLength(c.URI)+stringLength(c.Hostname)+stringLength(c.Source))
	dst = appendRecordString(dst, c.Name)
	dst = appendRecordString(dst, c.URI)
	dst = appendRecordString(dst, c.Hostname)
	return appendRecordString(dst, c.Source)
}

func appendRecordObject(dst []byte, o *Object) []byte {
	var room [binary.MaxVarintLen32]byte
	id := binary.AppendVarint(room[:0], int64(o.ID))
	dst = beginSection(dst, sectionObject, 1+len(o.UUID)+stringLength(o.Name)+len(id))
	dst = append(append(dst, byte(o.Family)), o.UUID[:]...)
	dst = appendRecordString(dst, o.Name)
	return append(dst, id...)
}

// AppendRepeat is [AppendRecord] for a dead letter that is delivered to its sink again.
// It comes out of its place in the order: see [RecordIsRepeat].
func AppendRepeat(dst []byte, e *Event, sink string) []byte {
	start := len(dst)
	dst = AppendRecord(dst, e, []string{sink})
	dst[start+1] |= recordRepeat
	return dst
}

// RecordIsRepeat reports whether [AppendRepeat] made the record. Newer events of the same
// object may stand before it.
func RecordIsRepeat(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	return b[0] == recordV3 && b[1]&recordRepeat != 0 || b[0] == recordV2 && b[1]&oldRepeat != 0
}

func appendRecordString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// stringLength is how many bytes appendRecordString appends.
func stringLength(s string) int {
	n := 1
	for v := len(s); v >= 0x80; v >>= 7 {
		n++
	}
	return n + len(s)
}

func appendRecordTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}
