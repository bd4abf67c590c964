package domains

import (
	"encoding/binary"

	"github.com/virtcast/virtcast/bridge/value"
	"github.com/virtcast/virtcast/schema"
)

// The first byte of a stored entry is its version. Version 3 is written: it consists of
// sections. Versions 1 and 2 are still read; version 1 knew neither a state nor a
// sequence of the source.
const (
	entryV1 = 1
	entryV2 = 2
	entryV3 = 3
)

// The sections of an entry of version 3.
const (
	// sectionCount has the count and the last sequence as uvarints, the time as a varint.
	sectionCount = 1
	// sectionObject has the id as a varint, and the name, which fills the rest.
	sectionObject = 3
	// sectionState has code and reason as varints, and three bytes: presence,
	// persistence, and 1 if it was published.
	sectionState = 5
	// sectionLifecycle has event and detail of the last lifecycle event as varints.
	sectionLifecycle = 7
	// sectionSynthetic is there if the last event was synthetic. It has the time since
	// which the source was not observed as a varint, 0 if there is none.
	sectionSynthetic = 9
)

// entry is what is known of one object at one source.
type entry struct {
	// count is how many events the object had. It is their number in the object's
	// sequence.
	count uint64
	// last is the source's sequence of the last event; 0 in an entry of version 1.
	last          uint64
	event, detail int32 // of the last lifecycle event
	id            int32
	at            int64 // when the last event was received, in Unix nanoseconds
	name          string
	// synthetic and since belong to the last event, see [schema.Observation]. since is in
	// Unix nanoseconds, 0 if there is none.
	synthetic bool
	since     int64
	knowledge
	// published is set where this is the source whose state of the UUID was published
	// last, if several have it.
	published bool
}

// note takes in an event, but for what it tells of the state.
func (e *entry) note(o *schema.Observation, sequence uint64) {
	e.count++
	e.last = sequence
	e.at = o.Received.UnixNano()
	e.id = o.Object.ID
	e.name = o.Object.Name
	e.synthetic, e.since = o.Synthetic, 0
	if !o.UnobservedSince.IsZero() {
		e.since = o.UnobservedSince.UnixNano()
	}
	if o.Kind == schema.KindLifecycle {
		e.event, e.detail = o.Event, o.Detail
	}
}

func (e *entry) append(dst []byte) []byte {
	dst = append(dst, entryV3)
	dst = value.Section(dst, sectionCount, func(dst []byte) []byte {
		dst = binary.AppendUvarint(dst, e.count)
		dst = binary.AppendUvarint(dst, e.last)
		return binary.AppendVarint(dst, e.at)
	})
	dst = value.Section(dst, sectionObject, func(dst []byte) []byte {
		return append(binary.AppendVarint(dst, int64(e.id)), e.name[:min(len(e.name), maxName)]...)
	})
	if e.knowledge != nothing || e.published {
		dst = value.Section(dst, sectionState, func(dst []byte) []byte {
			dst = binary.AppendVarint(dst, int64(e.code))
			dst = binary.AppendVarint(dst, int64(e.reason))
			published := byte(0)
			if e.published {
				published = 1
			}
			return append(dst, byte(e.presence), byte(e.persistence), published)
		})
	}
	if e.event != 0 || e.detail != 0 {
		dst = value.Section(dst, sectionLifecycle, func(dst []byte) []byte {
			return binary.AppendVarint(binary.AppendVarint(dst, int64(e.event)), int64(e.detail))
		})
	}
	if e.synthetic || e.since != 0 {
		dst = value.Section(dst, sectionSynthetic, func(dst []byte) []byte {
			synthetic := byte(0)
			if e.synthetic {
				synthetic = 1
			}
			return binary.AppendVarint(append(dst, synthetic), e.since)
		})
	}
	return dst
}

// maxName bounds a name in an entry; the drivers bound names far below.
const maxName = 8 << 10

func parseEntry(b []byte) (entry, error) {
	e := entry{knowledge: nothing}
	r := value.Reader{Rest: b}
	switch version := r.Byte(); {
	case version == entryV1 || version == entryV2:
		e.parseOld(&r, version)
	case version == entryV3:
		r.Sections(e.parseSection)
	case version > entryV3:
		r.Fail(value.ErrNewer)
	default:
		r.Fail(value.ErrFormat)
	}
	if e.count == 0 || e.presence >= presences || e.persistence > notPersistent {
		r.Fail(value.ErrFormat)
	}
	return e, r.Err()
}

// parseSection reads a section, and reports whether it is known.
func (e *entry) parseSection(kind byte, r *value.Reader) bool {
	switch kind {
	case sectionCount:
		e.count, e.last, e.at = r.Uvarint(), r.Uvarint(), r.Varint()
	case sectionObject:
		e.id = r.Int32()
		e.name = string(r.Rest)
	case sectionState:
		e.code, e.reason = r.Int32(), r.Int32()
		e.presence, e.persistence = presence(r.Byte()), schema.Persistence(r.Byte())
		e.published = r.Byte() != 0
	case sectionLifecycle:
		e.event, e.detail = r.Int32(), r.Int32()
	case sectionSynthetic:
		e.synthetic = r.Byte() != 0
		e.since = r.Varint()
	default:
		return false
	}
	return true
}

// The bits of the byte that holds presence, persistence and flags in version 2.
const (
	presenceMask     = 0x07
	persistenceShift = 3
	persistenceMask  = 0x03
	flagSynthetic    = 0x20
	flagPublished    = 0x40
	flagUnused       = 0x80
)

// parseOld reads an entry of version 1 or 2.
func (e *entry) parseOld(r *value.Reader, version byte) {
	e.count, e.event, e.detail, e.id, e.at = r.Uvarint(), r.Int32(), r.Int32(), r.Int32(), r.Varint()
	if version == entryV1 {
		// What the last event tells by itself.
		ruleOf(e.event, e.detail)(&e.knowledge, context{id: e.id})
	} else {
		e.last, e.since, e.code, e.reason = r.Uvarint(), r.Varint(), r.Int32(), r.Int32()
		bits := r.Byte()
		e.presence = presence(bits & presenceMask)
		e.persistence = schema.Persistence(bits >> persistenceShift & persistenceMask)
		e.synthetic, e.published = bits&flagSynthetic != 0, bits&flagPublished != 0
		if bits&flagUnused != 0 {
			r.Fail(value.ErrFormat)
		}
	}
	e.name = string(r.Rest)
	r.Rest = nil
}
