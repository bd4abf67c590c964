package schema

import "strconv"

// Family says which object a kind of event is about.
type Family uint8

// The families. Domain to Secret are libvirt's event families; Connection is
// virtcast's own, for what is said about a connection as a whole.
const (
	FamilyDomain Family = iota
	FamilyNetwork
	FamilyStoragePool
	FamilyNodeDevice
	FamilySecret
	FamilyConnection
)

// Kind is one kind of event: a family and the number of the event in it. For
// libvirt's families the number is the eventID that is registered with, for
// example virDomainEventID for [FamilyDomain]. Any number is legal: a newer
// hypervisor may have kinds that this program has no name for.
type Kind uint32

// KindOf returns the kind with the given eventID in a family. eventID is
// taken modulo 2^24; libvirt's are below 100.
func KindOf(f Family, eventID int32) Kind {
	return Kind(f)<<24 | Kind(eventID)&0xffffff
}

// Family returns the family of k.
func (k Kind) Family() Family { return Family(k >> 24) }

// EventID returns libvirt's number of k in its family.
func (k Kind) EventID() int32 { return int32(k & 0xffffff) }

// The kinds that this version decodes in full.
const (
	// KindLifecycle is VIR_DOMAIN_EVENT_ID_LIFECYCLE.
	KindLifecycle = Kind(FamilyDomain)<<24 | 0
	// KindGap declares that a connection was not observed for a time, or that
	// observations of it were lost.
	KindGap = Kind(FamilyConnection)<<24 | 0
)

// String returns the name of the kind as virsh event prints it and as it stands in the
// CloudEvents type ("lifecycle"), or "unknown-<eventID>".
func (k Kind) String() string {
	if n, ok := kindNames[k]; ok {
		return n
	}
	return "unknown-" + strconv.Itoa(int(k.EventID()))
}

// ParseKind returns the kind with that name, as used in registrations.
func ParseKind(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return k, true
		}
	}
	return 0, false
}

var kindNames = map[Kind]string{
	KindLifecycle: "lifecycle",
	KindGap:       "gap",
}
