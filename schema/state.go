package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// The states that virtcast itself concludes from events, as virDomainState has them.
const (
	// StateUnknown stands where no virDomainState is known. It is none of libvirt's numbers.
	StateUnknown     int32 = -1
	StateRunning     int32 = 1
	StatePaused      int32 = 3
	StateShutdown    int32 = 4 // being shut down
	StateShutoff     int32 = 5
	StateCrashed     int32 = 6
	StatePMSuspended int32 = 7
)

// Persistence says whether a domain outlives being stopped.
type Persistence uint8

// What is known of it.
const (
	PersistenceUnknown Persistence = iota
	Persistent
	NotPersistent
)

// State is what is known of a domain after an event, by the rules of docs/state.md. It is no part of
// the event's own CloudEvent: [Event.StateEvent] makes the one that tells it.
type State struct {
	// Valid is set for every event of a domain, whether or not it changes the state, so that a state's sequence
	// says how far the events are in it; but not where another source has the same domain and a better claim to it. Else
	// the rest is zero.
	Valid bool
	// Code is a virDomainState, or [StateUnknown]. Reason is the reason that belongs to
	// it, 0 if it is not known.
	Code, Reason int32
	Persistence  Persistence
	// Gone is set where the domain exists no longer: it is neither defined nor active.
	Gone bool
}

// KindState is the kind of the CloudEvents that tell a domain's last known state. No hypervisor
// sends it and nobody can register for it: see [Event.StateEvent].
const KindState = Kind(FamilyDomain)<<24 | 0xffffff

// stateRow is KindState's row, which stands apart since its number would make the table long.
var stateRow = kindRow{
	name:   "state",
	schema: SchemaState,
	types:  typesOf("org.libvirt.domain.state", nil),
}

// StateEvent returns the event that tells e's State: of [KindState], with the id, the sequences, the
// time and the domain of e, and so what a state store keeps. e.State must be valid.
func (e *Event) StateEvent() Event {
	state := *e
	state.Kind, state.Observation.Event, state.Detail, state.CallbackID = KindState, 0, 0, 0
	return state
}

// appendState appends the members of [KindState].
func appendState(dst []byte, s State) []byte {
	dst = append(dst, `,"state":"`...)
	dst = append(dst, StateName(s.Code)...)
	dst = append(dst, `","stateCode":`...)
	dst = strconv.AppendInt(dst, int64(s.Code), 10)
	if s.Reason != 0 {
		dst = append(dst, `,"reason":"`...)
		dst = append(dst, ReasonName(s.Code, s.Reason)...)
		dst = append(dst, `","reasonCode":`...)
		dst = strconv.AppendInt(dst, int64(s.Reason), 10)
	}
	switch s.Persistence {
	case Persistent:
		dst = append(dst, `,"persistent":true`...)
	case NotPersistent:
		dst = append(dst, `,"persistent":false`...)
	case PersistenceUnknown:
	}
	return dst
}

// decodeState reads the members of [KindState].
func decodeState(data []byte) (State, error) {
	var d struct {
		State      string `json:"state"`
		StateCode  *int32 `json:"stateCode"`
		Reason     string `json:"reason"`
		ReasonCode int32  `json:"reasonCode"`
		Persistent *bool  `json:"persistent"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return State{}, err
	}
	if d.StateCode == nil {
		return State{}, errors.New("no stateCode")
	}
	s := State{Valid: true, Code: *d.StateCode, Reason: d.ReasonCode}
	if name := StateName(s.Code); name != unknown && d.State != name && d.State != unknown {
		return State{}, fmt.Errorf("state %.40q is not that of number %d", d.State, s.Code)
	}
	if name := ReasonName(s.Code, s.Reason); name != unknown && d.Reason != name && d.Reason != unknown {
		return State{}, fmt.Errorf("reason %.40q is not that of number %d", d.Reason, s.Reason)
	}
	if d.Persistent != nil {
		s.Persistence = NotPersistent
		if *d.Persistent {
			s.Persistence = Persistent
		}
	}
	return s, nil
}
