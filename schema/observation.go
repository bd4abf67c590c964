package schema

import "time"

// Connection is the identity of a hypervisor connection. Everything that is seen through
// the connection carries it. A driver makes it when a session is open, since the host
// name is the daemon's own answer. It never changes: sessions, observations and events
// share one pointer.
type Connection struct {
	// Name is the configured name, [a-z0-9-]+. It stands in subjects and attributes.
	Name string
	// URI is the URI as the daemon states it, e.g. "qemu:///system".
	URI string
	// Hostname is the daemon's answer to virConnectGetHostname.
	Hostname string
	// Source is the canonical URI with its host, e.g. "qemu://kvm01.example.com/system".
	// It is the CloudEvents source: printable ASCII without space, quote and percent.
	Source string
}

// Object is what an event is about: a domain, a network, a storage pool, a node device or
// a secret. The zero Object, and any Object of [FamilyConnection], stand for the
// connection itself.
type Object struct {
	// Family says what kind of object this is. The zero Family is [FamilyDomain].
	Family Family
	// UUID is the only stable identity of a domain, network, pool or secret. Node devices
	// have none: their identity is the name.
	UUID UUID
	// Name may change (rename).
	Name string
	// ID is a domain's number, -1 while it is inactive; 0 for other families.
	ID int32
}

// IsConnection reports whether the event is about the connection itself. Such an event
// orders everything around it.
func (o *Object) IsConnection() bool {
	return o.Family == FamilyConnection || *o == Object{}
}

// ObjectKey identifies an object among those of one source. Two keys are equal exactly if
// they belong to the same object.
type ObjectKey struct {
	Family Family
	// UUID is the nil UUID for node devices, and for Xen's Domain-0.
	UUID UUID
	// Name is set for node devices only.
	Name string
}

// Key returns the key of the object.
func (o *Object) Key() ObjectKey {
	if o.Family == FamilyNodeDevice {
		return ObjectKey{Family: o.Family, Name: o.Name}
	}
	return ObjectKey{Family: o.Family, UUID: o.UUID}
}

// Observation is what a driver saw. It has no id and no sequence yet. The zero value is
// not a valid observation: Connection and Received must be set.
type Observation struct {
	Connection *Connection
	Kind       Kind
	// Object is what the event is about. It decides the subject, the key, the sequence
	// and the data's member.
	Object Object
	// Event and Detail are the numbers on the wire (virDomainEventType and its
	// detail for lifecycle); 0 for kinds without them. Unknown numbers are kept.
	Event, Detail int32
	// Payload has the kind's own members of the data as JSON, without the braces around
	// them: `"device":"vda","path":"/x"`. The driver encodes it once; journal and sinks
	// carry it as it is. It is empty for kinds without members of their own.
	Payload string
	// Received is the time at which the frame was read, in UTC.
	Received time.Time
	// Occurred is when it happened, where the hypervisor says it; else zero. In UTC.
	Occurred time.Time
	// Synthetic is set where no hypervisor sent this: a comparison of states found it.
	Synthetic bool
	// UnobservedSince is the start of the time in which the connection was not
	// observed, for gaps and synthetic observations; else zero.
	UnobservedSince time.Time
	// Gap is set for [KindGap] only.
	Gap *Gap
}

// observationSize is about what an Observation itself takes in memory, in bytes.
const observationSize = 192

// Size returns about how many bytes of memory the observation holds, the connection not
// counted, which many share. Queues are bounded by the sum.
func (o *Observation) Size() int { return observationSize + len(o.Object.Name) + len(o.Payload) }

// GapReason says why a connection was not observed.
type GapReason string

// The reasons.
const (
	// GapDisconnected: the session was lost and opened again.
	GapDisconnected GapReason = "disconnected"
	// GapOverrun: observations were received but could not be kept, since the
	// journal was full, failed or too slow and the connection's queue was full.
	GapOverrun GapReason = "overrun"
)

// Gap is what is known of a gap.
type Gap struct {
	Reason GapReason
	// Lost is how many observations were received and lost; 0 where that
	// cannot be known (nothing was received).
	Lost uint64
	// Until is the end of the time that was not observed.
	Until time.Time
}

// Position is a place in the history that a hypervisor keeps, from which its driver can
// resume. It is opaque to everything but the driver. A nil Position means "from now on".
// A hypervisor without a history, such as libvirt, has none.
type Position []byte

// MaxPosition bounds a position, in bytes.
const MaxPosition = 1024

// ListedDomain is a domain and its state, as a hypervisor lists it.
type ListedDomain struct {
	Object
	// State and Reason are virDomainState and its reason, as numbers. A State of 0
	// (VIR_DOMAIN_NOSTATE) is not known: the row tells only that the domain exists.
	State, Reason int32
	// Persistence says whether the domain is defined, where the listing tells it.
	Persistence Persistence
}

// Listing is what a hypervisor answered when it was asked for all its domains. It stands
// in the stream of its connection: everything before it had happened, and nothing behind
// it.
type Listing struct {
	Connection *Connection
	// Received is the time at which the answer was read, in UTC.
	Received time.Time
	// Complete is set where the listing has every domain. A listing that is filtered or
	// cut is not complete; nothing may be concluded from a domain that is absent there.
	Complete bool
	Domains  []ListedDomain
}

// listedSize is about what a row of a listing takes in memory, in bytes, without its name.
const listedSize = 64

// Size returns about how many bytes of memory the listing holds. Queues are bounded by the
// sum.
func (l *Listing) Size() int {
	size := observationSize
	for i := range l.Domains {
		size += listedSize + len(l.Domains[i].Name)
	}
	return size
}

// Matched is an observation that at least one registration asks for, or a listing.
type Matched struct {
	Observation
	// Sinks are the names of the sinks that the observation goes to, without repetition;
	// nil means every sink. Read only: matched observations may share it.
	Sinks []string
	// Listing is set for a listing. Of the Observation, Connection and Received are set
	// then. The bridge compares the listing with what is known, and makes an event of
	// each difference.
	Listing *Listing
	// Route is set together with Listing. It returns the sinks of an observation that the
	// listing leads to, with Sinks' meaning; ok is false where no registration asks for
	// it.
	Route func(*Observation) (sinks []string, ok bool)
}

// MatchedBatch is what the recorder of one connection makes durable at once.
type MatchedBatch struct {
	// Connection is the connection's configured name.
	Connection string
	Matched    []Matched
	// Position is where the driver can resume behind this batch. It becomes durable in
	// the same commit as the batch. nil leaves the position as it was.
	Position Position
}

// Event is a stamped observation: what is published. Only the bridge makes one.
type Event struct {
	Observation
	// Epoch identifies who stamped the event and when that began: 10 characters,
	// lexicographically later for a later one.
	Epoch string
	// Sequence counts the events of one source from 1, contiguous within an epoch.
	Sequence uint64
	// DomainSequence counts the events of one object at one source from 1,
	// contiguous within an epoch; 0 for events about the connection.
	DomainSequence uint64
	// State is what is known of the domain after this event. It is in the record, not in
	// the event's CloudEvent.
	State State
}
