package bridge

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// The first byte of a stored domainState. Version 1, which knew no state and no sequence of the source, is still read.
const (
	domainStateV1 = 1
	domainStateV2 = 2
)

// domainState is what is known of one domain at one source: how far its own
// sequence is, and the last that was heard of it, which a reconciliation compares
// with what the hypervisor lists.
type domainState struct {
	sequence      uint64
	event, detail int32
	id            int32
	at            int64 // Unix nanoseconds
	name          string

	// last is the source's sequence of the last event; 0 in a state of version 1.
	last uint64
	// synthetic and since belong to the last event: see [schema.Observation]. since is in Unix nanoseconds, 0 if there is none.
	synthetic bool
	since     int64
	knowledge
	// speaks is set where this is the source whose state of the UUID was published last, if several have it.
	speaks bool
}

// hear takes in an event, but for its state.
func (d *domainState) hear(o *schema.Observation, sequence uint64) {
	d.sequence++
	d.last = sequence
	d.at = o.Received.UnixNano()
	d.id = o.Object.ID
	d.name = o.Object.Name
	d.synthetic, d.since = o.Synthetic, 0
	if !o.UnobservedSince.IsZero() {
		d.since = o.UnobservedSince.UnixNano()
	}
	if o.Kind == schema.KindLifecycle {
		d.event, d.detail = o.Event, o.Detail
	}
}

// knownDomain is a copy of what is known of a domain.
type knownDomain struct {
	domainState
	uuid       schema.UUID
	connection *schema.Connection
}

// stateEvent is the event that tells the state after the domain's last event, as it was made then.
func (d *knownDomain) stateEvent(epoch string) schema.Event {
	e := schema.Event{
		Observation: schema.Observation{
			Connection: d.connection,
			Object:     schema.Object{UUID: d.uuid, Name: d.name, ID: d.id},
			Received:   time.Unix(0, d.at).UTC(),
			Synthetic:  d.synthetic,
		},
		Epoch: epoch, Sequence: d.last, DomainSequence: d.sequence, State: d.state(),
	}
	if d.since != 0 {
		e.UnobservedSince = time.Unix(0, d.since).UTC()
	}
	return e.StateEvent()
}

// The bits of the byte that holds presence, persistence and flags.
const (
	presenceMask     = 0x07
	persistenceShift = 3
	persistenceMask  = 0x03
	flagSynthetic    = 0x20
	flagSpeaks       = 0x40
	flagUnused       = 0x80
)

func (d *domainState) append(dst []byte) []byte {
	dst = append(dst, domainStateV2)
	dst = binary.AppendUvarint(dst, d.sequence)
	dst = binary.AppendVarint(dst, int64(d.event))
	dst = binary.AppendVarint(dst, int64(d.detail))
	dst = binary.AppendVarint(dst, int64(d.id))
	dst = binary.AppendVarint(dst, d.at)
	dst = binary.AppendUvarint(dst, d.last)
	dst = binary.AppendVarint(dst, d.since)
	dst = binary.AppendVarint(dst, int64(d.code))
	dst = binary.AppendVarint(dst, int64(d.reason))
	bits := byte(d.presence) | byte(d.persistence)<<persistenceShift
	if d.synthetic {
		bits |= flagSynthetic
	}
	if d.speaks {
		bits |= flagSpeaks
	}
	dst = append(dst, bits)
	return append(dst, d.name...)
}

func parseDomainState(b []byte) (domainState, error) {
	if len(b) == 0 || b[0] != domainStateV1 && b[0] != domainStateV2 {
		return domainState{}, errStateFormat
	}
	r := stateReader{rest: b[1:]}
	d := domainState{
		sequence: r.uvarint(), event: r.int32(), detail: r.int32(), id: r.int32(), at: r.varint(),
		knowledge: nothing,
	}
	if b[0] == domainStateV1 {
		// What the last event tells by itself.
		ruleOf(d.event, d.detail)(&d.knowledge, circumstance{id: d.id})
	} else {
		d.last, d.since, d.code, d.reason = r.uvarint(), r.varint(), r.int32(), r.int32()
		bits := r.byte()
		d.presence = presence(bits & presenceMask)
		d.persistence = schema.Persistence(bits >> persistenceShift & persistenceMask)
		d.synthetic, d.speaks = bits&flagSynthetic != 0, bits&flagSpeaks != 0
		if d.presence >= presences || d.persistence > schema.NotPersistent || bits&flagUnused != 0 {
			return domainState{}, errStateFormat
		}
	}
	if r.bad || d.sequence == 0 {
		return domainState{}, errStateFormat
	}
	d.name = string(r.rest)
	return d, nil
}

// append appends the durable form: the sequence, and the connection's name, URI and host name, each with its length before it.
func (s *stampedSource) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, s.sequence)
	if s.connection == nil {
		return dst
	}
	for _, text := range [...]string{s.connection.Name, s.connection.URI, s.connection.Hostname} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

// parse reads what append made. An earlier version kept the sequence alone.
func (s *stampedSource) parse(value []byte) error {
	r := stateReader{rest: value}
	sequence := r.uvarint()
	var c *schema.Connection
	if len(r.rest) > 0 {
		c = &schema.Connection{Name: r.text(), URI: r.text(), Hostname: r.text(), Source: s.name}
	}
	if r.bad || len(r.rest) > 0 {
		return errStateFormat
	}
	s.sequence, s.connection = sequence, c
	return nil
}

// stateReader reads numbers and texts from the front. After the first fault every read returns zero.
type stateReader struct {
	rest []byte
	bad  bool
}

func (r *stateReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if !r.skip(n) {
		return 0
	}
	return v
}

func (r *stateReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if !r.skip(n) {
		return 0
	}
	return v
}

func (r *stateReader) int32() int32 {
	v := r.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.bad = true
		return 0
	}
	return int32(v)
}

func (r *stateReader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *stateReader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

// skip passes over n bytes; there are none to read if n is not positive.
func (r *stateReader) skip(n int) bool {
	if r.bad || n <= 0 {
		r.bad, r.rest = true, nil
		return false
	}
	r.rest = r.rest[n:]
	return true
}
