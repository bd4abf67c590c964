package schema

import "time"

// Connection is the identity of a hypervisor connection, as stamped on
// everything seen through it. It is made when a session is open (the host name
// is the daemon's own answer) and never changed: sessions, observations and
// events share one pointer.
type Connection struct {
	// Name is the configured name, [a-z0-9-]+; it stands in subjects and attributes.
	Name string
	// URI is the URI as the daemon states it, e.g. "qemu:///system".
	URI string
	// Hostname is the daemon's answer to virConnectGetHostname.
	Hostname string
	// Source is the canonical URI with its host, e.g. "qemu://kvm01.example.com/system":
	// the CloudEvents source. Printable ASCII without space, quote and percent.
	Source string
}

// Object is a domain as an event names it. UUID is its only stable identity;
// Name may change (rename) and ID is -1 while the domain is inactive.
type Object struct {
	UUID UUID
	Name string
	ID   int32
}

// Observation is what a driver saw, unstamped. The zero value is not a valid
// observation: Connection and Received must be set.
type Observation struct {
	Connection *Connection
	Kind       Kind
	// Object is the zero Object for kinds of [FamilyConnection].
	Object Object
	// Event and Detail are the numbers on the wire (virDomainEventType and its
	// detail for lifecycle); 0 for kinds without them. Unknown numbers are kept.
	Event, Detail int32
	// CallbackID is the session's number of the callback that it came by. It tells the
	// two copies of one event apart while two callbacks cover the same domain,
	// and says nothing once the observation is matched.
	CallbackID int32
	// Received is the time at which the frame was read, in UTC.
	Received time.Time
	// Synthetic is set where nobody sent this: a comparison of states found it.
	Synthetic bool
	// UnobservedSince is the start of the time in which the connection was not
	// observed, for gaps and synthetic observations; else zero.
	UnobservedSince time.Time
	// Gap is set for [KindGap] only.
	Gap *Gap
}

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

// Matched is an observation that at least one registration asks for.
type Matched struct {
	Observation
	// Sinks are the names of the sinks that it goes to, without repetition; nil
	// means every sink. Read only: matched observations may share it.
	Sinks []string
}

// Event is a stamped observation: what is published. Only the bridge makes one.
type Event struct {
	Observation
	// Epoch identifies the journal that stamped the event: 10 characters,
	// lexicographically later for a journal made later.
	Epoch string
	// Sequence counts the events of one source from 1, contiguous within an epoch.
	Sequence uint64
	// DomainSequence counts the events of one domain at one source from 1,
	// contiguous within an epoch; 0 for events that are about no domain.
	DomainSequence uint64
	// State is what is known of the domain after this event. It is in the record, not in
	// the event's CloudEvent.
	State State
}

// ListedDomain is a domain and its state, as listed by a hypervisor.
type ListedDomain struct {
	Object
	// State and Reason are virDomainState and its reason, as numbers.
	State, Reason int32
}
