package schema

import "strings"

// Content types of messages. A reader must tell structured from binary by the
// part before the semicolon, without regard to case.
const (
	// ContentTypeStructured is the content type of a message in structured mode.
	ContentTypeStructured = "application/cloudevents+json; charset=UTF-8"
	// ContentTypeData is the datacontenttype of every event.
	ContentTypeData = "application/json"
	// SpecVersion is the version of CloudEvents.
	SpecVersion = "1.0"
)

// IsStructured reports whether a message with that content type is in structured mode.
func IsStructured(contentType string) bool {
	return strings.HasPrefix(strings.ToLower(contentType), "application/cloudevents")
}

// Names of the extension attributes. docs/events.md says what each means.
const (
	AttrPartitionKey    = "partitionkey"
	AttrSequence        = "sequence"
	AttrEpoch           = "epoch"
	AttrDomainSequence  = "domainsequence"
	AttrConnection      = "connection"
	AttrDetail          = "detail"
	AttrSynthetic       = "synthetic"
	AttrUnobservedSince = "unobservedsince"
	AttrOccurred        = "occurred"
)

// attribute numbers an attribute in the order in which it is written.
// specversion and datacontenttype come first because readers need them to
// understand the rest.
type attribute int

const (
	attrSpecVersion attribute = iota
	attrDataContentType
	attrID
	attrSource
	attrType
	attrSubject
	attrTime
	attrDataSchema
	attrPartitionKey
	attrSequence
	attrEpoch
	attrDomainSequence
	attrConnection
	attrDetail
	attrSynthetic
	attrUnobservedSince
	attrOccurred
	attributeCount
)

var attributeNames = [attributeCount]string{
	attrSpecVersion:     "specversion",
	attrDataContentType: "datacontenttype",
	attrID:              "id",
	attrSource:          "source",
	attrType:            "type",
	attrSubject:         "subject",
	attrTime:            "time",
	attrDataSchema:      "dataschema",
	attrPartitionKey:    AttrPartitionKey,
	attrSequence:        AttrSequence,
	attrEpoch:           AttrEpoch,
	attrDomainSequence:  AttrDomainSequence,
	attrConnection:      AttrConnection,
	attrDetail:          AttrDetail,
	attrSynthetic:       AttrSynthetic,
	attrUnobservedSince: AttrUnobservedSince,
	attrOccurred:        AttrOccurred,
}

// appendAttribute appends the value of an attribute in its canonical string
// form, and nothing where the event does not have it. Values need no escaping
// anywhere: they are printable ASCII without space, quote, percent and backslash.
func appendAttribute(dst []byte, e *Event, a attribute) []byte {
	switch a {
	case attrSpecVersion:
		return append(dst, SpecVersion...)
	case attrDataContentType:
		return append(dst, ContentTypeData...)
	case attrID:
		return appendEventID(dst, e.Epoch, e.Sequence)
	case attrSource:
		return appendClean(dst, e.connection().Source)
	case attrType:
		return appendType(dst, e.Kind, e.Observation.Event)
	case attrSubject:
		return appendSubject(dst, &e.Object)
	case attrTime:
		return appendTime(dst, e.Received)
	case attrDataSchema:
		if row := e.Kind.row(); row != nil {
			return append(dst, row.schema...)
		}
	case attrPartitionKey:
		return appendPartitionKey(dst, e)
	case attrSequence:
		return appendCounter(dst, e.Sequence)
	case attrEpoch:
		return appendClean(dst, e.Epoch)
	case attrDomainSequence:
		if e.DomainSequence != 0 {
			return appendCounter(dst, e.DomainSequence)
		}
	case attrConnection:
		return appendClean(dst, e.connection().Name)
	case attrDetail:
		if row := e.Kind.row(); row != nil && row.events != nil {
			return appendToken(dst, detailName(row.events, e.Observation.Event, e.Detail), e.Detail)
		}
	case attrSynthetic:
		if e.Synthetic {
			return append(dst, "true"...)
		}
	case attrUnobservedSince:
		if !e.UnobservedSince.IsZero() {
			return appendTime(dst, e.UnobservedSince)
		}
	case attrOccurred:
		if !e.Occurred.IsZero() {
			return appendTime(dst, e.Occurred)
		}
	case attributeCount:
	}
	return dst
}

// appendSubject appends what identifies the object: its UUID, a node device's name, and
// nothing for the connection itself.
func appendSubject(dst []byte, o *Object) []byte {
	switch {
	case o.IsConnection():
		return dst
	case o.Family == FamilyNodeDevice:
		return appendClean(dst, o.Name)
	default:
		return o.UUID.AppendText36(dst)
	}
}

// appendPartitionKey appends the object's UUID. A node device's name is unique on its own
// host only, so the connection stands before it.
func appendPartitionKey(dst []byte, e *Event) []byte {
	switch {
	case e.Object.IsConnection():
		return appendClean(dst, e.connection().Name)
	case e.Object.Family == FamilyNodeDevice:
		dst = append(appendClean(dst, e.connection().Name), '/')
		return appendClean(dst, e.Object.Name)
	default:
		return e.Object.UUID.AppendText36(dst)
	}
}

// VisitAttributes calls visit for every attribute that e has, in a fixed order,
// specversion and datacontenttype among them, with its canonical string form: what binary
// mode puts into headers. A value is valid during its call only. scratch is room for the
// values; it is returned, grown if it had to be, for the next call: 64 bytes are enough
// for most. With enough room nothing is allocated.
func VisitAttributes(e *Event, scratch []byte, visit func(name string, value []byte)) []byte {
	for a := range attributeCount {
		scratch = appendAttribute(scratch[:0], e, a)
		if len(scratch) > 0 {
			visit(attributeNames[a], scratch)
		}
	}
	return scratch
}

// Type returns the CloudEvents type: the family, the kind and, for a kind that has
// them, the event, as in "org.libvirt.domain.lifecycle.started.v1". A number
// without a name is "unknown-<number>". It allocates only then.
func (e *Event) Type() string {
	if row := e.Kind.row(); row != nil {
		if row.events == nil {
			return row.types[0]
		}
		if n := e.Observation.Event; uint32(n) < uint32(len(row.types)) {
			return row.types[n]
		}
	}
	return string(appendType(nil, e.Kind, e.Observation.Event))
}

// ID returns the CloudEvents id, [EventID] of the stamp.
func (e *Event) ID() string { return EventID(e.Epoch, e.Sequence) }

// Source returns the CloudEvents source, the connection's.
func (e *Event) Source() string { return e.value(attrSource) }

// Subject returns the CloudEvents subject: the object's UUID, the name of a node device,
// or "" for an event about the connection itself.
func (e *Event) Subject() string { return e.value(attrSubject) }

// PartitionKey returns what events must be ordered by: the object's UUID, the
// connection's and the device's name ("kvm01/net_eth0") for a node device, or the
// connection's name for an event about the connection itself. A broker that keeps the
// order of each key keeps the order of each object's events.
func (e *Event) PartitionKey() string { return e.value(attrPartitionKey) }

func (e *Event) value(a attribute) string {
	return string(appendAttribute(make([]byte, 0, 64), e, a))
}

// SubjectTokens returns the words for {kind}, {event} and {detail} of a subject on a
// message bus: "lifecycle", "started", "booted". "_" stands where an event has no such
// word, and "unknown-<number>" for a number without a name. It allocates only for the
// latter. The words have no dots, spaces or wildcards.
func SubjectTokens(e *Event) (kind, event, detail string) {
	row := e.Kind.row()
	if row == nil || row.events == nil {
		return e.Kind.String(), "_", "_"
	}
	n := e.Observation.Event
	if event = eventName(row.events, n); event == unknown {
		event = unknownToken(n)
	}
	if detail = detailName(row.events, n, e.Detail); detail == unknown {
		detail = unknownToken(e.Detail)
	}
	return row.name, event, detail
}

// noConnection stands in for an event without one, which the bridge never makes.
var noConnection Connection

func (e *Event) connection() *Connection {
	if e.Connection == nil {
		return &noConnection
	}
	return e.Connection
}

// isClean reports whether a byte may stand in an attribute value.
func isClean(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != '%' && c != '\\'
}

// CleanAttribute returns s as it may stand in an attribute value: every byte that is not
// printable ASCII, and every space, quote, percent sign and backslash, becomes an
// underscore. Connection names and sources that were validated pass unchanged.
func CleanAttribute(s string) string {
	for i := range len(s) {
		if !isClean(s[i]) {
			return string(appendClean(make([]byte, 0, len(s)), s))
		}
	}
	return s
}

func appendClean(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	for i, c := range dst[start:] {
		if !isClean(c) {
			dst[start+i] = '_'
		}
	}
	return dst
}
