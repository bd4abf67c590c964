package schema

import "strings"

// Family is the kind of object that an event is about.
type Family uint8

// The families. FamilyDomain to FamilySecret are libvirt's event families.
// FamilyConnection is virtcast's own: its events are about a whole connection.
const (
	FamilyDomain Family = iota
	FamilyNetwork
	FamilyStoragePool
	FamilyNodeDevice
	FamilySecret
	FamilyConnection
)

// String returns the family's name as it stands in the CloudEvents type
// ("domain"), or "unknown-<number>".
func (f Family) String() string {
	if int(f) < len(families) {
		return families[f].name
	}
	return unknownToken(int32(f))
}

// Kind is one kind of event: a family, and a number within it. In libvirt's families the
// number is the eventID of the registration, for example virDomainEventID in
// [FamilyDomain]. Any number is legal: a newer hypervisor may have kinds for which this
// version has no name.
type Kind uint32

// KindOf returns the kind with that eventID in a family. Only the lower 24 bits of
// eventID count. libvirt's numbers are below 100.
func KindOf(f Family, eventID int32) Kind {
	return Kind(f)<<24 | Kind(eventID)&0xffffff
}

// Family returns the family of k.
func (k Kind) Family() Family { return Family(k >> 24) }

// EventID returns libvirt's number of k in its family.
func (k Kind) EventID() int32 { return int32(k & 0xffffff) }

// The kinds that this version has names for.
const (
	// KindLifecycle is VIR_DOMAIN_EVENT_ID_LIFECYCLE.
	KindLifecycle = Kind(FamilyDomain) << 24
	// KindGap declares a time in which a connection was not observed, or in which
	// observations of it were lost.
	KindGap = Kind(FamilyConnection) << 24
)

// String returns the kind's name in its family, as virsh event prints it and as it stands
// in the CloudEvents type: "lifecycle". A kind without a name is "unknown-<eventID>".
func (k Kind) String() string {
	if row := k.row(); row != nil {
		return row.name
	}
	return unknownToken(k.EventID())
}

// ParseKind returns the kind with that name, as used in registrations:
// "domain/lifecycle", or "lifecycle" alone, which means the first family that has the
// name. Domains are the first.
func ParseKind(name string) (Kind, bool) {
	family, rest, hasFamily := strings.Cut(name, "/")
	for f := range families {
		switch {
		case !hasFamily:
			rest = name
		case families[f].name != family:
			continue
		}
		if k, ok := parseKindOf(Family(f), rest); ok {
			return k, true
		}
	}
	return 0, false
}

// parseKindOf returns the kind with that name in one family.
func parseKindOf(f Family, name string) (Kind, bool) {
	for id, row := range families[f].kinds {
		if row.name == name && name != "" {
			return KindOf(f, int32(id)), true
		}
	}
	return 0, false
}

// kindRow has what the encoder and the decoder know of a kind. To add a kind, add a row.
type kindRow struct {
	name string
	// schema is the dataschema attribute.
	schema string
	// events are the kind's event numbers and their details. A kind that carries neither
	// has nil.
	events []eventRow
	// types are the CloudEvents types by event number. A kind without events has one.
	types []string
	// appendFields appends the kind's own members to the data, each behind a comma. It is
	// nil for a kind that has none, or has them as a payload. The observation is passed
	// by value, so that the caller's one does not escape to the heap.
	appendFields func(dst []byte, o Observation) []byte
	// decodeFields reads these members from the whole data. nil: there are none.
	decodeFields func(data []byte, o *Observation) error
}

// familyRow is a family's name, the prefix of its types, the name of its object in the
// data, and its kinds by eventID.
type familyRow struct {
	name   string
	prefix string
	member string
	kinds  []kindRow
}

// unknownFamily stands for a family of a newer version.
var unknownFamily = familyRow{name: unknown, prefix: "org.libvirt.", member: "object"}

var families = [...]familyRow{
	FamilyDomain: {name: "domain", prefix: "org.libvirt.", member: "domain", kinds: []kindRow{
		KindLifecycle & 0xffffff: {
			name:   "lifecycle",
			schema: SchemaLifecycle,
			events: lifecycleEvents,
			types:  typesOf("org.libvirt.domain.lifecycle", lifecycleEvents),
		},
	}},
	FamilyNetwork:     {name: "network", prefix: "org.libvirt.", member: "network"},
	FamilyStoragePool: {name: "storage-pool", prefix: "org.libvirt.", member: "storagePool"},
	FamilyNodeDevice:  {name: "node-device", prefix: "org.libvirt.", member: "nodeDevice"},
	FamilySecret:      {name: "secret", prefix: "org.libvirt.", member: "secret"},
	FamilyConnection: {name: "connection", prefix: "org.virtcast.", kinds: []kindRow{
		KindGap & 0xffffff: {
			name:         "gap",
			schema:       SchemaGap,
			types:        typesOf("org.virtcast.connection.gap", nil),
			appendFields: appendGap,
			decodeFields: decodeGap,
		},
	}},
}

// row returns what is known of k, or nil.
func (k Kind) row() *kindRow {
	if k == KindState {
		return &stateRow
	}
	if int(k.Family()) >= len(families) {
		return nil
	}
	kinds := families[k.Family()].kinds
	if id := int(k.EventID()); id < len(kinds) && kinds[id].name != "" {
		return &kinds[id]
	}
	return nil
}

// typeVersion ends every type. It is the version of the data's form.
const typeVersion = ".v1"

func typesOf(prefix string, events []eventRow) []string {
	if events == nil {
		return []string{prefix + typeVersion}
	}
	types := make([]string, len(events))
	for i, ev := range events {
		types[i] = prefix + "." + ev.name + typeVersion
	}
	return types
}

// appendType appends the CloudEvents type of an event number of k.
func appendType(dst []byte, k Kind, event int32) []byte {
	row := k.row()
	if row != nil && row.events == nil {
		return append(dst, row.types[0]...)
	}
	if row != nil && uint32(event) < uint32(len(row.types)) {
		return append(dst, row.types[event]...)
	}
	prefix, family := "org.libvirt.", unknown
	if f := int(k.Family()); f < len(families) {
		prefix, family = families[f].prefix, families[f].name
	}
	dst = append(dst, prefix...)
	dst = appendToken(dst, family, int32(k.Family()))
	dst = append(dst, '.')
	if row == nil {
		dst = appendToken(dst, unknown, k.EventID())
	} else {
		dst = append(dst, row.name...)
		dst = append(dst, '.')
		dst = appendToken(dst, unknown, event)
	}
	return append(dst, typeVersion...)
}

// parseType returns the kind that a CloudEvents type names, and the token of
// its event, "" for a kind without events.
func parseType(typ string) (k Kind, event string, err error) {
	rest, ok := strings.CutSuffix(typ, typeVersion)
	if !ok {
		return 0, "", unknownTypeError(typ)
	}
	for f, family := range families {
		tokens, ok := strings.CutPrefix(rest, family.prefix+family.name+".")
		if !ok {
			continue
		}
		name, event, hasEvent := strings.Cut(tokens, ".")
		if Family(f) == FamilyDomain && tokens == stateRow.name {
			return KindState, "", nil
		}
		if k, ok := parseKindOf(Family(f), name); ok && hasEvent == (k.row().events != nil) {
			return k, event, nil
		}
		if id, ok := parseUnknown(name); ok && id >= 0 && id <= 0xffffff && !hasEvent {
			return KindOf(Family(f), id), "", nil
		}
	}
	return 0, "", unknownTypeError(typ)
}
